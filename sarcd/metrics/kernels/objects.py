"""Scores by object: detected, missed and false objects, counted block by block and joined across blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.int64]]

OBJECT_COUNTS = ("detected", "missed", "confirmed", "false")
"""Entries of `object_counts`: reference objects detected and missed, detected objects that touch a reference object and
that do not."""

_SIDES = ("top", "bottom", "left", "right")


@dataclass(frozen=True)
class Rules:
    """Rules for what counts as an object, and for when it is detected.

    Parameters
    ----------
    min_pixels : int
        Minimum number of evaluated pixels of an object, reference or detected.
    min_overlap : float
        Minimum fraction of the evaluated pixels of a reference object that detected objects must cover; at least one.
    """

    min_pixels: int = 1
    min_overlap: float = 0.0


@dataclass(frozen=True)
class Parts:
    """Objects of one kind, or the parts of objects within a block.

    Parameters
    ----------
    sizes : (N,) int64
        Evaluated pixels of each.
    sides : dict of (Y,) or (X,) int64
        Number of the object, from 1, at each pixel of the block's `top`, `bottom`, `left` and `right`; 0 for none.
    """

    sizes: IntArray
    sides: dict[str, IntArray]


@dataclass(frozen=True)
class BlockObjects:
    """Information on a block that is needed to join its objects with those of its neighbours.

    Parameters
    ----------
    origin, shape : (int, int)
        Position of the block in the scene, and its size.
    real, predicted : Parts
        Reference and detected objects that reach a side, and all that overlap with such objects.
    overlap : (M, 3) int64
        Reference object, detected object (from 1) and the number of shared pixels.
    closed : (4,) int64
        `object_counts` of all other objects.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    real: Parts
    predicted: Parts
    overlap: IntArray
    closed: IntArray = field(default_factory=lambda: np.zeros(4, np.int64))


