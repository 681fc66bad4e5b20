import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.detection.kernels import CHANNELS, REACH_PX, PairScale, measure_scale, pair_features, swap_dates

SCALE = PairScale(middle=2.0, shift=0.1, noise=(0.3, 0.4), strength=0.5)


def speckle(looks, shape=(96, 80), seed=0):
    rng = np.random.default_rng(seed)
    return tuple(np.sqrt(rng.gamma(looks, 1 / looks, (2, *shape))))


def test_of_two_even_images_by_hand():
    found = pair_features(np.full((5, 5), 2.0), np.full((5, 5), 6.0), SCALE)[:, 2, 2]
    ratio = np.log(3.03 / 1.03)
    np.testing.assert_allclose(found, [0.05, ratio - 0.05, ratio - 0.1, ratio - 0.1, 0.3, 0.4, 0.5], rtol=1e-6)


def test_the_ratio_is_that_of_gaussian_means():
    before, after = speckle(1)
    y, x = np.mgrid[-REACH_PX : REACH_PX + 1, -REACH_PX : REACH_PX + 1]
    for layer, sigma in ((2, 1.0), (3, 2.5)):
        weights = np.exp(-0.5 * (y**2 + x**2) / sigma**2)
        part = slice(40 - REACH_PX, 40 + REACH_PX + 1)
        sums = [(weights * ((image[part, part] / 2.0 + 0.03) ** 2)).sum() for image in (before, after)]
        expected = 0.5 * np.log(sums[1] / sums[0]) - 0.1
        assert pair_features(before, after, SCALE)[layer, 40, 40] == pytest.approx(expected, rel=1e-5)


@given(top=st.integers(0, 60), left=st.integers(0, 50), height=st.integers(1, 30), width=st.integers(1, 30))
def test_a_part_has_the_features_of_the_whole(top, left, height, width):
    before, after = speckle(2)
    before[30:33, 20:50] = np.nan
    whole = pair_features(before, after, SCALE)
    rows = slice(max(top - REACH_PX, 0), top + height + REACH_PX)
    columns = slice(max(left - REACH_PX, 0), left + width + REACH_PX)
    part = pair_features(before[rows, columns], after[rows, columns], SCALE)
    part = part[:, top - rows.start :, left - columns.start :][:, :height, :width]
    np.testing.assert_array_equal(part, whole[:, top : top + height, left : left + width][:, : part.shape[1]])


def test_dates_swapped_before_or_after():
    before, after = speckle(3)
    one, other = measure_scale([(before, 2 * after)]), measure_scale([(2 * after, before)])
    swapped = swap_dates(pair_features(before, 2 * after, one))
    np.testing.assert_allclose(pair_features(2 * after, before, other), swapped, atol=1e-5)


def test_the_scale_of_the_images_does_not_matter():
    before, after = speckle(4)
    found = [pair_features(k * before, k * after, measure_scale([(k * before, k * after)])) for k in (1, 1e-3, 255)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def test_decibels_of_any_scale():
    before, after = (20 * np.log10(image) for image in speckle(4))
    found = [
        pair_features(k * before + c, k * after + c, measure_scale([(k * before + c, k * after + c)], decibels=True))
        for k, c in ((1, 0), (8.5, 170))
    ]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


def test_one_date_brighter_all_over_is_no_change():
    before, after = speckle(9)
    scale = measure_scale([(before, 3 * after)])
    assert scale.shift == pytest.approx(np.log(3), abs=0.05)  # minus the effect of the floor
    assert abs(np.median(pair_features(before, 3 * after, scale)[3])) < 1e-6


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_noise_is_that_of_log_amplitude(looks):
    from scipy.special import polygamma

    noise = measure_scale([speckle(looks, (256, 256))]).noise
    # the 3 % floor damps the low tail of single looks; the median of deviations is below the standard deviation
    assert noise[0] == pytest.approx(0.5 * np.sqrt(polygamma(1, looks)), rel=0.15)


def test_invalid_pixels_are_zero_and_take_no_part():
    before, after = speckle(4)
    holes = before.copy()
    holes[20, 20] = np.nan
    found, whole = pair_features(holes, after, SCALE), pair_features(before, after, SCALE)
    assert (found[:4, 20, 20] == 0).all()
    assert np.isfinite(found).all()
    far = np.ones(before.shape, bool)
    far[20 - REACH_PX : 21 + REACH_PX, 20 - REACH_PX : 21 + REACH_PX] = False
    np.testing.assert_array_equal(found[:, far], whole[:, far])


def test_nothing_to_measure():
    empty = np.full((8, 8), np.nan)
    assert measure_scale([(empty, empty)]) is None
    assert measure_scale([(np.zeros((8, 8)), np.zeros((8, 8)))]) is None
    assert measure_scale([(empty, empty)], decibels=True) is None


def test_names_match_layers():
    assert len(CHANNELS) == len(pair_features(*speckle(1), SCALE))


def test_an_image_that_is_mostly_zero_is_measured_on_the_rest():
    before, after = speckle(4)
    before[:60], after[:60] = 0, 0
    assert np.median(before) == 0
    found = measure_scale([(before, after)])
    assert found.middle == np.median(np.concatenate([before[60:], after[60:]]))
    assert np.isfinite(pair_features(before, after, found)).all()
