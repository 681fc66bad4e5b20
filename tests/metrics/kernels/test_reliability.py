"""Calibration error and log loss, compared with brute force and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import brier_score_loss, log_loss

from sarcd.metrics.kernels import reliability

PROBABILITIES = hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(0, 1, width=32))


def brute_error(probability, changed, bins):
    """Return the expected calibration error, computed pixel by pixel."""
    groups = {}
    for p, truth in zip(probability.astype(float).tolist(), changed.tolist(), strict=True):
        groups.setdefault(min(int(p * bins), bins - 1), []).append((p, truth))
    total = sum(map(len, groups.values()))
    return sum(
        len(group) / total * abs(np.mean([p for p, _ in group]) - np.mean([truth for _, truth in group]))
        for group in groups.values()
    )


@given(PROBABILITIES, st.integers(1, 20), st.integers(0, 2**32))
def test_calibration_error_equals_brute_force(probability, bins, seed):
    changed = np.random.default_rng(seed).random(len(probability)) < 0.4
    counts = reliability.reliability_counts(probability, changed, bins)
    assert reliability.calibration_error(counts) == pytest.approx(brute_error(probability, changed, bins), abs=1e-8)
    assert counts[:, 0].sum() == len(probability)
    assert counts[:, 2].sum() == np.count_nonzero(changed)


def test_table_by_hand():
    probability = np.array([0.0, 0.2, 0.25, 0.5, 1.0], np.float32)
    changed = np.array([False, True, True, False, True])
    counts = reliability.reliability_counts(probability, changed, 4)
    assert counts[:, 0].tolist() == [2, 1, 1, 1]
    assert counts[:, 2].tolist() == [1, 1, 0, 1]
    mean, share = reliability.reliability(counts)
    np.testing.assert_allclose(mean, [0.1, 0.25, 0.5, 1], atol=1e-8)
    np.testing.assert_array_equal(share, [0.5, 1, 0, 1])
    empty = reliability.reliability_counts(probability[:0], changed[:0], 4)
    assert np.isnan(reliability.reliability(empty)).all()
    assert np.isnan(reliability.calibration_error(empty))


def test_a_calibrated_probability_has_next_to_no_error(rng):
    probability = rng.random(400_000).astype(np.float32)
    changed = rng.random(400_000) < probability
    assert reliability.calibration_error(reliability.reliability_counts(probability, changed, 15)) < 0.005
    over = np.clip(probability * 2 - 0.5, 0, 1)  # overconfident
    assert reliability.calibration_error(reliability.reliability_counts(over, changed, 15)) > 0.1


def test_losses_agree_with_scikit_learn(rng):
    probability = np.concatenate([rng.random(5000), [0, 1, 0, 1]]).astype(np.float32)
    changed = np.concatenate([rng.random(5000) < 0.3, [True, True, False, False]])
    brier, loss = reliability.mean_losses(reliability.loss_sums(probability, changed), len(changed))
    assert brier == pytest.approx(brier_score_loss(changed, probability), abs=1e-7)
    assert loss == pytest.approx(log_loss(changed, np.clip(probability.astype(float), 2**-23, 1 - 2**-23)), abs=1e-7)
    assert np.isnan(reliability.mean_losses(np.zeros(2, np.int64), 0)).all()


@given(PROBABILITIES, st.integers(1, 49))
def test_sums_do_not_depend_on_how_pixels_are_cut(probability, cut):
    changed = probability > 0.3
    for count in (reliability.loss_sums, lambda p, c: reliability.reliability_counts(p, c, 7)):
        parts = count(probability[:cut], changed[:cut]) + count(probability[cut:], changed[cut:])
        np.testing.assert_array_equal(parts, count(probability, changed))
        assert parts.dtype == np.int64
