"""How much memory a job may take, and how it is shared out among its threads and its cache."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from sarcd.engine.limits import free_memory
from sarcd.errors import OptionError

_MOST_BY_DEFAULT = 2**30  # with what a command takes before its job begins, less than 2 GiB
_MOST_CACHE = 2**29  # the chunks of three rows of a band: more would seldom be looked at again
_LOADED_LATER = 2**28  # compiled kernels, codecs, threads and their heaps: not there yet when the job is planned


@dataclass(frozen=True)
class Shares:
    """What a job does with its memory.

    Parameters
    ----------
    workers : int
        Regions in work at a time.
    cache_bytes : int
        Decoded chunks that are kept.
    """

    workers: int
    cache_bytes: int


def budget(asked: int | None) -> int:
    """Return the bytes that this process may take.

    As asked; or what it takes already, which may be much in a notebook, and half of what is free, 1 GiB at most.
    """
    return asked or _taken() + min(_MOST_BY_DEFAULT, free_bytes() // 2)


def left(asked: int | None) -> int:
    """Return what of the budget is not taken yet."""
    return budget(asked) - _taken()


def _taken() -> int:
    return int(psutil.Process().memory_info().rss) + _LOADED_LATER


def free_bytes() -> int:
    """Return the memory that this process may still take, by machine, container, scheduler and resource limits."""
    return free_memory().free


def share_out(asked: int | None, bytes_left: int, *, region_bytes: int, chunk_bytes: int, workers: int) -> Shares:
    """Share what is left of a budget between regions in work and a cache of chunks.

    Parameters
    ----------
    asked : int or None
        The whole budget, as the user gave it.
    bytes_left : int
        What of it is to be shared out.
    region_bytes : int
        What one region takes while it is computed.
    chunk_bytes : int
        One decoded chunk of an image.
    workers : int
        Regions in work at a time that the machine is good for.

    Raises
    ------
    OptionError
        If it is too little for one region.

    Examples
    --------
    >>> share_out(None, 100, region_bytes=30, chunk_bytes=2, workers=4)
    Shares(workers=2, cache_bytes=40)
    """
    least_cache = 16 * chunk_bytes  # both images of a region and its eight neighbours, nearly
    lacking = region_bytes + least_cache - bytes_left
    if lacking > 0 and asked is None and _MOST_BY_DEFAULT + lacking <= free_bytes() // 2:
        bytes_left, lacking = bytes_left + lacking, 0  # what was asked for, a large tile, takes more than the default
    if lacking > 0:
        raise _too_little(asked, lacking)
    workers = max(1, min(workers, (bytes_left - least_cache) // region_bytes))
    return Shares(workers, min(_MOST_CACHE, bytes_left - workers * region_bytes))


def _too_little(asked: int | None, lacking: int) -> OptionError:
    """Return the error for a budget that lacks some bytes; where none was named, it says which limit it comes from."""
    limit = free_memory()
    wanted = budget(asked) + lacking
    why = "" if asked else f" ({limit.free / 2**30:.2f} GiB are {limit.source})"
    mend = f"use --memory {wanted / 2**30 + 0.05:.1f} or more"
    if wanted > limit.free + _taken():
        mend += f", where {limit.free / 2**30:.2f} GiB are {limit.source}: raise that limit, or use smaller tiles"
    return OptionError(
        f"{budget(asked) / 2**30:.2f} GiB of memory are too little for this job{why}", where="memory", mend=mend
    )
