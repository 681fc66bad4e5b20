"""Transform the coordinates of shapes to pixels of a scene, by its transform or its ground control points."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sarcd.errors import InputError
from sarcd.geography.control_points import Surface
from sarcd.geography.geodesy import kind_of, nearest_turn
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_shapes import Shapes

Move = Callable[[np.ndarray], np.ndarray]

_MARGIN = 0.1  # fraction of the scene's size by which shapes are kept beyond it before the transformation
_BEND = 0.1  # maximum deviation in pixels of the middle of a straight line
_LONG = 16.0  # pixels; shorter lines are not subdivided
_MOST_POINTS = 2_000_000  # maximum number of points after subdividing long lines
_WHOLE_TURN = 360 - 1e-6  # degrees; a shape this wide covers all longitudes


@dataclass(frozen=True)
class Placed:
    """Shapes in pixel coordinates: x is the column and y the row, from the outer corner of the first pixel.

    Parameters
    ----------
    shapes : (N,) ndarray of shapely geometries
        None for shapes that cannot be in the scene. Parts far outside may be clipped.
    kept : (N,) float ndarray
        Fraction of the area of each shape that was not clipped.
    notes : tuple of str
        Assumptions.
    """

    shapes: np.ndarray
    kept: np.ndarray
    notes: tuple[str, ...] = ()


def to_pixels(found: Shapes, geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int]) -> Placed:
    """Transform shapes to the pixel coordinates of a scene.

    Shapes with a CRS are transformed to that of the scene, and by its transform or its ground control points to pixels.
    Shapes without a CRS are in pixel coordinates if the scene has no georeference or has control points, and in the
    coordinates of its transform if that has no CRS.

    Parameters
    ----------
    found : Shapes
        Layer that they were read from.
    geometry : (N,) ndarray of shapely geometries
        Valid geometries.
    georeference : Georeference
    shape : (y, x)
        Size of the scene.

    Raises
    ------
    InputError
        If the location of the shapes is unknown or cannot be computed.
    """
    notes: list[str] = []
    crs = found.crs
    if crs is not None and _is_nominal(found, geometry, georeference, shape):
        notes.append("coordinates are not degrees, although a GeoJSON file always declares them so")
        crs = None
    if crs is not None and (georeference.crs is None or georeference.kind == "none"):
        raise InputError(
            "has map coordinates, but the scene has none",
            source=found.path,
            hint="draw it in pixel coordinates (column, row) and save it without a CRS, or use a raster",
        )
    if crs is None and _is_local(georeference):
        notes.append("coordinates are those of the scene's own local grid")
    elif crs is None and georeference.kind == "transform" and georeference.crs is not None:
        known = georeference.crs.to_authority()
        example = ":".join(known) if known else "EPSG:32631"
        raise InputError(
            "has no CRS",
            source=found.path,
            hint=f"assign the CRS it was drawn in, for example with ogr2ogr -a_srs {example}",
        )
    if crs is None and georeference.kind != "transform":
        return _drawn_over(geometry, georeference, shape, notes)
    ground = _Ground(found.path, georeference, shape, crs)
    placed = ground.place(geometry)
    return Placed(*placed, (*notes, *(ground.surface.remarks if georeference.gcps else ())))


def _drawn_over(geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int], notes: list[str]) -> Placed:
    """Read coordinates as pixels, or as those of control points that have no CRS either."""
    import shapely

    points = shapely.get_coordinates(geometry)
    if georeference.gcps and georeference.crs is None and _are_at_control_points(points, georeference):
        ground = _Ground("", georeference, shape, None)
        return Placed(*ground.place(geometry), (*notes, "coordinates are those of the scene's ground control points"))
    flat, is_flipped = _downwards(geometry)
    notes = [*notes, "coordinates are columns and rows"]
    if is_flipped:
        notes = [*notes, "rows were counted upwards from 0, as negative numbers"]
    return Placed(flat, np.ones(len(flat)), tuple(notes))


def _is_nominal(found: Shapes, geometry: np.ndarray, georeference: Georeference, shape: tuple[int, int]) -> bool:
    """Return whether coordinates in GeoJSON are not degrees; the format cannot declare that there is no CRS."""
    import pyproj
    import shapely

    if georeference.crs is not None and georeference.kind == "transform" and not _is_local(georeference):
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
    if georeference.transform is not None:  # as exported by sarcd from such a scene
        points = _affine(~georeference.transform)(points)
    whole = np.abs(points - np.round(points)).max() < 1e-4
    return bool(whole and (points >= 0).all() and (points <= [shape[1], shape[0]]).all())


def _is_local(georeference: Georeference) -> bool:
    """Return whether the CRS is a local grid without a location on Earth, for example of a mine."""
    return georeference.transform is not None and georeference.crs is not None and kind_of(georeference.crs) == "local"


def _are_at_control_points(points: np.ndarray, georeference: Georeference) -> bool:
    """Return whether points are within the extent of the control points, extended by a tenth."""
    ground = np.array([(point.x, point.y) for point in georeference.gcps])
    low, high = ground.min(axis=0), ground.max(axis=0)
    room = _MARGIN * (high - low)
    return bool(((points >= low - room) & (points <= high + room)).all())


def _downwards(geometry: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return pixel coordinates with y downwards; in map software y increases upwards, so rows are negative."""
    import shapely

    _, lowest, _, highest = shapely.total_bounds(geometry)
    if highest > 0 or lowest >= 0:
        return geometry, False
    return np.asarray(shapely.transform(geometry, lambda points: points * [1, -1])), True


