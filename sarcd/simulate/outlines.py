"""Natural outlines: closed shapes described by how far inside them each pixel lies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from sarcd.simulate.fields import FloatArray, Shape

Box: TypeAlias = tuple[slice, slice]
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True)
class Outline:
    """A closed shape in part of the scene.

    Parameters
    ----------
    box : (slice, slice)
        The part of the scene that the arrays cover.
    inward_px : (h, w) float32
        About how far inside the edge a pixel lies, in pixels; negative outside.
    angle : (h, w) float32
        Direction from the centre, radians.
    distance_px : (h, w) float32
        Distance from the centre.
    radius_px : float
        Mean radius.
    """

    box: Box
    inward_px: FloatArray
    angle: FloatArray
    distance_px: FloatArray
    radius_px: float


def box_around(shape: Shape, centre: Point, reach_px: float) -> Box:
    """Return the part of the scene within `reach_px` of a point, at least one pixel."""
    sides = []
    for size, middle in zip(shape, centre, strict=True):
        low = min(max(math.floor(middle - reach_px), 0), size - 1)
        sides.append(slice(low, max(min(math.ceil(middle + reach_px) + 1, size), low + 1)))
    return sides[0], sides[1]


def outline(
    rng: np.random.Generator,
    warp: FloatArray,
    centre: Point,
    *,
    radius_px: float,
    stretch: float = 1.0,
    warp_px: float = 8.0,
    margin_px: float = 60.0,
) -> Outline:
    """Draw a lobed ellipse whose edge follows a fractal field.

    Parameters
    ----------
    rng : np.random.Generator
        Draws its orientation and its lobes.
    warp : (Y, X) float32
        Field of unit variance over the scene that moves the edge.
    centre : (y, x)
        In pixels.
    radius_px : float
        Mean radius.
    stretch : float
        Ratio of the axes.
    warp_px : float
        How far the warp moves the edge.
    margin_px : float
        How far outside the edge the arrays reach.
    """
    shape = (warp.shape[0], warp.shape[1])
    box = box_around(shape, centre, 1.35 * radius_px * math.sqrt(max(stretch, 1 / stretch)) + margin_px)
    y = (np.arange(box[0].start, box[0].stop) - centre[0])[:, None].astype(np.float32)
    x = (np.arange(box[1].start, box[1].stop) - centre[1])[None].astype(np.float32)
    turn = rng.uniform(0, math.pi)
    long, short = math.sqrt(stretch), 1 / math.sqrt(stretch)
    along = np.float32(math.cos(turn) / long) * x + np.float32(math.sin(turn) / long) * y
    across = np.float32(math.cos(turn) / short) * y - np.float32(math.sin(turn) / short) * x
    angle = np.arctan2(y, x)
    reach = np.float32(radius_px) * np.ones_like(angle)
    for lobes in (2, 3, 4, 5):
        size, phase = rng.normal(0, 0.16 / lobes), rng.uniform(0, 2 * math.pi)
        reach += np.float32(radius_px * size) * np.cos(lobes * angle + np.float32(phase))
    inward = reach - np.hypot(along, across) + np.float32(warp_px) * warp[box]
    return Outline(box, inward.astype(np.float32), angle, np.hypot(y, x).astype(np.float32), radius_px)


def turned(box: Box, centre: Point, angle: float) -> tuple[FloatArray, FloatArray]:
    """Return coordinates (along, across) in pixels of a box, about a centre, turned by an angle in radians."""
    y = (np.arange(box[0].start, box[0].stop) - centre[0])[:, None].astype(np.float32)
    x = (np.arange(box[1].start, box[1].stop) - centre[1])[None].astype(np.float32)
    cosine, sine = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    return cosine * x + sine * y, cosine * y - sine * x
