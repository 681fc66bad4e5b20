"""Tiled prediction of whole scenes in bounded memory; the map does not depend on how the work is divided."""

from __future__ import annotations

from sarcd.engine.tasks import Rectangle
from sarcd.inference.predictor import PLAIN, Ensemble, Predictor, TTAView, decide, forward, rim_of, sigmoid, tta_views
from sarcd.inference.tiling import (
    AnyTiling,
    BlendedTiling,
    Tiling,
    area,
    blocks_of,
    choose_batch,
    choose_tile,
    forward_bytes,
    round_up,
    tiling_of,
    trained_tile,
)

__all__ = [
    "PLAIN",
    "AnyTiling",
    "BlendedTiling",
    "Ensemble",
    "Predictor",
    "Rectangle",
    "TTAView",
    "Tiling",
    "area",
    "blocks_of",
    "choose_batch",
    "choose_tile",
    "decide",
    "forward",
    "forward_bytes",
    "rim_of",
    "round_up",
    "sigmoid",
    "tiling_of",
    "trained_tile",
    "tta_views",
]
