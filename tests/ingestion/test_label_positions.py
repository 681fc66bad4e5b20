"""Shapes converted to pixels: exported shapes are read back unchanged for any georeference."""

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from scipy import ndimage

from sarcd.errors import InputError
from sarcd.geography.control_points import Surface
from sarcd.geography.georeference import Georeference
from sarcd.geography.polygons import find_patches, to_ground, write_polygons
from tests.factories.shapes import PLACED, box, burned, control_points, on_ground, opened, write_shapes

WIDE = (80, 110)
ROTATED = Affine(8.0, 3.0, 500_000.0, 3.5, -9.0, 5_800_000.0)
LONLAT = CRS.from_epsg(4326)

SCENES = {
    "map": PLACED,
    "rotated": Georeference(PLACED.crs, ROTATED),
    "south up": Georeference(PLACED.crs, Affine(10, 0, 500_000, 0, 10, 5_000_000)),
    "degrees": Georeference(LONLAT, Affine(1e-4, 0, 7, 0, -1e-4, 45)),
    "beyond 180 degrees": Georeference(LONLAT, Affine(1e-3, 0, 179.95, 0, -1e-3, 45)),
    "before -180 degrees": Georeference(LONLAT, Affine(1e-3, 0, -180.05, 0, -1e-3, 45)),
    "4 points": control_points(WIDE, (2, 2), warp=0),
    "9 points": control_points(WIDE, (3, 3)),
    "spline": control_points(WIDE, (6, 8)),
    "spline in metres": control_points(WIDE, (6, 8), x=500_000, y=5_800_000, scale=12.0, crs="EPSG:32631"),
    "spline at 180 degrees": control_points(WIDE, (6, 8), x=179.95),
    "points without CRS": control_points(WIDE, (6, 8), crs=None),
    "bare transform": Georeference(None, Affine(1, 0, 0, 0, -1, WIDE[0])),
    "nothing": Georeference(),
}


@pytest.fixture(scope="module")
def change():
    """Make blobs, some at the edges of the scene, and a line across it."""
    rough = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=WIDE), 2)
    found = (rough > 0.12).astype("uint8")
    found[60:62] = 1
    return found


@pytest.mark.filterwarnings("ignore:control points are up to")  # expected for nine points on a curved surface
@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
@pytest.mark.parametrize("name", SCENES)
def test_exports_come_back_as_they_were(tmp_path, change, name, suffix):
    georeference, patches = SCENES[name], find_patches(change)
    path = tmp_path / f"change{suffix}"
    outlines = to_ground(patches.outlines, georeference)
    write_polygons(path, outlines, {"pixels": patches.pixels}, crs=georeference.crs, layer="change", description="")
    labels = opened(path, georeference, shape=WIDE)
    np.testing.assert_array_equal(burned(labels, shape=WIDE), change)
    shapes = labels.understood.shapes
    assert (shapes["used"], shapes["outside"], shapes["too_small"]) == (len(patches.pixels), 0, 0)
    assert labels.understood.warnings == ()


@pytest.mark.parametrize("name", ["9 points", "spline", "spline at 180 degrees"])
def test_inverse_of_the_surface(name):
    """Also outside the scene, where the surface is extrapolated."""
    pixels = np.random.default_rng(1).uniform([-10, -8], [120, 88], (200, 2))
    surface = Surface("", SCENES[name], WIDE, in_degrees=True)
    ground = surface.forward(pixels)
    np.testing.assert_allclose(surface.invert(ground), pixels, atol=1e-5)
    ground[:, 0] -= 360
    np.testing.assert_allclose(surface.invert(ground), pixels, atol=1e-5)


def test_shapes_of_another_crs_on_control_points(tmp_path):
    """The scene's control points are in degrees, and the shapes in metres."""
    import pyproj

    georeference = SCENES["spline"]
    shape = shapely.segmentize(shapely.box(30, 20, 60, 50), 1.0)
    ground = to_ground(np.array([shape]), georeference)[0]
    metres = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform
    moved = shapely.transform(ground, lambda p: np.column_stack(metres(*p.T)))
    expected = np.zeros(WIDE, "uint8")
    expected[20:50, 30:60] = 1
    path = write_shapes(tmp_path / "a.gpkg", [moved], crs="EPSG:32632")
    np.testing.assert_array_equal(burned(opened(path, georeference, shape=WIDE), shape=WIDE), expected)


def test_control_points_on_one_line(tmp_path):
    fine = SCENES["9 points"]
    straight = [GroundControlPoint(p.row, p.row, 7 + 1e-3 * p.row, 45 - 1e-3 * p.row) for p in fine.gcps]
    path = write_shapes(tmp_path / "a.gpkg", [shapely.box(7.02, 44.97, 7.05, 44.99)], crs="EPSG:4326")
    with pytest.raises(InputError, match="control points of the scene are collinear") as caught:
        opened(path, Georeference(LONLAT, None, tuple(straight)), shape=WIDE)
    assert "pixel coordinates" in caught.value.hint


