"""The surface through ground control points, if they hold one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from sarcd.errors import SceneError
from sarcd.geography.geodesy import SMALLEST_PIXEL_M, Move, full_turn, kind_of, metres_per_unit, to_equal_area

_SPLINE_FROM = 10  # control points; fewer make a smooth surface, a grid of them is followed point by point
_FEWEST = 3
_MOST_POINTS, _NEIGHBOURS = 2000, 100  # of more points, those near by make the spline
_POLAR_DEGREES = 80.0  # nearer to a pole, longitude runs too fast to be interpolated
_BEYOND = 1.0  # how far the image may reach beyond the points, as a share of what they span
_OFF, _TOLD = 0.05, 2.0  # a misfit that is refused, of the image's longer side, and one that is told, in pixels
_STANDS_OUT = 20.0  # times less misfit without one point: it is that one
_FLAT = 1e-6  # of the longer axis of the points: thinner is a line
_LOOK = 33  # points along each axis at which a fold is looked for
_MEND = "correct the control points, or remove them with 'gdal_edit.py -unsetgcp' and ingest again"


def surface(points: Sequence[Any], crs: Any, bounds: tuple[float, float, float, float]) -> Move:
    """Return what takes (column, row), counted from the outer corner of the first pixel, to x and y.

    A plane is fitted to fewer than ten points, a thin-plate spline goes through ten and more. Longitudes
    go on past the 180th meridian, and near a pole the surface is laid through a map of it.

    Parameters
    ----------
    points : sequence of rasterio.control.GroundControlPoint
    crs : CRS or None
        Of the points.
    bounds : (left, top, right, bottom)
        Of the pixels that will be asked for, in columns and rows.

    Raises
    ------
    SceneError
        If the points are too few, on one line, contradict each other, are not where their CRS has ground, leave the
        image, fold it, or lie far from a smooth surface.
    """
    pixels, ground = _distinct(points)
    there, back = _plane(ground, crs)
    placed = there(ground)
    if not np.isfinite(placed).all():
        raise SceneError("control points lie where their CRS has no ground", mend=_MEND)
    _check_spread(pixels, placed, bounds)
    _check_size(pixels, placed, crs)
    _check_fit(pixels, placed, bounds)
    place = _spline(pixels, placed) if len(pixels) >= _SPLINE_FROM else _flat(pixels, placed)
    _check_folds(place, bounds)
    return lambda corners: back(place(corners))


def is_polar(points: Sequence[Any], crs: Any) -> bool:
    """Tell whether control points lie so near a pole that the surface is laid through a map of it."""
    turn = full_turn(crs)
    return turn is not None and _near_pole(np.array([point.y for point in points]), turn)


def _near_pole(latitudes: np.ndarray, turn: float) -> bool:
    return bool(np.abs(latitudes).max() > _POLAR_DEGREES * turn / 360)


def _flat(pixels: np.ndarray, placed: np.ndarray) -> Move:
    """Return the plane that is nearest to the points."""
    middle, centre, scale = pixels.mean(axis=0), placed.mean(axis=0), np.ptp(pixels, axis=0).max()
    sides, *_ = np.linalg.lstsq((pixels - middle) / scale, placed - centre, rcond=None)
    return lambda corners: ((corners - middle) / scale) @ sides + centre


def _spline(pixels: np.ndarray, placed: np.ndarray) -> Move:
    """Return the thin-plate spline through the points."""
    from scipy.interpolate import RBFInterpolator  # GDAL's gives NaN where a corner all but meets a point

    middle, centre, scale = pixels.mean(axis=0), placed.mean(axis=0), np.ptp(pixels, axis=0).max()
    neighbours = None if len(pixels) <= _MOST_POINTS else _NEIGHBOURS
    through = RBFInterpolator((pixels - middle) / scale, placed - centre, neighbours, kernel="thin_plate_spline")
    return lambda corners: through((corners - middle) / scale) + centre if len(corners) else corners


def unwrapped(longitudes: np.ndarray, turn: float = 360.0) -> np.ndarray:
    """Return longitudes without the jump at the 180th meridian: cut at the widest gap, as they are if there is no jump.

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
    turns = np.round((moved - longitudes) / turn)  # whole ones: no bit of the others is lost
    whole: np.ndarray = longitudes + turn * turns
    return whole


