"""Looks estimated from intensity alone, on simulated speckle of known looks over heterogeneous ground."""

import numpy as np
import pytest

from sarcd.estimation.kernels.looks import local_looks, looks_mode


@pytest.mark.parametrize(("looks", "bias"), [(1, 0.1), (4, 0.06), (9, 0.05), (30, 0.05)])
def test_looks_are_found_where_a_part_of_the_ground_is_even(looks, bias, rng):
    ground = np.ones((300, 300))
    ground[:, 180:] = rng.gamma(2, 0.5, (300, 120))  # independent texture at every pixel
    ground[::40] *= 30  # roads
    power = ground * rng.gamma(looks, 1 / looks, ground.shape)
    assert looks_mode([local_looks(power, 9)]) == pytest.approx(looks, rel=bias)
    assert power.mean() ** 2 / power.var() < 0.5 * looks


def test_the_scale_and_the_parts_do_not_matter(rng):
    power = rng.gamma(4, size=(60, 90))
    whole = looks_mode([local_looks(power, 9)])
    assert looks_mode([local_looks(power * 1e6, 9)]) == pytest.approx(whole)
    parts = [local_looks(power[:, x : x + 30], 9) for x in (0, 30, 60)]
    assert looks_mode(parts) == pytest.approx(whole, rel=0.15)


def test_windows_that_are_not_whole_valid_or_various_are_left_out(rng):
    power = rng.gamma(4, size=(9, 11))
    assert local_looks(power, 9).size == 3
    power[4, 1] = np.nan
    assert local_looks(power, 9).size == 1
    assert local_looks(np.ones((9, 9)), 9).size == 0
    assert local_looks(np.zeros((9, 9)), 9).size == 0
    assert local_looks(np.ones((5, 5)), 9).size == 0
    assert looks_mode([np.zeros(0)]) is None
    assert looks_mode([]) is None
    assert looks_mode([np.array([3.0])]) == pytest.approx(3)
    values = rng.gamma(4, size=(3, 3))
    assert local_looks(values, 3)[0] == pytest.approx(values.mean() ** 2 / values.var(ddof=1))
