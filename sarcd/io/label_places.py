"""From the coordinates of shapes to the pixels of a scene: by its transform, or by its ground control points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sarcd.errors import InputError
from sarcd.io.georef import Georeference
from sarcd.io.label_shapes import Shapes

Move = Callable[[np.ndarray], np.ndarray]

_MARGIN = 0.1  # of the scene's size, by which shapes are kept beyond it before they are moved
_BEND = 0.1  # pixels by which the middle of a straight line may leave its place
_LONG = 16.0  # pixels: shorter lines do not bend
_MOST_POINTS = 2_000_000  # that long lines are broken into
_STEPS = 30
_PATIENCE = 6  # steps by the slope of the splines, before that of the surface itself is asked for at every one
_KNOTS = 65
_CLOSE = 1e-6  # pixels
_FAR = 0.1  # pixels: a control point surface that cannot be inverted this well is refused


@dataclass(frozen=True)
class Placed:
    """Shapes in pixel coordinates: x is the column and y the row, from the outer corner of the first pixel.

    Parameters
    ----------
    shapes : (N,) ndarray of shapely geometries
        None where nothing of a shape can lie in the scene. What lies far outside may have been cut off.
    kept : (N,) float ndarray
        Fraction of each shape's area that was not cut off.
    notes : tuple of str
        What was taken for granted.
    """

    shapes: np.ndarray
    kept: np.ndarray
    notes: tuple[str, ...] = ()


def to_pixels(found: Shapes, geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int]) -> Placed:
    """Bring shapes into the pixel coordinates of a scene.

    Shapes with a CRS are brought into that of the scene, and by its transform or its ground control points into
    pixels. Shapes without one lie in pixel coordinates already where the scene is not on the map or has control
    points; and in the coordinates of its transform where it has one without a CRS.

    Parameters
    ----------
    found : Shapes
        Where they come from.
    geometry : (N,) ndarray of shapely geometries
        Valid ones.
    georeference : Georeference
    shape : (y, x)
        Of the scene.

    Raises
    ------
    InputError
        If it is not known where the shapes lie, or it cannot be computed.
    """
    notes: list[str] = []
    crs = found.crs
    if crs is not None and _is_nominal(found, geometry, georeference, shape):
        notes.append("coordinates are not taken for degrees, which a GeoJSON file always claims them to be")
        crs = None
    if crs is not None and (georeference.crs is None or georeference.kind == "none"):
        raise InputError(
            "is placed on the map and the scene is not",
            where=found.path,
            mend="draw it in pixel coordinates (column, row) and save it without a CRS, or give a raster",
        )
    if crs is None and georeference.kind == "transform" and georeference.crs is not None:
        known = georeference.crs.to_authority()
        example = ":".join(known) if known else "EPSG:32631"
        raise InputError(
            "says no CRS", where=found.path, mend=f"set the one it was drawn in, as with ogr2ogr -a_srs {example}"
        )
    if crs is None and georeference.kind != "transform":
        return _drawn_over(geometry, georeference, shape, notes)
    ground = _Ground(found.path, georeference, shape, crs)
    return Placed(*ground.place(geometry), tuple(notes))


def _drawn_over(geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int], notes: list[str]) -> Placed:
    """Take coordinates for pixels, or for those of control points that have no CRS either."""
    import shapely

    points = shapely.get_coordinates(geometry)
    if georeference.gcps and georeference.crs is None and _are_at_control_points(points, georeference):
        ground = _Ground("", georeference, shape, None)
        return Placed(*ground.place(geometry), (*notes, "coordinates are those of the scene's ground control points"))
    flat, turned = _downwards(geometry)
    notes = [*notes, "coordinates are columns and rows"]
    if turned:
        notes = [*notes, "rows were counted upwards from 0, as negative numbers"]
    return Placed(flat, np.ones(len(flat)), tuple(notes))


def _is_nominal(found: Shapes, geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int]) -> bool:
    """Tell coordinates that are no degrees in a GeoJSON file, which cannot say that it has no CRS."""
    import pyproj
    import shapely

    if georeference.crs is not None and georeference.kind == "transform":
        return False
    try:
        geographic = pyproj.CRS.from_user_input(found.crs).is_geographic
    except pyproj.exceptions.CRSError:
        return False
    if not geographic:
        return False
    points = shapely.get_coordinates(geometry)
    if (np.abs(points) > [360, 90]).any():
        return True
    if georeference.crs is not None or found.driver != "GeoJSON":
        return False
    if georeference.gcps and _are_at_control_points(points, georeference):
        return True
    if georeference.transform is not None:  # what sarcd exports of such a scene
        points = _affine(~georeference.transform)(points)
    whole = np.abs(points - np.round(points)).max() < 1e-4
    return bool(whole and (points >= 0).all() and (points <= [shape[1], shape[0]]).all())


def _are_at_control_points(points: np.ndarray, georeference: Georeference) -> bool:
    """Tell whether points lie where the control points do, give or take a tenth of their extent."""
    ground = np.array([(point.x, point.y) for point in georeference.gcps])
    low, high = ground.min(axis=0), ground.max(axis=0)
    room = _MARGIN * (high - low)
    return bool(((points >= low - room) & (points <= high + room)).all())


def _downwards(geometry: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return pixel coordinates with y downwards: programs that draw maps let it rise, so that rows are negative."""
    import shapely

    _, lowest, _, highest = shapely.total_bounds(geometry)
    if highest > 0 or lowest >= 0:
        return geometry, False
    return np.asarray(shapely.transform(geometry, lambda points: points * [1, -1])), True


