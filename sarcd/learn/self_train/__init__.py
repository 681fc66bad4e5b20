"""Change without labels: a network trained on simulated pairs, fitted to the pair at hand by what it is sure of."""

from __future__ import annotations

from sarcd.learn.self_train.crops import Plan
from sarcd.learn.self_train.fit import FitOptions, fit
from sarcd.learn.self_train.fitted import SelfTrained
from sarcd.learn.self_train.scenes import ChangeMap, fit_pairs, map_pair, map_pairs

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