def block_objects(
    changed: np.ndarray, predicted: np.ndarray, evaluated: np.ndarray, rules: Rules, *, origin: tuple[int, int] = (0, 0)
) -> BlockObjects:
    """Find the objects of a block, pixels that touch by side or corner, and count those that lie within it.

    Parameters
    ----------
    changed : (Y, X) bool
        Pixels labelled as changed.
    predicted : (Y, X) bool
        Pixels predicted as changed, also where nothing is labelled, so that objects are not cut there.
    evaluated : (Y, X) bool
        Pixels with a label and a prediction. Only these count in sizes and overlaps.
    rules : Rules
        Rules for objects.
    origin : (int, int)
        Row and column of the block in the scene.

    Returns
    -------
    BlockObjects
        Small for any block size: objects that cannot extend beyond it are counted and dropped.
    """
    real, real_numbers = _parts(changed, evaluated)
    reported, reported_numbers = _parts(predicted, evaluated)
    both = changed & predicted & evaluated
    width = len(reported.sizes) + 1
    shared, pixels = np.unique(real_numbers[both] * width + reported_numbers[both], return_counts=True)
    overlap = np.stack([shared // width, shared % width, pixels], axis=-1)
    return _forget_closed(BlockObjects(origin, (both.shape[0], both.shape[1]), real, reported, overlap), rules)


def _parts(where: np.ndarray, evaluated: np.ndarray) -> tuple[Parts, IntArray]:
    """Return the objects of a block, and the number of the object at each pixel."""
    from scipy import ndimage

    numbers, count = ndimage.label(where, structure=np.ones((3, 3), bool))
    sizes = np.bincount(numbers[where & evaluated], minlength=count + 1)[1:]
    numbers = numbers.astype(np.int64)
    lines = numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]
    return Parts(sizes, {side: line.copy() for side, line in zip(_SIDES, lines, strict=True)}), numbers


def _forget_closed(block: BlockObjects, rules: Rules) -> BlockObjects:
    """Count the objects that are not connected to any that reaches a side, and drop them."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n, m = len(block.real.sizes), len(block.predicted.sizes)
    if n + m == 0:
        return block
    ends = block.overlap[:, 0] - 1, block.overlap[:, 1] - 1 + n
    graph = coo_array((np.ones(len(block.overlap), np.int8), ends), shape=(n + m, n + m))
    _, group = connected_components(graph, directed=False)
    reaching = np.concatenate([_reaching(block.real), _reaching(block.predicted) + n])
    is_open = np.isin(group, group[reaching])
    open_real, open_predicted = is_open[:n], is_open[n:]
    in_open = open_real[block.overlap[:, 0] - 1]
    closed = object_counts(
        np.where(open_real, 0, block.real.sizes),
        np.where(open_predicted, 0, block.predicted.sizes),
        block.overlap[~in_open],
        rules,
    )
    real, real_number = _kept(block.real, open_real)
    predicted, predicted_number = _kept(block.predicted, open_predicted)
    shared = block.overlap[in_open]
    overlap = np.stack([real_number[shared[:, 0]], predicted_number[shared[:, 1]], shared[:, 2]], axis=-1)
    return BlockObjects(block.origin, block.shape, real, predicted, overlap, closed)


def _reaching(parts: Parts) -> IntArray:
    numbers = np.unique(np.concatenate(list(parts.sides.values())))
    return np.asarray(numbers[numbers > 0] - 1)


def _kept(parts: Parts, keep: np.ndarray) -> tuple[Parts, IntArray]:
    """Return the parts to keep, and the new number of each old one."""
    number = np.concatenate([[0], np.where(keep, np.cumsum(keep), 0)])
    return Parts(parts.sizes[keep], {side: number[line] for side, line in parts.sides.items()}), number


def object_counts(real: np.ndarray, predicted: np.ndarray, overlap: np.ndarray, rules: Rules) -> IntArray:
    """Count detected, missed, confirmed and false objects.

    Detected objects that are too small are removed from the map first. Reference objects that are too small need not be
    detected, and a detected object that touches only such objects is neither confirmed nor false.

    Parameters
    ----------
    real, predicted : (N,), (M,) int
        Evaluated pixels of each reference and each detected object.
    overlap : (K, 3) int
        Number of a reference and of a detected object, from 1, and of the pixels they share.
    rules : Rules
        Rules for objects.

    Returns
    -------
    (4,) int64
        In the order of `OBJECT_COUNTS`.

    Examples
    --------
    >>> counts = object_counts([9, 4], [6, 5, 2], [[1, 1, 3], [1, 3, 1]], Rules(min_overlap=0.4))
    >>> dict(zip(OBJECT_COUNTS, counts.tolist()))
    {'detected': 1, 'missed': 1, 'confirmed': 2, 'false': 1}
    """
    real, predicted = np.asarray(real, np.int64), np.asarray(predicted, np.int64)
    to_find, to_evaluate = real >= max(rules.min_pixels, 1), predicted >= max(rules.min_pixels, 1)
    overlap = np.asarray(overlap, np.int64).reshape(-1, 3)
    one, other, pixels = overlap[:, 0] - 1, overlap[:, 1] - 1, overlap[:, 2]
    counted = to_evaluate[other]
    covered = np.zeros(len(real), np.int64)
    np.add.at(covered, one[counted], pixels[counted])
    found = to_find & (covered >= np.maximum(rules.min_overlap * real, 1))
    touching, confirmed = np.zeros(len(predicted), bool), np.zeros(len(predicted), bool)
    touching[other] = True
    confirmed[other[to_find[one]]] = True
    kinds = found, to_find & ~found, to_evaluate & confirmed, to_evaluate & ~touching
    return np.array([np.count_nonzero(kind) for kind in kinds], np.int64)


def join_objects(blocks: Sequence[BlockObjects], rules: Rules) -> IntArray:
    """Join the objects of the blocks of a scene across their borders, and count them all.

    Parameters
    ----------
    blocks : sequence of BlockObjects
        A regular grid that covers the scene, in any order.
    rules : Rules
        Those that the blocks were made with.

    Returns
    -------
    (4,) int64
        In the order of `OBJECT_COUNTS`; the same for any grid.

    Examples
    --------
    >>> line = np.array([[1, 1, 1, 0, 1, 1]], bool)
    >>> cut = [block_objects(*[line[:, x : x + 2]] * 3, Rules(), origin=(0, x)) for x in (0, 2, 4)]
    >>> join_objects(cut, Rules()).tolist()
    [2, 0, 2, 0]
    """
    closed = np.sum([block.closed for block in blocks], axis=0, dtype=np.int64)
    real, real_offset = _joined(blocks, [block.real for block in blocks])
    predicted, predicted_offset = _joined(blocks, [block.predicted for block in blocks])
    real_sizes = _summed(real, [block.real for block in blocks])
    predicted_sizes = _summed(predicted, [block.predicted for block in blocks])
    overlap = [
        np.stack(
            [
                real[block.overlap[:, 0] - 1 + first] + 1,
                predicted[block.overlap[:, 1] - 1 + second] + 1,
                block.overlap[:, 2],
            ],
            axis=-1,
        )
        for block, first, second in zip(blocks, real_offset, predicted_offset, strict=True)
    ]
    return closed + object_counts(real_sizes, predicted_sizes, np.concatenate(overlap), rules)


def _summed(number: IntArray, parts: Sequence[Parts]) -> IntArray:
    total = np.zeros(number.max(initial=-1) + 1, np.int64)
    np.add.at(total, number, np.concatenate([part.sizes for part in parts]))
    return total


def _joined(blocks: Sequence[BlockObjects], parts: Sequence[Parts]) -> tuple[IntArray, IntArray]:
    """Return the object of each part, and how many parts precede those of each block."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    counts = np.array([len(part.sizes) for part in parts], np.int64)
    offset = np.cumsum(counts) - counts
    total = int(counts.sum())
    if total == 0:
        return np.zeros(0, np.int64), offset
    lines = [
        {side: np.where(line > 0, line + first, 0) for side, line in part.sides.items()}
        for part, first in zip(parts, offset, strict=True)
    ]
    edges = [_touching(blocks, lines, axis) for axis in (0, 1)]
    ends = np.concatenate(edges, axis=1) - 1
    graph = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(total, total))
    _, number = connected_components(graph, directed=False)
    return number.astype(np.int64), offset


