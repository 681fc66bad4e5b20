"""Prediction of whole scenes in tiles, in bounded memory; the map does not depend on how the work is divided."""

from __future__ import annotations

from sarcd.io.rectangles import Rectangle
from sarcd.predict.blended import BlendedTiling
from sarcd.predict.device import forward
from sarcd.predict.ensemble import Ensemble, blocks_of
from sarcd.predict.predictor import AnyTiling, Predictor, decide, sigmoid
from sarcd.predict.rim import rim_of
from sarcd.predict.sizes import choose_batch, choose_tile, forward_bytes, tiling_of, trained_tile
from sarcd.predict.tiling import Tiling, area, round_up
from sarcd.predict.variants import PLAIN, Variant, variants

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
