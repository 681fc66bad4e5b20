"""Operations on scenes: xarray in, lazy xarray out; nothing computes until asked."""

from sarcd.ops.brightness import ratio_test
from sarcd.ops.clean import closing, drop_small, fill_small, opening
from sarcd.ops.coherence import coherence, coherence_phase
from sarcd.ops.coherence_history import coherence_loss, never_coherent
from sarcd.ops.decide import apply_rules, decide, fit_rules, rules_of
from sarcd.ops.decorrelation import coherence_test, combined_test, no_correlation_test
from sarcd.ops.features import features
from sarcd.ops.fuse import fuse
from sarcd.ops.gauss_log_ratio import gauss_log_ratio
from sarcd.ops.intensity_looks import intensity_looks
from sarcd.ops.lee import lee, refined_lee
from sarcd.ops.log_ratio import log_ratio
from sarcd.ops.looks import effective_looks
from sarcd.ops.mean_ratio import mean_ratio
from sarcd.ops.neighbourhood_ratio import neighbourhood_ratio
from sarcd.ops.normalize import normalize
from sarcd.ops.omnibus import omnibus_test
from sarcd.ops.statistics import AmplitudeStatistics, amplitude_statistics
from sarcd.ops.summary import summarise_changes

__all__ = [
    "AmplitudeStatistics",
    "amplitude_statistics",
    "apply_rules",
    "closing",
    "coherence",
    "coherence_loss",
    "coherence_phase",
    "coherence_test",
    "combined_test",
    "decide",
    "drop_small",
    "effective_looks",
    "features",
    "fill_small",
    "fit_rules",
    "fuse",
    "gauss_log_ratio",
    "intensity_looks",
    "lee",
    "log_ratio",
    "mean_ratio",
    "neighbourhood_ratio",
    "never_coherent",
    "no_correlation_test",
    "normalize",
    "omnibus_test",
    "opening",
    "ratio_test",
    "refined_lee",
    "rules_of",
    "summarise_changes",
]
