"""Projection to slant range, by hand and against brute force."""

import numpy as np
import pytest
from scipy import ndimage

from sarcd.simulation.core.projection import HIGHEST_M, LAYOVER, LOWEST_M, SHADOW, View, gather, project

VIEW = View(35.0, 2.0, "right")
NEAR = 120


def seen(profile, view=VIEW, width=100, power=None):
    """Project one range line whose image begins `NEAR` columns into the ground."""
    height = np.repeat(np.asarray(profile, np.float32)[None], 3, axis=0)
    power = np.ones((1, len(profile)), np.float32) if power is None else power
    image, source, flags = project(height, power, view, near=NEAR, width=width)
    return image[0], source[0], flags[0]


def flat(height=0.0):
    return np.full(NEAR + 220, height, np.float32)


def test_level_ground_keeps_power_and_order_wherever_it_lies():
    for height in (0.0, 17.3, -40.0):
        image, source, flags = seen(flat(height))
        np.testing.assert_allclose(image, 1, rtol=1e-5)
        assert not flags.any()
        np.testing.assert_array_equal(np.diff(source), 1)
        # Height moves the ground towards the radar by h / tan(incidence).
        moved = source[50] - (NEAR + 50)
        assert moved == pytest.approx(height / np.tan(np.deg2rad(35)) / 2, abs=1)


def test_power_is_kept_by_foreshortening():
    # A slope towards the radar, short of layover: its ground occupies fewer columns; its area times cos^p is conserved.
    profile = flat()
    profile[NEAR + 40 :] = np.minimum(np.arange(180) * 2 * np.tan(np.deg2rad(20)), 21.8)
    image, _, flags = seen(profile)
    slope = np.deg2rad(20)
    area, local = 1 / np.cos(slope), np.deg2rad(35) - slope
    bright = area * (np.cos(local) / np.cos(np.deg2rad(35))) ** 1.5 / (1 - np.tan(slope) / np.tan(np.deg2rad(35)))
    assert not flags.any()
    assert image.max() == pytest.approx(bright, rel=0.02)
    steps = round(21.8 / (2 * np.tan(slope)))
    extra = image.sum() - 100
    # The columns vacated by the slope show the ground beyond.
    assert extra == pytest.approx(
        steps * (area * (np.cos(local) / np.cos(np.deg2rad(35))) ** 1.5 - 1) + 21.8 / 1.4, abs=1.5
    )


def test_a_face_towards_the_radar_is_laid_over():
    profile = flat()
    profile[NEAR + 60 :] = 20.0
    profile[NEAR + 59] = 10.0
    image, source, flags = seen(profile, width=90)
    over = np.flatnonzero(flags == LAYOVER)
    # 20 m are shifted by 20 / tan(35 deg) / 2 m = 14.3 columns: from 60 - 14.3 to the foot of the face at 58.
    np.testing.assert_array_equal(over, np.arange(46, 58))
    assert image[over].mean() > 2
    assert image[over[0] - 10 : over[0] - 1] == pytest.approx(1, abs=1e-4)
    assert source[80] == NEAR + 80 + 14


def test_a_wall_that_faces_away_casts_a_shadow():
    profile = flat(20.0)
    profile[NEAR + 60 :] = 0.0
    image, source, flags = seen(profile, width=120)
    dark = np.flatnonzero(flags & SHADOW)
    # From the edge of the wall, 14.3 columns nearer, to where its last ray ends: 20 m tan(35 deg) = 7 columns beyond.
    assert dark[0] == pytest.approx(59 - 14.3, abs=1)
    assert dark[-1] == pytest.approx(59 + 7, abs=1.1)
    assert (image[dark] < 0.6).all()
    assert (image[dark[2:-2]] == 0).all()
    np.testing.assert_array_equal(source[80:90], NEAR + np.arange(80, 90))


def test_power_falls_with_the_cosine_of_local_incidence():
    tilt = np.deg2rad(25)  # along azimuth: no column is shifted, only illumination changes
    height = (np.arange(3, dtype=np.float32) * 2 * np.tan(tilt))[:, None].repeat(NEAR + 220, axis=1)
    image, _, _ = project(height - height[1], np.ones((1, NEAR + 220), np.float32), VIEW, near=NEAR, width=50)
    np.testing.assert_allclose(image, np.cos(tilt) ** 1.5 / np.cos(tilt), rtol=1e-4)


def test_against_brute_force(rng):
    """Divide the ground into a thousand pieces per pixel and add each to its column unless an earlier one hides it."""
    profile = (ndimage.gaussian_filter(rng.standard_normal(NEAR + 220), 6) * 90).astype(np.float32)
    image, _, flags = seen(profile)
    at = np.linspace(0, len(profile) - 1, (len(profile) - 1) * 1000 + 1)[:-1] + 0.0005
    height = np.interp(at, np.arange(len(profile)), profile)
    theta = np.deg2rad(35)
    ray = (at - NEAR) * 2 * np.cos(theta) + height * np.sin(theta)
    visible = ray >= np.maximum.accumulate(ray)
    slope = np.diff(profile)[at.astype(int)] / 2
    area = np.hypot(1, slope)
    energy = area * ((slope * np.sin(theta) + np.cos(theta)) / (area * np.cos(theta))).clip(0) ** 1.5 / 1000
    column = np.floor(at - NEAR - height / np.tan(theta) / 2).astype(int)
    inside = visible & (column >= 0) & (column < 100)
    reference = np.bincount(column[inside], energy[inside], 100)
    np.testing.assert_allclose(image, reference, rtol=0.02, atol=0.02)
    assert set(np.flatnonzero(flags == SHADOW)) <= set(np.flatnonzero(reference < 0.5))
    assert flags.any()


def test_the_cut_of_the_image_changes_no_bit(rng):
    height = (ndimage.gaussian_filter(rng.standard_normal((7, 500)), 4) * 60).astype(np.float32)
    power = rng.random((5, 500), dtype=np.float32)
    whole = project(height, power, VIEW, near=150, width=200, left=1000)
    part = project(height[:, 60:], power[:, 60:], VIEW, near=150, width=80, left=1060)
    for one, other in zip(whole, part, strict=True):
        got = other + 60 if one.dtype == np.int32 else other
        np.testing.assert_array_equal(got, one[:, 60:140])


def test_the_reach_covers_all_heights():
    near, far = VIEW.reach_px()
    assert near > (-LOWEST_M) * VIEW.shift_px
    assert far > HIGHEST_M * VIEW.shift_px


def test_gather_by_hand():
    ground = np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(gather(ground, np.array([[0, 4], [2, 2]]), 1), [[5, 9], [12, 12]])
