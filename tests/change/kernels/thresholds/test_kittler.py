"""Minimum-error thresholds against the published criterion, for mixtures of known distribution and without change."""

import numpy as np
import pytest

from sarcd.change.kernels.ratios import log_ratio
from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
from sarcd.change.kernels.thresholds.kittler import CELLS, kittler


def of(values):
    return histogram(count_cells(np.asarray(values, "float32")))


def generalised(rng, shape, size):
    """Sample a generalised Gaussian of unit scale."""
    return rng.choice([-1, 1], size) * rng.gamma(1 / shape, size=size) ** (1 / shape)


def criterion(even, cut):
    """Return J of Kittler and Illingworth at a bin edge, in the published form."""
    width = even.edges[1] - even.edges[0]
    total = 1.0
    for part in (slice(None, cut), slice(cut, None)):
        share = even.shares[part].sum()
        mean = (even.shares[part] * even.centres[part]).sum() / share
        variance = (even.shares[part] * (even.centres[part] - mean) ** 2).sum() / share + width**2 / 12
        total += 2 * share * (np.log(np.sqrt(variance)) - np.log(share))
    return total


def test_with_gaussians_it_is_the_published_criterion(rng):
    values = of(np.concatenate([rng.normal(0, 1, 9000), rng.normal(6, 0.7, 1000)]))
    even = values.even(CELLS)
    inside = [cut for cut in range(1, CELLS) if 0 < even.shares[:cut].sum() < 1 - 1e-12]
    published = {cut: criterion(even, cut) for cut in inside}
    least = min(published.values())
    found = kittler(values, shape=2.0, tails="upper")
    assert published[int(np.searchsorted(even.edges, found.above))] == pytest.approx(least, abs=1e-9)
    assert np.median(list(published.values())) > least + 0.1
    one = 1 + 2 * np.log(np.sqrt((even.shares * (even.centres - even.shares @ even.centres) ** 2).sum()))
    assert found.facts["gain"] == pytest.approx((one - least) / 2, abs=1e-4)


def test_the_threshold_is_where_two_gaussians_are_equally_likely(rng):
    values = np.concatenate([rng.normal(0, 1, 180000), rng.normal(5, 0.8, 20000)])
    x = np.linspace(1, 4, 10001)
    densities = [0.9 * np.exp(-(x**2) / 2), 0.1 * np.exp(-(((x - 5) / 0.8) ** 2) / 2) / 0.8]
    expected = x[np.abs(densities[0] - densities[1]).argmin()]
    assert kittler(of(values), shape=2.0, tails="upper").above == pytest.approx(expected, abs=0.1)
    assert kittler(of(values), tails="upper").above == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize("shape", [1.0, 2.0, 4.0])
def test_shapes_are_found(shape, rng):
    values = np.concatenate([generalised(rng, shape, 90000), 20 + generalised(rng, shape, 10000)])
    found = kittler(of(values), tails="upper")
    np.testing.assert_allclose(found.facts["shapes"], shape, rtol=0.12)
    np.testing.assert_allclose(found.facts["means"], [0, 20], atol=0.1)
    np.testing.assert_allclose(found.facts["shares"], [0.9, 0.1], atol=0.002)


def test_long_tails_are_no_class_of_their_own(rng):
    values = of(generalised(rng, 1.0, 100000))
    assert not kittler(values).found
    assert kittler(values, shape=2.0).found


@pytest.mark.parametrize("looks", [1, 4, 9])
@pytest.mark.parametrize("window", [1, 5])
def test_unchanged_speckle_has_one_class(looks, window, rng):
    images = [np.sqrt(rng.gamma(looks, 1 / looks, (200, 200))).astype("float32") for _ in range(2)]
    difference = of(log_ratio(*images, (window, window), signed=True))
    for shape in (None, 2.0):
        found = kittler(difference, shape=shape)
        assert not found.found
        assert found.facts["gain"] == 0


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_both_tails_of_changed_speckle(share, rng):
    before, after = (np.sqrt(rng.gamma(4, 0.25, (300, 300))).astype("float32") for _ in range(2))
    side = round(300 * share / 2)
    after[:side] *= 2
    after[-side:] /= 2
    difference = log_ratio(before, after, (5, 5), signed=True)
    changed = np.zeros((300, 300), bool)
    changed[:side] = changed[-side:] = True
    for shape in (None, 2.0):
        found = kittler(of(difference), shape=shape)
        assert found.below < 0 < found.above
        assert (found.apply(difference) != changed).mean() < 0.02
        swapped = kittler(of(-difference), shape=shape)
        assert (swapped.below, swapped.above) == pytest.approx((-found.above, -found.below), abs=0.05)


def test_a_change_one_way_only_has_one_threshold(rng):
    values = np.concatenate([rng.normal(0.2, 0.3, 9000), rng.normal(-2, 0.3, 1000)])
    found = kittler(of(values))
    assert found.above is None
    assert -1.5 < found.below < -0.5


def test_one_value_has_no_second_class():
    for tails in ("upper", "both"):
        assert not kittler(of(np.zeros(10)), tails=tails).found
        assert not kittler(of(np.full(10, 3.0)), tails=tails).found
