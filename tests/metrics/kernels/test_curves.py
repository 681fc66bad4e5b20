"""Average precision and precision-recall curves, against scikit-learn, by hand, and within their own bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from sarcd.metrics.kernels import curves
from sarcd.metrics.kernels.reliability import Bins

FINE = {"probability": Bins("probability", 13), "score": Bins("score", 12)}
PIXELS = st.lists(st.tuples(st.booleans(), st.floats(0, 1, width=32)), min_size=1, max_size=60)


def arrays(pixels):
    return np.array([value for _, value in pixels], np.float32), np.array([changed for changed, _ in pixels])


def simulated(rng, count=100_000, *, share=0.02, shift=2.5, spread=1.5, offset=-4.0):
    """Simulate probabilities of a network: logits of two normal classes."""
    changed = rng.random(count) < share
    logit = rng.normal(offset, spread, count) + shift * changed
    return (1 / (1 + np.exp(-logit))).astype(np.float32), changed


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"share": 0.3, "offset": 0.0},
        {"offset": -12.0, "shift": 8.0},  # nearly all confident
        {"offset": 9.0, "shift": 3.0},  # close to 1
        {"spread": 0.05, "shift": 0.05, "offset": 0.0},  # close together in the middle
        {"count": 300},
    ],
)
def test_agrees_with_scikit_learn(rng, shape):
    probability, changed = simulated(rng, **shape)
    expected = average_precision_score(changed, probability)
    histogram = curves.score_histogram(probability, changed, FINE["probability"])
    assert curves.average_precision(histogram) == pytest.approx(expected, abs=1e-4)
    low, high = curves.average_precision_bounds(histogram, FINE["probability"].single())
    assert low - 1e-12 <= expected <= high + 1e-12
    assert high - low < 5e-4


def test_any_score_agrees_with_scikit_learn(rng):
    _, changed = simulated(rng)
    for score in (rng.normal(3 * changed, 2), rng.exponential(1 + changed) * 1e-3, -np.abs(rng.normal(2 - changed))):
        histogram = curves.score_histogram(score.astype(np.float32), changed, FINE["score"])
        expected = average_precision_score(changed, score.astype(np.float32))
        assert curves.average_precision(histogram) == pytest.approx(expected, abs=1e-4)


@given(PIXELS, st.integers(0, 4) | st.just(13), st.data())
def test_bounds_hold_in_bins_of_any_width(pixels, bits, data):
    score, changed = arrays(pixels)
    bins = Bins("probability", bits)
    histogram = curves.score_histogram(score, changed, bins)
    low, high = curves.average_precision_bounds(histogram, data.draw(st.sampled_from([None, bins.single()])))
    if not changed.any():
        assert np.isnan([low, high, curves.average_precision(histogram)]).all()
        return
    expected = average_precision_score(changed, score)
    assert low - 1e-9 <= expected <= high + 1e-9
    assert low - 1e-9 <= curves.average_precision(histogram) <= high + 1e-9
    low, high = curves.average_precision_bounds(histogram)  # the smooth estimate ignores ties
    assert low - 1e-9 <= curves.smooth_average_precision(histogram) <= high + 1e-9


@given(PIXELS)
def test_equal_scores_are_claimed_together(pixels):
    score, changed = arrays(pixels)
    score = np.round(score * 4) / 4  # one value per bin
    if changed.any():
        histogram = curves.score_histogram(score, changed, FINE["probability"])
        assert curves.average_precision(histogram) == pytest.approx(average_precision_score(changed, score), abs=1e-12)


def test_smooth_one_is_good_in_coarse_bins(rng):
    probability, changed = simulated(rng)
    expected = average_precision_score(changed, probability)
    coarse = curves.score_histogram(probability, changed, Bins("probability", 3))
    assert curves.smooth_average_precision(coarse) == pytest.approx(expected, abs=2e-3)
    assert abs(curves.average_precision(coarse) - expected) > 5 * abs(
        curves.smooth_average_precision(coarse) - expected
    )


def test_histograms_add_up(rng):
    probability, changed = simulated(rng, 5000)
    bins = FINE["probability"]
    whole = curves.score_histogram(probability, changed, bins)
    parts = [curves.score_histogram(probability[i::3], changed[i::3], bins) for i in range(3)]
    np.testing.assert_array_equal(sum(parts), whole)
    assert whole.dtype == np.int64
    assert whole.sum(axis=1).tolist() == [np.count_nonzero(~changed), np.count_nonzero(changed)]
    both = curves.average_precision(np.stack([whole, parts[0]]))
    assert both.tolist() == [curves.average_precision(whole), curves.average_precision(parts[0])]


def test_curve_is_that_of_scikit_learn(rng):
    probability, changed = simulated(rng, 3000, share=0.2)
    probability = np.round(probability * 512) / 512
    bins = FINE["probability"]
    levels = np.arange(1, 101) / 100
    threshold, precision = curves.precision_at_recall(
        curves.score_histogram(probability, changed, bins), bins.edges(), levels
    )
    precisions, recalls, thresholds = precision_recall_curve(changed, probability)
    for level, found, at in zip(levels, precision, threshold, strict=True):
        place = np.flatnonzero(recalls[:-1] >= level - 1e-12)[-1]  # the highest threshold with this recall
        assert found == pytest.approx(precisions[place])
        predicted = probability >= at
        np.testing.assert_array_equal(predicted, probability >= thresholds[place])
    assert np.isnan(curves.precision_at_recall(np.array([[4, 2], [0, 0]]), np.array([0, 1]), levels)).all()


@given(PIXELS, st.integers(0, 60))
def test_packed_histograms_add_up_to_the_whole(pixels, cut):
    score, changed = arrays(pixels)
    for bins in (Bins("probability", 1), FINE["probability"]):  # 98 bins: full and small blocks
        parts = [curves.packed_histogram(score[part], changed[part], bins) for part in (slice(cut), slice(cut, None))]
        whole = curves.score_histogram(score, changed, bins)
        packed = curves.add_packed([*parts, curves.pack(np.zeros_like(whole))])
        np.testing.assert_array_equal(packed, curves.pack(whole))
        number, histogram = curves.unpack(packed, bins)
        np.testing.assert_array_equal(histogram, whole[:, number])
        assert histogram.sum() == whole.sum() == len(pixels)
        if changed.any():
            assert curves.average_precision(histogram) == pytest.approx(curves.average_precision(whole), rel=1e-12)
    assert len(curves.packed_histogram(np.tile(score, 200), np.tile(changed, 200), Bins("score", 0))) == len(
        curves.packed_histogram(score, changed, Bins("score", 0))
    )
