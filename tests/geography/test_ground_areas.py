"""Ground areas of changes: in radar geometry with known incidence, in every CRS, and named for what they measure."""

import json
import math
from dataclasses import replace

import numpy as np
import pyogrio.raw
import pyproj
import pytest
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from sarcd import schema
from sarcd.errors import SceneError
from sarcd.exporting.export_files import export
from sarcd.figures.change_figure import plot
from sarcd.geography.georeference import Georeference
from sarcd.geography.ground import ground_of, pixel_area
from sarcd.metrics import ObjectRules, evaluate
from sarcd.simulation import sites
from sarcd.simulation.core.projection import View, project
from tests.factories.results import UTM, control_points, scene_with_results
from tests.said import logged

PATCH = (40, 90)  # m of level ground, along azimuth and range


def fields(result):
    meta, _, geometry, values = pyogrio.raw.read(result)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], values, strict=True))


def level_ground(incidence_deg, spacing_m=0.5, height_m=40.0, size=(100, 240)):
    """Simulate a scene of level ground with a change of size `PATCH`, projected into radar geometry."""
    options = replace(sites.SITES["A"], incidence_deg=incidence_deg, spacing_m=spacing_m)
    near = math.ceil(height_m * options.view.shift_px) + 5
    ground = np.full((size[0], size[1] + 2 * near), 0.01, np.float32)
    rows, columns = (round(side / spacing_m) for side in PATCH)
    first = near + 30 + round(height_m * options.view.shift_px)  # high ground appears nearer to the radar
    ground[10 : 10 + rows, first : first + columns] = 1
    level = np.full((size[0] + 2, ground.shape[1]), height_m, np.float32)
    view = View(incidence_deg, spacing_m, "right")
    seen, _, flags = project(level, ground, view, near=near, width=size[1])
    assert not flags.any()
    scene = sites.simulate(options, size=size, seed=0)
    change = scene["label"].copy(data=(seen > 0.5).astype(np.uint8)[None])
    return scene.assign(change=change.assign_attrs(schema.VARIABLES["change"].attrs()))


@pytest.mark.parametrize("incidence_deg", [22.0, 29.0, 35.0, 47.0])
def test_level_ground_of_a_simulated_scene(tmp_path, incidence_deg):
    scene = level_ground(incidence_deg)
    shapes, told = fields(export(scene, tmp_path / "a.gpkg"))
    assert len(shapes) == 1
    assert told["area_m2"][0] == pytest.approx(math.prod(PATCH), rel=0.01)
    assert "slant_area_m2" not in told
    ground = ground_of(scene)
    assert ground.x.length_m == pytest.approx(240 * 0.5)
    assert ground.ratio == pytest.approx(240 / 100)  # ratio in ground range, not slant range


def test_a_scene_without_incidence_tells_slant_areas(tmp_path):
    scene = level_ground(30.0)
    del scene.attrs["incidence_deg"]
    _, told = fields(export(scene, tmp_path / "a.gpkg"))
    assert told["slant_area_m2"][0] == pytest.approx(math.prod(PATCH) / 2, rel=0.01)
    assert "area_m2" not in told
    text = json.loads(export(scene, tmp_path / "a.geojson").path.read_text())["description"]
    assert "areas are in slant range, smaller than on the ground" in text
    figure = plot(scene)
    legend = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert "0.00180 km² in slant range" in " ".join(legend)
    (bar,) = [artist for artist in figure.axes[0].artists if "Size" in type(artist).__name__]
    assert bar.txt_label.get_text().endswith(" m slant range")


@pytest.mark.parametrize(
    ("attrs", "area", "is_slant"),
    [
        ({"incidence_deg": 30.0}, 24.0, False),
        ({}, 12.0, True),
        ({"range_spacing": "ground"}, 12.0, False),
        ({"range_spacing": "ground", "incidence_deg": 30.0}, 12.0, False),
        ({"range_spacing": "slant", "incidence_deg": np.float32(30.0)}, 24.0, False),
    ],
)
def test_kinds_of_range(rng, attrs, area, is_slant):
    scene = scene_with_results(rng).assign_attrs(spacing_m=[4.0, 3.0], **attrs)
    found = pixel_area(scene, Georeference())
    assert (found.m2, found.is_slant, found.is_same) == (pytest.approx(area), is_slant, True)


def test_detected_images_are_in_ground_range(rng, tmp_path):
    scene = scene_with_results(rng, images="amplitude").assign_attrs(spacing_m=[4.0, 3.0])
    result = export(scene, tmp_path / "a.geojson", pair=0)
    assert fields(result)[1]["area_m2"].tolist() == [24 * 12, 9 * 12]
    assert "areas take the pixel spacing along x for ground range" in result.path.read_text()
    assert pixel_area(scene.assign_attrs(range_spacing="slant"), Georeference()).is_slant