def _touching(blocks: Sequence[BlockObjects], lines: Sequence[dict[str, IntArray]], axis: int) -> IntArray:
    """Return pairs of parts, (2, K), that touch across the borders perpendicular to an axis.

    Whole lines of the scene are compared, to include the corners where four blocks meet.
    """
    along = 1 - axis
    last, first = ("bottom", "top") if axis == 0 else ("right", "left")
    length = max(block.origin[along] + block.shape[along] for block in blocks)
    before: dict[int, IntArray] = {}
    after: dict[int, IntArray] = {}
    for block, sides in zip(blocks, lines, strict=True):
        part = slice(block.origin[along], block.origin[along] + block.shape[along])
        start, end = block.origin[axis], block.origin[axis] + block.shape[axis]
        before.setdefault(end, np.zeros(length, np.int64))[part] = sides[last]
        after.setdefault(start, np.zeros(length, np.int64))[part] = sides[first]
    pairs = [np.zeros((2, 0), np.int64)]
    for border in before.keys() & after.keys():
        one, other = before[border], after[border]
        for left, right in ((one, other), (one[1:], other[:-1]), (one[:-1], other[1:])):
            both = (left > 0) & (right > 0)
            pairs.append(np.unique(np.stack([left[both], right[both]]), axis=1))
    return np.concatenate(pairs, axis=1)
