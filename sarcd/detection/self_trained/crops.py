"""Training on random crops of pairs of images: of simulated ones for the network that ships, of one scene's own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sarcd.detection.kernels.pair_features import swap_dates
from sarcd.progress import Progress, silent

if TYPE_CHECKING:
    import torch
    from torch import nn

    from sarcd.networks.base import Network

IGNORE = 255
"""Value of a target that says nothing."""

_WEIGHT_DECAY, _CLIP = 0.01, 1.0
_WARM_UP = 0.1  # of the steps


@dataclass(frozen=True)
class Example:
    """A part of a pair, and what is known of it.

    Parameters
    ----------
    features : (7, Y, X) float16 or float32
        As `sarcd.detection.kernels.pair_features.pair_features` returns.
    target : (Y, X) uint8
        1 change, 0 none, `IGNORE` unknown.
    """

    features: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Plan:
    """How a network learns.

    Parameters
    ----------
    steps, batch : int
        Steps of the optimiser, and crops in each.
    side : int
        Of a crop in pixels, a multiple of the network's stride; examples may be smaller by less than that.
    rate : float
        Largest learning rate of the one cycle.
    about_change : float
        Share of the crops that are drawn so that a changed pixel lies in them, where there is one.
    average : float
        Decay of the running mean of the weights that is returned; 0 for none.
    statistics : bool
        Whether batch norms go on learning their statistics.
    precision : {"float32", "bfloat16"}
        Of the forward pass, where autocast allows; some processors are several times as fast in ``bfloat16``.
    """

    steps: int
    batch: int = 8
    side: int = 128
    rate: float = 4e-3
    about_change: float = 0.0
    average: float = 0.0
    statistics: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"


def learn(
    network: Network, examples: Sequence[Example], plan: Plan, *, seed: int, progress: Progress = silent
) -> Network:
    """Return a copy of a network, trained on crops of examples, in eval mode.

    Parameters
    ----------
    network : Network
        Where it starts from; it stays as it is.
    examples : sequence of Example
        What it learns from.
    plan : Plan
        How.
    seed : int
        The same seed gives the same weights on the same machine with as many threads.
    progress : callable
        Told of every step.
    """
    import torch
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    rng = np.random.default_rng(seed)
    learner = copy.deepcopy(network).requires_grad_(True).to(memory_format=torch.channels_last)
    learner.train()
    if not plan.statistics:
        _keep_statistics(learner)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=plan.rate, weight_decay=_WEIGHT_DECAY)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.rate, plan.steps, pct_start=_warm_up(plan.steps))
    averaged = None
    if plan.average:
        averaged = AveragedModel(learner, multi_avg_fn=get_ema_multi_avg_fn(plan.average), use_buffers=True)  # type: ignore[no-untyped-call]
    with progress("learning", plan.steps) as advance:
        for _ in range(plan.steps):
            inputs, target = _batch(rng, examples, plan, int(network.stride))
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision == "bfloat16"):
                logits = learner(inputs)
            loss = _loss(logits[:, 0].float(), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learner.parameters(), _CLIP)
            optimizer.step()
            cycle.step()
            if averaged is not None:
                averaged.update_parameters(learner)
            advance(1)
    if averaged is not None:
        learner.load_state_dict(averaged.module.state_dict())
    return learner.eval()


def _warm_up(steps: int) -> float:
    """Return the share of the steps in which the rate rises: of so few, more, as one alone has no slope."""
    return _WARM_UP if steps > 2 / _WARM_UP else 0.3


def _loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of logits (B, H, W), mean over the pixels whose target is known."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    known = (target != IGNORE).float()
    each = binary_cross_entropy_with_logits(logits, (target == 1).float(), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def _keep_statistics(network: nn.Module) -> None:
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _batch(
    rng: np.random.Generator, examples: Sequence[Example], plan: Plan, stride: int
) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    crops = [_crop(rng, examples[int(rng.integers(len(examples)))], plan, stride) for _ in range(plan.batch)]
    inputs = torch.from_numpy(np.stack([crop[0] for crop in crops])).contiguous(memory_format=torch.channels_last)
    return inputs, torch.from_numpy(np.stack([crop[1] for crop in crops]))


def _crop(rng: np.random.Generator, example: Example, plan: Plan, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square at random, turn it, swap its dates, and vary the scale of its brightness."""
    shape = example.target.shape
    first = [int(rng.integers(max(size - plan.side, 0) + 1)) for size in shape]
    changed = np.flatnonzero(example.target == 1) if rng.random() < plan.about_change else ()
    if len(changed):
        at = np.unravel_index(changed[int(rng.integers(len(changed)))], shape)
        off = rng.integers(plan.side, size=2)
        first = [int(np.clip(at[i] - off[i], 0, max(shape[i] - plan.side, 0))) for i in (0, 1)]
    part = tuple(slice(start, start + plan.side) for start in first)
    features = example.features[(slice(None), *part)].astype(np.float32)
    target = example.target[part]
    missing = [(0, plan.side - size) for size in target.shape]
    features, target = np.pad(features, [(0, 0), *missing]), np.pad(target, missing, constant_values=IGNORE)
    if rng.random() < 0.5:
        features = swap_dates(features)
    if rng.random() < 0.3:  # another root of the intensity
        features *= np.float32(rng.uniform(0.75, 1.35))
    features[:2] += np.float32(rng.normal(0, 0.15))
    features[1:4] += np.float32(rng.normal(0, 0.03))  # the dates' common scale is never known exactly
    turns = int(rng.integers(4))
    features, target = np.rot90(features, turns, (1, 2)), np.rot90(target, turns)
    if rng.random() < 0.5:
        features, target = features[:, ::-1], target[::-1]
    return np.ascontiguousarray(features), np.ascontiguousarray(target)