@pytest.mark.parametrize("attrs", [{"incidence_deg": 0.0}, {"incidence_deg": 95.0}, {"incidence_deg": "steep"}])
def test_angles_that_are_none(rng, attrs):
    scene = scene_with_results(rng).assign_attrs(spacing_m=[4.0, 3.0], **attrs)
    with pytest.raises(SceneError, match=r"'incidence_deg' is .*[.] Set one angle in degrees, at mid-swath"):
        pixel_area(scene, Georeference())
    with pytest.raises(SceneError, match=r"'range_spacing' is 'sideways'[.] Set slant or ground"):
        pixel_area(scene.assign_attrs(range_spacing="sideways"), Georeference())


def test_rates_and_least_areas_of_slant_range_say_so(rng):
    scene = scene_with_results(rng).assign_attrs(spacing_m=[4.0, 3.0])
    with logged("areas and rates refer to slant range, .*: set it with 'sarcd ingest -o SCENE"):
        slant = evaluate(scene, objects=ObjectRules(min_area_m2=24.0)).isel(over=0)
    ground = evaluate(scene.assign_attrs(incidence_deg=30.0), objects=ObjectRules(min_area_m2=48.0)).isel(over=0)
    assert int(slant["objects_false"]) == int(ground["objects_false"])
    assert float(slant["false_objects_per_km2"]) == pytest.approx(2 * float(ground["false_objects_per_km2"]))


def test_control_points_tell_areas_on_the_ground(rng):
    """Holds for any spacing, which is that of slant range."""
    scene = scene_with_results(rng, georeference=control_points()).assign_attrs(spacing_m=[11.0, 5.0])
    found = pixel_area(scene, control_points())
    assert found.m2 == pytest.approx(2e-4 * 1e-4 * 111_413 * 55_800, rel=1e-3)
    assert not found.is_slant
    assert not found.is_same
    lost = Georeference(control_points().crs, None, control_points().gcps[:2])  # too few to define a surface
    assert pixel_area(scene, lost).is_slant


def placed(rng, crs, *transform):
    georeference = Georeference(CRS.from_user_input(crs), Affine(*transform))
    return scene_with_results(rng, georeference=georeference, pairs=1)


@pytest.mark.parametrize(
    ("crs", "transform", "pixel_m2"),
    [
        ("EPSG:32632", (10.0, 0, 6e5, 0, -10.0, 5e6), 100.0),
        ("EPSG:3857", (10.0, 0, 0, 0, -10.0, 8.4e6), 25.08),  # at 60 degrees north, on the ellipsoid
        ("EPSG:3031", (10.0, 0, -230, 0, -10.0, 120.0), 105.68),
        ("EPSG:32632+5773", (10.0, 0, 6e5, 0, -10.0, 5e6), 100.0),
        ('LOCAL_CS["mine grid",UNIT["foot",0.3048]]', (10.0, 0, 6e5, 0, -10.0, 5e6), 100 * 0.3048**2),
        ("EPSG:4326", (1e-4, 0, 179.998, 0, -1e-4, 60.0), 1e-8 * 111_413 * 55_800),
    ],
)
def test_areas_in_every_crs_and_everywhere_the_same(rng, tmp_path, crs, transform, pixel_m2):
    scene = placed(rng, crs, *transform)
    _, told = fields(export(scene, tmp_path / "a.gpkg"))
    np.testing.assert_allclose(told["area_m2"], [24 * pixel_m2, 9 * pixel_m2], rtol=5e-4)
    result = evaluate(scene, objects=True).isel(over=0)
    unchanged = int(result["fp"] + result["tn"])
    rate = int(result["objects_false"]) / (unchanged * pixel_m2 / 1e6)
    assert float(result["false_objects_per_km2"]) == pytest.approx(rate, rel=1e-3)
    ground = ground_of(scene)
    assert ground.x.length_m * ground.y.length_m == pytest.approx(60 * 80 * pixel_m2, rel=1e-3)
    legend = [entry.get_text() for entry in plot(scene).legends[0].get_texts()]
    changed = int((scene["change"] == 1).sum()) * pixel_m2 / 1e6
    assert f"{changed:#.3g} km²" in next(text for text in legend if text.startswith("mapped"))


def test_the_scale_of_web_mercator_is_that_of_the_ground(rng):
    ground = ground_of(placed(rng, "EPSG:3857", 10.0, 0, 0, 0, -10.0, 8.4e6))
    assert ground.x.label == "easting (m)"
    assert (ground.x.first, ground.x.last) == (0, 800)  # map coordinates
    assert ground.x.length_m == pytest.approx(800 * 0.5, rel=3e-3)
    assert ground_of(placed(rng, "EPSG:32632", *UTM.transform[:6])).x.length_m == 1600


def test_geojson_is_cut_at_the_180th_meridian(rng, tmp_path):
    scene = placed(rng, "EPSG:4326", 1e-3, 0, 179.977, 0, -1e-3, 10.0)
    first, _ = json.loads(export(scene, tmp_path / "a.geojson").path.read_text())["features"]
    assert first["geometry"]["type"] == "MultiPolygon"
    corners = np.array([corner for (ring,) in first["geometry"]["coordinates"] for corner in ring])
    assert {round(x, 6) for x in corners[:, 0]} == {179.997, 180.0, -180.0, -179.997}
    shapes, _ = fields(export(scene, tmp_path / "a.gpkg"))
    assert shapes[0].bounds == pytest.approx((179.997, 9.986, 180.003, 9.99))


