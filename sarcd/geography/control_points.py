"""Surface through ground control points, and its inverse."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from sarcd.errors import InputError, SceneError
from sarcd.geography.geodesy import (
    SMALLEST_PIXEL_M,
    Move,
    full_turn,
    kind_of,
    metres_per_unit,
    nearest_turn,
    to_equal_area,
)
from sarcd.geography.georeference import Georeference

_SPLINE_FROM = 10  # control points; fewer get a smooth surface, and a grid of them is interpolated exactly
_FEWEST = 3
_MOST_POINTS, _NEIGHBOURS = 2000, 100  # with more points, the spline uses only neighbours
_POLAR_DEGREES = 80.0  # nearer to a pole, longitudes change too fast to be interpolated
_BEYOND = 1.0  # maximum extrapolation, as a fraction of the extent of the points
_OFF, _WARN_FROM = 0.05, 2.0  # misfit that is refused (fraction of the longer side) and that is warned of (pixels)
_STANDS_OUT = 20.0  # a point is an outlier if the misfit without it is this many times smaller
_FLAT = 1e-6  # ratio of the axes of the points below which they are collinear
_LOOK = 33  # points along each axis at which the surface is checked for folds
_HINT = "correct the control points, or remove them with 'gdal_edit.py -unsetgcp' and ingest again"


def surface(points: Sequence[Any], crs: Any, bounds: tuple[float, float, float, float]) -> Move:
    """Return the function from (column, row), counted from the outer corner of the first pixel, to (x, y).

    It is a fitted plane for fewer than ten points, and otherwise a thin-plate spline through the points. Longitudes
    continue past the 180th meridian, and near a pole the points are interpolated in a polar projection.

    Parameters
    ----------
    points : sequence of rasterio.control.GroundControlPoint
    crs : CRS or None
        CRS of the points.
    bounds : (left, top, right, bottom)
        Extent of the image in columns and rows.

    Raises
    ------
    SceneError
        If the points are too few, collinear, contradictory, outside the area of use of their CRS, do not cover the
        image, fold it, or deviate far from a smooth surface.
    """
    pixels, ground = _distinct(points)
    there, back = _plane(ground, crs)
    placed = there(ground)
    if not np.isfinite(placed).all():
        raise SceneError("control points are outside the valid area of their CRS", hint=_HINT)
    _check_spread(pixels, placed, bounds)
    _check_size(pixels, placed, crs)
    _check_fit(pixels, placed, bounds)
    to_plane = _spline(pixels, placed) if len(pixels) >= _SPLINE_FROM else _flat(pixels, placed)
    _check_folds(to_plane, bounds)
    return lambda corners: back(to_plane(corners))


def is_polar(points: Sequence[Any], crs: Any) -> bool:
    """Return whether control points are so near a pole that they are interpolated in a polar projection."""
    turn = full_turn(crs)
    return turn is not None and _near_pole(np.array([point.y for point in points]), turn)


def _near_pole(latitudes: np.ndarray, turn: float) -> bool:
    return bool(np.abs(latitudes).max() > _POLAR_DEGREES * turn / 360)


def _flat(pixels: np.ndarray, placed: np.ndarray) -> Move:
    """Return the least-squares plane of the points."""
    middle, centre, scale = pixels.mean(axis=0), placed.mean(axis=0), np.ptp(pixels, axis=0).max()
    sides, *_ = np.linalg.lstsq((pixels - middle) / scale, placed - centre, rcond=None)
    return lambda corners: ((corners - middle) / scale) @ sides + centre


def _spline(pixels: np.ndarray, placed: np.ndarray) -> Move:
    """Return the thin-plate spline through the points."""
    from scipy.interpolate import RBFInterpolator  # GDAL's spline is NaN where a corner nearly coincides with a point

    middle, centre, scale = pixels.mean(axis=0), placed.mean(axis=0), np.ptp(pixels, axis=0).max()
    neighbours = None if len(pixels) <= _MOST_POINTS else _NEIGHBOURS
    through = RBFInterpolator((pixels - middle) / scale, placed - centre, neighbours, kernel="thin_plate_spline")
    return lambda corners: through((corners - middle) / scale) + centre if len(corners) else corners


def unwrapped(longitudes: np.ndarray, turn: float = 360.0) -> np.ndarray:
    """Return longitudes without a jump at the 180th meridian, by starting after their widest gap.

    Examples
    --------
    >>> unwrapped(np.array([179.9, -179.9, 179.5])).round(1).tolist()
    [179.9, 180.1, 179.5]
    """
    if np.ptp(longitudes) <= turn / 2:
        return longitudes
    around = np.sort(longitudes % turn)
    gaps = np.diff(around, append=around[0] + turn)
    start = around[(int(np.argmax(gaps)) + 1) % len(around)]
    moved: np.ndarray = (longitudes - start) % turn + start
    if np.ptp(moved) >= np.ptp(longitudes):
        return longitudes
    middle = (moved.min() + moved.max()) / 2
    moved = moved - turn * np.floor(middle / turn + 0.5)
    turns = np.round((moved - longitudes) / turn)  # whole turns, so that other values keep all bits
    unjumped: np.ndarray = longitudes + turn * turns
    return unjumped


def _distinct(points: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return (column, row) and (x, y) of the distinct points."""
    values = np.array([[p.col, p.row, p.x, p.y] for p in points], float).reshape(-1, 4)
    if not np.isfinite(values).all():
        raise SceneError("the coordinates of a control point are not finite", hint=_HINT)
    values = np.unique(values, axis=0)
    if len(np.unique(values[:, :2], axis=0)) < len(values):
        raise SceneError("two control points give different coordinates to one pixel", hint=_HINT)
    if len(values) < _FEWEST:
        count = f"{len(values)} different control point{'s'[: len(values) != 1]}"
        raise SceneError(f"{count}; a surface needs {_FEWEST}", hint=_HINT)
    return values[:, :2], values[:, 2:]


