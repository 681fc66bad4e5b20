"""Change detection without labels: a network trained on simulated pairs and self-trained on the pair being mapped."""

from __future__ import annotations

from sarcd.detection.self_trained.fit import FitOptions, fit
from sarcd.detection.self_trained.fitted import SelfTrained
from sarcd.detection.self_trained.scenes import ChangeMap, fit_pairs, map_pair, map_pairs
from sarcd.detection.self_trained.training import Plan

__all__ = [
    "ChangeMap",
    "FitOptions",
    "Plan",
    "SelfTrained",
    "fit",
    "fit_pairs",
    "map_pair",
    "map_pairs",
]
