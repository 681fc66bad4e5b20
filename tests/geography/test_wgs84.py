"""Polygons in degrees: split at the 180th meridian, closed over the poles, and covering the same ground."""

import numpy as np
import pyproj
import pytest
import shapely

from sarcd.errors import SceneError
from sarcd.geography.geodesy import areas_m2, has_jumps
from sarcd.geography.polygons import to_world


def square(x, y, side, hole=None):
    holes = [] if hole is None else [shapely.box(x + hole, y + hole, x + side - hole, y + side - hole).exterior]
    return np.array([shapely.Polygon(shapely.box(x, y, x + side, y + side).exterior, holes)], object)


def utm_across():
    """Return a corner of UTM zone 60 that is on the 180th meridian."""
    x, y = pyproj.Transformer.from_crs(4326, 32660, always_xy=True).transform(180.0, -17.0)
    return x - 500, y - 500


@pytest.mark.parametrize(
    ("crs", "outline", "parts"),
    [
        ("EPSG:4326", square(179.5, 10.0, 1.0), 2),
        ("EPSG:4326", square(179.5, 10.0, 1.0, hole=0.25), 2),
        ("EPSG:4326", square(180.25, 10.0, 0.5), 1),
        ("EPSG:4326", square(-180.5, 10.0, 1.0), 2),
        ("EPSG:4326", square(350.0, 10.0, 1.0), 1),
        ("EPSG:4326", square(179.0, 10.0, 1.0), 1),
        ("EPSG:4258", square(179.5, 10.0, 1.0), 2),
        ("EPSG:32660", square(*utm_across(), 1000.0), 2),
        ("EPSG:32660", square(*utm_across(), 1000.0, hole=200.0), 2),
        ("EPSG:3031", square(-500.0, -500.0, 1000.0), 1),  # contains the pole
        ("EPSG:3413", square(-700.0, -300.0, 1000.0), 1),
        ("EPSG:3413", square(-700.0, -300.0, 1000.0, hole=100.0), 2),  # a hole at the pole gives a ring around it
        ("EPSG:3413", square(10.0, 20.0, 1000.0), 1),  # beside the pole
        ("EPSG:32632", square(600_000.0, 5_000_000.0, 1000.0), 1),
    ],
)
def test_the_ground_stays_the_same(crs, outline, parts):
    (placed,) = to_world(outline, crs)
    left, bottom, right, top = placed.bounds
    assert max(-left, right) <= 180
    assert max(-bottom, top) <= 90
    assert placed.is_valid
    assert len(shapely.get_parts(placed)) <= parts
    (before,), (after,) = areas_m2(outline, crs), areas_m2(np.array([placed]), "EPSG:4326")
    assert after == pytest.approx(before, rel=5e-3)


def test_no_edge_crosses_the_180th_meridian():
    (placed,) = to_world(square(*utm_across(), 1000.0), "EPSG:32660")
    for part in placed.geoms:
        assert np.ptp(np.asarray(part.exterior.coords)[:, 0]) < 0.01
    assert {round(abs(edge), 12) for part in placed.geoms for edge in part.bounds[::2]} >= {180.0}


def test_edges_are_bent():
    """A straight 100 km edge in UTM is not straight in degrees."""
    outline = np.array([shapely.box(400_000, 6_000_000, 500_000, 6_000_010)], object)
    (placed,) = to_world(outline, "EPSG:32632")
    middle = pyproj.Transformer.from_crs(32632, 4326, always_xy=True).transform(450_000, 6_000_005)
    assert placed.contains(shapely.Point(middle))


def test_a_local_crs_is_refused():
    with pytest.raises(
        SceneError, match=r"cannot be transformed to WGS 84, which GeoJSON requires[.] Write a GeoPackage"
    ):
        to_world(square(0.0, 0.0, 1.0), 'LOCAL_CS["mine grid",UNIT["metre",1]]')


def test_jumps():
    about_the_pole = np.array([shapely.Polygon([(-135, 89), (-45, 89), (45, 89), (135, 89)])], object)
    assert has_jumps(about_the_pole, "EPSG:4326")
    assert not has_jumps(square(179.5, 10.0, 1.0), "EPSG:4326")
    assert not has_jumps(shapely.segmentize(np.array([shapely.box(-180, -90, 180, 90)], object), 90), "EPSG:4326")
    assert not has_jumps(square(0.0, 0.0, 1000.0), "EPSG:32632")
    (placed,) = to_world(about_the_pole, "EPSG:4326", "EPSG:4326")
    assert placed.bounds == (-180, 89, 180, 90)
