"""Effective looks and the bias table, against reference values of the formulas and against each other."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hyp2f1

from sarcd.estimation.kernels.bias import MIN_LOOKS, mean_coherence, unbias
from sarcd.estimation.kernels.looks import effective_looks, floor_looks, lag_correlation, valid_count
from sarcd.estimation.kernels.weighted import gaussian_weights
from sarcd.simulation.core.speckle import impulse_response, speckle
from tests.factories.speckle import noise

TRUTHS = (0.0, 0.3, 0.6, 0.9)
MEANS = {  # METHODS.md: by mpmath and Monte Carlo
    4: (0.457143, 0.511336, 0.666437, 0.904470),
    9: (0.299538, 0.395041, 0.623040, 0.901392),
    25: (0.178134, 0.331010, 0.607269, 0.900432),
    49: (0.126927, 0.314869, 0.603594, 0.900213),
}
DEVIATIONS = {9: (0.1462, 0.1663, 0.1448, 0.0485), 25: (0.0909, 0.1174, 0.0899, 0.0277)}


def correlation(oversampling, lags=32):
    response = impulse_response(oversampling)
    return np.array([response[lag:] @ response[:-lag] for lag in range(1, lags + 1)])


def boxcar_of(side):
    return np.ones(side), np.ones(side)


@pytest.mark.parametrize("looks", MEANS)
def test_mean_and_deviation_are_those_of_the_tables(looks):
    truth = np.array(TRUTHS)
    mean = mean_coherence(truth, looks)
    np.testing.assert_allclose(mean, MEANS[looks], atol=6e-7)
    if looks in DEVIATIONS:
        deviation = np.sqrt(mean_coherence(truth, looks, power=2) - mean**2)
        np.testing.assert_allclose(deviation, DEVIATIONS[looks], atol=6e-5)


@pytest.mark.parametrize(("looks", "truth"), [(2.5, 0.4), (8.96, 0.7), (30.0, 0.95)])
def test_mean_equals_the_integral_of_the_density(looks, truth):
    """Integrate the density of Touzi et al. 1999, an independent method, at non-integer looks."""

    def density(g):
        scale = 2 * (looks - 1) * (1 - truth**2) ** looks * g * (1 - g * g) ** (looks - 2)
        return g * scale * hyp2f1(looks, looks, 1, (truth * g) ** 2)

    assert mean_coherence(np.array([truth]), looks)[0] == pytest.approx(quad(density, 0, 1)[0], rel=1e-6)


@pytest.mark.parametrize("looks", [3.7, 8.96, 25.0, 441.0, 2401.0])
def test_unbias_inverts_the_mean(looks):
    truth = np.linspace(0, 0.98, 50)
    found = unbias(mean_coherence(truth, looks)[None].astype("float32"), looks)[0]
    np.testing.assert_allclose(found, truth, atol=2e-3 if looks > 5 else 8e-3)
    assert (np.diff(found) > 0).all()


def test_unbias_at_its_ends():
    floor = float(mean_coherence(np.zeros(1), 9.0)[0])
    found = unbias(np.array([[0, floor - 0.01, floor, 1, np.nan]], "float32"), 9.0)[0]
    np.testing.assert_allclose(found, [0, 0, 0, 1, np.nan], atol=2e-2)
    few = unbias(np.array([[0.7, 1.0]], "float32"), np.array([[0.3, 1.0]], "float32"))
    np.testing.assert_array_equal(few, unbias(np.array([[0.7, 1.0]], "float32"), MIN_LOOKS))


def test_looks_of_each_pixel_count():
    g = np.full((2, 300), 0.4, "float32")
    looks = np.tile(np.linspace(2, 60, 300), (2, 1))
    found = unbias(g, looks)
    assert (np.diff(found, axis=1) >= 0).all()
    alone = [unbias(g[:1, :1], float(looks[0, i]))[0, 0] for i in (0, 120, 299)]
    np.testing.assert_allclose(found[0, [0, 120, 299]], alone, atol=1e-6)


def test_effective_looks_of_the_usual_spectra():
    r = correlation(1.2)
    np.testing.assert_allclose(r[:3], (0.657, 0.184, 0.025), atol=2e-3)
    assert effective_looks(boxcar_of(5), (r, r)) == pytest.approx(8.3, abs=0.05)
    assert effective_looks(boxcar_of(7), (r, r)) == pytest.approx(15.3, abs=0.05)
    white = np.zeros(32)
    assert effective_looks((np.ones(5), np.ones(7)), (white, white)) == pytest.approx(35)
    assert effective_looks(boxcar_of(5), (np.ones(4), np.ones(4))) == pytest.approx(1)
    weights = gaussian_weights(7)
    expected = (weights.sum() ** 2 / (weights**2).sum()) ** 2
    assert effective_looks((weights, weights), (white, white)) == pytest.approx(expected, rel=1e-5)


def test_floor_looks_are_exact_where_the_answer_is_known():
    white = np.zeros(32)
    assert floor_looks(boxcar_of(5), (white, white)) == pytest.approx(25, rel=1e-9)
    assert floor_looks((np.ones(1), np.ones(2)), (white, white)) == pytest.approx(2, rel=1e-9)
    assert floor_looks(boxcar_of(3), (np.ones(2), np.ones(2))) == pytest.approx(1, rel=1e-9)
    # pixels fully correlated in pairs: as many looks as pairs
    alike = np.array([1.0, 0.0, 0.0])
    assert floor_looks((np.ones(2), np.ones(5)), (alike, white)) == pytest.approx(5, rel=1e-9)
    assert floor_looks((np.ones(31), np.ones(31)), (white, white)) == pytest.approx(961, rel=1e-6)


@pytest.mark.parametrize("window", [(1, 1), (3, 5), (7, 3), (21, 41)])
def test_valid_count_equals_a_plain_sum(rng, window):
    before, after = noise(rng, (12, 17)), noise(rng, (12, 17))
    before[rng.random((12, 17)) < 0.3] = np.nan
    after[rng.random((12, 17)) < 0.1] = np.inf
    valid = np.isfinite(before) & np.isfinite(after)
    half_y, half_x = window[0] // 2, window[1] // 2
    padded = np.pad(valid, ((half_y, half_y), (half_x, half_x)))
    expected = np.lib.stride_tricks.sliding_window_view(padded, window).sum((2, 3))
    np.testing.assert_array_equal(valid_count(before, after, window), expected)


def test_lag_correlation_is_that_of_the_spectrum_wherever_it_lies(rng):
    image = speckle(rng, (400, 400), oversampling=(1.2, 1.4))
    y, x = np.indices(image.shape)
    image = (image * np.exp(1j * (0.7 * y - 1.9 * x))).astype("complex64")
    image[rng.random(image.shape) < 0.1] = np.nan
    along_y, along_x = lag_correlation(image, (4, 6))
    np.testing.assert_allclose(along_y, correlation(1.2, 4), atol=0.02)
    np.testing.assert_allclose(along_x, correlation(1.4, 6), atol=0.02)


@pytest.mark.parametrize("rows_a_turn", [150, 75])
@pytest.mark.parametrize("axis", [0, 1])
def test_lag_correlation_follows_a_centroid_that_moves(axis, rows_a_turn):
    """In a TOPS burst that was not deramped, the centroid crosses the spectrum within the image."""
    image = speckle(np.random.default_rng(3), (300, 300), oversampling=(1.4, 1.2))
    chirp = np.exp(1j * np.pi * np.indices(image.shape)[axis] ** 2 / rows_a_turn)
    still, moving = lag_correlation(image, (4, 4)), lag_correlation((image * chirp).astype("complex64"), (4, 4))
    for found, expected, oversampling in zip(moving, still, (1.4, 1.2), strict=True):
        np.testing.assert_allclose(found, expected, atol=0.005)
        np.testing.assert_allclose(found, correlation(oversampling, 4), atol=0.03)


def test_lag_correlation_follows_a_centroid_that_jumps(rng):
    """At the seam of two bursts the centroid jumps."""
    image = speckle(rng, (300, 300), oversampling=(1.4, 1.2))
    y = np.arange(300)
    seam = np.exp(1j * np.pi * np.where(y < 140, y - 70, y - 220)[:, None] ** 2 / 150)
    found = lag_correlation((image * seam).astype("complex64"), (4, 4))
    for one, other in zip(found, lag_correlation(image, (4, 4)), strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.parametrize("shape", [(24, 24), (256, 256)])
def test_white_pixels_do_not_look_correlated_with_themselves(shape):
    """The centroid is estimated from the same noise; if a product contributed to the phase that is removed from it, r_1
    would be 0.04 for any image size.
    """
    found = [lag_correlation(noise(np.random.default_rng(seed), shape), (3, 3)) for seed in range(4)]
    np.testing.assert_allclose(np.mean(found, axis=0), 0, atol=1.7 / np.sqrt(2 * np.prod(shape)))


def test_lag_correlation_beyond_the_image_or_without_power_is_unknown(rng):
    along_y, along_x = lag_correlation(noise(rng, (3, 5)), (4, 4))
    np.testing.assert_array_equal(np.isnan(along_y), [False, False, True, True])
    assert np.isfinite(along_x).all()
    assert np.isnan(lag_correlation(np.full((4, 4), np.nan, "complex64"), (2, 2))[0]).all()