def _plane(ground: np.ndarray, crs: Any) -> tuple[Move, Move]:
    """Return the functions to the plane in which points are interpolated, and back."""
    turn = full_turn(crs)  # a geocentric CRS is refused here
    if turn is None:
        _check_jump(ground, crs)
        return (lambda points: points), (lambda points: points)
    pole = turn / 4
    if np.abs(ground[:, 1]).max() > pole:
        worst = float(np.abs(ground[:, 1]).max())
        hint = "assign the CRS that they are in, which is not in degrees"
        raise SceneError(f"control points have a latitude of {worst:.6g}, beyond the pole", hint=hint)
    if _near_pole(ground[:, 1], turn):
        return to_equal_area(crs, (0.0, float(np.copysign(pole, ground[:, 1].mean()))))
    return (lambda points: np.stack([unwrapped(points[:, 0], turn), points[:, 1]], axis=1)), (lambda points: points)


def _check_jump(ground: np.ndarray, crs: Any) -> None:
    low, high = ground.min(axis=0), ground.max(axis=0)
    if crs is None and high[0] - low[0] > 180 and (np.abs([low, high]) <= [180, 90]).all():
        raise SceneError(
            "control points have no CRS, and appear to be degrees on both sides of the 180th meridian",
            hint="assign their CRS, for example with 'gdal_edit.py -a_srs EPSG:4326', and ingest again",
        )


