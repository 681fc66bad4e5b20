"""Scores of a change map against labels: confusion counts, derived scores, and the best threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
CountArray = np.ndarray[Any, np.dtype[np.int64]]

UNKNOWN = 255
COUNTS = ("tp", "fp", "fn", "tn", "masked", "foreign_truth", "foreign_prediction")
"""Entries of `confusion_counts`: hits, false alarms, misses, correct rejections, labelled pixels without a prediction,
and values other than 0, 1 and 255 in the truth, and in a prediction that is a map."""


def confusion_counts(truth: np.ndarray, prediction: np.ndarray, *, threshold: float | None = None) -> CountArray:
    """Count agreement and disagreement of a prediction with the truth.

    Parameters
    ----------
    truth : uint8 or bool, any shape
        1 change, 0 no change, 255 not labelled; unlabelled pixels are not counted.
    prediction : same shape
        A map of 1, 0 and 255 for unknown (integers or bool), or a score (floating point), where NaN is unknown.
    threshold : float, optional
        Score from which a pixel counts as changed; needed for a score.

    Returns
    -------
    (7,) int64
        In the order of `COUNTS`.

    Raises
    ------
    ValueError
        If the shapes differ, or a threshold is absent for a score or given for a map.

    Examples
    --------
    >>> truth = np.array([1, 1, 0, 0, 1, 255], np.uint8)
    >>> prediction = np.array([1, 0, 1, 0, 255, 1], np.uint8)
    >>> dict(zip(COUNTS[:5], confusion_counts(truth, prediction).tolist()))
    {'tp': 1, 'fp': 1, 'fn': 1, 'tn': 1, 'masked': 1}
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}")
    is_score = prediction.dtype.kind == "f"
    if is_score != (threshold is not None):
        raise ValueError("a score needs a threshold, and a map of 0 and 1 takes none")
    positive, negative = truth == 1, truth == 0
    if is_score:
        predicted = prediction >= threshold
        denied = prediction < threshold
        foreign = 0
    else:
        predicted, denied = prediction == 1, prediction == 0
        foreign = prediction.size - _count(predicted) - _count(denied) - _count(prediction == UNKNOWN)
    positives, negatives = _count(positive), _count(negative)
    tp, fp = _count(positive & predicted), _count(negative & predicted)
    fn, tn = _count(positive & denied), _count(negative & denied)
    masked = positives + negatives - tp - fp - fn - tn
    foreign_truth = truth.size - positives - negatives - _count(truth == UNKNOWN)
    return np.array([tp, fp, fn, tn, masked, foreign_truth, foreign], np.int64)


def _count(where: np.ndarray) -> int:
    return int(np.count_nonzero(where))


