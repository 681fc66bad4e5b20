"""Losses over the pixels that have a label."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sarcd.config import LossOptions
from sarcd.optional import require
from sarcd.training.patches import IGNORE


def total_loss(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    """Return the weighted sum of the losses of the options.

    Parameters
    ----------
    logits : (B, H, W) float
        Log-odds of change.
    target : (B, H, W) uint8
        1 change, 0 none, 255 takes no part: neither in the losses nor in the gradient.
    options : LossOptions
        Weights.

    Returns
    -------
    scalar float32
    """
    losses = []
    if options.bce:
        losses.append(options.bce * binary_cross_entropy(logits, target))
    if options.dice:
        losses.append(options.dice * soft_dice(logits, target))
    if options.focal:
        losses.append(options.focal * focal(logits, target, gamma=options.focal_gamma, alpha=options.focal_alpha))
    return torch.stack(losses).sum()


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the pixels that take part.

    Parameters
    ----------
    logits : (B, H, W) float
        Log-odds of change.
    target : (B, H, W) uint8
        1 change, 0 none, 255 takes no part.

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
    labelled, wanted, part = _labelled(logits, target)
    losses = functional.binary_cross_entropy_with_logits(labelled, wanted, reduction="none")
    return _mean(losses, part)


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Return 1 - 2 (sum p y + 1/2) / (sum p + sum y + 1) over the pixels of a batch that take part, p = sigmoid(logit).

    The ones and halves keep a batch without change from 0/0; there the loss falls as the claims do.

    Parameters
    ----------
    logits, target
        As in `binary_cross_entropy`.

    References
    ----------
    .. [1] Milletari et al. 2016, doi:10.1109/3DV.2016.79.

    Examples
    --------
    >>> logits = torch.tensor([[[50.0, -50.0]]])
    >>> float(soft_dice(logits, torch.tensor([[[1, 0]]], dtype=torch.uint8)))
    0.0
    """
    labelled, wanted, part = _labelled(logits, target)
    predicted = torch.sigmoid(labelled) * part
    both, either = (predicted * wanted).sum(), predicted.sum() + wanted.sum()
    return 1 - (2 * both + 1) / (either + 1)


def focal(logits: Tensor, target: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """Return the mean over the pixels that take part of -alpha_t (1 - p_t)^gamma ln p_t.

    p_t is the probability of what is true there, alpha_t `alpha` on change and ``1 - alpha`` elsewhere.

    Parameters
    ----------
    logits, target
        As in `binary_cross_entropy`.
    gamma : float
        How much less the pixels count that are right already.
    alpha : float
        Weight of change.

    References
    ----------
    .. [1] Lin et al. 2017, doi:10.1109/ICCV.2017.324, Eq. 5.

    Examples
    --------
    Half the cross-entropy of even odds, by alpha, and a quarter of that, by (1 - 0.5)^2:

    >>> logits = torch.tensor([[[0.0]]])
    >>> round(float(focal(logits, torch.tensor([[[1]]], dtype=torch.uint8), gamma=2, alpha=0.5)), 4)
    0.0866
    """
    require("torchvision")
    from torchvision.ops import sigmoid_focal_loss

    labelled, wanted, part = _labelled(logits, target)
    return _mean(sigmoid_focal_loss(labelled, wanted, alpha=alpha, gamma=gamma), part)


def _labelled(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and labels with 0 where no label is, and where one is.

    Put aside before the loss, not after: whatever the logits are there, their gradient is exactly 0.
    """
    part = target != IGNORE
    return torch.where(part, logits.float(), 0), torch.where(part, target, 0).float(), part


def _mean(losses: Tensor, part: Tensor) -> Tensor:
    return (losses * part).sum() / part.sum().clamp(min=1)
