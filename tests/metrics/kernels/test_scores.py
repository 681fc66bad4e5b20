"""Scores by hand, by brute force, and against published figures and definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcd.metrics.kernels import scores
from sarcd.metrics.kernels.scores import COUNTS, best_threshold, confusion_counts

COUNT = st.integers(0, 10**12)
LABELLED_SCORE = st.tuples(st.sampled_from([0, 1, 255]), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, np.nan, np.inf]))


def brute_counts(truth, prediction, threshold=None):
    """Return the counts, computed pixel by pixel."""
    found = dict.fromkeys(COUNTS, 0)
    for label, value in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if threshold is not None:
            claim = 255 if math.isnan(value) else int(value >= threshold)
        else:
            claim = value
            found["foreign_prediction"] += value not in (0, 1, 255)
        found["foreign_truth"] += label not in (0, 1, 255)
        if label in (0, 1):
            name = {(1, 1): "tp", (0, 1): "fp", (1, 0): "fn", (0, 0): "tn"}.get((label, claim), "masked")
            found[name] += 1
    return found


def named(counts):
    return dict(zip(COUNTS, counts.tolist(), strict=True))


def test_counts_by_hand():
    truth = np.array([[1, 1, 1, 0], [0, 0, 255, 255], [1, 0, 7, 255]], np.uint8)
    change = np.array([[1, 1, 0, 1], [0, 0, 1, 255], [255, 255, 1, 9]], np.uint8)
    assert named(confusion_counts(truth, change)) == {
        "tp": 2, "fp": 1, "fn": 1, "tn": 2, "masked": 2, "foreign_truth": 1, "foreign_prediction": 1,
    }  # fmt: skip


def test_a_score_at_the_threshold_is_a_change_and_nan_is_masked():
    truth = np.array([1, 1, 0, 0, 1, 255], np.uint8)
    score = np.array([0.5, 0.4999, 0.5, 0.1, np.nan, np.nan], np.float32)
    assert confusion_counts(truth, score, threshold=0.5).tolist() == [1, 1, 1, 1, 1, 0, 0]


@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
def test_counts_equal_brute_force(data, shape):
    truth = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 0, 255, 3])))
    change = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 1, 0, 255, 7])))
    score = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32) | st.just(np.nan)))
    threshold = data.draw(st.floats(0, 1, width=32))
    assert named(confusion_counts(truth, change)) == brute_counts(truth, change)
    assert named(confusion_counts(truth, score, threshold=threshold)) == brute_counts(truth, score, threshold)


def test_bool_and_wide_integers_are_maps():
    truth = np.array([True, False, True])
    for kind in (bool, np.int64, np.uint16):
        assert confusion_counts(truth, np.array([1, 1, 0], kind)).tolist() == [1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("prediction", "threshold", "message"),
    [
        (np.zeros(3, np.uint8), None, "truth has shape"),
        (np.zeros(2, np.float32), None, "needs a threshold"),
        (np.zeros(2, np.uint8), 0.5, "takes none"),
    ],
)
def test_counts_refuse(prediction, threshold, message):
    with pytest.raises(ValueError, match=message):
        confusion_counts(np.zeros(2, np.uint8), prediction, threshold=threshold)


def test_published_scores_of_two_real_pairs():
    # Pixels, changed pixels, FP and FN, with the PCC and kappa (%) published in the papers on these pairs.
    for pixels, changed, fp, fn, pcc, kappa in (
        (350 * 290, 16049, 637, 1051, 98.34, 93.69),
        (350 * 290, 16049, 762, 885, 98.38, 93.89),
        (350 * 290, 16049, 964, 1855, 97.22, 89.33),
        (291 * 306, 5270, 1607, 602, 97.52, 79.55),
    ):
        tp, tn = changed - fn, pixels - changed - fp
        assert 100 * scores.overall_accuracy(tp, fp, fn, tn) == pytest.approx(pcc, abs=0.005)
        assert 100 * scores.kappa(tp, fp, fn, tn) == pytest.approx(kappa, abs=0.005)


@given(COUNT.filter(bool), COUNT, COUNT, COUNT)
def test_scores_follow_their_definitions(tp, fp, fn, tn):
    found = scores.scores(tp, fp, fn, tn)
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    total = tp + fp + fn + tn
    expected = {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
        "iou": tp / (tp + fp + fn),
        "overall_accuracy": (tp + tn) / total,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-12), name
    # In integers: po and pe times the squared total.
    agreed, chance = (tp + tn) * total, (tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)
    kappa = 1.0 if chance == total**2 else (agreed - chance) / (total**2 - chance)
    assert found["kappa"] == pytest.approx(kappa, rel=1e-9, abs=1e-12)


def test_scores_of_every_degenerate_case():
    cases = np.array(list(itertools.product([0, 3], repeat=4)))
    found = scores.scores(*cases.T)
    for i, (tp, fp, fn, tn) in enumerate(cases.tolist()):
        values = {name: value[i] for name, value in found.items()}
        if tp + fp + fn + tn == 0:
            assert np.isnan(list(values.values())).all()
            continue
        assert np.isfinite(list(values.values())).all(), (tp, fp, fn, tn)
        if fp + fn == 0:
            assert set(values.values()) == {1.0}
        if tp + tn == 0:
            assert [values[name] for name in ("f1", "iou", "precision", "recall", "overall_accuracy")] == [0] * 5
            assert values["kappa"] <= 0
    nothing_real = scores.scores(0, 4, 0, 6)
    assert [float(nothing_real[name]) for name in ("f1", "precision", "recall", "iou")] == [0, 0, 0, 0]
    nothing_claimed = scores.scores(0, 0, 4, 6)
    assert [float(nothing_claimed[name]) for name in ("f1", "precision", "recall", "iou")] == [0, 0, 0, 0]


@given(COUNT, COUNT, COUNT, COUNT)
def test_swapping_truth_and_map_swaps_precision_and_recall(tp, fp, fn, tn):
    one, other = scores.scores(tp, fp, fn, tn), scores.scores(tp, fn, fp, tn)
    np.testing.assert_array_equal(one["precision"], other["recall"])
    for name in ("f1", "iou", "kappa", "overall_accuracy"):
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)


@given(st.lists(LABELLED_SCORE, min_size=1, max_size=25))
def test_best_threshold_equals_trying_every_value(pixels):
    truth = np.array([label for label, _ in pixels], np.uint8)
    score = np.array([value for _, value in pixels], np.float32)
    tried = []
    for threshold in [*np.unique(score[~np.isnan(score) & (truth != 255)]).tolist(), np.inf]:
        predicted = score >= threshold
        known = ~np.isnan(score)
        tp = np.count_nonzero(predicted & known & (truth == 1))
        fp = np.count_nonzero(predicted & known & (truth == 0))
        fn = np.count_nonzero(~predicted & known & (truth == 1))
        tried.append(float(scores.f1(tp, fp, fn)))
    threshold, reached = best_threshold(truth, score)
    known = ~np.isnan(score) & (truth != 255)
    if not known.any():
        assert np.isnan([threshold, reached]).all()
        return
    assert reached == pytest.approx(max(tried))
    if (truth[known] == 1).any():
        tp, fp, fn = confusion_counts(truth, score, threshold=threshold)[:3]
        assert scores.f1(tp, fp, fn) == pytest.approx(reached)
    else:
        assert threshold == np.inf


def test_best_threshold_does_not_part_equal_scores_and_takes_the_highest():
    truth = np.array([1, 0, 1, 0, 1, 0], np.uint8)
    assert best_threshold(truth, np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.1])) == (0.5, 0.75)
    assert best_threshold(np.array([1, 1, 0], np.uint8), np.array([0.3, 0.9, 0.2])) == (0.3, 1.0)
    # F1 is 2/3 at 0.9 (1 of 2 detected) and at 0.1 (2 detected, 2 false alarms): the higher threshold is chosen.
    assert best_threshold(np.array([1, 0, 0, 1], np.uint8), np.array([0.9, 0.5, 0.3, 0.1])) == (
        0.9,
        pytest.approx(2 / 3),
    )


def test_best_threshold_refuses_other_shapes():
    with pytest.raises(ValueError, match="score"):
        best_threshold(np.zeros(2, np.uint8), np.zeros(3))
