"""Rectangles of a scene, and their surroundings."""

from __future__ import annotations

Rectangle = tuple[slice, slice]
"""Rows and columns of a scene."""


def grow(region: Rectangle, halo: tuple[int, int], shape: tuple[int, int]) -> Rectangle:
    """Return a rectangle with a halo, as far as the scene goes."""
    y, x = (
        slice(max(part.start - reach, 0), min(part.stop + reach, size))
        for part, reach, size in zip(region, halo, shape, strict=True)
    )
    return y, x


def inside(region: Rectangle, window: Rectangle) -> Rectangle:
    """Return where a rectangle lies within a window around it."""
    y, x = (
        slice(part.start - around.start, part.stop - around.start) for part, around in zip(region, window, strict=True)
    )
    return y, x
