"""The pretrained model with sarcd: what it is, is in ``docs/model.md``.

``python examples/model`` makes its file anew.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["AMPLITUDE", "MINES"]

MINES = Path(__file__).with_name("mines.safetensors")
"""A small U-Net for complex images of open-pit mines; it has seen simulated ones alone."""

AMPLITUDE = Path(__file__).with_name("amplitude.safetensors")
"""A small U-Net for pairs of amplitude images; it has seen simulated ones alone."""
