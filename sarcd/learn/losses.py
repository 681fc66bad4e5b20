"""Losses over the pixels that have a label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sarcd.learn.data import IGNORE


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the pixels that take part.

    Parameters
    ----------
    logits : (B, H, W) float
        Log-odds of change.
    target : (B, H, W) uint8
        1 change, 0 none, 255 takes no part: neither in the mean nor in the gradient.

    Returns
    -------
    scalar float32
        0 where no pixel takes part.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 8.

    Examples
    --------
    >>> logits = torch.tensor([[[0.0, 50.0]]])
    >>> round(float(binary_cross_entropy(logits, torch.tensor([[[1, 255]]], dtype=torch.uint8))), 4)
    0.6931
    """
    part = target != IGNORE
    # Put aside before the loss, not after: whatever the logits are there, their gradient is exactly 0.
    judged = torch.where(part, logits.float(), 0)
    wanted = torch.where(part, target, 0).float()
    losses = functional.binary_cross_entropy_with_logits(judged, wanted, reduction="none")
    return (losses * part).sum() / part.sum().clamp(min=1)
