"""Simulated scenes of any size, made part by part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from sarcd.errors import OptionError
from sarcd.simulation.core.edits import draw_edits
from sarcd.simulation.core.fields import Dice, Region, Shape
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.part import Making, Part
from sarcd.simulation.core.plan import draw_mine

SMALLEST = 64
"""Least side of a scene in pixels: below it there is no room for a change."""

PART_PX = 1024
"""Side of the parts in which scenes are made. It bounds the memory and changes no byte."""

CLOSE_UP_PX = 640
"""Scenes with a shorter side lie around a change of a mine; larger ones around the middle of whole mines."""


def parts(
    options: SiteOptions, shape: Shape, days: tuple[float, ...], *, seed: int = 0, part_px: int = PART_PX
) -> Iterator[Part]:
    """Simulate a scene part by part, in rows of parts.

    Parameters
    ----------
    options : SiteOptions
        Site and radar.
    shape : (Y, X)
        Size of the scene in pixels.
    days : tuple of float
        Dates, days after the first.
    seed : int
        The same seed gives the same bytes.
    part_px : int
        Side of a part; changes no byte.

    Yields
    ------
    Part

    Raises
    ------
    OptionError
        If the scene is too small, or the days are fewer than two or not in order.
    """
    if min(shape) < SMALLEST:
        raise OptionError(
            f"scene of {shape[0]} x {shape[1]} pixels", where="size", mend=f"use {SMALLEST} or more a side"
        )
    if len(days) < 2 or any(late <= early for early, late in pairwise(days)):
        raise OptionError("a pair needs two dates, in order", where="days", mend="use rising numbers")
    dice = Dice(seed, options.site)
    top, left = origin(dice, options, shape)
    for y in range(0, shape[0], part_px):
        for x in range(0, shape[1], part_px):
            region = Region(top + y, left + x, min(part_px, shape[0] - y), min(part_px, shape[1] - x))
            place = slice(y, y + region.height), slice(x, x + region.width)
            yield Making(dice, options, region, np.asarray(days, np.float64)).part(*place)


def simulate(
    options: SiteOptions, shape: Shape, days: tuple[float, ...], *, seed: int = 0, part_px: int = PART_PX
) -> Part:
    """Simulate a scene in memory; see `parts`."""
    whole: Part | None = None
    for part in parts(options, shape, days, seed=seed, part_px=part_px):
        if part.label.shape[1:] == tuple(shape):
            return part
        if whole is None:
            empty = {
                name: np.empty((*array.shape[:-2], *shape), array.dtype)
                for name, array in vars(part).items()
                if isinstance(array, np.ndarray)
            }
            whole = Part(slice(0, shape[0]), slice(0, shape[1]), **empty)
        for name, array in vars(part).items():
            if isinstance(array, np.ndarray):
                getattr(whole, name)[..., part.y, part.x] = array
    assert whole is not None  # a scene has pixels
    return whole


def origin(dice: Dice, options: SiteOptions, shape: Shape) -> tuple[int, int]:
    """Return where in the plane a scene begins: around whole mines, or, of a small scene, around a change."""
    if min(shape) >= CLOSE_UP_PX:
        cells = [max(1, round(size / options.cell_px)) for size in shape]
        top, left = ((number * options.cell_px - size) // 2 for number, size in zip(cells, shape, strict=True))
        return top, left
    mine = draw_mine(dice, options, 0, 0)
    edits = draw_edits(dice, options, mine, 0)
    middle = mine.pit.outline.centre
    y, x = edits[0].centre if edits else middle
    depth = edits[0].level_px / mine.pit.bench_px * mine.pit.bench_m if edits else 0.0
    shift = (depth - mine.pit.rim_m) * options.view.shift_px
    x += shift if options.look == "right" else -shift
    # The change in a corner, and the pit in the rest.
    aside_y, aside_x = (size // 2 - min(size // 4, 40) for size in shape)
    y, x = y + math.copysign(aside_y, middle[0] - y), x + math.copysign(aside_x, middle[1] - x)
    return round(y) - shape[0] // 2, round(x) - shape[1] // 2
