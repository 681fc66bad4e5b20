"""Scores of a network on patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sarcd.config import TrainOptions
from sarcd.metrics.kernels.curves import average_precision
from sarcd.metrics.kernels.scores import confusion_counts, scores
from sarcd.networks import Network
from sarcd.training.batches import Batches
from sarcd.training.calibration import (
    Calibration,
    LogitCounts,
    calibrate,
    calibration_error,
    cross_entropy,
    divide_logits,
)
from sarcd.training.distributed import Ranks

Scores = dict[str, float | None]


def judge(network: Network, batches: Batches, options: TrainOptions, ranks: Ranks) -> tuple[Scores, LogitCounts]:
    """Score a network on patches, pooled over all their pixels.

    Parameters
    ----------
    network : Network
        Is left in eval mode.
    batches : Batches
        Patches with labels; of several processes each takes its part.
    options : TrainOptions
        Threshold and precision.
    ranks : Ranks
        Processes that judge together.

    Returns
    -------
    scores : dict
        `tp`, `fp`, `fn`, `tn`, the scores of `sarcd.metrics.kernels.scores.scores`, `average_precision`,
        `cross_entropy` and `calibration_error`; None where nothing was judged.
    counts : LogitCounts
        What a calibration needs.
    """
    network.eval()
    confusion = np.zeros(4, np.int64)
    logit_counts = LogitCounts()
    with torch.inference_mode():
        for x, target, _ in batches.epoch(0, rank=ranks.rank, world=ranks.world):
            logits = logits_of(network, x, options)  # (B, P, P)
            change = (torch.sigmoid(logits) >= options.threshold).to(torch.uint8)
            confusion += confusion_counts(target.cpu().numpy(), change.cpu().numpy())[:4]
            logit_counts.add(logits, target)
    logit_counts.values = ranks.sum(logit_counts.values)
    tp, fp, fn, tn = ranks.sum(confusion).tolist()
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
    ranks: Ranks,
    found: Scores,
    counts: LogitCounts | None,
) -> tuple[Calibration, Scores]:
    """Fit a temperature on patches, and divide the network's logits by it.

    Parameters
    ----------
    network : Network
        Its last layer is changed.
    batches, options, ranks
        As in `judge`.
    found : dict
        Scores of the network as it is.
    counts : LogitCounts or None
        Of its logits; counted here where they are not known.

    Returns
    -------
    calibration : Calibration
        Temperature, and the calibration error before and after.
    scores : dict
        Of the network as it is now; what a threshold finds may have changed.
    """
    if counts is None:
        _, counts = judge(network, batches, options, ranks)
    calibration = calibrate(counts)
    divide_logits(network, calibration.temperature)
    if options.threshold != 0.5:
        return calibration, judge(network, batches, options, ranks)[0]
    # No temperature moves a logit past 0: what the threshold finds, and the order of pixels, stay.
    entropy = cross_entropy(counts, calibration.temperature)
    return calibration, {**found, "cross_entropy": entropy, "calibration_error": calibration.error_after}


def logits_of(network: torch.nn.Module, x: Tensor, options: TrainOptions) -> Tensor:
    """Run the network in the precision asked for; (B, C, P, P) to (B, P, P) float32."""
    kind = torch.float32 if options.precision == "float32" else getattr(torch, options.precision)
    with torch.autocast(x.device.type, kind, enabled=kind != torch.float32):
        logits: Tensor = network(x)
    return logits[:, 0].float()
