"""Areas and lengths on the ground compared with geodesics, closed forms and the definitions of projections."""

import math

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.crs import CRS

from sarcd.errors import SceneError
from sarcd.geography.geodesy import areas_are_true, areas_m2, full_turn, horizontal, kind_of, lengths_m, metres_per_unit

LOCAL = {
    "metres": ('LOCAL_CS["mine grid",UNIT["metre",1]]', 1.0),
    "feet": ('LOCAL_CS["mine grid",UNIT["foot",0.3048]]', 0.3048),
    "engineering": (
        'ENGCRS["mine",EDATUM["peg"],CS[Cartesian,2],AXIS["easting (x)",east,ORDER[1],LENGTHUNIT["foot",0.3048]],'
        'AXIS["northing (y)",north,ORDER[2],LENGTHUNIT["foot",0.3048]]]',
        0.3048,
    ),
}
WGS84 = pyproj.Geod(ellps="WGS84")


def square(x, y, side):
    return np.array([shapely.box(x, y, x + side, y + side)], object)


def geodesic_m2(outline, crs):
    """Return the area of the densified outline between geodesics, by an independent algorithm (Karney 2013)."""
    move = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform
    bent = shapely.segmentize(outline, max(outline.bounds[2] - outline.bounds[0], 1e-9) / 50)
    longitudes, latitudes = move(*shapely.get_coordinates(bent).T)
    return abs(WGS84.polygon_area_perimeter(longitudes, latitudes)[0])


@pytest.mark.parametrize(
    ("crs", "x", "y", "side"),
    [
        ("EPSG:4326", 10.0, 60.0, 0.01),
        ("EPSG:4326", 179.9, -17.0, 0.2),
        ("EPSG:4326", -180.5, 5.0, 1.0),
        ("EPSG:4326", 30.0, 89.0, 1.0),  # up to the pole
        ("EPSG:32632", 500_000.0, 5_000_000.0, 1000.0),
        ("EPSG:32632", 166_021.0, 10.0, 1000.0),
        ("EPSG:32660", 800_000.0, 5_000_000.0, 50_000.0),  # across the 180th meridian
        ("EPSG:3857", 0.0, 8_399_000.0, 1000.0),
        ("EPSG:3857", 0.0, 15_000_000.0, 1000.0),
        ("EPSG:3031", 1_000.0, 2_000_000.0, 5000.0),
        ("EPSG:3413", 2_000_000.0, -3_000_000.0, 5000.0),
        ("EPSG:32632+5773", 600_000.0, 5_000_000.0, 1000.0),
        ("EPSG:4979", 10.0, 60.0, 0.01),
        ("+proj=utm +zone=32 +datum=WGS84 +units=km", 600.0, 5000.0, 1.0),
        ("+proj=utm +zone=32 +datum=WGS84 +units=us-ft", 1_900_000.0, 16_000_000.0, 1000.0),
        ("EPSG:8857", 3_000_000.0, 6_000_000.0, 1000.0),
    ],
)
def test_areas_are_those_between_geodesics(crs, x, y, side):
    (area,) = areas_m2(square(x, y, side), CRS.from_user_input(crs))
    assert area == pytest.approx(geodesic_m2(square(x, y, side)[0], crs), rel=2e-4)


def test_the_pole_within_an_outline():
    (area,) = areas_m2(square(-500.0, -500.0, 1000.0), "EPSG:3031")
    assert area == pytest.approx(1e6 / 0.972769**2, rel=1e-4)  # EPSG: true scale at 71 S, so 0.972769 at the pole


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_crs_is_plane(name):
    wkt, metres = LOCAL[name]
    crs = CRS.from_wkt(wkt)
    assert (kind_of(crs), metres_per_unit(crs), full_turn(crs)) == ("local", metres, None)
    assert areas_m2(square(0.0, 0.0, 100.0), crs)[0] == pytest.approx(10_000 * metres**2)


def test_a_rotated_pole_is_turned_back():
    """A square on the equator of the rotated grid has the area of one on the sphere's equator."""
    rotated = "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +R=6371229"
    (area,) = areas_m2(square(0.0, 0.0, 1.0), rotated)
    assert area == pytest.approx(6_371_229**2 * math.radians(1) * math.sin(math.radians(1)), rel=1e-6)


def test_grads():
    """The NTF (Paris) CRS divides a circle into 400 grads."""
    crs = "EPSG:4807"
    assert full_turn(crs) == pytest.approx(400)
    (area,) = areas_m2(square(0.0, 0.0, 0.1), crs)
    assert area == pytest.approx((math.pi / 2000) ** 2 * 6_378_249.2**2 * (1 - 0.00680348764), rel=1e-4)


@pytest.mark.parametrize("crs", ["EPSG:4978", "EPSG:5773"])
def test_what_is_no_map_is_refused(crs):
    with pytest.raises(SceneError, match=r"which is not a map CRS[.] Reproject"):
        kind_of(crs)


def test_what_has_no_ground_is_refused():
    with pytest.raises(SceneError, match="is not a valid location in the CRS of the scene"):
        areas_m2(square(500_000.0, 5_000_000.0, 10.0), "EPSG:4326")


def test_bound_and_compound_crs_are_taken_apart():
    assert horizontal("EPSG:32632+5773").to_epsg() == 32632
    bound = "+proj=tmerc +lat_0=50 +lon_0=7.3 +k=1 +ellps=bessel +towgs84=598.1,73.7,418.2 +units=m"
    assert not horizontal(bound).is_bound
    assert areas_m2(square(0.0, 0.0, 10.0), bound)[0] == pytest.approx(100, rel=1e-6)


@pytest.mark.parametrize(
    ("crs", "x", "y", "is_true"),
    [
        ("EPSG:32632", 500_000.0, 5_000_000.0, True),
        ("EPSG:32632", 166_100.0, 100.0, True),
        ("EPSG:32632", -200_000.0, 100.0, False),  # far outside the zone
        ("EPSG:3857", 0.0, 100.0, False),  # spherical projection of ellipsoidal coordinates
        ("EPSG:3857", 0.0, 8_399_000.0, False),
        ("EPSG:3413", 0.0, -4_000_000.0, False),
        ("EPSG:3035", 4_500_000.0, 3_000_000.0, True),  # equal-area
        ("EPSG:2263", 1_000_000.0, 200_000.0, True),
    ],
)
def test_planes_that_are_true(crs, x, y, is_true):
    corners = np.array([x, x + 1000.0]), np.array([y, y + 1000.0])
    assert areas_are_true(crs, *corners, np.diag([10.0, -10.0])) is is_true


def test_lengths_against_the_geodesic():
    for place in ((10.0, 60.0), (179.9999, 0.0), (-30.0, -85.0)):
        x, y = lengths_m("EPSG:4326", place, np.diag([1e-4, 1e-4]))
        assert x == pytest.approx(WGS84.inv(*place, place[0] + 1e-4, place[1])[2], rel=1e-5)
        assert y == pytest.approx(WGS84.inv(*place, place[0], place[1] + 1e-4)[2], rel=1e-5)
