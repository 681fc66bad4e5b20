"""Which patches a model is sure of: the arithmetic of pseudo-labelling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CellCounts:
    """What probabilities say of each cell of a grid of patches.

    Parameters
    ----------
    confident : (...,) int64
        Pixels of which the model is confident.
    changed : (...,) int64
        Pixels that it calls changed, p > 0.5.
    sureness : (...,) float64
        Mean of max(p, 1 - p) over the pixels that have a probability; 0 where none has.
    """

    confident: np.ndarray
    changed: np.ndarray
    sureness: np.ndarray


def count_cells(probability: np.ndarray, size: int, *, confidence: float, either: bool) -> CellCounts:
    """Count the confident and the changed pixels of each patch of an image.

    Parameters
    ----------
    probability : (Y, X) float32
        Of change; NaN, which is sure of nothing, where the images are invalid. Both sides multiples of `size`.
    size : int
        Side of a patch in pixels.
    confidence : float
        c of Eq. 12 of [1]_.
    either : bool
        Whether a pixel is confident where max(p, 1 - p) > c, or only where p > c.

    Returns
    -------
    CellCounts
        Arrays (Y / size, X / size).

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
        sure = np.maximum(cells, 1 - cells)
        confident = ((sure if either else cells) > confidence).sum(axis=(1, 3))
        changed = (cells > 0.5).sum(axis=(1, 3))
    valid = np.isfinite(cells).sum(axis=(1, 3))
    total = np.where(np.isfinite(sure), sure, 0).sum(axis=(1, 3), dtype=np.float64)
    return CellCounts(confident, changed, total / np.maximum(valid, 1))


def choose_cells(
    counts: CellCounts, pixels: int, *, share: float, most: int, stratified: bool, seed: int
) -> np.ndarray:
    """Choose the patches that become part of the training set (step 3 of Algorithm 1 of [1]_).

    Parameters
    ----------
    counts : CellCounts
        Flat, of all patches there are.
    pixels : int
        Pixels of a patch.
    share : float
        q of Eq. 13: a patch qualifies if more than this share of its pixels is confident.
    most : int
        N: patches chosen at most.
    stratified : bool
        Where more qualify: half of N with predicted change, the surest first, and as many without, drawn by `seed`;
        what one kind lacks the other fills. Else all are drawn by `seed`.
    seed : int
        Of the draws.

    Returns
    -------
    bool array
        Which patches, in their order.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664.

    Examples
    --------
    >>> counts = CellCounts(np.array([4, 4, 4, 3]), np.array([2, 0, 1, 0]), np.array([0.9, 0.99, 0.95, 0.99]))
    >>> choose_cells(counts, 4, share=0.9, most=2, stratified=True, seed=0).tolist()
    [False, True, True, False]
    """
    qualified = np.flatnonzero(counts.confident > share * pixels)
    chosen = np.zeros(counts.confident.shape, bool)
    drawn = np.random.default_rng(seed).permutation(qualified)
    if len(qualified) > most and stratified:
        is_changed = counts.changed[drawn] > 0
        changed, unchanged = drawn[is_changed], drawn[~is_changed]
        changed = changed[np.argsort(-counts.sureness[changed], kind="stable")]
        of_changed = min(len(changed), max(most // 2, most - len(unchanged)))
        drawn = np.concatenate([changed[:of_changed], unchanged[: most - of_changed]])
    chosen[drawn[:most]] = True
    return chosen
