"""Exported polygons read back as labels in place: at the 180th meridian, at a pole, and on a local grid."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from sarcd.errors import InputError
from sarcd.geography.georeference import Georeference
from sarcd.geography.polygons import to_ground, write_polygons
from sarcd.ingestion.label_mapping import LabelMapping
from sarcd.ingestion.labels import open_labels

SHAPE = (40, 60)
ACROSS = Georeference(CRS.from_epsg(4326), Affine(1e-3, 0.0, 179.98, 0.0, -1e-3, 10.0))
LOCAL = CRS.from_wkt('LOCAL_CS["mine grid",UNIT["metre",1]]')


def read(path, georeference):
    labels = open_labels(str(path), shape=SHAPE, georeference=georeference, words=LabelMapping())
    with labels.open() as reader:
        return reader.read(slice(0, SHAPE[0]), slice(0, SHAPE[1]))


def written(path, outline, georeference):
    """Return the outline, given in pixels, as sarcd exports it."""
    placed = to_ground(np.array([outline], object), georeference, SHAPE)
    write_polygons(path, placed, {"n": np.array([1])}, crs=georeference.crs, layer="change", description="")
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
@pytest.mark.parametrize(
    "georeference",
    [
        ACROSS,
        Georeference(ACROSS.crs, Affine(1e-3, 0.0, -180.02, 0.0, -1e-3, 10.0)),
        Georeference(ACROSS.crs, Affine(1e-3, 0.0, 359.99, 0.0, -1e-3, 10.0)),
        Georeference(CRS.from_epsg(32660), Affine(10.0, 0.0, 817_000.0, 0.0, -10.0, 8_120_000.0)),
        Georeference(CRS.from_epsg(3031), Affine(10.0, 0.0, -200.0, 0.0, -10.0, 100.0)),
        Georeference(LOCAL, Affine(10.0, 0.0, 5000.0, 0.0, -10.0, 9000.0)),
    ],
    ids=["180", "-180", "360", "utm", "pole", "local"],
)
def test_what_is_written_is_read_where_it_was(tmp_path, georeference, suffix):
    path = written(tmp_path / f"a{suffix}", shapely.box(3, 2, SHAPE[1] - 4, SHAPE[0] - 3), georeference)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2 : SHAPE[0] - 3, 3 : SHAPE[1] - 4] = 1
    np.testing.assert_array_equal(read(path, georeference), expected)


def test_shapes_on_the_far_side_of_the_earth_are_not_torn_across_the_scene(tmp_path):
    path = tmp_path / "a.gpkg"
    shapes = np.array([shapely.box(-1, -20, 1, 20), shapely.box(-179.999, 9.99, -179.99, 9.995)], object)
    fields = {"n": np.array([1, 2])}
    write_polygons(path, shapes, fields, crs=ACROSS.crs, layer="change", description="")
    assert read(path, ACROSS).sum() == 9 * 5


def test_shapes_on_the_map_over_a_local_grid(tmp_path):
    local = Georeference(LOCAL, Affine(10.0, 0.0, 5000.0, 0.0, -10.0, 9000.0))
    path = written(tmp_path / "a.gpkg", shapely.box(3, 2, 10, 10), ACROSS)
    with pytest.raises(InputError, match=r"cannot be transformed to the local CRS of the scene[.] Save it in the"):
        read(path, local)