def _check_spread(pixels: np.ndarray, placed: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    for values, what in ((pixels, "in the image"), (placed, "on the ground")):
        spreads = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
        if spreads[1] <= _FLAT * spreads[0]:
            raise SceneError(f"control points are collinear {what}", hint=_HINT)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    span = np.maximum(high - low, 1.0)
    beyond = np.maximum(low - bounds[:2], np.array(bounds[2:]) - high)
    if (beyond > _BEYOND * span).any():
        columns, rows = (f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        wanted = f"{bounds[0]:g} to {bounds[2]:g} and {bounds[1]:g} to {bounds[3]:g}"
        raise SceneError(
            f"control points cover columns {columns} and rows {rows}, but the image has {wanted}",
            hint="use control points that cover the whole image",
        )


def _check_size(pixels: np.ndarray, placed: np.ndarray, crs: Any) -> None:
    """Raise if points in degrees have a CRS in metres."""
    if crs is None or kind_of(crs) != "projected":
        return
    size = np.ptp(placed, axis=0).max() / np.ptp(pixels, axis=0).max() * metres_per_unit(crs)
    if size < SMALLEST_PIXEL_M:
        hint = "assign the CRS that they are in"
        raise SceneError(
            f"pixels are {size:.2g} m wide, so control points are in degrees but their CRS is not", hint=hint
        )


def _check_fit(pixels: np.ndarray, placed: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    """Raise if one or all points are far from a smooth surface; warn of smaller misfits."""
    side = max(bounds[2] - bounds[0], bounds[3] - bounds[1], *np.ptp(pixels, axis=0))
    spline = len(pixels) >= _SPLINE_FROM
    misfits = _misfits(pixels, placed, squares=spline)
    worst = int(np.argmax(misfits))
    if misfits[worst] > _OFF * side and len(pixels) > _FEWEST + 1:
        rest = np.arange(len(pixels)) != worst
        without = _misfits(pixels[rest], placed[rest], squares=spline and rest.sum() > 7)
        if without.max() * _STANDS_OUT < misfits[worst]:
            column, row = pixels[worst]
            name = f"the control point at column {column:g}, row {row:g}"
            raise SceneError(
                f"{name} is {misfits[worst]:.0f} pixels from the position that the others imply", hint=_HINT
            )
    if spline:  # a spline passes through all points; folds are checked later
        return
    if misfits[worst] > _OFF * side:
        raise SceneError(
            f"control points are up to {misfits[worst]:.0f} pixels from the surface fitted to them", hint=_HINT
        )
    if misfits[worst] > _WARN_FROM:
        text = f"control points are up to {misfits[worst]:.1f} pixels from the surface that polygons follow"
        warnings.warn(text, stacklevel=2)


def _misfits(pixels: np.ndarray, placed: np.ndarray, *, squares: bool) -> np.ndarray:
    """Return the distance in pixels of each point from a fitted plane, or quadratic surface."""
    scale = np.maximum(np.ptp(pixels, axis=0), 1e-9)
    column, row = ((pixels - pixels.mean(axis=0)) / scale).T
    terms = [np.ones_like(column), column, row]
    plane, *_ = np.linalg.lstsq(np.stack(terms, axis=1), placed - placed.mean(axis=0), rcond=None)
    per_pixel = plane[1:].T / scale  # (x, y) for one column, one row
    if squares:
        terms += [column**2, column * row, row**2]
    design = np.stack(terms, axis=1)
    fitted, *_ = np.linalg.lstsq(design, placed - placed.mean(axis=0), rcond=None)
    off = placed - placed.mean(axis=0) - design @ fitted
    inverse = np.linalg.pinv(per_pixel)
    lengths: np.ndarray = np.hypot(*(inverse @ off.T))
    return lengths


def _check_folds(to_plane: Move, bounds: tuple[float, float, float, float]) -> None:
    """Raise if the surface does not have the same orientation over the whole image."""
    left, top, right, bottom = bounds
    columns, rows = np.linspace(left, right, _LOOK), np.linspace(top, bottom, _LOOK)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    x, y = np.moveaxis(to_plane(grid.reshape(-1, 2)).reshape(grid.shape), -1, 0)
    along, down = (np.stack([np.diff(part, axis=axis) for part in (x, y)]) for axis in (1, 0))
    along, down = along[:, :-1], down[:, :, :-1]
    turns = along[0] * down[1] - along[1] * down[0]
    if not (np.isfinite(turns).all() and ((turns > 0).all() or (turns < 0).all())):
        raise SceneError("control points fold the image over itself", hint=_HINT)


_STEPS = 30
_PATIENCE = 6  # steps with the slope of the splines, before that of the surface itself is computed
_KNOTS = 65
_MARGIN = 0.25  # extension of the splines beyond the scene, as a fraction of its size
_CLOSE = 1e-6  # pixels
_FAR = 0.1  # pixels: a surface that cannot be inverted this well is refused


class Surface:
    """Surface through ground control points, as used for exports, and its inverse.

    A surface fitted to the inverse direction could be off by many pixels, so Newton's method inverts the forward one.
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
            If the inversion misses a point within the scene by more than a tenth of a pixel.
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
            if turn >= _PATIENCE:  # outside the grid of the splines
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
                f"{missed.sum()} corners of its shapes cannot be converted to pixels, because the ground control "
                f"points of the scene do not locate them to within {_FAR} pixels",
                source=self.path,
                hint="give the labels in pixel coordinates (column, row) without a CRS, or as a raster",
            )
        guess[~np.isfinite(points).all(axis=1)] = np.nan
        return guess

    def guess(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (column, row) of points (x, y), and the inverse slope there, from splines over a grid of the surface.

        The splines approximate the surface at a small fraction of its cost.
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
        """Warnings about the control points, for example that they deviate from the surface."""
        return self._fitted[1]

    @functools.cached_property
    def _splines(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Rows and columns of a grid, and the splines of x and y on it."""
        from scipy.interpolate import RectBivariateSpline

        height, width = self.shape
        rows, columns = (np.linspace(-_MARGIN, 1 + _MARGIN, _KNOTS) * side for side in (height, width))
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        ground = self.forward(grid)
        ground[:, 0] = self._turned(ground[:, 0], float(ground[len(ground) // 2, 0]))
        shape = len(rows), len(columns)
        return rows, columns, [RectBivariateSpline(rows, columns, one.reshape(shape)) for one in ground.T]

    def _fit_plane(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Fit a plane to the control points; coordinates are relative to their mean and scaled."""
        gcps = self.georeference.gcps
        ground = np.array([(point.x, point.y) for point in gcps])
        pixels = np.array([(point.col, point.row) for point in gcps])
        ground[:, 0] = self._turned(ground[:, 0], float(ground[0, 0]))
        middle, scale = ground.mean(axis=0), float(np.ptp(ground, axis=0).max()) or 1.0
        matrix = np.column_stack([(ground - middle) / scale, np.ones(len(ground))])
        if len(gcps) < 3 or np.linalg.matrix_rank(matrix, tol=1e-6) < 3:
            raise InputError(
                "the ground control points of the scene are collinear, so labels in map coordinates cannot be located",
                source=self.path,
                hint="give the labels in pixel coordinates (column, row) without a CRS, or as a raster",
            )
        return middle, scale, np.linalg.lstsq(matrix, pixels, rcond=None)[0]

    def _on_plane(self, points: np.ndarray) -> np.ndarray:
        """Return (column, row) from the plane fitted to the control points."""
        here = np.column_stack([self._turned(points[:, 0], float(self.middle[0])), points[:, 1]])
        found: np.ndarray = np.column_stack([(here - self.middle) / self.scale, np.ones(len(here))]) @ self.plane
        return found

    def _slope(self, at: np.ndarray) -> np.ndarray:
        """Return the inverse Jacobian of the surface at points (column, row), from differences over half a pixel."""
        count = len(at)
        reached = self.forward(np.concatenate([at, at + np.array([0.5, 0]), at + np.array([0, 0.5])]))
        right, down = (reached[count : 2 * count] - reached[:count], reached[2 * count :] - reached[:count])
        for difference in (right, down):
            difference[:, 0] = self._turned(difference[:, 0], 0.0)
        return _inverse(right / 0.5, down / 0.5)

    def _turned(self, values: np.ndarray, middle: float) -> np.ndarray:
        return nearest_turn(values, middle) if self.in_degrees else values


def _inverse(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the inverse of the matrices whose columns are the (N, 2) steps along a row and down a column."""
    with np.errstate(divide="ignore", invalid="ignore"):
        area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
        rows = [np.stack([down[:, 1], -down[:, 0]]), np.stack([-right[:, 1], right[:, 0]])]
        return np.asarray(np.stack(rows) / area).transpose(2, 0, 1)