def test_unreachable_ground_is_refused(monkeypatch):
    """The iteration for the surface's inverse does not converge within the scene."""
    surface = Surface("labels.gpkg", SCENES["9 points"], WIDE, in_degrees=True)
    exact = surface.forward
    ground = exact(np.array([[50.4, 40.0]]))
    monkeypatch.setattr(surface, "forward", lambda p: exact(p + [0.8, 0] * (p[:, :1] > 50)))  # torn along a column
    with pytest.raises(InputError, match="1 corners of its shapes cannot be converted to pixels") as caught:
        surface.invert(ground)
    assert caught.value.source == "labels.gpkg"


def test_lines_are_bent_where_they_are_long(tmp_path):
    """Four corners in degrees make a shape with curved sides in UTM."""
    import pyproj

    shape = (60, 400)
    georeference = Georeference(PLACED.crs, Affine(500, 0, 500_000, 0, -500, 6_500_000))
    corners = on_ground(shapely.box(0, 20, 400, 40), georeference.transform)
    lonlat = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True).transform
    west, south, east, north = shapely.transform(corners, lambda p: np.column_stack(lonlat(*p.T))).bounds
    few = write_shapes(tmp_path / "few.gpkg", [shapely.box(west, south, east, north)], crs="EPSG:4326")
    dense = shapely.segmentize(shapely.box(west, south, east, north), (east - west) / 5000)
    many = write_shapes(tmp_path / "many.gpkg", [dense], crs="EPSG:4326")
    found, expected = (burned(opened(path, georeference, shape=shape), shape=shape) for path in (few, many))
    assert 0 < (found != expected).sum() + 1 < 60  # pixels whose centres are within a tenth of a pixel of the side
    straight = shapely.transform(shapely.box(west, south, east, north), lambda p: p)
    assert len(shapely.get_coordinates(straight)) == 5
    moved = opened(few, georeference, shape=shape).shapes[0]
    assert len(shapely.get_coordinates(moved)) > 5


def test_labels_around_the_globe(tmp_path):
    world = write_shapes(tmp_path / "world.gpkg", [shapely.box(-180, -90, 180, 90)], crs="EPSG:4326")
    for georeference in (PLACED, SCENES["degrees"], SCENES["spline"]):
        labels = opened(world, georeference)
        assert burned(labels).all()
        assert labels.understood.shapes["cut"] == 1


@pytest.mark.parametrize("name", ["beyond 180 degrees", "before -180 degrees", "UTM zone 1"])
def test_across_the_180th_meridian(tmp_path, name):
    """As one polygon with longitudes of both signs, as two, and with longitudes beyond 180."""
    scenes = {**SCENES, "UTM zone 1": Georeference(CRS.from_epsg(32601), Affine(100, 0, 260_000, 0, -100, 4_990_000))}
    georeference = scenes[name]
    mixed = shapely.box(-179.998, 44.97, 179.98, 44.99)
    split = shapely.MultiPolygon([shapely.box(179.98, 44.97, 180, 44.99), shapely.box(-180, 44.97, -179.998, 44.99)])
    one = shapely.box(179.98, 44.97, 180.002, 44.99)
    found = [
        burned(
            opened(write_shapes(tmp_path / f"{i}.gpkg", [shape], crs="EPSG:4326"), georeference, shape=WIDE), shape=WIDE
        )
        for i, shape in enumerate((mixed, split, one))
    ]
    assert 0 < found[0].sum() < 700
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


def test_geojson_without_georeference(tmp_path):
    """GeoJSON always declares degrees; integers within the scene are taken as pixels, others are refused."""
    pixels = write_shapes(tmp_path / "a.geojson", [shapely.box(10, 5, 20, 15)], crs="EPSG:4326", kind="Polygon")
    found = opened(pixels, Georeference())
    assert burned(found).sum() == 100
    assert "coordinates are not degrees" in found.understood.notes[0]
    ground = write_shapes(tmp_path / "b.geojson", [shapely.box(7.01, 5, 20, 15)], crs="EPSG:4326", kind="Polygon")
    with pytest.raises(InputError, match="has map coordinates, but the scene has none"):
        opened(ground, Georeference())


def test_shapes_that_another_crs_cannot_hold(tmp_path):
    far = write_shapes(tmp_path / "far.gpkg", [shapely.box(500_000, 5_000_000, 500_100, 5_000_100)], crs="EPSG:4326")
    with pytest.raises(InputError, match=r"no shape within the scene; its shapes span x 500000 to 500100 .*EPSG:4326"):
        opened(far)


def test_coordinates_in_metres_without_crs(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [box(10, 5, 20, 15)], crs=None)
    with pytest.raises(InputError, match="has no CRS") as caught:
        opened(path)
    assert "EPSG:32631" in caught.value.hint
    with pytest.raises(InputError, match="no shape within the scene; its shapes span x 500100 to 500200") as caught:
        opened(path, Georeference())
    assert "set its CRS" in caught.value.hint


def test_rows_counted_upwards_are_said(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [shapely.box(10, -15, 20, -5)], crs=None)
    assert any("upwards" in note for note in opened(path, Georeference()).understood.notes)


def test_transform_without_area(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [box(10, 5, 20, 15)])
    with pytest.raises(InputError, match="transform of the scene is singular"):
        opened(path, Georeference(PLACED.crs, Affine(10, 0, 0, 0, 0, 0)))
