"""Order of the patches of an epoch, as a pure function of a seed, and the blocks to read for each batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Request(NamedTuple):
    """Request to a data loader: a batch, and the patches to read for it and for later batches.

    Parameters
    ----------
    epoch : int
        Number of the epoch; patches read for another epoch are discarded.
    numbers : (B,) int64
        Patch numbers of the batch.
    reads : tuple of (K,) int64
        Patches to read together; each array holds the patches of one block.
    real : int
        Number of rows of the batch that count; the rows after them are padding.
    ahead : tuple of (K,) int64
        Patches to prefetch for the next request to the same worker.
    """

    epoch: int
    numbers: np.ndarray
    reads: tuple[np.ndarray, ...]
    real: int
    ahead: tuple[np.ndarray, ...] = ()


def in_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Split an order into batches; the last batch may be smaller.

    Examples
    --------
    >>> [batch.tolist() for batch in in_batches(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    return [order[start : start + size] for start in range(0, len(order), size)]


def chunk_order(
    blocks: Sequence[np.ndarray], size: int, *, streams: int, hold: int, generator: np.random.Generator | None
) -> list[np.ndarray]:
    """Order patches block by block through a shuffle buffer, and split them into batches.

    The blocks are shuffled. Each of the n streams reads every n-th block into a shuffle buffer of `hold` patches. The
    batches alternate between the streams, so that workers that take turns never read the same block. The remaining
    patches of all streams are combined at the end.

    Parameters
    ----------
    blocks : sequence of (K,) int64
        Patch numbers of each block.
    size : int
        Number of patches per batch.
    streams, hold : int
        Number of streams, and size of the shuffle buffer of each in patches.
    generator : Generator, optional
        Random generator; None keeps the order of the blocks and of the patches in them.

    Returns
    -------
    list of (B,) int64
        Batches with every patch exactly once; all batches but the last are full.

    Examples
    --------
    >>> blocks = [np.array([0, 1, 2]), np.array([3, 4])]
    >>> [batch.tolist() for batch in chunk_order(blocks, 2, streams=1, hold=4, generator=None)]
    [[0, 1], [2, 3], [4]]
    """
    if generator is None:
        return in_batches(np.concatenate(blocks), size)
    drawn = generator.permutation(len(blocks))
    sources = [
        np.fromiter(_stir((blocks[i] for i in drawn[stream::streams]), hold, generator), np.int64)
        for stream in range(streams)
    ]
    full = min(len(source) for source in sources) // size
    batches = [source[i * size : (i + 1) * size] for i in range(full) for source in sources]
    return batches + in_batches(np.concatenate([source[full * size :] for source in sources]), size)


def _stir(blocks: Iterable[np.ndarray], hold: int, generator: np.random.Generator) -> Iterator[int]:
    """Yield the patches of blocks in random order, through a shuffle buffer of `hold` patches."""
    waiting: list[int] = []
    for block in blocks:
        waiting.extend(block.tolist())
        while len(waiting) > hold:
            chosen = int(generator.integers(len(waiting)))
            waiting[chosen], waiting[-1] = waiting[-1], waiting[chosen]
            yield waiting.pop()
    yield from np.array(waiting, np.int64)[generator.permutation(len(waiting))].tolist()


def requests(
    epoch: int,
    batches: Sequence[np.ndarray],
    *,
    blocks: np.ndarray | None = None,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> list[Request]:
    """Return the requests for the batches of one process.

    Parameters
    ----------
    epoch : int
        Number of the epoch.
    batches : sequence of (B,) int64
        Batches of a single process.
    blocks : (N,) int64, optional
        Block of each patch: all patches of a block that a worker needs in this epoch are read together, when the first
        of them is needed. By default each patch is read separately.
    workers : int
        Number of worker processes, which take the batches in turn.
    rank, world : int
        Rank of this process and number of processes. The process takes every `world`-th row of each batch, starting
        with row `rank`. If a batch has fewer rows than processes, the others get its first row as padding.

    Returns
    -------
    list of Request
        One request per batch, the same number for every rank.
    """
    rows = [batch[rank::world] if rank < len(batch) else batch[:1] for batch in batches]
    real = [len(row) if rank < len(batch) else 0 for row, batch in zip(rows, batches, strict=True)]
    turns = max(1, workers)
    reads: list[list[np.ndarray]] = [[] for _ in rows]
    if blocks is not None:
        wanted: dict[tuple[int, int], tuple[int, list[int]]] = {}
        for place, row in enumerate(rows):
            for number in row.tolist():
                key = place % turns, int(blocks[number])
                wanted.setdefault(key, (place, []))[1].append(number)
        for place, numbers in wanted.values():
            reads[place].append(np.array(numbers, np.int64))
    ahead = [*reads[turns:], *([] for _ in range(turns))]
    return [
        Request(epoch, row, tuple(read), count, tuple(later))
        for row, read, count, later in zip(rows, reads, real, ahead, strict=False)
    ]
