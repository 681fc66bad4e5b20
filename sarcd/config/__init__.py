"""Options of every operation as frozen dataclasses, and the TOML files that hold them."""

from __future__ import annotations

from sarcd.config.coherence import (
    BRIGHTNESS_WINDOW,
    ESTIMATORS,
    FREQUENCY_WINDOW,
    CoherenceOptions,
    Estimator,
    SummaryOptions,
)
from sarcd.config.detection import DetectOptions
from sarcd.config.fields import from_dict
from sarcd.config.ingest import IngestOptions
from sarcd.config.prediction import PredictOptions, PseudoOptions, StatisticsPolicy
from sarcd.config.training import AugmentOptions, LossOptions, TrainOptions
from sarcd.config.values import change, merge, read_toml, to_dict, toml_text, with_keywords, write_toml
from sarcd.config.window import Window

__all__ = [
    "BRIGHTNESS_WINDOW",
    "ESTIMATORS",
    "FREQUENCY_WINDOW",
    "AugmentOptions",
    "CoherenceOptions",
    "DetectOptions",
    "Estimator",
    "IngestOptions",
    "LossOptions",
    "PredictOptions",
    "PseudoOptions",
    "StatisticsPolicy",
    "SummaryOptions",
    "TrainOptions",
    "Window",
    "change",
    "from_dict",
    "merge",
    "read_toml",
    "to_dict",
    "toml_text",
    "with_keywords",
    "write_toml",
]
