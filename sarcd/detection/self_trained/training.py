"""Training on random crops of image pairs: simulated pairs for the pretrained network, or parts of one real pair.

``python -m sarcd.detection.self_trained.training FILE`` retrains the pretrained amplitude network. A run takes about
an hour on two cores with native bfloat16 arithmetic and needs 9 GB of memory.
"""

from __future__ import annotations

import copy
import functools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from sarcd.detection.kernels import CHANNELS, measure_scale, pair_features, swap_dates
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import ModelError
from sarcd.models.pretrained import AMPLITUDE
from sarcd.networks.unet import UNet
from sarcd.simulation.core.amplitude_pairs import amplitude_pair
from sarcd.store.storage import write_atomic
from sarcd.training.distributed import ProcessGroup
from sarcd.training.loop import Batch, StepOptions, TrainingLoop, new_state
from sarcd.training.patches import IGNORE

if TYPE_CHECKING:
    from sarcd.networks.base import Network

_WEIGHT_DECAY, _CLIP = 0.01, 1.0
_WARM_UP = 0.1  # of the steps


@dataclass(frozen=True)
class Example:
    """Part of a pair and its training target.

    Parameters
    ----------
    features : (7, Y, X) float16 or float32
        Features as returned by `sarcd.detection.kernels.pair_features`.
    target : (Y, X) uint8
        1 change, 0 no change, `IGNORE` unknown.
    """

    features: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Plan:
    """Training options.

    Parameters
    ----------
    steps, batch : int
        Number of optimiser steps, and crops per step.
    side : int
        Side of a crop in pixels, a multiple of the network's stride. Smaller examples are padded; they may be smaller
        by less than one stride.
    rate : float
        Maximum learning rate of the one-cycle schedule.
    about_change : float
        Fraction of crops placed so that they contain a changed pixel, if the example has one.
    average : float
        Decay of the exponential moving average of the weights that is returned; 0 disables it.
    statistics : bool
        Whether batch norms keep updating their running statistics.
    precision : {"float32", "bfloat16"}
        Precision of the forward pass where autocast allows; some processors are several times faster in ``bfloat16``.
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
    """Train a copy of a network on crops of examples and return it in eval mode.

    Parameters
    ----------
    network : Network
        Network to start from; it is not modified.
    examples : sequence of Example
        Training examples.
    plan : Plan
        Training options.
    seed : int
        Random seed; the same seed gives the same weights on the same machine with the same number of threads.
    progress : callable
        Reports each training step.
    """
    trained = copy.deepcopy(network).requires_grad_(True).to(memory_format=torch.channels_last)
    state = new_state(
        trained,
        partial(_one_cycle, rate=plan.rate, steps=plan.steps),
        learning_rate=plan.rate,
        weight_decay=_WEIGHT_DECAY,
        precision=plan.precision,
        average=plan.average,
    )
    options = StepOptions(precision=plan.precision, max_norm=_CLIP, norm_statistics=plan.statistics)
    loop = TrainingLoop(state, options, ProcessGroup(0, 1, torch.device("cpu")))
    with progress("learning", plan.steps) as advance:
        loop.run(_batches(seed, examples, plan), advance=advance)
    state.use_average()
    return trained.eval()


def _one_cycle(optimizer: torch.optim.Optimizer, *, rate: float, steps: int) -> torch.optim.lr_scheduler.OneCycleLR:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps, pct_start=_warm_up(steps))


def _warm_up(steps: int) -> float:
    """Return the fraction of steps in which the rate rises; larger for few steps, since one step makes no ramp."""
    return _WARM_UP if steps > 2 / _WARM_UP else 0.3


def _batches(seed: int, examples: Sequence[Example], plan: Plan) -> Iterator[Batch]:
    """Yield one batch of crops per step."""
    rng = np.random.default_rng(seed)
    for step in range(plan.steps):
        crops = [_crop(rng, examples[int(rng.integers(len(examples)))], plan) for _ in range(plan.batch)]
        features, target = (np.stack(values) for values in zip(*crops, strict=True))
        inputs = torch.from_numpy(features).contiguous(memory_format=torch.channels_last)
        yield Batch(inputs, torch.from_numpy(target), partial("step {}".format, step + 1))


def _crop(rng: np.random.Generator, example: Example, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random square and augment it: rotation, flip, order of the dates, contrast and amplitude scale."""
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
    if rng.random() < 0.3:  # as if the amplitude were another root of the intensity
        features *= np.float32(rng.uniform(0.75, 1.35))
    features[:2] += np.float32(rng.normal(0, 0.15))
    features[1:4] += np.float32(rng.normal(0, 0.03))  # the relative scale of the dates is never known exactly
    turns = int(rng.integers(4))
    features, target = np.rot90(features, turns, (1, 2)), np.rot90(target, turns)
    if rng.random() < 0.5:
        features, target = features[:, ::-1], target[::-1]
    return np.ascontiguousarray(features), np.ascontiguousarray(target)


PAIRS, PLAN, SEED = 7990, Plan(steps=16000, average=0.998, precision="bfloat16"), 0
"""Simulated pairs of 256 x 256 pixels, training options, and the seed for weights and crops."""

_WIDTHS = (16, 32, 48, 64)


def new_network(seed: int = SEED) -> UNet:
    """Return an untrained network with the architecture of the pretrained one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(len(CHANNELS), widths=_WIDTHS, bottleneck=_WIDTHS[-1])


@functools.lru_cache(maxsize=1)
def load_amplitude_network() -> UNet:
    """Return the pretrained amplitude network, in eval mode. It is cached and shared, so callers must not modify it.

    Raises
    ------
    ModelError
        If its file is missing or truncated.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in load_amplitude_network().parameters())
    435873
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = new_network()
    try:
        weights = load_file(AMPLITUDE)
        network.load_state_dict({name: value.to(network.state_dict()[name].dtype) for name, value in weights.items()})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(
            "the pretrained amplitude network cannot be read", source=str(AMPLITUDE), hint="reinstall sarcd"
        ) from error
    return network.eval()


def simulated(seed: int) -> Example:
    """Return the features and labels of a simulated pair, features in half precision."""
    pair = amplitude_pair(seed)
    scale = measure_scale([(pair.before, pair.after)])
    assert scale is not None  # there is speckle everywhere
    return Example(pair_features(pair.before, pair.after, scale).astype(np.float16), pair.label)


def train_amplitude_network(
    path: str | Path,
    *,
    pairs: int = PAIRS,
    plan: Plan = PLAN,
    progress: Progress = silent,
) -> None:
    """Simulate pairs, train the network on them, and write its weights in half precision.

    Parameters
    ----------
    path : str or Path
        Safetensors file to write.
    pairs : int
        Number of pairs; each needs about 1 MB of memory.
    plan : Plan
        Training options.
    progress : callable
        Reports each pair simulated and each training step.
    """
    from safetensors.torch import save

    examples = []
    with progress("simulating", pairs) as advance:
        for seed in range(pairs):
            examples.append(simulated(seed))
            advance(1)
    network = learn(new_network(), examples, plan, seed=SEED, progress=progress)
    half = {
        name: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    write_atomic(Path(path), save(half))


if __name__ == "__main__":
    train_amplitude_network(sys.argv[1])
