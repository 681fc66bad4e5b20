"""Georeference: from rasterio to a scene and back unchanged."""

import numpy as np
import pytest
import rioxarray
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from sarcd.errors import SceneError
from sarcd.geography.georeference import Georeference, of_dataset, of_scene, to_coordinates
from tests.factories.rasters import UTM, ground_control_points, open_raster, write_raster

SHAPE = (30, 40)
ROTATED = Affine(8.0, 2.5, 500_000.0, -2.5, -9.0, 5_800_000.0)


def scene_of(georeference, shape=SHAPE):
    found = to_coordinates(georeference, shape)
    return xr.Dataset(
        {"slc": (("y", "x"), np.ones(shape, "complex64"), {"grid_mapping": "spatial_ref"})},
        coords={
            "y": ("y", found.y, found.y_attrs),
            "x": ("x", found.x, found.x_attrs),
            "spatial_ref": ((), 0, found.spatial_ref),
        },
    )


def georeferences():
    utm = CRS.from_user_input(UTM["crs"])
    lonlat = CRS.from_epsg(4326)
    return {
        "utm": Georeference(utm, UTM["transform"]),
        "fine": Georeference(lonlat, Affine(1 / 3e4, 0, 4.9 + 1e-13, 0, -1 / 7e4, 52.3)),
        "rotated": Georeference(utm, ROTATED),
        "bare transform": Georeference(None, Affine(1, 0, 0, 0, -1, 500)),
        "gcps": Georeference(lonlat, None, tuple(ground_control_points(SHAPE))),
        "none": Georeference(),
    }


@pytest.mark.parametrize("name", georeferences())
def test_survives_file_scene_and_file(tmp_path, name):
    georeference = georeferences()[name]
    profile = georeference.profile()
    if name == "gcps":
        profile = {"gcps": (profile["gcps"], profile["crs"])}
    first = write_raster(tmp_path / "a.tif", np.ones(SHAPE, "uint8"), **profile)
    with open_raster(first) as dataset:
        read = of_dataset(dataset)
    assert read.kind == georeference.kind
    back = of_scene(scene_of(read))
    assert back == read
    assert back.crs == georeference.crs
    assert back.transform == georeference.transform
    assert [(p.row, p.col, p.x, p.y, p.z) for p in back.gcps] == [
        (p.row, p.col, p.x, p.y, p.z) for p in georeference.gcps
    ]
    again = back.profile()
    if name == "gcps":
        again = {"gcps": (again["gcps"], again["crs"])}
    second = write_raster(tmp_path / "b.tif", np.ones(SHAPE, "uint8"), **again)
    with open_raster(second) as dataset:
        assert of_dataset(dataset) == read


def test_coordinates_are_pixel_centres_only_where_the_grid_is_rectilinear():
    found = to_coordinates(georeferences()["utm"], SHAPE)
    np.testing.assert_array_equal(found.x[:2], [500_005, 500_015])
    np.testing.assert_array_equal(found.y[:2], [5_799_990, 5_799_970])
    assert found.x_attrs["units"] == "metre"
    assert found.y_attrs["standard_name"] == "projection_y_coordinate"
    for name in ("rotated", "gcps", "none"):
        found = to_coordinates(georeferences()[name], SHAPE)
        assert found.y.dtype == found.x.dtype == np.int64
        np.testing.assert_array_equal(found.x, np.arange(40))


@pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")  # within rioxarray, since affine 3.1
@pytest.mark.parametrize("name", ["utm", "rotated", "gcps"])
def test_rioxarray_reads_what_is_written(name):
    georeference = georeferences()[name]
    image = scene_of(georeference)["slc"]
    assert rioxarray.__version__
    assert image.rio.crs == georeference.crs
    if georeference.transform is not None:
        assert image.rio.transform(recalc=False) == georeference.transform
    else:
        assert [vars(point) for point in image.rio.get_gcps()] == [vars(point) for point in georeference.gcps]


@pytest.mark.parametrize("name", georeferences())
@given(y=st.integers(0, 20), x=st.integers(0, 20), step=st.integers(1, 3))
def test_cut_and_thinned_scenes_keep_their_place(name, y, x, step):
    georeference = georeferences()[name]
    cut = of_scene(scene_of(georeference).isel(y=slice(y, None, step), x=slice(x, None, step)))
    assert cut.kind == georeference.kind
    column, row = 4, 2  # of the part
    old_column, old_row = x + step * column, y + step * row
    if georeference.transform is not None:
        place = [
            t.a * (c + 0.5) + t.b * (r + 0.5) + t.c
            for t, c, r in ((cut.transform, column, row), (georeference.transform, old_column, old_row))
        ]
        assert place[0] == pytest.approx(place[1], rel=1e-12)
    for point, old in zip(cut.gcps, georeference.gcps, strict=True):
        # the centre of the pixel keeps its position
        assert y + step * (point.row - 0.5) + 0.5 == pytest.approx(old.row)
        assert x + step * (point.col - 0.5) + 0.5 == pytest.approx(old.col)


def test_foreign_scene_is_placed_by_its_coordinates():
    scene = scene_of(georeferences()["utm"])
    del scene["spatial_ref"].attrs["GeoTransform"]
    found = of_scene(scene)
    assert found.crs == georeferences()["utm"].crs
    np.testing.assert_allclose(found.transform[:6], UTM["transform"][:6])


def test_uneven_coordinates_are_refused():
    scene = scene_of(georeferences()["utm"]).isel(x=[0, 1, 3, 7])
    with pytest.raises(SceneError, match="not evenly spaced"):
        of_scene(scene)


def test_unreadable_attributes_are_refused():
    scene = scene_of(georeferences()["gcps"])
    scene["spatial_ref"].attrs["gcps"] = "no JSON"
    with pytest.raises(SceneError, match="'spatial_ref' cannot be read"):
        of_scene(scene)


def test_differences():
    utm, gcps = georeferences()["utm"], georeferences()["gcps"]
    moved = {shift: Georeference(utm.crs, Affine(10, 0, 500_000 + shift, 0, -20, 5_800_000)) for shift in (0.05, 0.5)}
    assert utm.difference(utm, SHAPE) is None
    assert utm.difference(moved[0.05], SHAPE) is None  # half a hundredth of a pixel
    assert "shifted by up to 0.05 pixels" in utm.difference(moved[0.5], SHAPE)
    scaled = Georeference(utm.crs, Affine(10.01, 0, 500_000, 0, -20, 5_800_000))
    assert "shifted by up to 0.04 pixels" in utm.difference(scaled, SHAPE)
    assert "EPSG:32632, not EPSG:32631" in utm.difference(Georeference(CRS.from_epsg(32632), utm.transform), SHAPE)
    assert "none, not transform" in utm.difference(Georeference(), SHAPE)
    assert Georeference().difference(Georeference(), SHAPE) is None
    assert gcps.difference(gcps, SHAPE) is None
    points = ground_control_points(SHAPE)
    points[2].col += 0.5
    assert gcps.difference(Georeference(gcps.crs, None, tuple(points)), SHAPE) == "ground control points"
    assert gcps.difference(Georeference(gcps.crs, None, tuple(points[:3])), SHAPE) == "ground control points"
