"""Adaptive batch normalisation (AdaBN): batch-norm statistics re-estimated on a scene, without labels."""

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
"""Mean and variance of every channel, float64, by the name of the batch-norm layer."""

_SIDE = 256
_LEAST_TILES, _MOST_TILES = 16, 64  # over all pairs together
_CANDIDATES = 4  # squares to try per tile, since some have no data
_LEAST_VALID = 0.5
_BATCH = 4  # fixed, since the output of a batch norm in training mode depends on its batch
_PLASTIC = 1.3247179572447458  # root of x^3 = x + 1: steps of its inverse powers fill a square evenly


def sample_places(shape: tuple[int, int], stride: int, pairs: Sequence[int]) -> list[tuple[int, Rectangle]]:
    """Return candidate squares for a sample of a scene, each with its pair; the same for the same scene and pairs.

    Parameters
    ----------
    shape : (int, int)
        Shape of the scene.
    stride : int
        Total stride of the network. The sides of the squares are multiples of it, cut off at the end of the scene.
    pairs : sequence of int
        Pairs to sample, in rotation.

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
        if place not in places:  # a scene hardly larger than a square repeats them
            places.append(place)
    return places


def tiles_wanted(shape: tuple[int, int], stride: int, pairs: int) -> int:
    """Return how many tiles the sample of a number of pairs has, at most as many as cover these pairs.

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
    """Stack the first tiles that are at least half valid, with their holes filled.

    Parameters
    ----------
    values : iterable of (C, h, w) float32
        Features of the squares of `sample_places`, in their order; iterated only as far as needed.
    channels : sequence of C str
        Names of the channels.
    stride : int
        Total stride of the network. Tiles cut short by the end of the scene are padded with the fill constants.
    wanted : int
        Number of tiles.

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
    """Estimate the mean and variance of the input of each batch norm on a sample, in one pass.

    Each batch norm normalises by the statistics of the current batch, as in training; all other layers are in eval
    mode. Mean and variance are those of all values together, not running averages.

    Parameters
    ----------
    network : nn.Module
        Network in eval mode, on `device`; it is not modified.
    sample : (N, C, H, W) float32
        See `take_sample`.
    device : torch.device
        Device of the network.

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
    """Return a hook that updates count, mean and sum of squared deviations of the input (Chan et al. 1983)."""
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
    """Return a copy of a network with the given batch-norm statistics.

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
    """Return a digest that identifies statistics; empty for None."""
    if statistics is None:
        return ""
    parts = [array.tobytes() for pair in statistics.values() for array in pair]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _batch_norms(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    from torch import nn

    return ((name, module) for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d))
