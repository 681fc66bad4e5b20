"""Vector labels: shapes of any format that OGR reads, brought into pixel coordinates and burned in by windows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sarcd.errors import InputError
from sarcd.io.geodesy import full_turn, horizontal, kind_of
from sarcd.io.georef import Georeference
from sarcd.io.labels import LabelReader, LabelWords
from sarcd.io.world import beside

FIELD = "label"
"""Attribute of the shapes that holds their value, if there is one; without it every shape is change."""


@dataclass(frozen=True)
class VectorLabels:
    """Shapes in pixel coordinates: x is the column and y the row, from the outer corner of the first pixel.

    Parameters
    ----------
    path : str
    shapes : ndarray of shapely geometries
        Later ones lie on top.
    values : ndarray of uint8
        1, 0 or 255 of each shape; 0 outside all of them.
    tree : shapely.STRtree
        Of the shapes.
    """

    path: str
    shapes: np.ndarray
    values: np.ndarray
    tree: Any

    @contextlib.contextmanager
    def open(self) -> Iterator[LabelReader]:
        """Give a reader; nothing has to be opened."""
        yield self

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Return a window as (y, x) uint8: 1, 0, 255; a pixel belongs to the shape that covers its centre."""
        import shapely
        from affine import Affine
        from rasterio.features import rasterize

        shape = (y.stop - y.start, x.stop - x.start)
        touched = np.sort(self.tree.query(shapely.box(x.start, y.start, x.stop, y.stop)))
        if not len(touched):
            return np.zeros(shape, "uint8")
        drawn = [(self.shapes[i], int(self.values[i])) for i in touched]
        burned: np.ndarray = rasterize(drawn, shape, transform=Affine.translation(x.start, y.start), dtype="uint8")
        return burned


def open_vector(
    path: str, *, shape: tuple[int, int], georeference: Georeference, words: LabelWords
) -> VectorLabels | None:
    """Return the shapes of a vector file in a scene's pixel coordinates, or None if it is no vector file.

    Parameters
    ----------
    path, shape, georeference, words
        See `sarcd.io.labels.open_labels`.

    Raises
    ------
    InputError
        If it has several layers, cannot be brought into the scene's coordinates, or has no shape within the scene.
    """
    import shapely

    read = _read(path)
    if read is None:
        return None
    shapes, values, crs = read
    if values is None:
        labels = np.ones(len(shapes), "uint8")
    else:
        words.check(set(values[np.isfinite(values)].tolist()), path)
        labels = words.translate(values, None)
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    shapes, labels = _to_pixels(path, shapes[there], crs, georeference, shape), labels[there]
    tree = shapely.STRtree(shapes)
    if not len(tree.query(shapely.box(0, 0, shape[1], shape[0]), predicate="intersects")):
        raise InputError("has no shape within the scene", where=path, mend="check its coordinates and its CRS")
    return VectorLabels(path, shapes, labels, tree)


def _read(path: str) -> tuple[np.ndarray, np.ndarray | None, str | None] | None:
    """Return geometries, the value of each if they have one, and the CRS; None if OGR cannot read the file."""
    import pyogrio
    import shapely
    from pyogrio.errors import DataSourceError

    try:
        layers = pyogrio.list_layers(path)
        if len(layers) != 1:
            names = ", ".join(str(name) for name, _ in layers)
            raise InputError(
                f"has {len(layers)} layers ({names})", where=path, mend="save the one with the labels alone"
            )
        fields = [str(name) for name in pyogrio.read_info(path)["fields"]]
        columns = [FIELD] if FIELD in fields else []
        meta, _, geometry, data = pyogrio.raw.read(path, columns=columns)
    except DataSourceError:
        return None
    if geometry is None or not len(geometry):
        raise InputError("has no shapes", where=path)
    try:
        values = np.asarray(data[0], "float64") if columns else None
    except (TypeError, ValueError) as error:
        raise InputError(
            f"its attribute '{FIELD}' is no number", where=path, mend="rename it, or use 0 and 1"
        ) from error
    return shapely.from_wkb(geometry), values, meta["crs"]


def _to_pixels(
    path: str, shapes: np.ndarray, crs: str | None, georeference: Georeference, size: tuple[int, int]
) -> np.ndarray:
    """Return the shapes in pixel coordinates.

    A scene that is not on the map is drawn over in pixel coordinates, or in those of its own bare transform. Longitudes
    are counted from the scene's own: -179.9 and 180.1 degrees are one place.
    """
    import shapely

    transform = georeference.transform
    if georeference.crs is None or transform is None:
        if crs is not None and not _exceeds_degrees(crs, shapes):
            raise InputError(
                "is placed on the map and the scene is not",
                where=path,
                mend="draw it in pixel coordinates (column, row) and save it without a CRS, or give a raster",
            )
        if transform is None:
            return _downwards(shapes)
        crs = None
    elif crs is None:
        raise InputError("says no CRS", where=path, mend="set it, for example with ogr2ogr -a_srs EPSG:32631")
    forward = None if crs is None else _reprojection(path, crs, georeference.crs, shapes)
    back, turn = ~transform, full_turn(georeference.crs)
    if forward is not None:
        shapes = np.asarray(shapely.transform(shapes, lambda points: np.column_stack(forward(*points.T))))
    if turn is not None:
        middle = transform.c + transform.a * size[1] / 2 + transform.b * size[0] / 2
        shapes = beside(shapes, middle, turn)

    def place(points: np.ndarray) -> np.ndarray:
        x, y = points.T
        return np.column_stack([back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f])

    placed = np.asarray(shapely.transform(shapes, place))
    if not np.isfinite(shapely.total_bounds(placed)).all():
        raise InputError("has shapes that the scene's CRS cannot hold", where=path, mend="check its own CRS")
    return placed


def _reprojection(path: str, source: str, target: Any, shapes: np.ndarray) -> Any:
    """Return what takes x and y to the scene's CRS, or None where they are in it."""
    import pyproj
    import pyproj.exceptions

    if kind_of(target) == "local" and (_exceeds_degrees(source, shapes) or horizontal(source) == horizontal(target)):
        return None  # as sarcd writes them in GeoJSON, which cannot name such a CRS
    try:
        return pyproj.Transformer.from_crs(source, horizontal(target), always_xy=True).transform
    except pyproj.exceptions.ProjError as error:
        text = "its CRS cannot be brought to the scene's, which is a local one"
        raise InputError(text, where=path, mend="save it in the scene's own CRS, as a GeoPackage") from error


def _exceeds_degrees(crs: str, shapes: np.ndarray) -> bool:
    """Tell pixel coordinates in a GeoJSON file, which cannot say that it has no CRS."""
    import pyproj
    import shapely

    bounds = np.abs(shapely.total_bounds(shapes))
    return bool(pyproj.CRS.from_user_input(crs).is_geographic and (bounds > [360, 90, 360, 90]).any())


def _downwards(shapes: np.ndarray) -> np.ndarray:
    """Return pixel coordinates with y downwards: programs that draw maps let it rise, so that rows are negative."""
    import shapely

    _, lowest, _, highest = shapely.total_bounds(shapes)
    if highest > 0 or lowest >= 0:
        return shapes
    return np.asarray(shapely.transform(shapes, lambda points: points * [1, -1]))
