"""Small vector files of labels, shared by tests."""

import sqlite3
import warnings

import numpy as np
import pyogrio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_mapping import LabelMapping
from sarcd.ingestion.labels import blocks, open_labels
from tests.factories.rasters import UTM

SHAPE = (40, 60)
PLACED = Georeference(CRS.from_user_input(UTM["crs"]), UTM["transform"])


def opened(path, georeference=PLACED, *, change=None, ignore=None, shape=SHAPE, **options):
    words = LabelMapping.parse(change, ignore)
    return open_labels(str(path), shape=shape, georeference=georeference, words=words, **options)


def burned(labels, *, shape=SHAPE, size=None):
    """Read labels window by window."""
    found = np.full(shape, 77, "uint8")
    with labels.open() as reader:
        for window in blocks(shape, size or shape):
            found[window] = reader.read(*window)
    return found


def on_ground(shapes, transform=UTM["transform"]):
    """Convert shapes from pixel coordinates to those of a transform."""
    matrix, offset = [[transform.a, transform.b], [transform.d, transform.e]], [transform.c, transform.f]
    return shapely.transform(shapes, lambda p: p @ np.transpose(matrix) + offset)


def box(*bounds):
    """Make a box, given in pixels, on the ground of `PLACED`."""
    return on_ground(shapely.box(*bounds))


def write_shapes(path, shapes, *, crs=UTM["crs"], layer=None, append=False, kind="Unknown", **fields):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns that there is no CRS
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array(shapes, dtype=object)),
            [np.asarray(values) for values in fields.values()],
            list(fields),
            geometry_type=kind,
            crs=crs,
            layer=layer,
            append=append,
        )
    return path


def add_table(path, name):
    """Add an attribute table to a GeoPackage, as QGIS does for its styles."""
    database = sqlite3.connect(path)
    database.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, styleName TEXT)")
    database.execute(
        "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES (?, 'attributes', ?)", (name, name)
    )
    database.commit()
    database.close()


def control_points(shape, grid, *, x=7.0, y=45.0, warp=2.0, crs="EPSG:4326", scale=1e-3):
    """Make control points on a rotated and curved surface; `warp` is in pixels."""
    points = []
    for row in np.linspace(0, shape[0], grid[0]):
        for column in np.linspace(0, shape[1], grid[1]):
            along = column + 0.2 * row + warp * np.sin(row / 40) * np.cos(column / 50)
            down = 0.8 * row - 0.15 * column + warp * np.cos(row / 30 + column / 60)
            points.append(GroundControlPoint(row, column, x + scale * along, y - scale * down, 100.0))
    return Georeference(None if crs is None else CRS.from_user_input(crs), None, tuple(points))


def bent_transform(angle):
    """Make a rotated and sheared grid."""
    return Affine.translation(500_000, 5_800_000) @ Affine.rotation(angle) @ Affine.shear(4) @ Affine.scale(10, -12)
