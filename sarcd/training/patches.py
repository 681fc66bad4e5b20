"""Which patches there are in labelled scenes, and which of them are drawn for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sarcd.errors import TrainingError


@dataclass(frozen=True)
class Patch:
    """A square of a scene: the scene's place among those given, the pair's in its list, and the first pixel."""

    scene: int
    pair: int
    y: int
    x: int


@dataclass(frozen=True)
class PatchIndex:
    """What the labels say of each cell of a scene's patch grid.

    Parameters
    ----------
    size : int
        Side of a patch in pixels.
    labelled : (pair, row, column) int64
        Pixels that have a label and are valid in both images.
    changed : (pair, row, column) int64
        Those of them that are labelled as changed.
    """

    size: int
    labelled: np.ndarray
    changed: np.ndarray

    @property
    def mostly_valid(self) -> np.ndarray:
        """Whether at least half of a cell is labelled and valid, (pair, row, column) bool."""
        return 2 * self.labelled >= self.size**2

    def within(self, cells: np.ndarray) -> PatchIndex:
        """Return the index with nothing outside of `cells` (row, column) or (pair, row, column) bool."""
        return PatchIndex(self.size, np.where(cells, self.labelled, 0), np.where(cells, self.changed, 0))

    def patches(self, scene: int, chosen: np.ndarray) -> list[Patch]:
        """Return the cells where `chosen` (pair, row, column) is True as patches of scene number `scene`."""
        return [Patch(scene, int(p), int(i) * self.size, int(j) * self.size) for p, i, j in np.argwhere(chosen)]


def patch_grid(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the rows and columns of whole patches that fit side by side; what is left over at the end is not used.

    Examples
    --------
    The paper's first site, 5352 x 9356 pixels and 3 pairs, has 2160 patches:

    >>> rows, columns = patch_grid((5352, 9356), 256)
    >>> rows * columns * 3
    2160
    """
    return shape[0] // size, shape[1] // size


def shares_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labelled and the changed pixels of each patch, (N,) int64 both."""
    cells = [
        (indices[patch.scene], (patch.pair, patch.y // indices[patch.scene].size, patch.x // indices[patch.scene].size))
        for patch in patches
    ]
    labelled = np.array([index.labelled[cell] for index, cell in cells], np.int64)
    return labelled, np.array([index.changed[cell] for index, cell in cells], np.int64)


def changed_share(indices: Sequence[PatchIndex], patches: Sequence[Patch], weights: np.ndarray | None = None) -> float:
    """Return the share of the labelled pixels of some patches that are changed, kept off 0 and 1.

    `weights` (N,) say how often an epoch has each patch, once by default.
    """
    labelled, changed = shares_of(indices, patches)
    weights = np.ones(len(patches)) if weights is None else weights
    share = float((weights * changed).sum() / (weights * labelled).sum())
    return min(max(share, 1e-4), 1 - 1e-4)  # a share of 0 or 1 has no logit


def weights_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> np.ndarray:
    """Return what makes a patch more probable, (N,) float64: its share of change plus the mean share of all."""
    labelled, changed = shares_of(indices, patches)
    share = changed / labelled
    return np.asarray(share + share.mean())


def every_patch(indices: Sequence[PatchIndex]) -> list[Patch]:
    """Return every patch with a labelled pixel, in the order of scenes, pairs, rows and columns."""
    return [patch for scene, index in enumerate(indices) for patch in index.patches(scene, index.labelled > 0)]


def balanced_patches(indices: Sequence[PatchIndex], seed: int) -> list[Patch]:
    """Return every patch with a changed pixel, and as many labelled ones without, drawn from all scenes together.

    Parameters
    ----------
    indices : sequence of PatchIndex
        One a scene.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of Patch
        In the order of scenes, pairs, rows and columns. Where fewer patches lack change than have it, all are returned.
        Patches without change of which less than half is labelled and valid are drawn only where others are too few.

    Raises
    ------
    TrainingError
        If no patch has a changed pixel.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 3.2.
    """
    changed, whole, rest = [], [], []
    for scene, index in enumerate(indices):
        unchanged = (index.changed == 0) & (index.labelled > 0)
        changed += index.patches(scene, index.changed > 0)
        whole += index.patches(scene, unchanged & index.mostly_valid)
        rest += index.patches(scene, unchanged & ~index.mostly_valid)
    if not changed:
        raise TrainingError(
            "the labels hold not one changed pixel where the images are valid",
            mend="train on scenes in which changes are labelled",
        )
    unchanged = whole if len(whole) >= len(changed) else _sorted([*whole, *rest])
    drawn = np.random.default_rng(seed).permutation(len(unchanged))[: len(changed)]
    return _sorted([*changed, *(unchanged[i] for i in drawn)])


def _sorted(patches: Sequence[Patch]) -> list[Patch]:
    return sorted(patches, key=lambda patch: (patch.scene, patch.pair, patch.y, patch.x))