def test_geojson_of_a_local_crs_says_that_it_is(rng, tmp_path):
    scene = placed(rng, 'LOCAL_CS["mine grid",UNIT["metre",1]]', 10.0, 0, 500, 0, -10.0, 9000.0)
    text = json.loads(export(scene, tmp_path / "a.geojson").path.read_text())
    assert "local CRS 'mine grid', which cannot be brought to WGS 84" in text["description"]
    assert text["features"][0]["geometry"]["coordinates"][0][0][1] > 8000


@pytest.mark.parametrize(
    ("crs", "transform", "wrong"),
    [
        ("EPSG:4326", (1.0, 0, 0, 0, -1.0, 100.0), "rows are beyond the pole, at a latitude of "),
        ("EPSG:32632", (1e-4, 0, 10, 0, -1e-4, 52.0), "the transform is in degrees but the CRS is not"),
        ("EPSG:4326", (10.0, 0, 6e5, 0, -10.0, 5e6), "rows are beyond the pole|is not a valid location"),
        ("EPSG:4978", (10.0, 0, 6e5, 0, -10.0, 5e6), "geocentric, which is not a map CRS"),
        ("+proj=longlat +R=3396190", (1e-4, 0, 10, 0, -1e-4, 10.0), "cannot be transformed to WGS 84"),
    ],
)
def test_what_has_no_place_is_refused_before_a_file_is_written(rng, tmp_path, crs, transform, wrong):
    with pytest.raises(SceneError, match=wrong):
        export(placed(rng, crs, *transform), tmp_path / "a.geojson")
    assert list(tmp_path.iterdir()) == []


def test_rows_up_to_the_pole(rng, tmp_path):
    """The centres of the first row are at the pole, and half of its pixels are beyond it."""
    scene = placed(rng, "EPSG:4326", 0.5, 0, 0, 0, -0.5, 90.25)
    scene["change"][0, :2, 4:6] = 1
    shapes, told = fields(export(scene, tmp_path / "a.gpkg"))
    assert shapes[0].bounds == (2, 89.25, 3, 90)
    r = 6_399_593.6258  # radius of curvature at the pole
    assert told["area_m2"][0] == pytest.approx(math.radians(1) * (math.radians(0.75) * r) ** 2 / 2, rel=1e-4)


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson"])
def test_control_points_about_a_pole(rng, tmp_path, suffix):
    """Pixels of 50 m, with the north pole in the middle of the first change."""
    back = pyproj.Transformer.from_crs(3413, 4326, always_xy=True).transform
    places = [(row, col) for row in range(0, 61, 15) for col in range(0, 81, 20)]
    points = [GroundControlPoint(row, col, *back((col - 23) * 50.0, (12 - row) * 50.0)) for row, col in places]
    scene = scene_with_results(rng, georeference=Georeference(CRS.from_epsg(4326), None, tuple(points)), pairs=1)
    shapes, told = fields(export(scene, tmp_path / f"a{suffix}"))
    np.testing.assert_allclose(told["area_m2"], [24 * 2500 / 0.9698582**2, 9 * 2500 / 0.9698582**2], rtol=2e-3)
    assert all(shape.is_valid for shape in shapes)
    assert shapes[0].bounds[::2] == (-180, 180)
    assert shapes[0].bounds[3] == 90


@pytest.mark.parametrize("places", [2, 5])
def test_control_points_on_both_sides_of_the_180th_meridian(rng, tmp_path, places):
    rows, columns = np.linspace(0, 60, places), np.linspace(0, 80, places)
    points = [
        GroundControlPoint(row, col, (179.9977 + 1e-4 * col + 180) % 360 - 180, 10 - 1e-4 * row)
        for row in rows
        for col in columns
    ]
    scene = scene_with_results(rng, georeference=Georeference(CRS.from_epsg(4326), None, tuple(points)), pairs=1)
    shapes, told = fields(export(scene, tmp_path / "a.geojson"))
    np.testing.assert_allclose(told["area_m2"], [24 * 121.27, 9 * 121.27], rtol=1e-3)
    assert sorted(part.bounds[0] for part in shapely.get_parts(shapes[0])) == pytest.approx([-180, 179.9997])
    assert np.isfinite(float(evaluate(scene, objects=True)["false_objects_per_km2"][0]))


def test_a_grid_of_an_unknown_unit_has_no_areas(rng):
    crs = CRS.from_wkt('LOCAL_CS["mine grid",UNIT["unknown",1],AXIS["X",EAST],AXIS["Y",NORTH]]')
    georeference = Georeference(crs, Affine(10.0, 0.0, 0.0, 0.0, -10.0, 500.0))
    scene = scene_with_results(rng, georeference=georeference)
    assert pixel_area(scene, georeference) is None
    assert ground_of(scene).x.metres is None