def precision(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> FloatArray:
    """Return the fraction of the predicted changes that are true.

    Without any predicted change: 1 if nothing was missed, else 0.

    Examples
    --------
    >>> precision([3, 0, 0], [1, 0, 0], [5, 0, 2]).tolist()
    [0.75, 1.0, 0.0]
    """
    tp, fp, fn = _float(tp, fp, fn)
    return _ratio(tp, tp + fp, otherwise=fn == 0)


def recall(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> FloatArray:
    """Return the fraction of the true changes that are predicted.

    Without any true change: 1 if nothing was falsely predicted, else 0.

    Examples
    --------
    >>> recall([3, 0, 0], [5, 0, 2], [1, 0, 0]).tolist()
    [0.75, 1.0, 0.0]
    """
    return precision(tp, fn, fp)


def f1(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> FloatArray:
    """Return the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN).

    1 where there is nothing to find and nothing is predicted.

    Examples
    --------
    >>> f1([3, 0, 0], [1, 0, 0], [1, 0, 2]).tolist()
    [0.75, 1.0, 0.0]
    """
    tp, fp, fn = _float(tp, fp, fn)
    return _ratio(2 * tp, 2 * tp + fp + fn, otherwise=1.0)


def iou(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike) -> FloatArray:
    """Return the intersection of predicted and true changes over their union, TP / (TP + FP + FN).

    1 where there is nothing to find and nothing is predicted.

    Examples
    --------
    >>> iou([3, 0, 0], [1, 0, 0], [2, 0, 2]).tolist()
    [0.5, 1.0, 0.0]
    """
    tp, fp, fn = _float(tp, fp, fn)
    return _ratio(tp, tp + fp + fn, otherwise=1.0)


def overall_accuracy(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> FloatArray:
    """Return the fraction of the pixels that are classified correctly; NaN where there are none.

    Examples
    --------
    >>> overall_accuracy([3, 0], [1, 0], [1, 0], [5, 0]).tolist()
    [0.8, nan]
    """
    tp, fp, fn, tn = _float(tp, fp, fn, tn)
    return _ratio(tp + tn, tp + fp + fn + tn, otherwise=np.nan)


def kappa(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> FloatArray:
    """Return Cohen's kappa [1]_, the agreement beyond chance, (po - pe) / (1 - pe).

    1 for complete agreement, also where all pixels are of one class; NaN where there are no pixels.

    References
    ----------
    .. [1] J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20(1),
       1960, doi:10.1177/001316446002000104.

    Examples
    --------
    >>> kappa([20, 9, 0], [10, 0, 0], [5, 0, 0], [15, 0, 0]).tolist()
    [0.4, 1.0, nan]
    """
    tp, fp, fn, tn = _float(tp, fp, fn, tn)
    # po and pe over their common denominator avoid a difference of nearly equal numbers where one class is rare. The
    # denominator is 0 only where all pixels, if any, agree on one class.
    chance = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
    return _ratio(2 * (tp * tn - fp * fn), chance, otherwise=np.where(tp + tn > 0, 1.0, np.nan))


def scores(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, tn: ArrayLike) -> dict[str, FloatArray]:
    """Return all scores by name; each is NaN where no pixel was evaluated, and a number everywhere else.

    Parameters
    ----------
    tp, fp, fn, tn : array_like of int, one shape
        Hits, false alarms, misses and correct rejections.

    Returns
    -------
    dict of float64 arrays
        `f1`, `precision`, `recall`, `iou`, `kappa`, `overall_accuracy`.
    """
    tp, fp, fn, tn = _float(tp, fp, fn, tn)
    values = {
        "f1": f1(tp, fp, fn),
        "precision": precision(tp, fp, fn),
        "recall": recall(tp, fp, fn),
        "iou": iou(tp, fp, fn),
        "kappa": kappa(tp, fp, fn, tn),
        "overall_accuracy": overall_accuracy(tp, fp, fn, tn),
    }
    evaluated = tp + fp + fn + tn > 0
    return {name: np.where(evaluated, value, np.nan) for name, value in values.items()}


def best_threshold(truth: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """Find the threshold that maximises the F1 of a score, exactly.

    Parameters
    ----------
    truth : uint8 or bool, any shape
        1 change, 0 no change, 255 not labelled.
    score : floating point, same shape
        The higher, the more likely a change: use ``1 - coherence`` for coherence. NaN is ignored.

    Returns
    -------
    threshold : float
        A value of `score`: a pixel with ``score >= threshold`` counts as changed. The highest one of several equally
        good; infinity, which detects no finite score, where there is no change to find; NaN where there is no labelled
        pixel with a score.
    f1 : float
        F1 at this threshold.

    Examples
    --------
    >>> best_threshold(np.array([0, 1, 0, 1, 1], np.uint8), np.array([0.1, 0.4, 0.5, 0.6, 0.9]))
    (0.4, 0.8571428571428571)
    """
    if truth.shape != score.shape:
        raise ValueError(f"truth has shape {truth.shape}, score {score.shape}")
    evaluated = ((truth == 0) | (truth == 1)) & ~np.isnan(score)
    values, positive = score[evaluated], truth[evaluated] == 1
    positives = _count(positive)
    if values.size == 0:
        return float("nan"), float("nan")
    if positives == 0:
        return float("inf"), 0.0 if np.isposinf(values).any() else 1.0
    order = np.argsort(values)[::-1]
    values = values[order]
    hits = np.cumsum(positive[order])
    # Pixels of one value are detected together: only the last of each run of equal values is a threshold.
    last = np.append(np.flatnonzero(values[1:] != values[:-1]), values.size - 1)
    detections = last + 1
    reached = 2 * hits[last] / (detections + positives)  # 2 TP / (2 TP + FP + FN)
    best = int(np.argmax(reached))
    return float(values[last[best]]), float(reached[best])


def _float(*counts: ArrayLike) -> tuple[FloatArray, ...]:
    # Products of counts of whole scenes overflow int64.
    return tuple(np.asarray(count, np.float64) for count in counts)


def _ratio(numerator: FloatArray, denominator: FloatArray, *, otherwise: ArrayLike) -> FloatArray:
    empty = denominator == 0
    return np.where(empty, otherwise, numerator / np.where(empty, 1, denominator))
