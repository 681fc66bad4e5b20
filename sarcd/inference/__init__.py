"""Prediction of whole scenes in tiles, in bounded memory; the map does not depend on how the work is divided."""

from __future__ import annotations

from sarcd.engine.tasks import Rectangle
from sarcd.inference.ensemble import Ensemble, blocks_of
from sarcd.inference.forward import PLAIN, TTAView, forward, tta_views
from sarcd.inference.predictor import AnyTiling, Predictor, decide, sigmoid
from sarcd.inference.scene_features import rim_of
from sarcd.inference.tile_sizes import choose_batch, choose_tile, forward_bytes, tiling_of, trained_tile
from sarcd.inference.tiling import BlendedTiling, Tiling, area, round_up

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
