"""Which patches there are in labelled scenes, and which of them are drawn for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sarcd import schema
from sarcd.errors import SceneError, TrainingError
from sarcd.io.chunks import chunk_errors
from sarcd.io.reader import SceneReader
from sarcd.ops.pairs import pairs_of


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


def index_patches(reader: SceneReader, size: int) -> PatchIndex:
    """Count the labelled and the changed pixels of every patch of a scene, block by block.

    Parameters
    ----------
    reader : SceneReader
        Of a scene with `label`.
    size : int
        Side of a patch in pixels.

    Raises
    ------
    TrainingError
        If not even one patch fits the scene.
    SceneError
        If the scene has no labels, or they hold values other than 0, 1 and 255.
    """
    pairs = labelled_pairs(reader)
    rows, columns = patch_grid(reader.shape, size)
    if not rows or not columns:
        raise TrainingError(
            f"scene of {reader.shape[0]} x {reader.shape[1]} pixels is smaller than one patch of {size}",
            where=reader.path,
            mend="choose smaller patches with --patch",
        )
    labelled = np.zeros((len(pairs), rows, columns), np.int64)
    changed = np.zeros_like(labelled)
    for pair, dates in enumerate(pairs):
        for block in _blocks(rows, columns, max(1, schema.CHUNK // size)):
            y, x = (slice(part.start * size, part.stop * size) for part in block)
            truth = _labels(reader, pair, y, x)
            if not (truth != schema.NO_LABEL).any():
                continue
            window = reader.window(dates, y, x)[reader.images].values
            truth = np.where(np.isnan(window).any(axis=0), schema.NO_LABEL, truth)
            labelled[(pair, *block)] = _count_cells(truth != schema.NO_LABEL, size)
            changed[(pair, *block)] = _count_cells(truth == 1, size)
    return PatchIndex(size, labelled, changed)


def labelled_pairs(reader: SceneReader) -> list[tuple[int, int]]:
    """Return the scene's pairs as positions along `time`.

    Raises
    ------
    SceneError
        If the scene has no labels.
    """
    if "label" not in reader.scene:
        raise SceneError("no 'label' in the scene", where=reader.path, mend="add labels with 'sarcd ingest --label'")
    return pairs_of(reader.scene)


def _labels(reader: SceneReader, pair: int, y: slice, x: slice) -> np.ndarray:
    """Read labels alone: most of a scene that was labelled in part needs no more than this."""
    with chunk_errors(reader.path):
        labels = reader.scene["label"][pair, y, x].values
    foreign = ~np.isin(labels, (0, 1, schema.NO_LABEL))
    if foreign.any():
        raise SceneError(
            f"'label' holds the value {labels[foreign][0]}, should be 0, 1 or {schema.NO_LABEL}",
            where=reader.path,
            mend="ingest the labels again and say what their values mean",
        )
    return np.asarray(labels)


def _blocks(rows: int, columns: int, step: int) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of patches about as large as a stored chunk."""
    for row in range(0, rows, step):
        for column in range(0, columns, step):
            yield slice(row, min(row + step, rows)), slice(column, min(column + step, columns))


def _count_cells(flags: np.ndarray, size: int) -> np.ndarray:
    rows, columns = flags.shape[0] // size, flags.shape[1] // size
    counts: np.ndarray = flags.reshape(rows, size, columns, size).sum(axis=(1, 3))
    return counts


def changed_share(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> float:
    """Return the share of the labelled pixels of some patches that are changed, kept off 0 and 1."""
    cells = [
        (indices[patch.scene], (patch.pair, patch.y // indices[patch.scene].size, patch.x // indices[patch.scene].size))
        for patch in patches
    ]
    labelled = sum(int(index.labelled[cell]) for index, cell in cells)
    share = sum(int(index.changed[cell]) for index, cell in cells) / labelled
    return min(max(share, 1e-4), 1 - 1e-4)  # a share of 0 or 1 has no logit


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

    Raises
    ------
    TrainingError
        If no patch has a changed pixel.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 3.2.
    """
    changed, unchanged = [], []
    for scene, index in enumerate(indices):
        changed += index.patches(scene, index.changed > 0)
        unchanged += index.patches(scene, (index.changed == 0) & (index.labelled > 0))
    if not changed:
        raise TrainingError(
            "the labels hold not one changed pixel where the images are valid",
            mend="train on scenes in which changes are labelled",
        )
    count = min(len(changed), len(unchanged))
    drawn = np.random.default_rng(seed).permutation(len(unchanged))[:count]
    chosen = [*changed, *(unchanged[i] for i in drawn)]
    return sorted(chosen, key=lambda patch: (patch.scene, patch.pair, patch.y, patch.x))
