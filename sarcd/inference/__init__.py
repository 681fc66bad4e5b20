"""Prediction of whole scenes in tiles, in bounded memory; the map does not depend on how the work is divided."""

from __future__ import annotations

from sarcd.engine.rectangles import Rectangle
from sarcd.inference.blending import BlendedTiling
from sarcd.inference.device import forward
from sarcd.inference.ensemble import Ensemble, blocks_of
from sarcd.inference.predictor import AnyTiling, Predictor, decide, sigmoid
from sarcd.inference.rim import rim_of
from sarcd.inference.tile_sizes import choose_batch, choose_tile, forward_bytes, tiling_of, trained_tile
from sarcd.inference.tiling import Tiling, area, round_up
from sarcd.inference.tta import PLAIN, Variant, variants

__all__ = [
    "PLAIN",
    "AnyTiling",
    "BlendedTiling",
    "Ensemble",
    "Predictor",
    "Rectangle",
    "Tiling",
    "Variant",
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
    "variants",
]
