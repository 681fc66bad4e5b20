"""Fill invalid pixels of features, and select the patches for which a model is confident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit


@dataclass(frozen=True)
class CellCounts:
    """Pixel counts of each cell of a patch grid.

    Parameters
    ----------
    confident : (...,) int64
        Number of pixels for which the model is confident.
    changed : (...,) int64
        Number of pixels predicted as changed, p > 0.5.
    certainty : (...,) float64
        Mean of max(p, 1 - p) over the valid pixels; 0 if there are none.
    """

    confident: np.ndarray
    changed: np.ndarray
    certainty: np.ndarray


def count_cells(probability: np.ndarray, size: int, *, confidence: float, either: bool) -> CellCounts:
    """Count the confident and the changed pixels of each patch of an image.

    Parameters
    ----------
    probability : (Y, X) float32
        Probability of change; NaN where the images are invalid, which never counts as confident. Y and X are multiples
        of `size`.
    size : int
        Side length of a patch in pixels.
    confidence : float
        Confidence threshold c of Eq. 12 of [1]_.
    either : bool
        Whether a pixel is confident if max(p, 1 - p) > c; otherwise only if p > c.

    Returns
    -------
    CellCounts
        Arrays of shape (Y / size, X / size).

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 12.

    Examples
    --------
    >>> probability = np.array([[0.9, 0.2, 0.1, 0.05], [0.9, 0.9, 0.1, np.nan]], "float32")
    >>> counts = count_cells(probability, 2, confidence=0.85, either=True)
    >>> counts.confident.tolist(), counts.changed.tolist()
    ([[3, 3]], [[3, 0]])
    """
    cells = probability.reshape(probability.shape[0] // size, size, probability.shape[1] // size, size)
    with np.errstate(invalid="ignore"):
        certainty = np.maximum(cells, 1 - cells)
        confident = ((certainty if either else cells) > confidence).sum(axis=(1, 3))
        changed = (cells > 0.5).sum(axis=(1, 3))
    valid = np.isfinite(cells).sum(axis=(1, 3))
    total = np.where(np.isfinite(certainty), certainty, 0).sum(axis=(1, 3), dtype=np.float64)
    return CellCounts(confident, changed, total / np.maximum(valid, 1))


def choose_cells(
    counts: CellCounts, pixels: int, *, min_confident: float, max_cells: int, stratified: bool, seed: int
) -> np.ndarray:
    """Select the patches to add to the training set (step 3 of Algorithm 1 of [1]_).

    Parameters
    ----------
    counts : CellCounts
        Counts of all N patches, one-dimensional.
    pixels : int
        Number of pixels per patch.
    min_confident : float
        Fraction q of Eq. 13: a patch qualifies if more than this fraction of its pixels is confident.
    max_cells : int
        Maximum number of patches to select.
    stratified : bool
        If more patches qualify: select half with predicted change, most certain first, and half without, at random; if
        one class has too few patches, fill up with the other. If False, select all at random.
    seed : int
        Seed of the random selection.

    Returns
    -------
    (N,) bool
        Whether each patch is selected.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664.

    Examples
    --------
    >>> counts = CellCounts(np.array([4, 4, 4, 3]), np.array([2, 0, 1, 0]), np.array([0.9, 0.99, 0.95, 0.99]))
    >>> choose_cells(counts, 4, min_confident=0.9, max_cells=2, stratified=True, seed=0).tolist()
    [False, True, True, False]
    """
    qualified = np.flatnonzero(counts.confident > min_confident * pixels)
    chosen = np.zeros(counts.confident.shape, bool)
    drawn = np.random.default_rng(seed).permutation(qualified)
    if len(qualified) > max_cells and stratified:
        is_changed = counts.changed[drawn] > 0
        changed, unchanged = drawn[is_changed], drawn[~is_changed]
        changed = changed[np.argsort(-counts.certainty[changed], kind="stable")]
        of_changed = min(len(changed), max(max_cells // 2, max_cells - len(unchanged)))
        drawn = np.concatenate([changed[:of_changed], unchanged[: max_cells - of_changed]])
    chosen[drawn[:max_cells]] = True
    return chosen


def fill_interleaved(
    layers: Sequence[np.ndarray], constants: Sequence[float], label: np.ndarray, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """Interleave channels, fill invalid pixels, and mask them in the labels.

    Parameters
    ----------
    layers : sequence of C (Y, X) float32
        Channels, NaN where invalid.
    constants : sequence of C float
        Fill value of each channel.
    label : (Y, X) uint8
        Labels.
    ignored : int
        Label value of masked pixels.

    Returns
    -------
    values : (Y, X, C) float32
        Features without NaN, channels last.
    target : (Y, X) uint8
        Labels, `ignored` where any channel is NaN.

    Notes
    -----
    This takes a single pass over the data; `sarcd.estimation.channels.fill_holes` takes several.

    Examples
    --------
    >>> before, after = np.array([[1, np.nan]], "float32"), np.array([[2, 3]], "float32")
    >>> values, target = fill_interleaved([before, after], [0.5, 0.5], np.zeros((1, 2), "uint8"), 255)
    >>> values.tolist(), target.tolist()
    ([[[1.0, 2.0], [0.5, 3.0]]], [[0, 255]])
    """
    values = np.empty((*label.shape, len(layers)), np.float32)
    target = np.array(label, np.uint8)
    for channel, (layer, constant) in enumerate(zip(layers, constants, strict=True)):
        _fill(layer, np.float32(constant), np.uint8(ignored), values[..., channel], target)
    return values, target


@njit(nogil=True, cache=True)
def _fill(layer: Any, constant: Any, ignored: Any, values: Any, target: Any) -> None:
    for y in range(layer.shape[0]):
        for x in range(layer.shape[1]):
            value = layer[y, x]
            if np.isnan(value):
                values[y, x] = constant
                target[y, x] = ignored
            else:
                values[y, x] = value
