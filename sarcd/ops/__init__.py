"""Operations on scenes: xarray in, lazy xarray out; nothing computes until asked."""

from sarcd.ops.coherence import coherence, coherence_phase
from sarcd.ops.features import features
from sarcd.ops.log_ratio import log_ratio
from sarcd.ops.looks import effective_looks
from sarcd.ops.normalize import normalize
from sarcd.ops.statistics import AmplitudeStatistics, amplitude_statistics

__all__ = [
    "AmplitudeStatistics",
    "amplitude_statistics",
    "coherence",
    "coherence_phase",
    "effective_looks",
    "features",
    "log_ratio",
    "normalize",
]
