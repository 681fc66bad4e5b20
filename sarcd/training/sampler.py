"""In which order the patches of an epoch come, as pure functions of a seed; and what is read for each batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np


class Request(NamedTuple):
    """What a loader is asked for: a batch, and which patches to read for it and later ones.

    Parameters
    ----------
    epoch : int
        Number of the epoch: what was read for another one is of no use.
    numbers : (B,) int64
        Patches of the batch.
    reads : tuple of (K,) int64
        Patches to read together, of one block each.
    real : int
        Rows of the batch that count; those after them only make up the number.
    ahead : tuple of (K,) int64
        What the next request to the same worker will want read.
    """

    epoch: int
    numbers: np.ndarray
    reads: tuple[np.ndarray, ...]
    real: int
    ahead: tuple[np.ndarray, ...] = ()


def in_batches(order: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut an order into batches; the last may be smaller.

    Examples
    --------
    >>> [batch.tolist() for batch in in_batches(np.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    return [order[start : start + size] for start in range(0, len(order), size)]


def chunk_order(
    blocks: Sequence[np.ndarray], size: int, *, streams: int, hold: int, generator: np.random.Generator | None
) -> list[np.ndarray]:
    """Order patches block by block, through a bounded shuffle, in batches.

    The blocks come in a drawn order; each stream takes every n-th into a buffer of `hold` patches, and gives
    them up in a drawn order. Batches come from the streams in turn, so that workers that take turns read no block of
    each other's; what the streams have left in the end is put together.

    Parameters
    ----------
    blocks : sequence of (K,) int64
        Numbers of the patches of each block.
    size : int
        Patches of a batch.
    streams, hold : int
        Number of streams, and patches that each holds.
    generator : Generator, optional
        Of the draws; None keeps the order of the blocks and of the patches in them.

    Returns
    -------
    list of (B,) int64
        Every patch once; all batches but the last are full.

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
    """Yield the patches of blocks, each drawn from the `hold` that are waiting."""
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
    """Say what is read for each batch of one process.

    Parameters
    ----------
    epoch : int
        Number of the epoch.
    batches : sequence of (B,) int64
        Batches of a single process.
    blocks : (N,) int64, optional
        Block of each patch: the patches of a block that a worker needs in this epoch are read together, when the
        first of them is wanted. By default each patch is read by itself.
    workers : int
        Worker processes, which take the batches in turn.
    rank, world : int
        Which of how many processes this is: it takes every `world`-th row of each batch, from row `rank` on. A batch
        with fewer rows than processes gives the others its first row, which is not to count.

    Returns
    -------
    list of Request
        As many for every rank.
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
