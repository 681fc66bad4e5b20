from . import jobs as jobs
from .accessor import SceneAccessor as SceneAccessor
from .change.summary import summarise as summarise
from .detection import detect as detect
from .estimation.amplitudes import statistics as statistics
from .estimation.coherence_layers import coherence as coherence
from .exporting.export_files import export as export
from .figures.change_figure import plot as plot
from .inference.prediction import predict as predict
from .ingestion.scene import ingest as ingest
from .jobs.stored_pseudo_labels import pseudo_label as pseudo_label
from .metrics.scoring import evaluate as evaluate
from .metrics.scoring import report as report
from .simulation.sites import simulate as simulate
from .store.scene import open_scene as open_scene
from .training.trainer import train as train

__version__: str
