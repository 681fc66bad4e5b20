from .amplitudes import AmplitudeStatistics as AmplitudeStatistics
from .amplitudes import statistics as statistics
from .channels import features as features
from .channels import normalize as normalize
from .coherence_layers import coherence as coherence
from .coherence_layers import coherence_phase as coherence_phase
from .looks import effective_looks as effective_looks
from .looks import intensity_looks as intensity_looks
