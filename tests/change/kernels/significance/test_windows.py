"""Window means, their looks, and the looks of correlated speckle."""

import numpy as np
import pytest

from sarcd.change.kernels.significance.coherence import ratio_p
from sarcd.change.kernels.significance.looks import berger, count_valid, enough, looks_of, mean_power, ratio_looks
from sarcd.estimation.kernels.looks import effective_looks
from sarcd.estimation.kernels.looks import valid_count as counted
from sarcd.simulation.core.speckle import impulse_response
from tests.factories.speckle import noise
from tests.factories.stacks import rates

SPECTRUM = impulse_response(1.2)
LAGS = np.array([SPECTRUM[lag:] @ SPECTRUM[:-lag] for lag in range(1, 8)])


@pytest.mark.parametrize("window", [(1, 1), (3, 5), (7, 3)])
def test_means_and_counts_equal_plain_sums(rng, window):
    image = noise(rng, (12, 17))
    image[rng.random((12, 17)) < 0.4] = np.nan
    valid = np.isfinite(image)
    edge = ((window[0] // 2,) * 2, (window[1] // 2,) * 2)
    power = np.pad(np.where(valid, abs(image) ** 2, np.nan), edge, constant_values=np.nan)
    parts = np.lib.stride_tricks.sliding_window_view(power, window)
    known = np.isfinite(parts).sum((2, 3))
    expected = np.where(known > 0, np.nansum(parts, (2, 3)) / np.maximum(known, 1), np.nan)
    np.testing.assert_allclose(mean_power(image, valid, window), expected, rtol=1e-5)
    np.testing.assert_array_equal(count_valid(valid, window), counted(image, image, window))
    inside = counted(np.ones_like(image), np.ones_like(image), window)
    np.testing.assert_array_equal(enough(valid, window, 0.5), valid & (counted(image, image, window) >= inside / 2))


def test_looks_by_hand():
    np.testing.assert_allclose(looks_of(np.array([1, 5, 9]), 5.0, 9), [1, 3, 5])
    np.testing.assert_allclose(looks_of(np.array([1]), 3.0, 1), [3])
    assert float(berger(np.float64(0.5), 1e-30, 4e-30)) == pytest.approx(0.4)


@pytest.mark.parametrize("rate", [0.05, 0.001])
def test_looks_of_independent_pixels_are_their_number(rate):
    white = np.zeros(7)
    assert ratio_looks((np.ones(2), np.ones(3)), (white, white), rate) == pytest.approx(6, rel=2e-3)
    assert ratio_looks((np.ones(1), np.ones(1)), (white, white), rate) == pytest.approx(1, rel=2e-3)
    alike = np.ones(7)
    assert ratio_looks((np.ones(3), np.ones(3)), (alike, alike), rate) == pytest.approx(1, rel=2e-3)


def test_rates_on_oversampled_speckle():
    """With 5 x 5 means sampled from the eigenvalues of their correlation, the F test has its nominal rate."""
    weights = np.ones(5), np.ones(5)
    distance = abs(np.subtract.outer(np.arange(5), np.arange(5)))
    line = np.linalg.eigvalsh(np.r_[1, LAGS][distance])
    values = np.outer(line, line).ravel()
    rng = np.random.default_rng(2)
    means = [(rng.exponential(size=(200_000, 25)) * values).sum(1) for _ in range(2)]
    for rate in (0.05, 0.01):
        looks = ratio_looks(weights, (LAGS, LAGS), rate)
        assert rates(ratio_p(means[1] / means[0], looks), (rate,))[0] == pytest.approx(1, abs=0.1)
        plain = effective_looks(weights, (LAGS, LAGS))
        assert rates(ratio_p(means[1] / means[0], plain), (rate,))[0] < 0.85