class _Ground:
    """The way from the coordinates of a file to the pixels of a scene, and back.

    Parameters
    ----------
    path : str
        Of the file.
    georeference : Georeference
        With a transform or control points.
    shape : (y, x)
    crs : str or None
        Of the file; None if it is the scene's.
    """

    def __init__(self, path: str, georeference: Georeference, shape: tuple[int, int], crs: str | None) -> None:
        import pyproj

        self.path, self.georeference, self.shape = path, georeference, shape
        self.there: Any = None
        self.back: Any = None
        self.in_degrees = self.file_in_degrees = False
        if georeference.transform is not None and georeference.transform.determinant == 0:
            raise InputError("the scene's transform maps it to a line: no label can be placed", where=path)
        if crs is None:
            return
        try:
            own, scenes = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_user_input(georeference.crs)
            self.in_degrees, self.file_in_degrees = scenes.is_geographic, own.is_geographic
            if own != scenes:
                self.there = pyproj.Transformer.from_crs(own, scenes, always_xy=True).transform
                self.back = pyproj.Transformer.from_crs(scenes, own, always_xy=True).transform
        except pyproj.exceptions.ProjError as error:
            raise InputError(
                f"its CRS cannot be brought to that of the scene ({' '.join(str(error).split())[:120]})",
                where=path,
                mend="reproject it first, as with ogr2ogr -t_srs",
            ) from error

    def place(self, geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shapes in pixel coordinates, and how much of each was kept."""
        import shapely

        shapes, kept = self._near_the_scene(geometry)
        left = ~shapely.is_empty(shapes)
        shapes = np.where(left, shapes, None)
        if self.there is not None or self.georeference.gcps:
            shapes = self._broken_where_bent(shapes)
        placed = np.asarray(shapely.transform(shapes, self.move))
        points, owners = shapely.get_coordinates(placed, return_index=True)
        lost = np.zeros(len(placed), bool)
        lost[owners[~np.isfinite(points).all(axis=1)]] = True
        if lost.any() and (lost | ~left).all():
            raise InputError("has shapes that the scene's CRS cannot hold", where=self.path, mend="check its own CRS")
        return np.where(lost, None, placed), kept

    def move(self, points: np.ndarray, *, roughly: bool = False) -> np.ndarray:
        """Return (column, row) of points (x, y) of the file; roughly: near enough to tell bent lines."""
        if self.there is not None:
            points = np.column_stack(self.there(*points.T))
        if self.in_degrees:
            points = np.column_stack([_nearest(points[:, 0], self.middle), points[:, 1]])
        if self.georeference.transform is not None:
            return _affine(~self.georeference.transform)(points)
        return self.surface.guess(points)[0] if roughly else self.surface.invert(points)

    @functools.cached_property
    def surface(self) -> _Surface:
        """The surface of the control points."""
        return _Surface(self.path, self.georeference, self.shape, in_degrees=self.in_degrees)

    @functools.cached_property
    def outline(self) -> np.ndarray:
        """Points all over the scene and around it, in its own coordinates; in degrees without a leap."""
        height, width = self.shape
        rows, columns = (np.linspace(-_MARGIN, 1 + _MARGIN, 33) * side for side in (height, width))
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        transform = self.georeference.transform
        ground = self.surface.forward(grid) if transform is None else _affine(transform)(grid)
        if self.in_degrees:
            ground[:, 0] = _nearest(ground[:, 0], ground[len(ground) // 2, 0])
        return ground

    @property
    def middle(self) -> float:
        """Longitude of the scene's middle."""
        return float(self.outline[len(self.outline) // 2, 0])

    def _near_the_scene(self, geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cut off what lies far from the scene, and bring longitudes to its own turn of the globe."""
        import shapely

        ones = np.ones(len(geometry))
        points = self.outline if self.back is None else np.column_stack(self.back(*self.outline.T))
        if not np.isfinite(points).all():
            return geometry, ones
        if self.file_in_degrees:
            points = points.copy()
            points[:, 0] = _nearest(points[:, 0], points[len(points) // 2, 0])
            geometry = _on_this_turn(geometry, float(points[len(points) // 2, 0]))
        if self.file_in_degrees and np.ptp(points[:, 0]) > 180:
            return geometry, ones  # round a pole
        around = shapely.convex_hull(shapely.multipoints(points))
        shapely.prepare(around)
        beyond = ~shapely.covers(around, geometry)
        cut = geometry.copy()
        cut[beyond] = shapely.intersection(geometry[beyond], around)
        before, after = shapely.area(geometry), shapely.area(cut)
        return cut, np.where(before > 0, after / np.where(before > 0, before, 1), 1.0)

    def _broken_where_bent(self, shapes: np.ndarray) -> np.ndarray:
        """Give long lines further points: what is straight in the file's coordinates is not straight in pixels."""
        import shapely

        parts = shapely.get_parts(shapes)
        polygons = shapely.get_type_id(parts) == 3
        lines = np.concatenate([shapely.get_rings(parts[polygons]), parts[shapely.get_type_id(parts) == 1]])
        points, owners = shapely.get_coordinates(lines, return_index=True)
        edges = np.flatnonzero(owners[1:] == owners[:-1])
        if not len(edges):
            return shapes
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = self.move(points, roughly=True)
            run = moved[edges + 1] - moved[edges]
            length = np.hypot(*run.T)
            edges, run, length = (each[length > _LONG] for each in (edges, run, length))
            middles = self.move((points[edges] + points[edges + 1]) / 2, roughly=True) if len(edges) else moved[:0]
            off = middles - (moved[edges] + moved[edges + 1]) / 2
            bend = np.abs(run[:, 0] * off[:, 1] - run[:, 1] * off[:, 0]) / length
            pieces = np.hypot(*(points[edges + 1] - points[edges]).T) * np.sqrt(_BEND / bend)
        bent = np.isfinite(bend) & (bend > _BEND)
        if not bent.any():
            return shapes
        least = shapely.length(lines).sum() / _MOST_POINTS
        return np.asarray(shapely.segmentize(shapes, max(float(pieces[bent].min()), float(least))))


class _Surface:
    """The surface through ground control points, the same that exports use, and its inverse.

    GDAL fits another surface for the way back, which misses by parts of a pixel or by many; so the one there is gets
    inverted, by Newton's method.
    """

    def __init__(self, path: str, georeference: Georeference, shape: tuple[int, int], *, in_degrees: bool) -> None:
        self.path, self.georeference, self.shape, self.in_degrees = path, georeference, shape, in_degrees

    def forward(self, pixels: np.ndarray) -> np.ndarray:
        """Return (x, y) of points (column, row)."""
        import shapely

        from sarcd.io.polygons import to_ground

        return np.asarray(shapely.get_coordinates(to_ground(shapely.points(pixels), self.georeference)))

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
                f"{missed.sum()} corners of its shapes cannot be brought into pixels: the scene's ground control points "
                f"do not say where they lie to within {_FAR} pixels",
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
    def _splines(self) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Rows and columns of a grid, and splines of x and y over it."""
        from scipy.interpolate import RectBivariateSpline

        height, width = self.shape
        rows, columns = (np.linspace(-2.5 * _MARGIN, 1 + 2.5 * _MARGIN, _KNOTS) * side for side in (height, width))
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        ground = self.forward(grid)
        ground[:, 0] = self._turned(ground[:, 0], float(ground[len(ground) // 2, 0]))
        shape = len(rows), len(columns)
        return rows, columns, [RectBivariateSpline(rows, columns, one.reshape(shape)) for one in ground.T]

    def _on_plane(self, points: np.ndarray) -> np.ndarray:
        """Return (column, row) by the plane through the control points."""
        gcps = self.georeference.gcps
        ground = np.array([(point.x, point.y) for point in gcps])
        pixels = np.array([(point.col, point.row) for point in gcps])
        ground[:, 0] = self._turned(ground[:, 0], float(ground[0, 0]))
        middle, scale = ground.mean(axis=0), np.ptp(ground, axis=0).max() or 1.0
        matrix = np.column_stack([(ground - middle) / scale, np.ones(len(ground))])
        if len(gcps) < 3 or np.linalg.matrix_rank(matrix, tol=1e-6) < 3:
            raise InputError(
                "the scene's ground control points lie on one line, so that no label on the map can be placed",
                where=self.path,
                mend="give the labels in pixel coordinates (column, row) without a CRS, or as a raster",
            )
        plane = np.linalg.lstsq(matrix, pixels, rcond=None)[0]
        here = np.column_stack([self._turned(points[:, 0], float(middle[0])), points[:, 1]])
        found: np.ndarray = np.column_stack([(here - middle) / scale, np.ones(len(here))]) @ plane
        return found

    def _slope(self, at: np.ndarray) -> np.ndarray:
        """Return the inverse slope of the surface at points (column, row), from differences over half a pixel."""
        count = len(at)
        reached = self.forward(np.concatenate([at, at + [0.5, 0], at + [0, 0.5]]))
        right, down = (reached[count : 2 * count] - reached[:count], reached[2 * count :] - reached[:count])
        for difference in (right, down):
            difference[:, 0] = self._turned(difference[:, 0], 0.0)
        return _inverse(right / 0.5, down / 0.5)

    def _turned(self, values: np.ndarray, middle: float) -> np.ndarray:
        return _nearest(values, middle) if self.in_degrees else values


def _inverse(right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Return the inverse of the matrices whose columns are (N, 2) steps along a row and down a column."""
    with np.errstate(divide="ignore", invalid="ignore"):
        area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
        rows = [np.stack([down[:, 1], -down[:, 0]]), np.stack([-right[:, 1], right[:, 0]])]
        return np.asarray(np.stack(rows) / area).transpose(2, 0, 1)


def _affine(transform: Any) -> Move:
    def move(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        return np.column_stack(
            [transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f]
        )

    return move


def _nearest(longitudes: np.ndarray, middle: float) -> np.ndarray:
    """Return longitudes within half a turn of another, those that are left as they are."""
    with np.errstate(invalid="ignore"):
        turns = np.where(np.abs(longitudes - middle) > 180 + 1e-9, np.round((longitudes - middle) / 360), 0.0)
    return np.asarray(longitudes - 360 * np.where(np.isfinite(turns), turns, 0.0))


def _on_this_turn(geometry: np.ndarray, middle: float) -> np.ndarray:
    """Bring each part of shapes in degrees within half a turn of a longitude.

    A part wider than half the globe is one that crosses the 180th meridian, written with longitudes of both signs.
    """
    import shapely

    bounds = shapely.bounds(geometry)
    far = (bounds[:, 0] < middle - 180) | (bounds[:, 2] > middle + 180)
    wide = (bounds[:, 2] - bounds[:, 0] > 180) & (bounds[:, 2] - bounds[:, 0] < 359)
    if not (far | wide).any():
        return geometry
    parts, owners = shapely.get_parts(geometry, return_index=True)
    bounds = shapely.bounds(parts)
    wide = (bounds[:, 2] - bounds[:, 0] > 180) & (bounds[:, 2] - bounds[:, 0] < 359)
    near_the_meridian = abs(abs((middle + 180) % 360 - 180) - 180) < 45
    turned = shapely.transform(parts, lambda p: np.column_stack([_nearest(p[:, 0], middle), p[:, 1]]))
    shift = np.round(((bounds[:, 0] + bounds[:, 2]) / 2 - middle) / 360) * 360
    moved = np.array(
        [
            new if crossing and near_the_meridian else part if not by else shapely.transform(part, lambda p, by=by: p - [by, 0])
            for part, new, crossing, by in zip(parts, turned, wide, shift, strict=True)
        ],
        dtype=object,
    )
    found = geometry.copy()
    for owner in np.unique(owners):
        own = moved[owners == owner]
        found[owner] = own[0] if len(own) == 1 else shapely.union_all(own)
    return found
