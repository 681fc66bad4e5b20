"""Polygons of results: outlines, positions, and attributes."""

import json

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import shapely

from sarcd.errors import OptionError
from sarcd.exporting.export_files import export
from tests.factories.results import UTM, control_points, scene_with_results


@pytest.fixture
def scene(rng):
    return scene_with_results(rng)


def features(path):
    meta, _, geometry, fields = pyogrio.raw.read(path)
    return meta, shapely.from_wkb(geometry), dict(zip(meta["fields"], fields, strict=True))


def test_geopackage(rng, tmp_path):
    scene = scene_with_results(rng, georeference=UTM)
    result = export(scene, tmp_path / "changes.gpkg")
    meta, shapes, fields = features(result)
    assert (result.polygons, meta["crs"], meta["geometry_type"]) == (4, "EPSG:32632", "Polygon")
    assert fields["pixels"].tolist() == [24, 9, 24, 9]
    assert fields["area_m2"].tolist() == [4800, 1800, 4800, 1800]
    assert fields["before"].astype("datetime64[D]").astype(str).tolist() == ["2023-03-19"] * 2 + ["2023-03-31"] * 2
    assert fields["after"].astype("datetime64[D]").astype(str).tolist() == ["2023-03-31"] * 2 + ["2023-04-12"] * 2
    np.testing.assert_allclose(fields["mean_probability"], [0.9, 0.7] * 2, rtol=1e-6)
    np.testing.assert_allclose(fields["max_probability"], [0.9, 0.7] * 2, rtol=1e-6)
    assert shapes[0].bounds == (600_400, 5_099_860, 600_520, 5_099_900)
    assert pyogrio.read_info(result)["layer_name"] == "change"
    assert [path.name for path in tmp_path.iterdir()] == ["changes.gpkg"]


def test_geojson_is_in_degrees(rng, tmp_path):
    scene = scene_with_results(rng, georeference=UTM)
    text = json.loads(export(scene, tmp_path / "changes.geojson", pair=0).path.read_text())
    assert "crs" not in text
    assert "tied to no place" not in json.dumps(text)
    ring = np.array(text["features"][0]["geometry"]["coordinates"][0])
    import pyproj

    inverse = pyproj.Transformer.from_crs(4326, 32632, always_xy=True)
    x, y = inverse.transform(*ring.T)
    assert (round(min(x)), round(max(x)), round(min(y)), round(max(y))) == (600_400, 600_520, 5_099_860, 5_099_900)
    assert shapely.LinearRing(ring).is_ccw
    assert text["features"][0]["properties"]["before"] == "2023-03-19T00:00:00"


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_control_points_are_applied(rng, tmp_path, suffix):
    scene = scene_with_results(rng, georeference=control_points())
    meta, shapes, fields = features(export(scene, tmp_path / f"changes{suffix}", pair=0))
    assert meta["crs"] == "EPSG:4326"
    np.testing.assert_allclose(shapes[0].bounds, (10.0041, 59.9986, 10.00534, 59.999), atol=1e-7)
    assert fields["area_m2"][0] == pytest.approx(24 * 2e-4 * 1e-4 * 111_320**2 / 2, rel=0.01)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_without_a_place_in_pixels(scene, tmp_path, suffix):
    result = export(scene, tmp_path / f"changes{suffix}", pair=0)
    meta, shapes, fields = features(result)
    assert [shape.bounds for shape in shapes] == [(20, 10, 26, 14), (50, 30, 53, 33)]
    assert "area_m2" not in fields
    spaced = scene.assign_attrs(spacing_m=[14.0, 2.5])
    _, _, told = features(export(spaced, result, pair=0, overwrite=True))
    assert told["slant_area_m2"].tolist() == [24 * 35, 9 * 35]
    assert "area_m2" not in told
    _, _, told = features(export(spaced.assign_attrs(incidence_deg=30.0), result, pair=0, overwrite=True))
    np.testing.assert_allclose(told["area_m2"], [24 * 70, 9 * 70])
    assert "slant_area_m2" not in told
    if suffix == ".gpkg":
        assert meta["crs"] is None
    else:
        assert "(column, row)" in json.loads(result.path.read_text())["description"]


def test_own_metres(scene, tmp_path):
    metres = {dim: (dim, (np.arange(scene.sizes[dim]) + 0.5) * 2.5, {"units": "m"}) for dim in ("y", "x")}
    scene = scene.assign_coords(metres).assign_attrs(range_spacing="ground")
    result = export(scene, tmp_path / "changes.geojson", pair=0)
    _, shapes, fields = features(result)
    assert shapes[0].bounds == (50, 25, 65, 35)
    assert fields["area_m2"].tolist() == [150, 56.25]
    assert "the scene's own, in m, tied to no place" in json.loads(result.path.read_text())["description"]


def test_other_maps_as_polygons(scene, tmp_path):
    result = export(scene, tmp_path / "label.gpkg", variable="label", pair=0)
    _, _, fields = features(result)
    assert (result.variable, fields["pixels"].tolist()) == ("label", [24, 8])
    assert not any(name.startswith("mean") for name in fields)
    scored = scene.rename(change_probability="change_score")
    _, _, fields = features(export(scored, tmp_path / "scored.gpkg"))
    assert {"mean_score", "max_score"} <= set(fields)
    with pytest.raises(OptionError, match="'coherence' has no outlines"):
        export(scene, tmp_path / "a.gpkg", variable="coherence")


def test_small_patches_are_left_out(scene, tmp_path):
    assert export(scene, tmp_path / "a.gpkg", min_pixels=10).polygons == 2
    result = export(scene, tmp_path / "b.gpkg", min_pixels=100)
    meta, _, fields = features(result)
    assert (result.polygons, len(fields["pixels"]), meta["geometry_type"]) == (0, 0, "Polygon")
    assert export(scene, tmp_path / "b.geojson", min_pixels=100).polygons == 0
    with pytest.raises(OptionError, match="min_pixels: invalid minimum size of 0 pixels"):
        export(scene, tmp_path / "c.gpkg", min_pixels=0)
    with pytest.raises(OptionError, match=r"min_pixels: a '\.tif' file holds no polygons[.] Leave it out"):
        export(scene, tmp_path / "c.tif", min_pixels=5)
