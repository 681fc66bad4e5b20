"""Omnibus test: exact for any number of looks, and the dates of changes."""

import numpy as np
import pytest
from scipy.stats import chi2

from sarcd.change.kernels.significance.coherence import ratio_p
from sarcd.change.kernels.significance.omnibus import change_times, omnibus_p, one_more_p
from tests.factories.stacks import rates


@pytest.mark.parametrize("looks", [1, 2.3, 9, 100])
def test_of_two_dates_it_is_the_ratio_test(looks):
    ratio = np.exp(np.linspace(0.01, 12 / np.sqrt(looks), 40))
    expected = ratio_p(ratio, looks)
    known = expected > 1e-9
    found = omnibus_p(np.stack([np.ones(40), ratio]), looks)
    np.testing.assert_allclose(found[known], expected[known], rtol=2e-3)
    np.testing.assert_allclose(one_more_p(ratio, np.ones(40), 1, looks), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dates", [3, 6, 12])
def test_of_many_looks_it_is_the_approximation_by_chi_square(dates):
    """Return the two-term expansion of Conradsen et al. 2016, whose error falls with the cube of the looks."""
    n, rng = 30.0, np.random.default_rng(3)
    powers = rng.gamma(n, size=(dates, 200))
    ln_q = n * (dates * np.log(dates) + np.log(powers).sum(0) - dates * np.log(powers.sum(0)))
    degrees, rho = dates - 1, 1 - (dates / n - 1 / (n * dates)) / (6 * (dates - 1))
    at, w2 = -2 * rho * ln_q, -(dates - 1) / 4 * (1 - 1 / rho) ** 2
    cdf = chi2(degrees).cdf(at) + w2 * (chi2(degrees + 4).cdf(at) - chi2(degrees).cdf(at))
    np.testing.assert_allclose(omnibus_p(powers, n), 1 - cdf, atol=3e-5)


@pytest.mark.parametrize("looks", [1, 4, 9])
@pytest.mark.parametrize("dates", [2, 4, 10])
def test_rates_of_false_alarms(looks, dates):
    """Check rates of 5 % and 1 % within 10 %, and 0.1 % within four standard errors of 200,000 samples."""
    powers = np.random.default_rng(5).gamma(looks, size=(dates, 200_000))
    p, changed = change_times(powers, looks, 0.01)
    np.testing.assert_allclose(rates(p, (0.05, 0.01)), 1, atol=0.1)
    assert rates(p, (0.001,))[0] == pytest.approx(1, abs=0.28)
    assert changed.any(0).mean() <= (p <= 0.01).mean()


def test_it_knows_neither_unit_nor_order(rng):
    powers = rng.gamma(3, size=(5, 30))
    expected = omnibus_p(powers, 3)
    np.testing.assert_allclose(omnibus_p(powers[::-1] * 1e7, 3), expected, rtol=1e-6)
    assert np.isnan(omnibus_p(np.array([[1.0, 0.0], [np.nan, 1.0], [2.0, 1.0]]), 3)).all()


def test_looks_of_each_pixel_count(rng):
    powers, looks = rng.gamma(3, size=(4, 3, 5)), np.array([[3.0], [5.0], [9.0]]) * np.ones((3, 5))
    found = omnibus_p(powers, looks)
    np.testing.assert_array_equal(found[1], omnibus_p(powers[:, 1], 5.0))


def test_times_of_changes(rng):
    """At 9 looks, 10 dB changes at known dates are detected at those dates; the rest is at the false-alarm rate."""
    level = np.array([1, 1, 10, 10, 10, 1, 1], float)
    powers = rng.gamma(9, size=(7, 20_000)) * level[:, None]
    p, changed = change_times(powers, 9, 0.01)
    assert (p <= 0.01).all()
    share = changed.mean(1)
    assert share[1] > 0.97
    assert share[4] > 0.97
    assert share[[0, 2, 3, 5]].max() < 0.02


def test_changes_on_neighbouring_dates_are_two():
    powers = np.array([1.0, 1.1, 20.0, 0.9, 1.0])[:, None]
    np.testing.assert_array_equal(change_times(powers, 9, 0.01)[1][:, 0], [False, True, True, False])


def test_what_is_unknown_has_no_change():
    p, changed = change_times(np.array([[1.0, 1.0], [np.nan, 1.0], [100.0, 100.0]]), 9, 0.01)
    assert np.isnan(p[0])
    np.testing.assert_array_equal(changed, [[False, False], [False, True]])