class _Ground:
    """Transformation from the coordinates of a file to the pixels of a scene, and back.

    Parameters
    ----------
    path : str
        Path of the file.
    georeference : Georeference
        Georeference of the scene, with a transform or control points.
    shape : (y, x)
    crs : str or None
        CRS of the file; None if it is that of the scene.
    """

    def __init__(self, path: str, georeference: Georeference, shape: tuple[int, int], crs: str | None) -> None:
        import pyproj

        self.path, self.georeference, self.shape = path, georeference, shape
        self.there: Any = None
        self.back: Any = None
        self.in_degrees = self.file_in_degrees = False
        if georeference.transform is not None and georeference.transform.determinant == 0:
            raise InputError("the transform of the scene is singular, so labels cannot be located", source=path)
        if crs is None:
            return
        try:
            own, scenes = pyproj.CRS.from_user_input(crs), pyproj.CRS.from_user_input(georeference.crs)
            self.in_degrees, self.file_in_degrees = scenes.is_geographic, own.is_geographic
            if own != scenes:
                self.there = pyproj.Transformer.from_crs(own, scenes, always_xy=True).transform
                self.back = pyproj.Transformer.from_crs(scenes, own, always_xy=True).transform
        except pyproj.exceptions.ProjError as error:
            if _is_local(georeference):
                text = "its CRS cannot be transformed to the local CRS of the scene"
                raise InputError(text, source=path, hint="save it in the CRS of the scene, as a GeoPackage") from error
            raise InputError(
                f"its CRS cannot be transformed to that of the scene ({' '.join(str(error).split())[:120]})",
                source=path,
                hint="reproject it first, for example with ogr2ogr -t_srs",
            ) from error

    def place(self, geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shapes in pixel coordinates, and the fraction of each that was kept."""
        import shapely

        shapes, kept = self._near_the_scene(geometry)
        left = ~shapely.is_empty(shapes)
        shapes[~left] = None
        if self.there is not None or self.georeference.gcps:
            shapes = self._broken_where_bent(shapes)
        placed = np.asarray(shapely.transform(shapes, self.move))
        points, owners = shapely.get_coordinates(placed, return_index=True)
        lost = np.zeros(len(placed), bool)
        lost[owners[~np.isfinite(points).all(axis=1)]] = True
        if lost.any() and (lost | ~left).all():
            raise InputError(
                "has shapes outside the valid area of the CRS of the scene", source=self.path, hint="check its CRS"
            )
        placed[lost] = None
        return placed, kept

    def move(self, points: np.ndarray, *, roughly: bool = False) -> np.ndarray:
        """Return (column, row) of points (x, y) of the file; `roughly` is accurate enough to find curved lines."""
        if self.there is not None:
            points = np.column_stack(self.there(*points.T))
        if self.in_degrees:
            points = np.column_stack([nearest_turn(points[:, 0], self.middle), points[:, 1]])
        if self.georeference.transform is not None:
            return _affine(~self.georeference.transform)(points)
        return self.surface.guess(points)[0] if roughly else self.surface.invert(points)

    @functools.cached_property
    def surface(self) -> Surface:
        """Surface through the control points."""
        return Surface(self.path, self.georeference, self.shape, in_degrees=self.in_degrees)

    @functools.cached_property
    def outline(self) -> np.ndarray:
        """Points over the scene and around it in its coordinates, with continuous longitudes."""
        height, width = self.shape
        rows, columns = (np.linspace(-_MARGIN, 1 + _MARGIN, 33) * side for side in (height, width))
        grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        transform = self.georeference.transform
        ground = self.surface.forward(grid) if transform is None else _affine(transform)(grid)
        if self.in_degrees:
            ground[:, 0] = nearest_turn(ground[:, 0], ground[len(ground) // 2, 0])
        return ground

    @property
    def middle(self) -> float:
        """Longitude of the centre of the scene."""
        return float(self.outline[len(self.outline) // 2, 0])

    def _near_the_scene(self, geometry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Clip shapes far from the scene, and shift longitudes to its range."""
        import shapely

        ones = np.ones(len(geometry))
        points = self.outline if self.back is None else np.column_stack(self.back(*self.outline.T))
        geometry = geometry.copy()
        if not np.isfinite(points).all():
            return geometry, ones
        if self.file_in_degrees:
            points = points.copy()
            points[:, 0] = nearest_turn(points[:, 0], points[len(points) // 2, 0])
            geometry = _on_this_turn(geometry, float(points[len(points) // 2, 0]))
        if self.file_in_degrees and np.ptp(points[:, 0]) > 180:
            return geometry, ones  # around a pole
        around = shapely.convex_hull(shapely.multipoints(points))
        shapely.prepare(around)
        beyond = ~shapely.covers(around, geometry)
        cut = geometry.copy()
        cut[beyond] = shapely.intersection(geometry[beyond], around)
        before, after = shapely.area(geometry), shapely.area(cut)
        return cut, np.where(before > 0, after / np.where(before > 0, before, 1), 1.0)

    def _broken_where_bent(self, shapes: np.ndarray) -> np.ndarray:
        """Subdivide long lines, since straight lines in the coordinates of the file are curved in pixels."""
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


def _affine(transform: Any) -> Move:
    def move(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        return np.column_stack(
            [transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f]
        )

    return move


def _on_this_turn(geometry: np.ndarray, middle: float) -> np.ndarray:
    """Shift each part of shapes in degrees to within 180 degrees of a longitude.

    A part wider than 180 degrees crosses the 180th meridian and has longitudes of both signs.
    """
    import shapely
    import shapely.affinity

    bounds = shapely.bounds(geometry)
    far = (bounds[:, 0] < middle - 180) | (bounds[:, 2] > middle + 180)
    wide = (bounds[:, 2] - bounds[:, 0] > 180) & (bounds[:, 2] - bounds[:, 0] < _WHOLE_TURN)
    if not (far | wide).any():
        return geometry
    parts, owners = shapely.get_parts(geometry, return_index=True)
    bounds = shapely.bounds(parts)
    wide = (bounds[:, 2] - bounds[:, 0] > 180) & (bounds[:, 2] - bounds[:, 0] < _WHOLE_TURN)
    near_the_meridian = abs(abs((middle + 180) % 360 - 180) - 180) < 45
    turned = shapely.transform(parts, lambda p: np.column_stack([nearest_turn(p[:, 0], middle), p[:, 1]]))
    shift = np.round(((bounds[:, 0] + bounds[:, 2]) / 2 - middle) / 360) * 360
    moved = np.array(
        [
            new
            if crossing and near_the_meridian
            else part
            if not by
            else shapely.transform(part, lambda p, by=by: p - [by, 0])
            for part, new, crossing, by in zip(parts, turned, wide, shift, strict=True)
        ],
        dtype=object,
    )
    found = geometry.copy()
    for owner in np.unique(owners):
        own = moved[owners == owner]
        found[owner] = own[0] if len(own) == 1 else shapely.union_all(own)
    return found
