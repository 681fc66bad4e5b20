"""Projection of the ground to radar geometry: position in slant range, power, layover and shadow.

The radar is far away on the left and looks towards increasing x, so its rays are parallel. Slant range is
``r = x sin(theta) - h cos(theta)``; its columns are counted in ``r / sin(theta)``, so that flat ground at height 0
keeps its position. For a radar on the right, flip the ground before and the result afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import FloatArray

Look = Literal["right", "left"]
"""Look direction along x: towards increasing x ("right") or decreasing x ("left")."""

LOWEST_M, HIGHEST_M = -170.0, 130.0
"""Limits of terrain height, which bound the distance between a pixel and its ground."""

LAYOVER, SHADOW = 1, 2
"""Bit flags of masked pixels."""

COSINE_POWER = 1.5
"""Exponent of the cosine of local incidence in the reflectivity of a slope."""

_THINNEST = 0.02  # of a column: minimum width over which a piece of ground is spread


@dataclass(frozen=True)
class View:
    """Viewing geometry of the radar.

    Parameters
    ----------
    incidence_deg : float
        Incidence angle on flat ground.
    spacing_m : float
        Spacing of ground pixels, along both axes.
    look : {"right", "left"}
        Direction along x.
    """

    incidence_deg: float
    spacing_m: float
    look: Look

    @property
    def shift_px(self) -> float:
        """Columns towards the radar by which a metre of height displaces a point."""
        return 1 / (math.tan(math.radians(self.incidence_deg)) * self.spacing_m)

    def reach_px(self) -> tuple[int, int]:
        """Return how many columns of ground an image needs on the near and on the far side of it."""
        shade = (HIGHEST_M - LOWEST_M) * math.tan(math.radians(self.incidence_deg)) / self.spacing_m
        return math.ceil(shade - LOWEST_M * self.shift_px) + 3, math.ceil(HIGHEST_M * self.shift_px) + 3


def project(
    height_m: FloatArray, power: FloatArray, view: View, *, near: int, width: int, left: int = 0
) -> tuple[FloatArray, NDArray[np.int32], NDArray[np.uint8]]:
    """Project the ground to radar geometry, for a radar on the left (`View.look` is ignored).

    Each piece of ground between two pixels spreads its power, reflectivity times area times cos^p of local incidence
    relative to flat ground, evenly over the columns it covers. Foreshortening, layover, shadow and outlines follow.

    Parameters
    ----------
    height_m : (Y + 2, G) float32
        Terrain height, with one further row above and below for slopes along y.
    power : (Y, G) float32, linear
        Reflectivity of level ground.
    view : View
        Viewing geometry.
    near : int
        Columns of ground before the first column of the image.
    width : int
        Columns of the image.
    left : int
        First column of the image in the plane, from which all columns are counted, so that cropping changes no bit.

    Returns
    -------
    power : (Y, width) float32, linear
        0 where no ground is visible.
    source : (Y, width) int32
        Column of the ground that contributes most; of the hidden ground where none is visible.
    flags : (Y, width) uint8
        `LAYOVER` where several pieces of ground coincide, `SHADOW` where none is visible.

    Examples
    --------
    >>> flat = np.zeros((3, 9), np.float32)
    >>> seen, source, flags = project(flat, np.ones((1, 9), np.float32), View(35.0, 2.5, "right"), near=2, width=4)
    >>> seen.tolist(), source.tolist(), flags.tolist()
    ([[1.0, 1.0, 1.0, 1.0]], [[2, 3, 4, 5]], [[0, 0, 0, 0]])
    """
    theta = math.radians(view.incidence_deg)
    return _project(  # type: ignore[no-any-return]
        height_m, power, view.spacing_m, math.sin(theta), math.cos(theta), COSINE_POWER, left - near, left, width
    )


@numba.njit(nogil=True, cache=True)
def _project(  # noqa: PLR0912, PLR0913, PLR0915, PLR0917  a compiled loop
    height: Any,
    power: Any,
    spacing: float,
    sine: float,
    cosine: float,
    exponent: float,
    first: int,
    left: int,
    width: int,
) -> Any:
    rows, ground = power.shape
    shift = cosine / (sine * spacing)
    out = np.zeros((rows, width), np.float32)
    source = np.zeros((rows, width), np.int32)
    flags = np.zeros((rows, width), np.uint8)
    strongest = np.empty(width, np.float64)
    pieces = np.empty(width, np.int32)
    hidden = np.empty(width, np.int32)
    for y in range(rows):
        strongest[:] = 0
        pieces[:] = 0
        hidden[:] = 0
        line = height[y + 1]
        end = first - line[0] * shift  # column at which the piece of ground ends
        horizon = -1e30  # highest ray so far
        ray = line[0] * sine + first * spacing * cosine
        for k in range(ground - 1):
            start, previous = end, ray
            end = (first + k + 1) - line[k + 1] * shift
            ray = line[k + 1] * sine + (first + k + 1) * spacing * cosine
            if ray <= horizon or previous < horizon:  # at least partly in shadow
                first_hidden, last_hidden = (start, end) if start < end else (end, start)
                for place in range(max(left, math.floor(first_hidden)), min(left + width, math.floor(last_hidden) + 1)):
                    hidden[place - left] = k
            if ray <= horizon:
                continue
            if previous < horizon:  # its far end is beyond the shadow
                start = end - (end - start) * (ray - horizon) / (ray - previous)
                seen = (ray - horizon) / (ray - previous)
            else:
                seen = 1.0
            horizon = ray
            low, high = (start, end) if start < end else (end, start)
            if high <= left or low >= left + width:
                continue
            slope_x = (line[k + 1] - line[k]) / spacing
            slope_y = (height[y + 2, k] - height[y, k]) / (2 * spacing)
            area = math.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
            facing = (slope_x * sine + cosine) / (area * cosine)
            if facing <= 0:
                continue
            energy = power[y, k] * area * seen
            if slope_x != 0 or slope_y != 0:
                energy *= facing**exponent
            if high - low < _THINNEST:
                high = low + _THINNEST
            density = energy / (high - low)
            for place in range(max(left, math.floor(low)), min(left + width, math.floor(high) + 1)):
                part = density * (min(high, place + 1.0) - max(low, float(place)))
                if part <= 0:
                    continue
                column = place - left
                out[y, column] += part
                if part > strongest[column]:
                    strongest[column] = part
                    source[y, column] = k
                if low <= place + 0.5 < high:
                    pieces[column] += 1
        for column in range(width):
            if strongest[column] == 0:
                source[y, column] = hidden[column]
            if pieces[column] > 1:
                flags[y, column] = 1
            elif pieces[column] == 0 and strongest[column] == 0:
                flags[y, column] = 2
    return out, source, flags


@numba.njit(nogil=True, cache=True)
def gather(array: Any, source: Any, first: int) -> Any:
    """Return the values of the ground that each pixel sees most of; image row 0 is row `first` of the ground."""
    out = np.empty(source.shape, array.dtype)
    for y in range(source.shape[0]):
        for x in range(source.shape[1]):
            out[y, x] = array[y + first, source[y, x]]
    return out
