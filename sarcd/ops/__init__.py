"""Operations on scenes: xarray in, lazy xarray out; nothing computes until asked."""

from sarcd.ops.brightness import ratio_test
from sarcd.ops.coherence import coherence, coherence_phase
from sarcd.ops.decorrelation import coherence_test, combined_test, no_correlation_test
from sarcd.ops.features import features
from sarcd.ops.log_ratio import log_ratio
from sarcd.ops.looks import effective_looks
from sarcd.ops.normalize import normalize
from sarcd.ops.omnibus import omnibus_test
from sarcd.ops.statistics import AmplitudeStatistics, amplitude_statistics
from sarcd.ops.summary import summarise_changes

__all__ = [
    "AmplitudeStatistics",
    "amplitude_statistics",
    "coherence",
    "coherence_phase",
    "coherence_test",
    "combined_test",
    "effective_looks",
    "features",
    "log_ratio",
    "no_correlation_test",
    "normalize",
    "omnibus_test",
    "ratio_test",
    "summarise_changes",
]
