"""PCA-k-means: clustering of the neighbourhood of each pixel instead of its value alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sarcd.change.kernels.thresholds.clusters import otsu
from sarcd.change.kernels.thresholds.histogram import UNKNOWN, count_cells, histogram

_ROUNDS, _CHANGE = 300, 1e-10


@dataclass(frozen=True, eq=False)
class BlockSplit:
    """Thresholding rule by the cluster, of two, to which the block of pixels around each pixel belongs.

    Parameters
    ----------
    basis : (S, H, H) float64
        Principal components of the blocks.
    mean : (H, H) float64
        Mean block.
    centres : (2, S) float64
        Centres of the unchanged and of the changed cluster.
    facts : dict
        Further results of the fit.
    method : str
        Method that fitted it.
    """

    basis: np.ndarray
    mean: np.ndarray
    centres: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)
    method: str = "pca_kmeans"

    @property
    def found(self) -> bool:
        """Whether there is a second class at all."""
        return True

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels beyond its own on which the result depends, along y and x."""
        return len(self.mean) // 2, len(self.mean) // 2

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Apply the rule.

        Parameters
        ----------
        values : (Y, X) float32
            Difference image; NaN where invalid. It is mirrored at its border.

        Returns
        -------
        (Y, X) uint8
            1 changed, 0 not, 255 where invalid.
        """
        features = block_features(values, self.basis, self.mean)
        distance = [sum((part - value) ** 2 for part, value in zip(features, c, strict=True)) for c in self.centres]
        changed = np.asarray(distance[1] < distance[0])
        return np.where(np.isfinite(values), changed.astype(np.uint8), np.uint8(UNKNOWN))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that can be stored in attributes."""
        arrays = {"basis": self.basis.tolist(), "mean": self.mean.tolist(), "centres": self.centres.tolist()}
        return {"method": self.method, **arrays, "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        basis, mean, centres = (np.array(values[name], float) for name in ("basis", "mean", "centres"))
        return cls(basis, mean, centres, dict(values["facts"]), values["method"])


def pca_kmeans(sample: Sequence[np.ndarray], *, block: int = 4, components: int = 3) -> BlockSplit | None:
    """Fit the principal components of the blocks of a difference image, and two clusters of the blocks around pixels.

    Parameters
    ----------
    sample : sequence of (Y, X) float32
        The difference image, or parts spread over it; NaN where invalid.
    block : int
        Side of a block in pixels, 2 or more.
    components : int
        Number of principal components, from 1 to the number of pixels of a block.

    Returns
    -------
    BlockSplit or None
        The cluster of larger values is the changed one; None where the values are practically equal, or no part holds a
        valid block.

    Notes
    -----
    The components are those of adjacent blocks, as published; the clusters are those of overlapping ones. Lloyd's
    iterations start from the two sides of Otsu's threshold on the first component, so the result is not random.

    References
    ----------
    .. [1] Celik 2009, doi:10.1109/LGRS.2009.2025059.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(0, 0.3, (64, 64)).astype("float32")
    >>> image[:16] += 2
    >>> found = pca_kmeans([image])
    >>> found.apply(image).mean(1).round()[[0, 12, 20, 63]].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    tiles = np.concatenate([_tiles(part, block) for part in sample])
    if len(tiles) < 2:
        return None
    mean = tiles.mean(0)
    _, vectors = np.linalg.eigh(np.cov(tiles - mean, rowvar=False))
    basis = vectors.T[::-1][:components].copy()
    basis *= np.where(basis.sum(1, keepdims=True) < 0, -1, 1)  # so that larger values have larger components
    basis, mean = basis.reshape(-1, block, block), mean.reshape(block, block)
    features = np.concatenate([np.stack(block_features(part, basis, mean), -1)[np.isfinite(part)] for part in sample])
    values = np.concatenate([part[np.isfinite(part)] for part in sample])
    start = otsu(histogram(count_cells(features[:, 0])))
    if not start.found:
        return None
    centres, labels = _lloyd(features, features[:, 0].astype(np.float32) >= np.float32(start.above or 0))
    fraction = float(labels.mean())
    if values[labels].mean() < values[~labels].mean():
        centres, fraction = centres[::-1].copy(), 1 - fraction
    return BlockSplit(basis, mean, centres, {"share": fraction})


def _lloyd(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two centres and which features are nearer to the second, from an initial labelling."""
    from scipy.cluster.vq import vq

    centres = np.stack([features[~labels].mean(0), features[labels].mean(0)])
    size = np.ptp(features, axis=0).max()
    for _ in range(_ROUNDS):
        labels = vq(features, centres, check_finite=False)[0] == 1
        moved = np.stack([features[~labels].mean(0), features[labels].mean(0)])
        done = np.abs(moved - centres).max() <= _CHANGE * size
        centres = moved
        if done:
            break
    return centres, labels


def _tiles(image: np.ndarray, block: int) -> np.ndarray:
    """Return the valid adjacent blocks of an image, (N, block * block) float64."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    cut = image[: rows * block, : columns * block].reshape(rows, block, columns, block)
    tiles = cut.swapaxes(1, 2).reshape(-1, block * block).astype(np.float64)
    return np.asarray(tiles[np.isfinite(tiles).all(1)])


def block_features(image: np.ndarray, basis: np.ndarray, mean: np.ndarray) -> list[np.ndarray]:
    """Project the block around each pixel onto the components.

    Parameters
    ----------
    image : (Y, X) float32
        NaN where invalid: invalid pixels of a block are replaced by the mean of its valid ones.
    basis : (S, H, H) float64
        Components.
    mean : (H, H) float64
        Mean block.

    Returns
    -------
    list of S (Y, X) float64
        For the block that begins (H - 1) // 2 rows and columns before each pixel; 0 where it has no valid pixel.

    Examples
    --------
    >>> block_features(np.array([[1, 2], [3, np.nan]], "float32"), np.ones((1, 2, 2)), np.zeros((2, 2)))[0].tolist()
    [[8.0, 8.0], [12.0, 0.0]]
    """
    side = len(mean)
    before, after = (side - 1) // 2, side // 2
    padded = np.pad(image.astype(np.float64), (before, after), mode="symmetric")
    valid = np.isfinite(padded)
    padded[~valid] = 0
    height, width = image.shape
    shifts = [(y, x) for y in range(side) for x in range(side)]

    def at(of: np.ndarray, y: int, x: int) -> np.ndarray:
        return of[y : y + height, x : x + width]

    whole = bool(valid.all())
    if not whole:
        count, total = np.zeros((2, height, width))
        for y, x in shifts:
            count += at(valid, y, x)
            total += at(padded, y, x)
        middle = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    features = []
    for component in basis:
        found = np.full((height, width), -float((component * mean).sum()))
        for y, x in shifts:
            found += component[y, x] * at(padded, y, x)
            if not whole:
                found += component[y, x] * (middle * ~at(valid, y, x))
        features.append(found if whole else np.where(count > 0, found, 0.0))
    return features
