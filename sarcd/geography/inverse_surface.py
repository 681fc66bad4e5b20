"""The inverse of the surface through ground control points: from the ground into pixels."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from sarcd.errors import InputError
from sarcd.geography.control_points import surface
from sarcd.geography.geodesy import Move
from sarcd.geography.georeference import Georeference

_STEPS = 30
_PATIENCE = 6  # steps by the slope of the splines, before that of the surface itself is asked for at every one
_KNOTS = 65
_MARGIN = 0.25  # of the scene's size, by which the splines reach beyond it
_CLOSE = 1e-6  # pixels
_FAR = 0.1  # pixels: a surface that cannot be inverted this well is refused


class Surface:
    """The surface through ground control points, the same that exports use, and its inverse.

    A surface fitted to the way back would be another one, and miss by parts of a pixel or by many; so the one there is
    gets inverted, by Newton's method.
    """

    def __init__(self, path: str, georeference: Georeference, shape: tuple[int, int], *, in_degrees: bool) -> None:
        self.path, self.georeference, self.shape, self.in_degrees = path, georeference, shape, in_degrees
        self.middle, self.scale, self.plane = self._fit_plane()

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return (x, y) of points (column, row)."""
        return np.asarray(self._surface(pixels))

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Return (column, row) of points (x, y).

        Raises
        ------
        InputError
            If a point within the scene is missed by more than a tenth of a pixel.
        """
        if not len(points):
            return points
        guess, inverse = self.guess(points)
        error = np.full(len(points), np.inf)
        open_ones = np.flatnonzero(np.isfinite(points).all(axis=1))
        reach = float(max(self.shape))
        for turn in range(_STEPS):
            if not len(open_ones):
                break
            if turn >= _PATIENCE:  # beyond the grid of the splines
                inverse[open_ones] = self._slope(guess[open_ones])
            rest = points[open_ones] - self.forward(guess[open_ones])
            rest[:, 0] = self._turned(rest[:, 0], 0.0)
            step = np.einsum("nij,nj->ni", inverse[open_ones], rest)
            size = np.hypot(*step.T)
            error[open_ones] = size
            known = np.isfinite(size)
            open_ones, step, size = open_ones[known], step[known], size[known]
            guess[open_ones] += step * np.minimum(1.0, reach / np.maximum(size, _CLOSE))[:, None]
            open_ones = open_ones[size > _CLOSE]
        height, width = self.shape
        within = ((guess > -2) & (guess < [width + 2, height + 2])).all(axis=1)
        missed = within & ~(error <= _FAR) & np.isfinite(points).all(axis=1)
        if missed.any():
            raise InputError(
                f"{missed.sum()} corners of its shapes cannot be brought into pixels: the scene's ground control "
                f"points do not say where they lie to within {_FAR} pixels",
                where=self.path,
                mend="give the labels in pixel coordinates (column, row) without a CRS, or as a raster",
            )
        guess[~np.isfinite(points).all(axis=1)] = np.nan
        return guess

    def guess(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (column, row) of points (x, y) on splines through a grid of the surface, and its inverse slope there.

        The surface costs much at each point, and the splines next to nothing.
        """
        rows, columns, splines = self._splines
        found = self._on_plane(points)
        inverse = np.empty((len(points), 2, 2))
        for _ in range(_STEPS):
            at = np.clip(found, [columns[0], rows[0]], [columns[-1], rows[-1]])
            here, right, down = (
                np.column_stack([one.ev(at[:, 1], at[:, 0], dx=by[0], dy=by[1]) for one in splines])
                for by in ((0, 0), (0, 1), (1, 0))
            )
            inverse = _inverse(right, down)
            rest = points - here
            rest[:, 0] = self._turned(rest[:, 0], 0.0)
            new = at + np.einsum("nij,nj->ni", inverse, rest)
            moved = np.abs(new - found)
            found = np.where(np.isfinite(new), new, found)
            if not (moved > _CLOSE).any():
                break
        return found, inverse

    @functools.cached_property
    def _fitted(self) -> tuple[Move, tuple[str, ...]]:
        height, width = self.shape
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            move = surface(self.georeference.gcps, self.georeference.crs, (0.0, 0.0, float(width), float(height)))
        return move, tuple(dict.fromkeys(str(warning.message) for warning in caught))

    @property
    def _surface(self) -> Move:
        return self._fitted[0]

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of the control points: that they lie off the surface, for example."""
        return self._fitted[1]

    @functools.cached_property
    def _splines(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Rows and columns of a grid, and splines of x and y over it."""
        from scipy.interpolate import RectBivariateSpline

        height, width = self.shape
        rows, columns = (np.linspace(-_MARGIN, 1 + _MARGIN, _KNOTS) * side for side in (height, width))
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        ground = self.forward(grid)
        ground[:, 0] = self._turned(ground[:, 0], float(ground[len(ground) // 2, 0]))
        shape = len(rows), len(columns)
        return rows, columns, [RectBivariateSpline(rows, columns, one.reshape(shape)) for one in ground.T]

    def _fit_plane(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Fit a plane through the control points; coordinates are counted from a middle, in a scale."""
        gcps = self.georeference.gcps
        ground = np.array([(point.x, point.y) for point in gcps])
        pixels = np.array([(point.col, point.row) for point in gcps])
        ground[:, 0] = self._turned(ground[:, 0], float(ground[0, 0]))
        middle, scale = ground.mean(axis=0), float(np.ptp(ground, axis=0).max()) or 1.0
        matrix = np.column_stack([(ground - middle) / scale, np.ones(len(ground))])
        if len(gcps) < 3 or np.linalg.matrix_rank(matrix, tol=1e-6) < 3:
            raise InputError(
                "the scene's ground control points lie on one line, so that no label on the map can be placed",
                where=self.path,
                mend="give the labels in pixel coordinates (column, row) without a CRS, or as a raster",
            )
        return middle, scale, np.linalg.lstsq(matrix, pixels, rcond=None)[0]

    def _on_plane(self, points: np.ndarray) -> np.ndarray:
        """Return (column, row) by the plane through the control points."""
        here = np.column_stack([self._turned(points[:, 0], float(self.middle[0])), points[:, 1]])
        found: np.ndarray = np.column_stack([(here - self.middle) / self.scale, np.ones(len(here))]) @ self.plane
        return found

    def _slope(self, at: np.ndarray) -> np.ndarray:
        """Return the inverse slope of the surface at points (column, row), from differences over half a pixel."""
        count = len(at)
        reached = self.forward(np.concatenate([at, at + np.array([0.5, 0]), at + np.array([0, 0.5])]))
        right, down = (reached[count : 2 * count] - reached[:count], reached[2 * count :] - reached[:count])
        for difference in (right, down):
            difference[:, 0] = self._turned(difference[:, 0], 0.0)
        return _inverse(right / 0.5, down / 0.5)

    def _turned(self, values: np.ndarray, middle: float) -> np.ndarray:
        return nearest_turn(values, middle) if self.in_degrees else values


def _inverse(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the inverse of the matrices whose columns are (N, 2) steps along a row and down a column."""
    with np.errstate(divide="ignore", invalid="ignore"):
        area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
        rows = [np.stack([down[:, 1], -down[:, 0]]), np.stack([-right[:, 1], right[:, 0]])]
        return np.asarray(np.stack(rows) / area).transpose(2, 0, 1)


def nearest_turn(longitudes: np.ndarray, middle: float) -> np.ndarray:
    """Return longitudes within half a turn of another; those that are stay as they are.

    Examples
    --------
    >>> nearest_turn(np.array([-179.0, 179.0, 180.0]), 179.5).tolist()
    [181.0, 179.0, 180.0]
    """
    with np.errstate(invalid="ignore"):
        turns = np.where(np.abs(longitudes - middle) > 180 + 1e-9, np.round((longitudes - middle) / 360), 0.0)
    return np.asarray(longitudes - 360 * np.where(np.isfinite(turns), turns, 0.0))