def _distinct(points: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return (column, row) and (x, y) of the points, each once."""
    told = np.array([[p.col, p.row, p.x, p.y] for p in points], float).reshape(-1, 4)
    if not np.isfinite(told).all():
        raise SceneError("a control point has no finite place", mend=_MEND)
    told = np.unique(told, axis=0)
    if len(np.unique(told[:, :2], axis=0)) < len(told):
        raise SceneError("two control points give one pixel two places", mend=_MEND)
    if len(told) < _FEWEST:
        count = f"{len(told)} different control point{'s'[: len(told) != 1]}"
        raise SceneError(f"{count}; a surface needs {_FEWEST}", mend=_MEND)
    return told[:, :2], told[:, 2:]


def _plane(ground: np.ndarray, crs: Any) -> tuple[Move, Move]:
    """Return the moves to the plane in which points are interpolated, and back."""
    turn = full_turn(crs)  # a geocentric CRS is refused here
    if turn is None:
        _check_jump(ground, crs)
        return (lambda points: points), (lambda points: points)
    pole = turn / 4
    if np.abs(ground[:, 1]).max() > pole:
        worst = float(np.abs(ground[:, 1]).max())
        mend = "name the CRS that they are in, which is none of degrees"
        raise SceneError(f"control points have a latitude of {worst:.6g}, beyond the pole", mend=mend)
    if _near_pole(ground[:, 1], turn):
        return to_equal_area(crs, (0.0, float(np.copysign(pole, ground[:, 1].mean()))))
    return (lambda points: np.stack([unwrapped(points[:, 0], turn), points[:, 1]], axis=1)), (lambda points: points)


def _check_jump(ground: np.ndarray, crs: Any) -> None:
    low, high = ground.min(axis=0), ground.max(axis=0)
    if crs is None and high[0] - low[0] > 180 and (np.abs([low, high]) <= [180, 90]).all():
        raise SceneError(
            "control points name no CRS, and look like degrees on both sides of the 180th meridian",
            mend="name their CRS, for example with 'gdal_edit.py -a_srs EPSG:4326', and ingest again",
        )


def _check_spread(pixels: np.ndarray, placed: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    for values, what in ((pixels, "in the image"), (placed, "on the ground")):
        spreads = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
        if spreads[1] <= _FLAT * spreads[0]:
            raise SceneError(f"control points lie on one line {what}, which holds no surface", mend=_MEND)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    span = np.maximum(high - low, 1.0)
    beyond = np.maximum(low - bounds[:2], np.array(bounds[2:]) - high)
    if (beyond > _BEYOND * span).any():
        columns, rows = (f"{a:g} to {b:g}" for a, b in zip(low, high, strict=True))
        wanted = f"{bounds[0]:g} to {bounds[2]:g} and {bounds[1]:g} to {bounds[3]:g}"
        raise SceneError(
            f"control points cover columns {columns} and rows {rows}, not the image's {wanted}",
            mend="use control points over the whole image",
        )


def _check_size(pixels: np.ndarray, placed: np.ndarray, crs: Any) -> None:
    """Raise where points in degrees name a CRS of metres."""
    if crs is None or kind_of(crs) != "projected":
        return
    size = np.ptp(placed, axis=0).max() / np.ptp(pixels, axis=0).max() * metres_per_unit(crs)
    if size < SMALLEST_PIXEL_M:
        mend = "name the CRS that they are in"
        raise SceneError(f"pixels are {size:.2g} m wide: control points are in degrees, their CRS is not", mend=mend)


def _check_fit(pixels: np.ndarray, placed: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    """Raise if a point, or all of them, lie far from a smooth surface; tell what is less than that."""
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
            raise SceneError(f"{name} lies {misfits[worst]:.0f} pixels from where the others put it", mend=_MEND)
    if spline:  # it goes through all of them, and a fold is seen later
        return
    if misfits[worst] > _OFF * side:
        raise SceneError(f"control points lie up to {misfits[worst]:.0f} pixels from the surface they make", mend=_MEND)
    if misfits[worst] > _TOLD:
        text = f"control points lie up to {misfits[worst]:.1f} pixels from the surface that outlines follow"
        warnings.warn(text, stacklevel=2)


def _misfits(pixels: np.ndarray, placed: np.ndarray, *, squares: bool) -> np.ndarray:
    """Return how far each point lies from a plane, or a surface with squares, fitted to all, in pixels."""
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


def _check_folds(place: Move, bounds: tuple[float, float, float, float]) -> None:
    """Raise where a step along the rows and one down the columns do not turn the same way all over the image."""
    left, top, right, bottom = bounds
    columns, rows = np.linspace(left, right, _LOOK), np.linspace(top, bottom, _LOOK)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    x, y = np.moveaxis(place(grid.reshape(-1, 2)).reshape(grid.shape), -1, 0)
    along, down = (np.stack([np.diff(part, axis=axis) for part in (x, y)]) for axis in (1, 0))
    along, down = along[:, :-1], down[:, :, :-1]
    turns = along[0] * down[1] - along[1] * down[0]
    if not (np.isfinite(turns).all() and ((turns > 0).all() or (turns < 0).all())):
        raise SceneError("control points fold the image over itself", mend=_MEND)
