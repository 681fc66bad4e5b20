"""Intensity difference images: by hand, against loops over windows, and against the statistics of speckle."""

import numpy as np
import pytest
from scipy.special import polygamma

from sarcd.change.kernels.ratios import gauss_log_ratio, log_ratio, mean_ratio, neighbourhood_ratio
from sarcd.estimation.kernels.weighted import gaussian_weights
from sarcd.estimation.kernels.windows import box, window_moments, window_sum

KERNELS = (log_ratio, gauss_log_ratio, mean_ratio, neighbourhood_ratio)


def speckled(rng, shape, looks):
    """Return the amplitude of speckle of unit power, float32."""
    return np.sqrt(rng.gamma(looks, 1 / looks, shape)).astype("float32")


def windows_of(image, y, x, window):
    """Return the window around a pixel, clipped at the image border, and the position of the pixel in it."""
    top, left = max(y - window[0] // 2, 0), max(x - window[1] // 2, 0)
    part = image[top : y + window[0] // 2 + 1, left : x + window[1] // 2 + 1]
    return part, (y - top, x - left)


def by_hand(kernel, before, after, window, floor):
    """Return each difference image computed from its formula, pixel by pixel, from amplitudes."""
    out = np.full(before.shape, np.nan)
    down, along = np.meshgrid(*(gaussian_weights(size) for size in window), indexing="ij")
    for y, x in np.ndindex(before.shape):
        (a, at), (b, _) = (windows_of(image.astype(float) + floor, y, x, window) for image in (before, after))
        valid = np.isfinite(a) & np.isfinite(b)
        if not valid[at]:
            continue
        if kernel is neighbourhood_ratio:
            both = np.concatenate([a[valid], b[valid]])
            theta = min(both.std() / both.mean(), 1)
            others = valid.copy()
            others[at] = False
            low, high = np.minimum(a, b), np.maximum(a, b)
            around = low[others].sum() / high[others].sum()
            out[y, x] = 1 - (theta * low[at] / high[at] + (1 - theta) * around)
            continue
        weights = np.ones(a.shape)
        if kernel is gauss_log_ratio:
            top, left = window[0] // 2 - at[0], window[1] // 2 - at[1]
            weights = (down * along)[top : top + a.shape[0], left : left + a.shape[1]]
        ratio = (weights * b)[valid].sum() / (weights * a)[valid].sum()
        out[y, x] = 1 - min(ratio, 1 / ratio) if kernel is mean_ratio else abs(np.log(ratio))
    return out


@pytest.mark.parametrize("kernel", KERNELS)
def test_equals_the_formula_at_every_pixel(kernel, rng):
    before, after = (rng.integers(0, 256, (9, 11)).astype("float32") for _ in range(2))
    before[4, 5] = after[0, 0] = np.nan
    found = kernel(before, after, (5, 3), domain="amplitude", floor=1.0)
    np.testing.assert_allclose(found, by_hand(kernel, before, after, (5, 3), 1.0), rtol=1e-5)
    assert np.isnan(found).sum() == 2
    assert found.dtype == np.float32


@pytest.mark.parametrize("kernel", KERNELS)
def test_invariants(kernel, rng):
    before, after = (rng.gamma(2, size=(20, 21)).astype("float32") for _ in range(2))
    found = kernel(before, after, (3, 5))
    np.testing.assert_allclose(kernel(after, before, (3, 5)), found, rtol=1e-5)  # symmetric in the dates
    np.testing.assert_allclose(kernel(7 * before, 7 * after, (3, 5)), found, rtol=1e-4)  # scale invariant
    np.testing.assert_allclose(kernel(before, before, (3, 5)), 0, atol=1e-6)
    np.testing.assert_array_equal(kernel(before * np.complex64(1j), after, (3, 5)), found)  # phase invariant
    assert found.min() >= 0


def test_sign_and_domain(rng):
    before, after = (rng.gamma(2, size=(20, 21)).astype("float32") for _ in range(2))
    signed = log_ratio(before, after, (3, 3), signed=True)
    np.testing.assert_array_equal(signed, -log_ratio(after, before, (3, 3), signed=True))
    np.testing.assert_array_equal(np.abs(signed), log_ratio(before, after, (3, 3)))
    one = log_ratio(before, after, (1, 1), signed=True)
    np.testing.assert_allclose(one, 2 * log_ratio(before, after, (1, 1), signed=True, domain="amplitude"), rtol=1e-5)


def test_dark_pixels_have_a_logarithm_by_the_floor_alone():
    dark, bright = np.zeros((1, 1), "float32"), np.full((1, 1), 7, "float32")
    for kernel in KERNELS[:3]:
        assert np.isnan(kernel(dark, bright, (1, 1)))
    assert log_ratio(dark, bright, (1, 1), domain="amplitude", floor=1)[0, 0] == pytest.approx(np.log(8))
    assert log_ratio(dark, bright, (1, 1), floor=1)[0, 0] == pytest.approx(np.log(50))
    assert mean_ratio(dark, bright, (1, 1), domain="amplitude", floor=1)[0, 0] == pytest.approx(7 / 8)
    assert neighbourhood_ratio(np.zeros((1, 2)), np.zeros((1, 2)), (1, 3), floor=1).tolist() == [[0, 0]]


@pytest.mark.parametrize("looks", [1, 4, 9])
def test_log_ratio_of_speckle_has_the_variance_of_theory(looks, rng):
    before, after = (speckled(rng, (300, 300), looks) for _ in range(2))
    found = log_ratio(before, after, (1, 1), signed=True).astype(float)
    expected = 2 * float(polygamma(1, looks))
    assert found.var() == pytest.approx(expected, rel=0.03)
    assert abs(found.mean()) < 4 * np.sqrt(expected / found.size)


def test_a_bright_target_leaves_nothing_behind():
    before = np.ones((9, 30), "float32")
    before[4, 10] = 1e15
    after = np.ones((9, 30), "float32")
    found = log_ratio(before, after, (5, 5))
    assert (found[:, 13:] == 0).all()
    assert (found[:, :8] == 0).all()


def test_window_sums_are_those_of_a_loop(rng):
    image = rng.normal(size=(6, 7))
    weights = (np.array([1.0, 2, 1]), np.array([3.0, 4, 5, 4, 3]))
    padded = np.pad(image, ((1, 1), (2, 2)))
    expected = [[(padded[y : y + 3, x : x + 5] * np.outer(*weights)).sum() for x in range(7)] for y in range(6)]
    np.testing.assert_allclose(window_sum(image, weights), expected)
    valid = rng.random((6, 7)) > 0.4
    mean, variance = window_moments(np.where(valid, image, np.nan), valid, box((3, 3)))
    part = image[1:4, 2:5][valid[1:4, 2:5]]
    assert (mean[2, 3], variance[2, 3]) == pytest.approx((part.mean(), part.var()))
