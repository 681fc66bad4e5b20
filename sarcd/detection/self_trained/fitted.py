"""A network fitted to one pair of images, the maps it predicts for any part of them, and the choice of threshold."""

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
    """A threshold and its expected scores, assuming calibrated probabilities.

    Parameters
    ----------
    threshold : float
        Probability from which a pixel is classified as changed.
    kappa : float
        Expected kappa, in [0, 1].
    flagged, changed : float
        Fractions of the pixels that are classified as changed, and that are expected to have changed.
    """

    threshold: float
    kappa: float
    flagged: float
    changed: float


def best_threshold(scores: np.ndarray, *, lowest: float, least_kappa: float, least_gain: float) -> Decision:
    """Choose the threshold with the highest expected kappa.

    Where changes are faint, most changed pixels have a probability below one half and a threshold of 0.5 misses them.
    If probabilities are calibrated, the hits and false alarms of each threshold can be estimated without labels.

    Parameters
    ----------
    scores : (N,) float
        Probabilities of a sample of the scene.
    lowest : float
        Lowest threshold that may be chosen; the highest is 0.5.
    least_kappa, least_gain : float
        Minimum expected kappa, and minimum gain in expected kappa over a threshold of 0.5, for choosing a lower
        threshold. If expected kappa is low there may be no change at all, and calibration is not accurate enough for
        small gains to be real.

    Examples
    --------
    >>> scores = np.repeat([0.01, 0.412, 0.9], [900, 80, 20])
    >>> round(best_threshold(scores, lowest=0.2, least_kappa=0.2, least_gain=0.05).threshold, 2)
    0.41
    """
    edges = np.arange(_BINS + 1) / _BINS
    counts, _ = np.histogram(scores, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    # sums over the pixels at or above the lower edge of each bin
    flagged = np.cumsum(counts[::-1])[::-1].astype(float)
    hits = np.cumsum((counts * middles)[::-1])[::-1]
    total, changed = float(counts.sum()), float((counts * middles).sum())
    agreed = (total - flagged - changed + 2 * hits) / total
    by_chance = (flagged * changed + (total - flagged) * (total - changed)) / total**2
    kappa = np.divide(agreed - by_chance, 1 - by_chance, out=np.zeros_like(agreed), where=by_chance < 1)
    allowed = (edges[:-1] >= lowest - 1e-9) & (edges[:-1] <= 0.5 + 1e-9)
    best = int(np.flatnonzero(allowed & (kappa >= kappa[allowed].max()))[-1])  # the highest of equal maxima
    half = _BINS // 2
    if kappa[best] < least_kappa or kappa[best] - kappa[half] < least_gain:
        best = half
    return Decision(float(edges[best]), float(kappa[best]), float(flagged[best] / total), changed / total)


ReadPair = Callable[[Rectangle], tuple[np.ndarray, np.ndarray]]
"""Callable that returns the two images of a rectangle, (h, w) linear amplitude each; NaN where invalid."""

TILE = 512
"""Side in pixels of the tiles passed through the network; the map does not depend on it."""

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,), (-2, -1))


@dataclass(frozen=True)
class SelfTrained:
    """Result of `fit`: everything needed to map a pair of images, part by part.

    Parameters
    ----------
    network : Network
        Network in eval mode, with the seven input channels of `sarcd.detection.kernels.CHANNELS`.
    scale : PairScale
        Scale used to normalise the images.
    threshold : float
        Probability from which a pixel is classified as changed.
    shape : (int, int)
        Rows and columns of the scene.
    record : dict
        What was measured and chosen, and why; JSON types, stored in the attributes of a result.
    """

    network: Network
    scale: PairScale
    threshold: float
    shape: tuple[int, int]
    record: dict[str, Any]

    def score(self, read: ReadPair, region: Rectangle, *, tile: int = TILE) -> np.ndarray:
        """Return the probability of change of each pixel of a region.

        Parameters
        ----------
        read : callable
            Returns the two images of a rectangle of the scene.
        region : (slice, slice)
            Rows and columns of the region.
        tile : int
            Side of a tile in pixels, a multiple of the network's stride; the map depends on it only by rounding.

        Returns
        -------
        (h, w) float32
            Probability in [0, 1], from the mean logit over both orders of the dates and four flips; NaN where
            either image is invalid.
        """
        return np.asarray(self.score_and_spread(read, region, tile=tile)[0])

    def score_and_spread(self, read: ReadPair, region: Rectangle, *, tile: int = TILE) -> np.ndarray:
        """Return the probability of change of each pixel and its spread over the eight augmented views.

        Parameters
        ----------
        read, region, tile
            As in `score`.

        Returns
        -------
        (2, h, w) float32
            The result of `score`, and the standard deviation of the probability over the eight views, in [0, 0.5]; NaN
            where either image is invalid.
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
    """Return the features (7, h, w) of a rectangle; they are 0 where it extends beyond the scene."""
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
    """Predict from features (7, h, w) in both orders of the dates and four flips.

    Returns
    -------
    logits : (h, w) float32
        Mean over the eight views.
    spread : (h, w) float32
        Standard deviation of the probability over the eight views.
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
