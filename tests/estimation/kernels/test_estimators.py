"""Weighted, fringe-compensated and adaptive coherence against brute force, and properties of all estimators."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.estimation.kernels.frequencies import frequency as mean_frequency
from sarcd.estimation.kernels.frequencies import phase_steps
from sarcd.estimation.kernels.fringe import fringe
from sarcd.estimation.kernels.weighted import THRESHOLD, adaptive, gaussian_weights, weighted
from tests.factories.speckle import noise, noise_pair

WINDOW = (5, 7)
ESTIMATORS = {
    "boxcar": lambda a, b, **options: boxcar(a, b, WINDOW, **options),
    "gaussian": lambda a, b, **options: np.abs(
        weighted(a, b, (gaussian_weights(WINDOW[0]), gaussian_weights(WINDOW[1])), **options)
    ),
    "fringe": lambda a, b, **options: np.abs(fringe(a, b, WINDOW, **options)),
    "adaptive": lambda a, b, **options: np.abs(adaptive(a, b, WINDOW, 9.0, **options)[0]),
}
REACH = {"boxcar": 3, "gaussian": 3, "fringe": 10, "adaptive": 4}
every_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def windows(valid, window):
    """Return the bounds of the window around each pixel, clipped at the border."""
    half_y, half_x = window[0] // 2, window[1] // 2
    for y, x in np.ndindex(valid.shape):
        yield (y, x), np.s_[max(0, y - half_y) : y + half_y + 1, max(0, x - half_x) : x + half_x + 1]


def ratio(first, second, weights):
    power = np.sqrt((weights * abs(first) ** 2).sum() * (weights * abs(second) ** 2).sum())
    return (weights * first * second.conj()).sum() / power if power > 0 else np.nan


def holed(rng, shape, hole):
    images = noise_pair(rng, shape, 0.5)
    for image in images:
        image[rng.random(shape) < hole / 2] = np.nan + 1j * np.nan
    valid = np.isfinite(images[0]) & np.isfinite(images[1])
    return *images, valid, *(np.where(valid, image, 0).astype(complex) for image in images)


drawn = given(
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    window=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([3, 7])),
    hole=st.floats(0, 1),
    min_valid=st.floats(0.05, 1),
    seed=st.integers(0, 2**32 - 1),
)


@drawn
def test_gaussian_equals_brute_force(shape, window, hole, min_valid, seed):
    before, after, valid, first, second = holed(np.random.default_rng(seed), shape, hole)
    found = weighted(before, after, (gaussian_weights(window[0]), gaussian_weights(window[1])), min_valid)
    for (y, x), near in windows(valid, window):
        count = valid[near].sum()
        rows, columns = (np.arange(size)[part] - at for size, part, at in zip(shape, near, (y, x), strict=True))
        weights = np.exp(-8 * ((rows[:, None] / window[0]) ** 2 + (columns / window[1]) ** 2))
        enough = count >= 2 and count >= min_valid * valid[near].size
        expected = ratio(first[near], second[near], weights) if enough else np.nan
        np.testing.assert_allclose(found[y, x], expected, atol=1e-5)


@drawn
def test_adaptive_equals_brute_force(shape, window, hole, min_valid, seed):
    before, after, valid, first, second = holed(np.random.default_rng(seed), shape, hole)
    found, count = adaptive(before, after, window, 9.0, min_valid)
    means = np.full((2, *shape), np.nan)
    for at, near in windows(valid, (3, 3)):
        if valid[near].any():
            means[(slice(None), *at)] = [(abs(z[near]) ** 2).sum() / valid[near].sum() for z in (first, second)]
    for (y, x), near in windows(valid, window):
        both = (means[:, y, x, None, None] + means[(slice(None), *near)]) / 2
        terms = 2 * np.log(both) - np.log(means[:, y, x, None, None]) - np.log(means[(slice(None), *near)])
        rows, columns = (abs(np.arange(size)[part] - at) for size, part, at in zip(shape, near, (y, x), strict=True))
        core = (rows[:, None] <= 1) & (columns <= 1)
        alike = (core | (18 * terms.sum(0) <= THRESHOLD)) & valid[near]
        enough = alike.sum() >= 2 and valid[near].sum() >= min_valid * valid[near].size and np.isfinite(means[0, y, x])
        assert count[y, x] == alike.sum() or not np.isfinite(means[0, y, x])
        np.testing.assert_allclose(
            found[y, x], ratio(first[near], second[near], alike) if enough else np.nan, atol=1e-5
        )


def test_equal_weights_are_the_boxcar_and_give_its_phase(rng):
    before, after = noise_pair(rng, (90, 70), 0.6)
    found = weighted(before, after, (np.ones(5), np.ones(7)))
    np.testing.assert_allclose(np.abs(found), boxcar(before, after, (5, 7)), atol=1e-5)
    turned = weighted(before, after * np.complex64(np.exp(-1j)), (np.ones(5), np.ones(7)))
    np.testing.assert_allclose(np.angle(turned * found.conj()), 1, atol=1e-4)


def test_fringe_is_the_boxcar_where_no_frequency_is_significant(rng):
    before, after = noise_pair(rng, (60, 60), 0.0)
    difference = np.abs(np.abs(fringe(before, after, (5, 5))) - boxcar(before, after, (5, 5)))
    assert (difference < 1e-5).mean() > 0.9


@pytest.mark.parametrize("frequency", [(0.0, 0.63), (-0.4, 0.0), (0.9, -1.3), (2.5, 3.0)])
def test_fringe_follows_any_clean_ramp(frequency):
    y, x = np.indices((70, 75))
    after = np.exp(-1j * (frequency[0] * y + frequency[1] * x)).astype("complex64")
    before = np.ones_like(after)
    found = [mean_frequency(steps) for steps in phase_steps(before, after)]
    np.testing.assert_allclose(found, frequency, atol=1e-3)
    found = fringe(before, after, WINDOW)
    np.testing.assert_allclose(np.abs(found), 1, atol=1e-3)
    interferogram = before * after.conj()  # the phase remains that of the centre pixel, including fringes
    np.testing.assert_allclose(np.angle(found * interferogram.conj()), 0, atol=2e-2)


def test_adaptive_takes_one_side_of_a_clear_edge(rng):
    before, after = noise_pair(rng, (40, 40), 0.5)
    gains = np.ones((40, 40), "float32")
    found = []
    for gain in (100, 1000):
        gains[:, 20:] = gain
        found.append(adaptive(before * gains, after * gains, (9, 9), 9.0)[0][:, :18])
    np.testing.assert_array_equal(*found)


@every_estimator
def test_swap_scale_and_phase_change_nothing(name, rng):
    estimate = ESTIMATORS[name]
    before, after = noise_pair(rng, (40, 31), 0.5)
    reference = estimate(before, after)
    np.testing.assert_allclose(estimate(after, before), reference, atol=2e-6)
    turned = (after * 3e4 * np.exp(2j)).astype("complex64")
    np.testing.assert_allclose(estimate(before, turned), reference, atol=2e-4 if name == "fringe" else 2e-5)


@every_estimator
def test_bright_target_leaves_ground_beyond_the_reach_alone(name, rng):
    before, after = noise_pair(rng, (60, 60), 0.3)
    dark = ESTIMATORS[name](before, after)
    for image in (before, after):
        image[30, 30] *= 1e4
    bright = ESTIMATORS[name](before, after)
    outside = np.ones((60, 60), bool)
    reach = REACH[name]
    outside[30 - reach : 31 + reach, 30 - reach : 31 + reach] = False
    np.testing.assert_array_equal(bright[outside], dark[outside])
    assert (bright != dark).any()


@every_estimator
@settings(max_examples=10)
@given(top=st.integers(0, 90), left=st.integers(0, 30), height=st.integers(25, 60), hole=st.sampled_from([0.0, 0.3]))
def test_part_of_an_image_gives_the_same_bytes(name, top, left, height, hole):
    before, after, *_ = holed(np.random.default_rng(3), (150, 60), hole)
    part = np.s_[top : top + height, left : left + 30]
    reach = REACH[name]
    inner = np.s_[reach:-reach, reach:-reach]
    whole, alone = (ESTIMATORS[name](*images) for images in ((before, after), (before[part], after[part])))
    if name == "boxcar":  # its running sums depend on the row they start from
        np.testing.assert_allclose(alone[inner], whole[part][inner], atol=1e-5)
    else:
        np.testing.assert_array_equal(alone[inner], whole[part][inner])


@every_estimator
def test_one_of_images_alike_and_never_zero_over_zero(name, rng):
    estimate = ESTIMATORS[name]
    z = noise(rng, (50, 40)) * np.exp(rng.uniform(-30, 30, (50, 40))).astype("float32")
    assert np.abs(estimate(z, z) - 1).max() < 1e-5
    dark = z.copy()
    dark[:, 10:] = 0
    found = estimate(dark, z)
    assert np.isnan(found[:, 20:]).all()
    assert np.isfinite(found[:, :8]).all()
    assert np.isnan(estimate(np.full_like(z, np.nan), z)).all()
    assert np.isnan(estimate(z[:1, :1], z[:1, :1])).all()
    assert estimate(z[:0], z[:0]).shape == (0, 40)


@every_estimator
def test_least_share_of_valid_pixels(name, rng):
    before, after = noise_pair(rng, (30, 30), 0.5)
    before[:, 15:] = np.nan
    half = ESTIMATORS[name](before, after, min_valid=0.5)
    # of 7 columns, 4 are valid around column 14 and 3 around column 15
    assert np.isfinite(half[:, :15]).all()
    assert np.isnan(half[:, 15:]).all()
    assert np.isnan(ESTIMATORS[name](before, after, min_valid=1.0)[:, 12:]).all()
    assert np.isfinite(ESTIMATORS[name](before, after, min_valid=0.2)[:, :16]).all()
