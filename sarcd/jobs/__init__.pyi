import sarcd.engine.cluster
import sarcd.engine.run
import sarcd.engine.tasks

from .stored_coherence import coherence as coherence
from .stored_detection import detect as detect
from .stored_prediction import predict as predict
from .stored_pseudo_labels import pseudo_label as pseudo_label
from .stored_pseudo_labels import self_train as self_train
from .stored_statistics import statistics as statistics
from .stored_summary import summarise as summarise

# What is not of this package is imported above, since lazy_loader reads imports of this package alone.
JobResult = sarcd.engine.run.JobResult
Progress = sarcd.engine.tasks.Progress
cluster = sarcd.engine.cluster.cluster
silent = sarcd.engine.tasks.silent
