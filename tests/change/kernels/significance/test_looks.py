"""Looks of stacks: the omnibus test has its nominal rate over correlated pixels for any number of dates."""

import numpy as np
import pytest

from sarcd.change.kernels.significance.looks import StackLooks, ratio_looks, stack_looks
from sarcd.change.kernels.significance.omnibus import change_times, omnibus_p, omnibus_quantile, one_more_p
from sarcd.estimation.kernels.looks import eigenvalues
from tests.factories.stacks import rates

LAGS = np.array([0.657, 0.184, 0.025, 0.0])  # Hamming 0.6, 1.2 times oversampled
SQUARE = np.ones(5), np.ones(5)


def means(rng, dates, count):
    """Sample mean powers over 5 x 5 pixels from the eigenvalues of their correlation."""
    out = np.zeros((dates, count))
    for value in eigenvalues(SQUARE, (LAGS, LAGS)):
        out += value * rng.standard_exponential((dates, count))
    return out


@pytest.mark.parametrize(("dates", "over"), [(3, 1.0), (5, 1.12), (10, 1.25)])
def test_rates_on_oversampled_speckle(dates, over):
    """Check the 1 % rate within four standard errors of 150,000 samples; for more dates, looks of two are too many."""
    powers = means(np.random.default_rng(dates), dates, 150_000)
    looks = stack_looks(SQUARE, (LAGS, LAGS), dates, 0.01)
    assert len(looks.whole) == len(looks.one_more) == dates - 1
    p, changed = change_times(powers, looks, 0.01)
    assert rates(p, (0.01,))[0] == pytest.approx(1, abs=0.1)
    assert changed.any(0).mean() <= (p <= 0.01).mean()
    more = one_more_p(powers[-1], powers[:-1].mean(0), dates - 1, looks.one_more[-1])
    assert rates(more, (0.01,))[0] == pytest.approx(1, abs=0.1)
    assert rates(omnibus_p(powers, looks.whole[0]), (0.01,))[0] > over


def test_of_two_dates_they_are_those_of_the_ratio():
    """Inverting characteristic functions gives the same result as the grid."""
    from sarcd.change.kernels.significance.looks import _levels, _omnibus_looks, _one_more_looks

    levels = _levels(eigenvalues(SQUARE, (LAGS, LAGS)))
    for rate in (0.05, 0.001):
        two = ratio_looks(SQUARE, (LAGS, LAGS), rate)
        assert _omnibus_looks(levels, 2, rate, two) == pytest.approx(two, rel=5e-3)
        assert _one_more_looks(levels, 1, rate, two) == pytest.approx(two, rel=1e-3)
        assert stack_looks(SQUARE, (LAGS, LAGS), 2, rate) == StackLooks((two,), (two,))


@pytest.mark.parametrize("side", [1, 3, 9])
def test_independent_pixels_are_their_number(side):
    white = np.zeros(9)
    found = stack_looks((np.ones(side), np.ones(side)), (white, white), 4, 0.01)
    np.testing.assert_allclose([*found.whole, *found.one_more], side**2, rtol=2e-3)


def test_the_threshold_is_that_of_the_p_value():
    for dates, looks in ((2, 9.0), (5, 3.5)):
        value = omnibus_quantile(dates, looks, 0.02)
        # K - 1 equal dates, and one that gives the required statistic
        low, high = 1e-6, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            powers = np.r_[np.ones(dates - 1), middle]
            statistic = dates * np.log(powers.mean()) - np.log(powers).sum()
            low, high = (middle, high) if statistic > value else (low, middle)
        assert omnibus_p(powers[:, None], looks)[0] == pytest.approx(0.02, rel=1e-3)


def test_windows_that_are_cut_count_fewer():
    looks = StackLooks((9.0, 8.0), (9.0, 7.0))
    powers = np.random.default_rng(0).gamma(4, size=(3, 400))
    filled = np.where(np.arange(400) < 200, 1.0, 0.5)
    found, _ = change_times(powers, looks, 0.1, filled=filled)
    np.testing.assert_array_equal(found[:200], omnibus_p(powers[:, :200], 8.0))
    np.testing.assert_array_equal(found[200:], omnibus_p(powers[:, 200:], 4.5))
