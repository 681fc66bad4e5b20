"""Batch-norm statistics estimated anew on the scene at hand, without labels."""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sarcd.engine.tasks import Rectangle
from sarcd.errors import SceneError
from sarcd.estimation.channels import fill_holes
from sarcd.inference.predictor import forward
from sarcd.inference.tiling import round_up

if TYPE_CHECKING:
    import torch
    from torch import nn

Module = TypeVar("Module", bound="nn.Module")

Statistics = dict[str, tuple[np.ndarray, np.ndarray]]
"""Mean and variance of every channel, float64, by the name of the batch norm."""

_SIDE = 256
_LEAST_TILES, _MOST_TILES = 16, 64  # of all pairs together
_CANDIDATES = 4  # places looked at for each tile that is wanted: some lie where there are no data
_LEAST_VALID = 0.5
_BATCH = 4  # fixed: what a batch norm passes on while it learns depends on what it sees at a time
_PLASTIC = 1.3247179572447458  # root of x^3 = x + 1: steps of its powers fill a square evenly


def sample_places(shape: tuple[int, int], stride: int, pairs: Sequence[int]) -> list[tuple[int, Rectangle]]:
    """Return where to look for a sample of a scene: a pair and a square each, the same for the same scene and pairs.

    Parameters
    ----------
    shape : (int, int)
        Of the scene.
    stride : int
        The network's: squares are multiples of it, and lie within the scene as far as it goes.
    pairs : sequence of int
        Pairs that the sample is of; it goes through them in turn.

    Examples
    --------
    >>> sample_places((1000, 1000), 16, [0, 3])[:2]
    [(0, (slice(0, 256, None), slice(0, 256, None))), (3, (slice(562, 818, None), slice(424, 680, None)))]
    """
    sides = _sides(shape, stride)
    places = []
    for number in range(_CANDIDATES * tiles_wanted(shape, stride, len(pairs))):
        y, x = (
            int((number * _PLASTIC**-power) % 1 * (max(size - side, 0) + 1))
            for power, side, size in zip((1, 2), sides, shape, strict=True)
        )
        rectangle = slice(y, min(y + sides[0], shape[0])), slice(x, min(x + sides[1], shape[1]))
        place = pairs[number % len(pairs)], rectangle
        if place not in places:  # in a scene hardly larger than a square
            places.append(place)
    return places


def tiles_wanted(shape: tuple[int, int], stride: int, pairs: int) -> int:
    """Return how many tiles a sample of so many pairs has: no more than it takes to cover them.

    Examples
    --------
    >>> tiles_wanted((9000, 9000), 16, 1), tiles_wanted((9000, 9000), 16, 40), tiles_wanted((200, 500), 16, 3)
    (16, 40, 6)
    """
    cover = math.prod(-(-size // side) for size, side in zip(shape, _sides(shape, stride), strict=True))
    return min(_MOST_TILES, max(_LEAST_TILES, pairs), pairs * cover)


def _sides(shape: tuple[int, int], stride: int) -> list[int]:
    return [min(_SIDE // stride * stride, round_up(size, stride)) for size in shape]


def take_sample(values: Iterable[np.ndarray], channels: Sequence[str], stride: int, *, wanted: int) -> np.ndarray:
    """Return the first tiles of which half is valid, their holes filled, as one array.

    Parameters
    ----------
    values : iterable of (C, h, w) float32
        Features at the places of `sample_places`, in their order; no more are asked for than are needed.
    channels : sequence of C str
        Their names.
    stride : int
        The network's: what is shorter, because the scene is, is continued by the fill constants.
    wanted : int
        Tiles wanted.

    Returns
    -------
    (N, C, H, W) float32

    Raises
    ------
    SceneError
        If there is no such tile.
    """
    found: list[np.ndarray] = []
    for tile in values:
        if np.isnan(tile).any(axis=0).mean() <= 1 - _LEAST_VALID:
            missing = [(0, round_up(side, stride) - side) for side in tile.shape[1:]]
            found.append(fill_holes(np.pad(tile, [(0, 0), *missing], constant_values=np.nan), channels)[0])
        if len(found) == wanted:
            break
    if not found:
        raise SceneError("no place with enough valid pixels to adapt to", hint="predict without --adapt-batchnorm")
    return np.stack(found)


def reestimate(network: nn.Module, sample: np.ndarray, device: torch.device) -> Statistics:
    """Return mean and variance of what each batch norm sees of a sample, in one pass.

    Each batch norm passes on what it sees normalised by the batch at hand, as in training; nothing else is as in
    training. Mean and variance are those of all values together, not a running mean.

    Parameters
    ----------
    network : nn.Module
        In eval mode, on `device`; it stays as it is.
    sample : (N, C, H, W) float32
        See `take_sample`.
    device : torch.device
        Where the network is.

    References
    ----------
    .. [1] Li et al. 2018, Adaptive Batch Normalization for practical domain adaptation,
       doi:10.1016/j.patcog.2018.03.005.
    """
    copied = copy.deepcopy(network)
    sums: dict[str, list[Any]] = {}
    for name, module in _batch_norms(copied):
        module.train()
        module.track_running_stats = False  # type: ignore[assignment]
        module.register_forward_pre_hook(_adding_up(sums, name))
    for start in range(0, len(sample), _BATCH):
        forward(copied, sample[start : start + _BATCH], device)
    return {name: (mean, squares / count) for name, (count, mean, squares) in sums.items()}


def _adding_up(sums: dict[str, list[Any]], name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
    """Return a hook that adds what a batch norm sees to count, mean and sum of squares about it (Chan et al. 1983)."""
    import torch

    def add(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        (x,) = inputs  # (B, C, H, W)
        variance, mean = (value.cpu().double().numpy() for value in torch.var_mean(x, dim=(0, 2, 3), correction=0))
        count = x.numel() // x.shape[1]
        before, old, squares = sums.get(name, [0, np.zeros_like(mean), np.zeros_like(mean)])
        total, moved = before + count, mean - old
        squares = squares + count * variance + moved**2 * (before * count / total)
        sums[name] = [total, old + moved * (count / total), squares]

    return add


def adapted(network: Module, statistics: Statistics) -> Module:
    """Return a copy of a network with other batch-norm statistics.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.BatchNorm2d(1)).eval()
    >>> other = adapted(network, {"0": (np.array([3.0]), np.array([2.0]))})
    >>> network[0].running_mean.tolist(), other[0].running_mean.tolist()
    ([0.0], [3.0])
    """
    import torch

    copied = copy.deepcopy(network)
    for name, module in _batch_norms(copied):
        mean, variance = statistics[name]
        module.running_mean.copy_(torch.from_numpy(mean))  # type: ignore[operator]
        module.running_var.copy_(torch.from_numpy(variance))  # type: ignore[operator]
    return copied


def digest_of(statistics: Statistics | None) -> str:
    """Return what tells statistics apart; empty for none."""
    if statistics is None:
        return ""
    parts = [array.tobytes() for pair in statistics.values() for array in pair]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _batch_norms(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn

    return ((name, module) for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d))
