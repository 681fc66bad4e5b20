"""A network fitted to one pair of images, the map it makes of any part of them, and the decision on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.detection.kernels import REACH_PX, PairScale, pair_features, swap_dates
from sarcd.engine.tasks import Rectangle
from sarcd.inference.predictor import forward, sigmoid
from sarcd.inference.tiling import Tiling

if TYPE_CHECKING:
    from sarcd.networks.base import Network

_BINS = 200


@dataclass(frozen=True)
class Decision:
    """A threshold, and what it promises if the probabilities are right.

    Parameters
    ----------
    threshold : float
        Probability from which a pixel is called changed.
    kappa : float
        Expected kappa, in [0, 1].
    flagged, changed : float
        Shares of the pixels that are called changed, and that are expected to have changed.
    """

    threshold: float
    kappa: float
    flagged: float
    changed: float


def best_threshold(scores: np.ndarray, *, lowest: float, least_kappa: float, least_gain: float) -> Decision:
    """Choose the threshold of the largest expected kappa.

    Where changes are seen dimly most of them have a probability under one half, and a threshold of one half leaves them
    all out. If probabilities are right, hits and false alarms of every threshold can be counted without labels.

    Parameters
    ----------
    scores : (N,) float
        Probabilities of a sample of the scene.
    lowest : float
        Lowest threshold that is chosen; the highest is 0.5.
    least_kappa, least_gain : float
        Expected kappa, and what it gains over that of 0.5, from which a lower threshold is taken: where little is
        promised there may be no change, and probabilities are not so right that small gains would be real.

    Examples
    --------
    >>> scores = np.repeat([0.01, 0.412, 0.9], [900, 80, 20])
    >>> round(best_threshold(scores, lowest=0.2, least_kappa=0.2, least_gain=0.05).threshold, 2)
    0.41
    """
    edges = np.arange(_BINS + 1) / _BINS
    counts, _ = np.histogram(scores, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    # of the pixels at or above the lower edge of each bin
    flagged = np.cumsum(counts[::-1])[::-1].astype(float)
    hits = np.cumsum((counts * middles)[::-1])[::-1]
    total, changed = float(counts.sum()), float((counts * middles).sum())
    agreed = (total - flagged - changed + 2 * hits) / total
    by_chance = (flagged * changed + (total - flagged) * (total - changed)) / total**2
    kappa = np.divide(agreed - by_chance, 1 - by_chance, out=np.zeros_like(agreed), where=by_chance < 1)
    allowed = (edges[:-1] >= lowest - 1e-9) & (edges[:-1] <= 0.5 + 1e-9)
    best = int(np.flatnonzero(allowed & (kappa >= kappa[allowed].max()))[-1])  # the highest of equals
    half = _BINS // 2
    if kappa[best] < least_kappa or kappa[best] - kappa[half] < least_gain:
        best = half
    return Decision(float(edges[best]), float(kappa[best]), float(flagged[best] / total), changed / total)


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
        In eval mode; seven channels, as `sarcd.detection.kernels.CHANNELS`.
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
