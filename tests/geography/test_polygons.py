"""Patches against brute force, and their positions on the ground."""

import numpy as np
import pyogrio.raw
import pytest
import rasterio.features
import shapely
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from sarcd.errors import StoreError
from sarcd.geography import polygons
from sarcd.geography.georeference import Georeference
from sarcd.geography.polygons import areas_m2, find_patches, to_ground, write_polygons
from tests.factories.results import ASKEW, DEGREES, UTM, control_points


def flood(change):
    """Find patches by walking from pixel to pixel, in the order of their first pixels."""
    left = {tuple(place) for place in np.argwhere(change == 1)}
    patches = []
    for place in sorted(left):
        if place not in left:
            continue
        patch, edge = set(), [place]
        while edge:
            y, x = edge.pop()
            if (y, x) in left:
                left.remove((y, x))
                patch.add((y, x))
                edge += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        patches.append(sorted(patch))
    return patches


@given(st.data())
def test_patches_equal_a_flood_fill(data):
    shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    change = rng.choice([0, 1, 255], shape, p=[0.4, 0.5, 0.1]).astype(np.uint8)
    values = rng.random(shape, np.float32)
    values[rng.random(shape) < 0.2] = np.nan
    evidence = xr.DataArray(values, dims=("y", "x"))
    evidence = evidence.chunk({"y": 3, "x": 4}) if data.draw(st.booleans()) else evidence
    least = data.draw(st.integers(1, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polygons, "_STRIP", data.draw(st.integers(1, 15)))
        found = find_patches(change, evidence, min_pixels=least)
    expected = [patch for patch in flood(change) if len(patch) >= least]
    assert found.pixels.tolist() == [len(patch) for patch in expected]
    assert len(found.outlines) == len(expected)
    for number, patch in enumerate(expected):
        outline = found.outlines[number]
        assert outline.is_valid
        burned = rasterio.features.rasterize([outline], out_shape=shape)
        assert [tuple(place) for place in np.argwhere(burned)] == patch
        seen = np.array([values[place] for place in patch], float)
        seen = seen[np.isfinite(seen)]
        np.testing.assert_allclose(found.mean[number], seen.mean() if seen.size else np.nan)
        np.testing.assert_allclose(found.highest[number], seen.max() if seen.size else np.nan)


def test_no_change_no_patches():
    found = find_patches(np.array([[0, 255]], np.uint8), xr.DataArray([[0.1, 0.2]], dims=("y", "x")))
    assert [len(part) for part in (found.outlines, found.pixels, found.mean, found.highest)] == [0, 0, 0, 0]
    for georeference in (UTM, control_points(), Georeference()):
        assert len(to_ground(found.outlines, georeference)) == 0
        assert len(areas_m2(found.outlines, georeference.crs) if georeference.crs else []) == 0


def test_affine_transforms():
    outline = np.array([shapely.box(2, 1, 4, 5)], object)
    (placed,) = to_ground(outline, UTM)
    assert placed.bounds == (600_040, 5_099_950, 600_080, 5_099_990)
    (turned,) = to_ground(outline, ASKEW)
    assert turned.area == pytest.approx(8 * abs(ASKEW.transform.determinant))
    assert (600_000 + 16 * 2 + 12 * 1, 5_100_000 + 12 * 2 - 16 * 1) in set(turned.exterior.coords)
    assert to_ground(outline, Georeference())[0] is outline[0]


def test_ground_control_points():
    outline = np.array([shapely.box(2, 1, 4, 5)], object)
    (placed,) = to_ground(outline, control_points())
    corners = {(round(10 + 2e-4 * col + 1e-5 * row, 9), round(60 - 1e-4 * row, 9)) for col in (2, 4) for row in (1, 5)}
    assert {(round(x, 9), round(y, 9)) for x, y in placed.exterior.coords} == corners


def test_a_grid_of_control_points_is_followed():
    def bend(row, col):
        return 10 + 1e-4 * col + 1e-3 * np.sin(col / 15), 60 - 1e-4 * row + 1e-3 * np.cos(row / 12)

    places = [(row, col) for row in range(0, 61, 6) for col in range(0, 81, 8)]
    points = tuple(GroundControlPoint(row, col, *bend(row, col)) for row, col in places)
    (placed,) = to_ground(np.array([shapely.box(24, 18, 40, 30)], object), Georeference(DEGREES.crs, None, points))
    expected = {tuple(np.round(bend(row, col), 6)) for row in (18, 30) for col in (24, 40)}
    assert {tuple(np.round(corner, 6)) for corner in placed.exterior.coords} == expected


def test_areas():
    square = np.array([shapely.box(0, 0, 100, 100)], object)
    assert areas_m2(square, None) is None
    at_zone = np.array([shapely.box(600_000, 5_000_000, 600_100, 5_000_100)], object)
    assert areas_m2(at_zone, UTM.crs)[0] == pytest.approx(10_000, rel=1e-3)
    feet = np.array([shapely.box(1e6, 2e5, 1_000_100, 200_100)], object)
    assert areas_m2(feet, CRS.from_epsg(2263))[0] == pytest.approx(10_000 * 0.3048006096**2, rel=1e-4)
    degrees = np.array([shapely.box(10, 60, 10.01, 60.01)], object)
    assert areas_m2(degrees, DEGREES.crs)[0] == pytest.approx(1113.2**2 * np.cos(np.radians(60.005)), rel=6e-3)


def test_less_than_all_polygons_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr("pyogrio.read_info", lambda *_, **__: {"features": 1})
    squares = np.array([shapely.box(0, 0, 1, 1)] * 2, object)
    with pytest.raises(StoreError, match="only 1 of 2"):
        write_polygons(tmp_path / "a.gpkg", squares, {}, crs=None, layer="change", description="")


def test_unnamed_crs(tmp_path):
    own = CRS.from_proj4("+proj=tmerc +lat_0=50 +lon_0=7.3 +k=1 +x_0=0 +y_0=0 +datum=WGS84 +units=m")
    path = tmp_path / "a.gpkg"
    write_polygons(
        path, np.array([shapely.box(0, 0, 1, 1)], object), {"n": np.array([3])}, crs=own, layer="x", description="y"
    )
    meta, _, _, fields = pyogrio.raw.read(path)
    assert CRS.from_user_input(meta["crs"]) == own
    assert fields[0].tolist() == [3]
