"""Patches in blocks and whole, and intervals compared with brute-force resampling and their nominal coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.metrics.kernels.curves import score_histogram
from sarcd.metrics.kernels.patches import bootstrap_intervals, merge_patches, patch_counts, patch_histograms
from sarcd.metrics.kernels.reliability import Bins
from sarcd.metrics.kernels.scores import scores

BINS = Bins("probability", 1)


def brute_patches(score, changed, evaluated, patch):
    """Return counts and histogram by position, computed patch by patch."""
    found = {}
    for y in range(0, score.shape[0], patch):
        for x in range(0, score.shape[1], patch):
            part = slice(y, y + patch), slice(x, x + patch)
            known, real, claim = evaluated[part], changed[part], score[part] >= 0.5
            if known.any():
                counts = [np.sum(known & a & b) for a, b in ((real, claim), (~real, claim), (real, ~claim))]
                counts.append(np.sum(known & ~real & ~claim))
                found[y // patch, x // patch] = (
                    [int(count) for count in counts],
                    score_histogram(score[part][known], real[known], BINS),
                )
    return found


@given(
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    block=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    patch=st.integers(1, 9),
    seed=st.integers(0, 2**32),
)
def test_blocks_of_any_size_equal_brute_force(shape, block, patch, seed):
    rng = np.random.default_rng(seed)
    score, changed, evaluated = rng.random(shape, np.float32), rng.random(shape) < 0.4, rng.random(shape) < 0.5
    places, counts, histograms = [], [], []
    for y in range(0, shape[0], block[0]):
        for x in range(0, shape[1], block[1]):
            part = slice(y, y + block[0]), slice(x, x + block[1])
            where = {"origin": (y, x), "patch": patch}
            place, of_block = patch_counts(changed[part], score[part] >= 0.5, evaluated[part], **where)
            places.append(place)
            counts.append(of_block)
            histograms.append(patch_histograms(score[part], changed[part], evaluated[part], BINS, **where))
    place, (count, histogram) = merge_patches(
        np.concatenate(places), [np.concatenate(counts), np.concatenate(histograms)]
    )
    expected = brute_patches(score, changed, evaluated, patch)
    assert list(map(tuple, place.tolist())) == sorted(expected)
    for key, values, ranked in zip(sorted(expected), count.tolist(), histogram, strict=True):
        assert values == expected[key][0]
        np.testing.assert_array_equal(ranked, expected[key][1])
    assert histogram.dtype == np.uint32


def rates(sums):
    return {"recall": scores(*sums.T)["recall"], "f1": scores(*sums.T)["f1"]}


def test_equals_brute_force_with_the_same_seed(rng):
    units = rng.integers(0, 50, (30, 4))
    drawn = np.random.default_rng(7)
    recalls = []
    for _ in range(150):
        tp, _, fn, _ = units[drawn.integers(0, 30, 30)].sum(axis=0)
        recalls.append(tp / (tp + fn))
    found = bootstrap_intervals(units, rates, resamples=150, seed=7, level=0.9)
    assert found["recall"] == pytest.approx(tuple(np.quantile(recalls, [0.05, 0.95])), rel=1e-12)
    assert found == bootstrap_intervals(units, rates, resamples=150, seed=7, level=0.9)
    assert found != bootstrap_intervals(units, rates, resamples=150, seed=8, level=0.9)


def test_more_units_than_are_weighed_at_once(rng):
    units = rng.integers(0, 50, (9000, 4))
    drawn = np.random.default_rng(1)
    expected = [scores(*units[drawn.integers(0, 9000, 9000)].sum(axis=0))["f1"] for _ in range(70)]
    found = bootstrap_intervals(units, rates, resamples=70, seed=1, level=0.5)["f1"]
    assert found == pytest.approx(tuple(np.quantile(expected, [0.25, 0.75])), rel=1e-12)


def simulated_units(rng, count):
    """Simulate patches that vary in the number of changed pixels and in the fraction detected."""
    changed = rng.poisson(60, count)
    tp = rng.binomial(changed, rng.beta(6, 4, count))
    fp = rng.poisson(20, count)
    return np.stack([tp, fp, changed - tp, 4000 - changed - fp], axis=-1)


def test_intervals_cover_the_truth_as_often_as_they_say(rng):
    # Expected recall over all patches: 6 / (6 + 4).
    ends = [
        bootstrap_intervals(simulated_units(rng, 60), rates, resamples=200, seed=0, level=0.9)["recall"]
        for _ in range(200)
    ]
    covered = np.mean([low <= 0.6 <= high for low, high in ends])
    assert 0.82 <= covered <= 0.97  # nominal 0.9, minus the bias of the percentile method, within 3 standard errors


def test_intervals_shrink_with_the_root_of_the_patches(rng):
    def width(count):
        low, high = bootstrap_intervals(simulated_units(rng, count), rates, resamples=400, seed=0, level=0.95)["f1"]
        return high - low

    assert width(100) / width(1600) == pytest.approx(4, rel=0.3)


def test_one_patch_or_none_has_no_interval():
    for units in (np.zeros((0, 4), np.int64), np.array([[1, 2, 3, 4]])):
        found = bootstrap_intervals(units, rates, resamples=10, seed=0, level=0.9)
        assert found.keys() == {"recall", "f1"}
        assert np.isnan(list(found.values())).all()


def test_resamples_without_the_score_are_left_out():
    units = np.array([[1, 0], [0, 1]])
    found = bootstrap_intervals(
        units, lambda sums: {"a": np.where(sums[:, 0] > 0, 1.0, np.nan), "b": sums[:, 0] * np.nan},
        resamples=50, seed=0, level=0.9,
    )  # fmt: skip
    assert found["a"] == (1, 1)
    assert np.isnan(found["b"]).all()
