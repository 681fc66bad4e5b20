"""Surfaces through control points: valid ones against GDAL's and closed forms, and unusable ones."""

import numpy as np
import pytest
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer

from sarcd.errors import SceneError
from sarcd.geography.control_points import surface, unwrapped

SHAPE = (60, 80)
BOUNDS = (0.0, 0.0, 80.0, 60.0)
DEGREES = CRS.from_epsg(4326)
CORNERS = [(0, 0), (0, 80), (60, 0), (60, 80)]
GRID = [(row, col) for row in range(0, 61, 12) for col in range(0, 81, 16)]


def point(row, col, x, y):
    return GroundControlPoint(row, col, x, y)


def points(places=CORNERS, x=10.0, y=60.0, bend=0.0):
    return [
        point(row, col, x + 2e-4 * col + bend * np.sin(col / 30), y - 1e-4 * row + bend * np.cos(row / 30))
        for row, col in places
    ]


@pytest.mark.parametrize("places", [CORNERS, CORNERS[:3], [*CORNERS, *CORNERS]])
def test_a_plane(places):
    """Duplicates count once."""
    corners = np.array([[0.0, 0.0], [80.0, 60.0], [31.5, 7.25]])
    placed = surface(points(places), DEGREES, BOUNDS)(corners)
    np.testing.assert_allclose(placed, np.stack([10 + 2e-4 * corners[:, 0], 60 - 1e-4 * corners[:, 1]], axis=1))


