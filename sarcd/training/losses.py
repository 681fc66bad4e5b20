"""Loss functions over labelled pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sarcd.config import LossOptions
from sarcd.optional import require
from sarcd.training.patches import IGNORE


def total_loss(logits: Tensor, target: Tensor, options: LossOptions) -> Tensor:
    """Return the weighted sum of the enabled losses.

    Parameters
    ----------
    logits : (B, H, W) float
        Log-odds of change.
    target : (B, H, W) uint8
        Labels: 1 change, 0 no change, 255 ignored, in the losses and in the gradient.
    options : LossOptions
        Weights of the losses.

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
    """Return the mean binary cross-entropy over the labelled pixels.

    Parameters
    ----------
    logits : (B, H, W) float
        Log-odds of change.
    target : (B, H, W) uint8
        Labels: 1 change, 0 no change, 255 ignored.

    Returns
    -------
    scalar float32
        Loss in nats; 0 if no pixel is labelled.

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
    """Return the soft Dice loss over the labelled pixels of a batch.

    The loss is 1 - 2 (sum p y + 1/2) / (sum p + sum y + 1), where p = sigmoid(logit) [1]_. The constants avoid 0/0 in a
    batch without change, where the loss increases with the sum of the predicted probabilities.

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
    """Return the focal loss, the mean of -alpha_t (1 - p_t)^gamma ln p_t over the labelled pixels [1]_.

    p_t is the predicted probability of the true class; alpha_t is `alpha` for change and ``1 - alpha`` for no change.

    Parameters
    ----------
    logits, target
        As in `binary_cross_entropy`.
    gamma : float
        Focusing parameter, at least 0: the larger it is, the less well-classified pixels contribute.
    alpha : float
        Weight of the change class, in (0, 1).

    References
    ----------
    .. [1] Lin et al. 2017, doi:10.1109/ICCV.2017.324, Eq. 5.

    Examples
    --------
    The cross-entropy at probability 0.5, times alpha = 0.5, times (1 - 0.5)^2 = 0.25:

    >>> logits = torch.tensor([[[0.0]]])
    >>> round(float(focal(logits, torch.tensor([[[1]]], dtype=torch.uint8), gamma=2, alpha=0.5)), 4)
    0.0866
    """
    require("torchvision")
    from torchvision.ops import sigmoid_focal_loss

    labelled, wanted, part = _labelled(logits, target)
    return _mean(sigmoid_focal_loss(labelled, wanted, alpha=alpha, gamma=gamma), part)


def _labelled(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits and labels, 0 for unlabelled pixels, and the mask of labelled pixels.

    The logits are masked before the loss, not after, so that the gradient of unlabelled pixels is exactly 0 whatever
    their logits are.
    """
    part = target != IGNORE
    return torch.where(part, logits.float(), 0), torch.where(part, target, 0).float(), part


def _mean(losses: Tensor, part: Tensor) -> Tensor:
    return (losses * part).sum() / part.sum().clamp(min=1)
