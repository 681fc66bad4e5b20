"""Random changes to a batch that leave its meaning as it is; labels are carried along."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sarcd.config import AugmentOptions


def augment(
    x: Tensor, target: Tensor, channels: Sequence[str], options: AugmentOptions, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Apply the augmentations of the options, each to its own random part of the batch.

    Parameters
    ----------
    x : (B, C, H, W)
        Features.
    target : (B, H, W)
        Labels.
    channels : sequence of C str
        Names of the features.
    options : AugmentOptions
        With the probabilities.
    generator : torch.Generator
        Of the CPU, so that any device gets the same.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 2.4.
    """
    draws = torch.rand((3, len(x)), generator=generator).to(x.device)
    x, target = flip_azimuth(x, target, draws[0] < options.flip_azimuth)
    x, target = flip_range(x, target, draws[1] < options.flip_range)
    return swap_dates(x, channels, draws[2] < options.swap_dates), target


def flip_azimuth(x: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Turn the chosen patches round along y, which is azimuth: the side from which the radar looks stays."""
    return _flip(x, chosen, -2), _flip(target, chosen, -2)


def flip_range(x: Tensor, target: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Turn the chosen patches round along x, which is range: as if the radar looked from the other side."""
    return _flip(x, chosen, -1), _flip(target, chosen, -1)


def swap_dates(x: Tensor, channels: Sequence[str], chosen: Tensor) -> Tensor:
    """Let the two dates of the chosen patches change places; coherence is the same either way."""
    order = list(range(len(channels)))
    before, after = list(channels).index("before"), list(channels).index("after")
    order[before], order[after] = after, before
    return torch.where(_along_batch(chosen, x), x[:, order], x)


def _flip(values: Tensor, chosen: Tensor, axis: int) -> Tensor:
    return torch.where(_along_batch(chosen, values), values.flip(axis), values)


def _along_batch(chosen: Tensor, values: Tensor) -> Tensor:
    return chosen.reshape(-1, *[1] * (values.ndim - 1))
