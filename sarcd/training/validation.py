"""Evaluate a network on the validation set, and calibrate its probabilities by temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from sarcd.config import TrainOptions
from sarcd.metrics.kernels.curves import average_precision
from sarcd.metrics.kernels.scores import confusion_counts, scores
from sarcd.networks import Network
from sarcd.training.batches import Batches
from sarcd.training.distributed import ProcessGroup
from sarcd.training.loop import logits_of

Scores = dict[str, float | None]


def validate(
    network: Network, batches: Batches, options: TrainOptions, processes: ProcessGroup
) -> tuple[Scores, LogitCounts]:
    """Compute scores of a network on patches, pooled over all pixels.

    Parameters
    ----------
    network : Network
        Network; left in eval mode.
    batches : Batches
        Labelled patches; each process evaluates its part.
    options : TrainOptions
        Threshold and precision.
    processes : ProcessGroup
        Processes that share the evaluation.

    Returns
    -------
    scores : dict
        `tp`, `fp`, `fn`, `tn`, the scores of `sarcd.metrics.kernels.scores.scores`, `average_precision`,
        `cross_entropy` and `calibration_error`; undefined scores are None.
    counts : LogitCounts
        Histogram of the logits, for calibration.
    """
    network.eval()
    confusion = np.zeros(4, np.int64)
    logit_counts = LogitCounts()
    with torch.inference_mode():
        for x, target, _ in batches.epoch(0, rank=processes.rank, world=processes.world):
            logits = logits_of(network, x, options.precision)  # (B, P, P)
            change = (torch.sigmoid(logits) >= options.threshold).to(torch.uint8)
            confusion += confusion_counts(target.cpu().numpy(), change.cpu().numpy())[:4]
            logit_counts.add(logits, target)
    logit_counts.values = processes.sum(logit_counts.values)
    tp, fp, fn, tn = processes.sum(confusion).tolist()
    values = {name: float(value) for name, value in scores(tp, fp, fn, tn).items()}
    values["average_precision"] = float(average_precision(logit_counts.values))
    values["cross_entropy"] = cross_entropy(logit_counts)
    values["calibration_error"] = calibration_error(logit_counts)
    known: Scores = {name: None if math.isnan(value) else value for name, value in values.items()}
    return {"tp": tp, "fp": fp, "fn": fn, "tn": tn, **known}, logit_counts


def calibrated(
    network: Network,
    batches: Batches,
    options: TrainOptions,
    processes: ProcessGroup,
    found: Scores,
    counts: LogitCounts | None,
) -> tuple[Calibration, Scores]:
    """Fit a temperature on patches, and divide the network's logits by it.

    Parameters
    ----------
    network : Network
        Network; its last layer is modified in place.
    batches, options, processes
        As in `validate`.
    found : dict
        Scores of the network before calibration.
    counts : LogitCounts or None
        Histogram of its logits; computed if None.

    Returns
    -------
    calibration : Calibration
        Temperature, and the calibration error before and after.
    scores : dict
        Scores of the calibrated network; they may differ if the threshold is not 0.5.
    """
    if counts is None:
        _, counts = validate(network, batches, options, processes)
    calibration = calibrate(counts)
    divide_logits(network, calibration.temperature)
    if options.threshold != 0.5:
        return calibration, validate(network, batches, options, processes)[0]
    # Scaling preserves the sign and the order of the logits: detections at 0.5 and average precision do not change.
    entropy = cross_entropy(counts, calibration.temperature)
    return calibration, {**found, "cross_entropy": entropy, "calibration_error": calibration.error_after}


_SPAN = 32.0  # the sigmoid of larger logits is saturated in float32
_BINS = 4096
_MIDDLES = (np.arange(_BINS) + 0.5) * (2 * _SPAN / _BINS) - _SPAN
_RELIABILITY_BINS = 15  # as in [1]


class LogitCounts:
    """Histogram of the logits of pixels with and without change, in bins of width 1/64, updated batch by batch.

    Examples
    --------
    >>> counts = LogitCounts()
    >>> counts.add(torch.tensor([0.0, 2.0, 3.0]), torch.tensor([0, 1, 255], dtype=torch.uint8))
    >>> counts.values.sum(axis=1).tolist()
    [1, 1]
    """

    def __init__(self) -> None:
        self.values = np.zeros((2, _BINS), np.int64)
        """Counts, (2, bins) int64: without and with change."""

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add the labelled pixels of a batch; `logits` and `target` have the same shape."""
        index = ((logits.float() + _SPAN) * (_BINS / (2 * _SPAN))).floor().clamp(0, _BINS - 1).long()
        for label in (0, 1):
            found = torch.bincount(index[target == label], minlength=_BINS)
            self.values[label] += found.cpu().numpy()


@dataclass(frozen=True)
class Calibration:
    """Result of a calibration.

    Parameters
    ----------
    temperature : float
        Divisor of the logits, positive.
    error_before, error_after : float
        Expected calibration error (ECE): mean absolute difference between mean probability and fraction of change in 15
        bins of probability, weighted by the number of pixels in each bin.
    """

    temperature: float
    error_before: float
    error_after: float


def calibrate(counts: LogitCounts) -> Calibration:
    """Find the temperature that minimises the cross-entropy (temperature scaling [1]_).

    Parameters
    ----------
    counts : LogitCounts
        Histogram of the logits of the validation set.

    Returns
    -------
    Calibration
        Temperature and calibration errors. If only one class occurs, the temperature cannot be estimated and is 1.

    References
    ----------
    .. [1] Guo et al. 2017, "On calibration of modern neural networks", ICML, arXiv:1706.04599.
    """
    without, with_change = counts.values
    temperature = 1.0
    if without.any() and with_change.any():
        found = minimize_scalar(
            lambda log_temperature: cross_entropy(counts, np.exp(log_temperature)),
            bounds=(np.log(0.1), np.log(10)),
            method="bounded",
        )
        temperature = float(np.exp(found.x))
    return Calibration(temperature, calibration_error(counts, 1.0), calibration_error(counts, temperature))


def cross_entropy(counts: LogitCounts, temperature: float = 1.0) -> float:
    """Return the mean binary cross-entropy in nats at a temperature; 0 without pixels."""
    logits = _MIDDLES / temperature
    # -ln sigmoid(-z) without change, -ln sigmoid(z) with change
    losses = counts.values * np.stack([np.logaddexp(0, logits), np.logaddexp(0, -logits)])
    return float(losses.sum() / max(counts.values.sum(), 1))


def calibration_error(counts: LogitCounts, temperature: float = 1.0) -> float:
    """Return the expected calibration error of the probabilities at a temperature; 0 without pixels."""
    probability = 1 / (1 + np.exp(-_MIDDLES / temperature))
    bins = np.minimum((probability * _RELIABILITY_BINS).astype(int), _RELIABILITY_BINS - 1)
    pixels = counts.values.sum(axis=0)
    claimed = np.bincount(bins, pixels * probability, _RELIABILITY_BINS)
    changed = np.bincount(bins, counts.values[1], _RELIABILITY_BINS)
    return float(np.abs(claimed - changed).sum() / max(pixels.sum(), 1))


def divide_logits(network: Network, temperature: float) -> None:
    """Divide the network's logits by a temperature, by scaling its last layer; inference needs no extra step."""
    with torch.no_grad():
        network.head.weight /= temperature
        if network.head.bias is not None:
            network.head.bias /= temperature
