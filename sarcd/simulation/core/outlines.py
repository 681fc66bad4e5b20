"""Natural outlines: closed shapes described by the distance of each pixel from their edge."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import FloatArray, Region

Point: TypeAlias = tuple[float, float]

_LOBES = (2, 3, 4, 5)


@dataclass(frozen=True)
class Outline:
    """A lobed ellipse whose edge is displaced by a fractal field.

    Parameters
    ----------
    centre : (y, x)
        Position in pixels of the plane.
    radius_px : float
        Mean radius.
    stretch : float
        Ratio of the axes.
    turn : float
        Direction of the long axis, radians.
    lobes : (8,) float64
        Sizes of the lobes, in radii, followed by their phases.
    warp_px : float
        Displacement of the edge by the field.
    """

    centre: Point
    radius_px: float
    stretch: float
    turn: float
    lobes: NDArray[np.float64]
    warp_px: float

    @property
    def reach_px(self) -> float:
        """Return a distance from the centre beyond which the shape does not extend."""
        size = 1 + float(np.abs(self.lobes[:4]).sum())
        return self.radius_px * size * math.sqrt(self.stretch) + 4 * self.warp_px

    def rim(self, angle: float, inward_px: float) -> Point:
        """Return the point in a direction from the centre at a distance inside the edge, without the field."""
        along = math.cos(angle - self.turn) / math.sqrt(self.stretch)
        across = math.sin(angle - self.turn) * math.sqrt(self.stretch)
        size = 1.0
        for lobe, amount, phase in zip(_LOBES, self.lobes[:4], self.lobes[4:], strict=True):
            size += float(amount) * math.cos(lobe * angle + float(phase))
        distance = (self.radius_px * size - inward_px) / math.hypot(along, across)
        return self.centre[0] + distance * math.sin(angle), self.centre[1] + distance * math.cos(angle)

    def over(self, region: Region, warp: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the position of the pixels of a region relative to the shape.

        Parameters
        ----------
        region : Region
            Region of the plane.
        warp : (height, width) float32
            Field of unit variance that displaces the edge.

        Returns
        -------
        inward_px : (height, width) float32
            Approximate distance inside the edge; negative outside.
        angle : (height, width) float32
            Direction from the centre, radians.
        distance_px : (height, width) float32
            Distance from the centre.
        """
        return _over(  # type: ignore[no-any-return]
            region.top, region.left, warp, self.centre[0], self.centre[1], self.radius_px, self.stretch, self.turn,
            self.lobes, self.warp_px,
        )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _over(  # noqa: PLR0913, PLR0917  a compiled loop
    top: int, left: int, warp: Any, centre_y: float, centre_x: float, radius: float, stretch: float, turn: float,
    lobes: Any, warp_px: float,
) -> Any:  # fmt: skip
    height, width = warp.shape
    inward = np.empty((height, width), np.float32)
    angle = np.empty((height, width), np.float32)
    distance = np.empty((height, width), np.float32)
    # The lobes are tabulated over the angle: a cosine for each lobe and pixel would take most of the time.
    steps = 2048
    reach = np.empty(steps + 1, np.float64)
    for i in range(steps + 1):
        at = -math.pi + 2 * math.pi * i / steps
        size = 1.0
        for lobe in range(4):
            size += lobes[lobe] * math.cos((lobe + 2) * at + lobes[lobe + 4])
        reach[i] = radius * size
    long, short = 1 / math.sqrt(stretch), math.sqrt(stretch)
    cosine, sine = math.cos(turn), math.sin(turn)
    for row in range(height):
        y = top + row - centre_y
        for column in range(width):
            x = left + column - centre_x
            along, across = (cosine * x + sine * y) * long, (cosine * y - sine * x) * short
            direction = math.atan2(y, x)
            place = (direction + math.pi) * (steps / (2 * math.pi))
            i = min(int(place), steps - 1)
            edge = reach[i] + (place - i) * (reach[i + 1] - reach[i])
            inward[row, column] = edge - math.sqrt(along * along + across * across) + warp_px * warp[row, column]
            angle[row, column] = direction
            distance[row, column] = math.sqrt(x * x + y * y)
    return inward, angle, distance


def draw_outline(
    rng: np.random.Generator,
    centre: Point,
    *,
    radius_px: float,
    stretch: float = 1.0,
    warp_px: float = 8.0,
    lobed: float = 0.16,
) -> Outline:
    """Draw the orientation and the lobes of an outline.

    Examples
    --------
    >>> circle = Outline((50.0, 50.0), 20.0, 1.0, 0.0, np.zeros(8), 0.0)
    >>> inward, _, _ = circle.over(Region(50, 50, 1, 41), np.zeros((1, 41), np.float32))
    >>> inward[0, [0, 20, 40]].tolist()
    [20.0, 0.0, -20.0]
    """
    sizes = [rng.normal(0, lobed / lobe) for lobe in _LOBES]
    phases = [rng.uniform(0, 2 * math.pi) for _ in _LOBES]
    lobes = np.clip(np.array(sizes + phases), [-0.25] * 4 + [0] * 4, [0.25] * 4 + [7] * 4)
    return Outline(centre, radius_px, stretch, rng.uniform(0, math.pi), lobes, warp_px)


def turned(region: Region, centre: Point, angle: float) -> tuple[FloatArray, FloatArray]:
    """Return coordinates (along, across) of a region in pixels about a centre, rotated by an angle in radians."""
    y, x = region.y() - centre[0], region.x() - centre[1]
    cosine, sine = math.cos(angle), math.sin(angle)
    return (cosine * x + sine * y).astype(np.float32), (cosine * y - sine * x).astype(np.float32)


def wrapped(angle: FloatArray) -> FloatArray:
    """Wrap angles to the range from -pi to pi."""
    return np.asarray((angle + np.float32(math.pi)) % np.float32(2 * math.pi) - np.float32(math.pi), np.float32)
