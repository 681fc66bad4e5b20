"""Mixture model that separates changed from unchanged ground by p-values."""

import numpy as np
import pytest

from sarcd.change.kernels.significance.history import TwoGroups, fit_two_groups
from sarcd.change.kernels.thresholds.histogram import count_cells, histogram


def fitted(p, **options):
    return fit_two_groups(histogram(count_cells(-np.log10(p).astype("float32"))), **options)


@pytest.mark.parametrize(("share", "exponent"), [(0.01, 0.05), (0.1, 0.2), (0.4, 0.1)])
def test_finds_the_mixture_and_the_rate_of_errors(rng, share, exponent):
    count = 400_000
    changed = rng.random(count) < share
    p = np.where(changed, rng.random(count) ** (1 / exponent), rng.random(count))
    groups = fitted(p)
    np.testing.assert_allclose([groups.share, groups.exponent], [share, exponent], rtol=0.1)
    probability = groups.probability(-np.log10(p))
    for low, high in ((0.2, 0.5), (0.5, 0.9), (0.9, 1.0)):
        inside = (probability >= low) & (probability < high)
        # changes near p = 1 are attributed to the unchanged group, so the probability is slightly too low
        slack = share * exponent / (1 - share) + 0.06
        assert probability[inside].mean() == pytest.approx(changed[inside].mean(), abs=slack)


def test_even_p_values_hold_no_change(rng):
    assert fitted(rng.random(200_000)) == TwoGroups(0.0, 1.0)
    assert fitted(rng.random(200_000) ** 0.8) == TwoGroups(0.0, 1.0)  # a conservative test
    assert (TwoGroups(0.0, 1.0).probability(np.array([0.0, 5.0, 300.0])) == 0).all()


def test_windows_that_overlap_are_not_so_many_witnesses(rng):
    p = np.concatenate([rng.random(100_000), np.full(25, 1e-6)])  # number of pixels in one window
    assert fitted(p).share > 0
    assert fitted(p, correlated=25).share == 0


def test_probability_by_hand():
    groups, p = TwoGroups(0.2, 0.5), np.array([1.0, 0.25, 1e-4])
    density = 0.8 + 0.2 * 0.5 * p**-0.5
    found = groups.probability(-np.log10(np.append(p, np.nan)))
    np.testing.assert_allclose(found, [*(1 - 0.9 / density), np.nan], rtol=1e-6)
    assert groups.probability(np.array([300.0]))[0] <= 1