def by_definition(given, corners):
    """Solve the equations of the thin-plate spline directly (Duchon 1977)."""
    places, values = np.array([[p.col, p.row] for p in given]), np.array([[p.x - 10, p.y - 60] for p in given])

    def bending(a, b):
        squared = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
        return squared * np.log(np.where(squared > 0, squared, 1)) / 2

    flat = np.column_stack([np.ones(len(places)), places])
    system = np.block([[bending(places, places), flat], [flat.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.concatenate([values, np.zeros((3, 2))]))
    terms = np.column_stack([bending(corners, places), np.ones(len(corners)), corners])
    return terms @ weights + [10, 60]


def test_a_spline(rng):
    given = points(GRID, bend=1e-3)
    corners = rng.uniform([0, 0], [80, 60], (50, 2))
    placed = surface(given, DEGREES, BOUNDS)(corners)
    np.testing.assert_allclose(placed, by_definition(given, corners), rtol=0, atol=1e-9)
    with GCPTransformer(given, tps=True) as transformer:
        near = transformer.xy(corners[:, 1], corners[:, 0], offset="ul")
    np.testing.assert_allclose(placed, np.transpose(near), rtol=0, atol=3e-5)


def test_corners_that_all_but_meet_a_point():
    """GDAL's spline gives NaN here."""
    given = points(GRID, bend=1e-3)
    corners = np.array([[p.col + 1e-14 * p.col, p.row] for p in given])
    placed = surface(given, DEGREES, BOUNDS)(corners)
    np.testing.assert_allclose(placed, [[p.x, p.y] for p in given], rtol=0, atol=1e-9)


@pytest.mark.parametrize("places", [CORNERS, GRID])
def test_the_180th_meridian_is_no_jump(places):
    """Longitudes from 179.992 to 180.008 degrees, wrapped as in files."""
    given = points(places, x=179.992)
    for each in given:
        each.x = each.x - 360 if each.x > 180 else each.x
    placed = surface(given, DEGREES, BOUNDS)(np.array([[0.0, 0.0], [40.0, 30.0], [80.0, 60.0]]))
    np.testing.assert_allclose(placed[:, 0] % 360, [179.992, 180.0, 180.008], rtol=0, atol=1e-9)
    assert np.ptp(placed[:, 0]) < 0.02


def test_unwrapped():
    np.testing.assert_array_equal(unwrapped(np.array([-20.0, 100.0])), [-20, 100])
    np.testing.assert_array_equal(unwrapped(np.array([-179.0, 179.0, 178.0])), [181, 179, 178])
    np.testing.assert_array_equal(unwrapped(np.array([359.0, 1.0, 2.0])), [-1, 1, 2])
    np.testing.assert_array_equal(unwrapped(np.array([-180.0, -90.0, 0.0, 90.0])), [-180, -90, 0, 90])  # a full circle
    np.testing.assert_array_equal(unwrapped(np.array([199.0, -199.0]), 400.0), [-201, -199])


def test_over_a_pole_by_a_map_of_it():
    """A square of 4 km around the pole; interpolating degrees would give nonsense."""
    import pyproj

    back = pyproj.Transformer.from_crs(3413, 4326, always_xy=True)
    given = []
    for row, col in GRID:
        given.append(point(row, col, *back.transform(-2000 + 50 * col, 1500 - 50 * row)))
    corners = np.array([[40.0, 0.0], [1.0, 1.0], [40.0, 31.0]])
    x, y = back.transform(*surface(given, DEGREES, BOUNDS)(corners).T, direction="INVERSE")
    np.testing.assert_allclose(x, -2000 + 50 * corners[:, 0], atol=0.1)
    np.testing.assert_allclose(y, 1500 - 50 * corners[:, 1], atol=0.1)


def line(on):
    if on == "image":
        return [point(step, step, 10 + 0.1 * step, 50 + (step % 3)) for step in range(0, 60, 10)]
    return [point(row, col, 10 + 0.001 * col, 50 + 0.001 * col) for row, col in CORNERS]


def folded():
    return [point(row, col, 10 + 1e-3 * abs(col - 40) + 1e-5 * col, 60 - 1e-4 * row) for row, col in GRID]


def one_off():
    given = points(GRID)
    given[7].y += 0.01
    return given


def crossed():
    """Two of the four corners are swapped."""
    given = points()
    given[0].x, given[1].x = given[1].x, given[0].x
    return given


def askew():
    """One of four corners is 30 pixels off; which one cannot be determined."""
    given = points()
    given[3].x += 30 * 2e-4
    return given


@pytest.mark.parametrize(
    ("given", "crs", "message"),
    [
        (points()[:2], DEGREES, "2 different control points; a surface needs 3[.] Correct"),
        (points()[:1] * 4, DEGREES, "1 different control point; a surface needs 3"),
        ([*points(), point(0, 0, 11.0, 60.0)], DEGREES, "give different coordinates to one pixel"),
        ([*points(), point(5, 5, np.nan, 60.0)], DEGREES, "coordinates of a control point are not finite"),
        ([*points(), point(np.inf, 5, 10.0, 60.0)], DEGREES, "coordinates of a control point are not finite"),
        (line("image"), DEGREES, "collinear in the image"),
        (line("ground"), DEGREES, "collinear on the ground"),
        (points([(row + 5000, col) for row, col in CORNERS]), DEGREES, "cover columns 0 to 80 and rows 5000 to 5060"),
        (points([(row / 10, col / 10) for row, col in CORNERS]), DEGREES, "but the image has 0 to 80 and 0 to 60"),
        (points(x=600_000, y=5_100_000), DEGREES, "a latitude of 5.1e[+]06, beyond the pole[.] Assign the CRS"),
        (points(), CRS.from_epsg(32632), "pixels are 0.0002 m wide, .* degrees"),
        (points(), CRS.from_epsg(4978), "geocentric, which is not a map CRS"),
        (folded(), DEGREES, "fold the image over itself"),
        (
            one_off(),
            DEGREES,
            "the control point at column 16, row 12 is .* pixels from the position that the others imply",
        ),
        (crossed(), DEGREES, "fold the image over itself"),
        (askew(), DEGREES, "are up to .* pixels from the surface fitted to them"),
        ([point(r, c, 179.9 if c else -179.9, 1e-3 * r) for r, c in CORNERS], None, "both sides of the 180th meridian"),
    ],
)
def test_what_holds_no_surface_is_refused(given, crs, message):
    with pytest.raises(SceneError, match=message):
        surface(given, crs, BOUNDS)


def test_a_misfit_is_told():
    given = points([*CORNERS, (30, 40)])
    given[-1].y += 3.5e-4
    with pytest.warns(UserWarning, match=r"control points are up to 2\.8 pixels from the surface that polygons follow"):
        surface(given, DEGREES, BOUNDS)


def test_without_crs_as_they_are():
    placed = surface(points(), None, BOUNDS)(np.array([[80.0, 60.0]]))
    np.testing.assert_allclose(placed, [[10.016, 59.994]])
