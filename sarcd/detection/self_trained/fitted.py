"""A network fitted to one pair of images, and the map it makes of any part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.detection.kernels.pair_features import REACH_PX, PairScale, pair_features, swap_dates
from sarcd.engine.rectangles import Rectangle
from sarcd.inference.device import forward
from sarcd.inference.predictor import sigmoid
from sarcd.inference.tiling import Tiling

if TYPE_CHECKING:
    from sarcd.networks.base import Network

ReadPair = Callable[[Rectangle], tuple[np.ndarray, np.ndarray]]
"""Returns the two images, (h, w) linear amplitude each, of a rectangle of the scene; NaN where invalid."""

TILE = 512
"""Side of the part of a scene that goes through the network at a time; the map does not depend on it."""

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))


@dataclass(frozen=True)
class SelfTrained:
    """What `fit` returns: all that is needed to map a pair of images, part by part.

    Parameters
    ----------
    network : Network
        In eval mode; seven channels, as `sarcd.detection.kernels.pair_features.CHANNELS`.
    scale : PairScale
        What normalises the images.
    threshold : float
        Probability from which a pixel is called changed.
    shape : (int, int)
        Rows and columns of the scene.
    record : dict
        What was found in the scene, chosen, and why; of JSON types, for the attributes of a result.
    """

    network: Network
    scale: PairScale
    threshold: float
    shape: tuple[int, int]
    record: dict[str, Any]

    def score(self, read: ReadPair, region: Rectangle, *, tile: int = TILE) -> np.ndarray:
        """Return how likely each pixel of a region changed.

        Parameters
        ----------
        read : callable
            Gives the two images of a rectangle of the scene.
        region : (slice, slice)
            Rows and columns wanted.
        tile : int
            Side of a tile, a multiple of the network's stride; the map is the same for any but for rounding.

        Returns
        -------
        (h, w) float32
            Probability in [0, 1], the mean of the logits over both orders of the dates and four flips; NaN where
            either image is invalid.
        """
        return np.asarray(self.score_and_spread(read, region, tile=tile)[0])

    def score_and_spread(self, read: ReadPair, region: Rectangle, *, tile: int = TILE) -> np.ndarray:
        """Return how likely each pixel changed, and how far the eight views of it are from agreeing.

        Parameters
        ----------
        read, region, tile
            As in `score`.

        Returns
        -------
        (2, h, w) float32
            What `score` returns, and the standard deviation of the probability among the eight, in [0, 0.5]; NaN where
            either image is invalid.
        """
        tiling = Tiling(self.shape, int(self.network.stride), int(self.network.tile_halo), tile)
        out = np.empty((2, region[0].stop - region[0].start, region[1].stop - region[1].start), np.float32)
        for core in tiling.cores(region):
            source = tiling.source(core)
            found = logits_and_spread(self.network, features_of(read, source, self.shape, self.scale))
            for layer, values in zip(out, found, strict=True):
                tiling.paste(layer, region, core, values)
        out[0] = sigmoid(out[0])
        before, after = read(region)
        out[:, ~(np.isfinite(before) & np.isfinite(after))] = np.nan
        return out


def features_of(read: ReadPair, source: Rectangle, shape: tuple[int, int], scale: PairScale) -> np.ndarray:
    """Return the features (7, h, w) of a rectangle, which may reach beyond the end of the scene: 0 there."""
    inside = tuple(slice(part.start, min(part.stop, size)) for part, size in zip(source, shape, strict=True))
    seen = tuple(
        slice(max(part.start - REACH_PX, 0), min(part.stop + REACH_PX, size))
        for part, size in zip(inside, shape, strict=True)
    )
    values = pair_features(*read((seen[0], seen[1])), scale)
    top, left = (part.start - around.start for part, around in zip(inside, seen, strict=True))
    height, width = (part.stop - part.start for part in inside)
    missing = [(0, part.stop - part.start - have) for part, have in zip(source, (height, width), strict=True)]
    return np.pad(values[:, top : top + height, left : left + width], [(0, 0), *missing])


def logits_and_spread(network: Network, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look at features (7, h, w) in both orders of the dates and four flips.

    Returns
    -------
    logits : (h, w) float32
        Mean over the eight.
    spread : (h, w) float32
        Standard deviation of the probability among them.
    """
    import torch

    orders = features, swap_dates(features)
    turned = [np.flip(values, flip) for flip in _FLIPS for values in orders]
    device = next(network.parameters()).device
    total = np.zeros(features.shape[1:], np.float32)
    sums, squares = np.zeros((2, *features.shape[1:]))
    for index, values in enumerate(turned):
        logits = forward(network, values[None], torch.device(device))[0]
        logits = np.flip(logits, _FLIPS[index // 2])
        total += logits
        probability = sigmoid(logits)
        sums += probability
        squares += np.square(probability, dtype=np.float64)
    spread = np.sqrt(np.maximum(squares / len(turned) - (sums / len(turned)) ** 2, 0))
    return total / len(turned), spread.astype(np.float32)
