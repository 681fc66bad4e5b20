import numpy as np
import pytest

from sarcd.simulate.terrain import BRIGHTEST_DB, DARKEST_DB, slope_gain_db


def gain(slope, look="right", incidence_deg=35.0):
    height = np.repeat((np.arange(9, dtype=np.float32) * slope * 2)[None], 3, axis=0)
    return slope_gain_db(height, spacing_m=2.0, incidence_deg=incidence_deg, look=look)[1, 4]


def test_flat_ground_is_neither_brighter_nor_darker():
    assert gain(0.0) == pytest.approx(0, abs=1e-5)


def test_a_slope_by_hand():
    slope = np.deg2rad(15)
    local, flat = np.deg2rad(35) - slope, np.deg2rad(35)
    expected = 10 * np.log10((np.cos(local) / np.cos(flat)) ** 1.5 * np.sin(flat) / np.sin(local))
    assert gain(np.tan(slope)) == pytest.approx(expected, abs=1e-4)


def test_slopes_that_face_the_radar_are_bright_and_the_look_turns_that_round():
    assert gain(0.3) > 0 > gain(-0.3)
    assert gain(0.3, look="left") == pytest.approx(gain(-0.3, look="right"), abs=1e-5)


def test_layover_and_shadow_are_limited():
    assert gain(0.75) == pytest.approx(BRIGHTEST_DB)
    assert gain(-5.0) == pytest.approx(DARKEST_DB)
    assert np.isfinite(gain(1000.0))


def test_one_column_is_flat():
    assert not slope_gain_db(np.ones((4, 1), np.float32), spacing_m=2, incidence_deg=35, look="right").any()
