"""Axes of a figure, and areas."""

import math

import numpy as np
import pytest
from affine import Affine

from sarcd.geography.georeference import Georeference
from sarcd.geography.ground import PixelArea, ground_of, pixel_area
from tests.factories.results import ASKEW, DEGREES, UTM, control_points, scene_with_results

SHAPE = (60, 80)


def scene(rng, georeference=None, **attrs):
    return scene_with_results(rng, SHAPE, georeference=georeference, keep=["change"]).assign_attrs(attrs)


def test_utm(rng):
    ground = ground_of(scene(rng, UTM))
    assert (ground.x.first, ground.x.last, ground.y.first, ground.y.last) == (600_000, 601_600, 5_100_000, 5_099_400)
    assert (ground.x.label, ground.y.label, ground.north_up) == ("easting (m)", "northing (m)", True)
    assert ground.ratio == pytest.approx(1600 / 600)
    assert pixel_area(scene(rng, UTM), UTM) == PixelArea(200)


def test_degrees_shrink_towards_the_pole(rng):
    ground = ground_of(scene(rng, DEGREES))
    assert ground.x.label == "longitude (degrees)"
    assert ground.aspect == pytest.approx(1 / math.cos(math.radians(60 - 0.003)), rel=0.005)  # and flattening
    assert ground.x.length_m == pytest.approx(80 * 2e-4 * 111_320 / 2, rel=3e-3)


def test_a_cut_scene_keeps_its_place(rng):
    whole, cut = scene(rng, UTM), scene(rng, UTM).isel(y=slice(10, 30, 2), x=slice(5, 6))
    ground = ground_of(cut)
    assert (ground.x.first, ground.x.last) == (600_100, 600_120)
    assert (ground.y.first, ground.y.last) == (5_100_000 - 95, 5_100_000 - 295)
    assert ground_of(whole).y.centres(60)[10] == ground.y.centres(10)[0]


def test_radar_geometry_in_pixels_and_in_metres(rng):
    ground = ground_of(scene(rng))
    assert (ground.x.label, ground.y.label) == ("range (pixels)", "azimuth (pixels)")
    assert (ground.y.first, ground.y.last, ground.x.metres, ground.aspect) == (0, 60, None, 1)
    spaced = scene(rng, control_points(), spacing_m=[14.0, 2.5])
    ground = ground_of(spaced.isel(x=slice(20, 60, 4)))
    assert (ground.x.label, ground.y.label) == ("slant range (m)", "azimuth (m)")
    assert (ground.y.last, ground.x.first, ground.x.last) == (840, 46.25, 146.25)
    assert ground.x.length_m == pytest.approx(40 * 2e-4 * 55_800, rel=1e-3)  # from the control points
    assert pixel_area(scene(rng, spacing_m=[14.0, 2.5]), Georeference()) == PixelArea(35, is_slant=True)


def test_long_axes_are_in_kilometres(rng):
    ground = ground_of(scene(rng, spacing_m=[200.0, 100.0]))
    assert (ground.y.label, ground.y.last, ground.y.metres) == ("azimuth (km)", 12, 1000)
    assert (ground.x.label, ground.x.last) == ("slant range (m)", 8000)
    assert ground.aspect == 1000


def test_detected_images_and_maps_askew_have_rows_and_columns(rng):
    detected = scene_with_results(rng, SHAPE, images="amplitude", keep=[])
    assert ground_of(detected).x.label == "column (pixels)"
    assert ground_of(scene(rng, ASKEW)).y.label == "row (pixels)"
    assert pixel_area(scene(rng, ASKEW), ASKEW).m2 == pytest.approx(400)


def test_own_metres_without_a_map(rng):
    local = scene(rng)
    metres = {dim: (dim, (np.arange(size) + 0.5) * 2.5, {"units": "m"}) for dim, size in zip("yx", SHAPE, strict=True)}
    local = local.assign_coords(metres)
    ground = ground_of(local)
    assert (ground.x.label, ground.x.last, ground.north_up) == ("range (m)", 200, False)
    own = Georeference(None, Affine.scale(2.5))
    assert pixel_area(local, own) == PixelArea(6.25, is_slant=True)
    assert pixel_area(local.assign_attrs(range_spacing="ground"), own) == PixelArea(6.25)
