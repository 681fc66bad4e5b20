"""Chunks of a stored scene: which must exist, and which cannot be read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import zarr

from sarcd import schema
from sarcd.errors import CorruptChunkError, SceneError
from sarcd.store.openable import first_line
from sarcd.store.scene import SceneStore

_DECODERS = 4  # threads; independent of the cores, since each holds a chunk in memory


def expected_keys(array: zarr.Array[Any], leading: Iterable[int] | None = None) -> set[str]:
    """Return the keys of a complete array, for some indices of its first axis (all by default)."""
    grid = array.shards or array.chunks
    axes: list[Iterable[int]] = [range(-(-size // step)) for size, step in zip(array.shape, grid, strict=True)]
    if leading is not None:
        axes[0] = {index // grid[0] for index in leading}  # other programs may store several dates per chunk
    return {"c/" + "/".join(map(str, index)) for index in product(*axes)}


def require_chunks(store: SceneStore, name: str, leading: Iterable[int] | None = None) -> None:
    """Raise unless every chunk of the given dates or pairs (by default of all) of a published array exists.

    Raises
    ------
    CorruptChunkError
        Naming the first absent chunk, which would otherwise read as NaN.
    """
    array = store.array(name)
    if not owes_every_chunk(store, name):
        return
    absent = sorted(expected_keys(array, leading) - store.keys(name))
    if absent:
        raise CorruptChunkError(name, absent[0], f"absent, and {len(absent) - 1} more" if absent[1:] else "absent")


def owes_every_chunk(store: SceneStore, name: str) -> bool:
    """Return whether an absent chunk of an array means lost data.

    sarcd writes every chunk, including empty ones. Other programs, and xarray when it copies a scene, omit chunks that
    hold only the fill value, so there an absent chunk reads correctly. Such stores are recognised by the attribute
    `coordinates`, which sarcd sets on the root group and on no array.
    """
    return store.attrs.get("coordinates") == schema.STORED_COORDINATES and "coordinates" not in store.array(name).attrs


def require_finished(store: SceneStore, names: Iterable[str]) -> None:
    """Raise unless every chunk of the finished pairs of some arrays exists.

    Parameters
    ----------
    store : SceneStore
    names : iterable of str
        Published arrays of the schema; others are ignored.

    Raises
    ------
    CorruptChunkError
        Naming the first absent chunk.
    """
    published = store.published()
    for name in names:
        if name not in published or "sarcd_schema" not in store.attrs:
            continue
        metadata = published[name]
        flags = schema.flags_of(metadata.get("attributes", {}))
        dims = metadata.get("dimension_names") or ()
        if "pair" in dims and flags:
            require_chunks(
                store, name, [pair for pair, finished in enumerate(flags[: metadata["shape"][0]]) if finished]
            )
        elif not flags or all(flags):
            # as published: another process may be appending a date
            leading = range(metadata["shape"][0]) if len(dims) == 3 else None
            require_chunks(store, name, leading)


@contextlib.contextmanager
def chunk_errors(path: str | Path) -> Iterator[None]:
    """Turn a codec error during a computation on a stored scene into a `CorruptChunkError` that names the chunk.

    The codec does not report which chunk it was, so after an error the published arrays are searched for it.
    """
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the operating system, such as a full disk
        found = find_corrupt_chunk(path)
        if found is None:
            raise
        raise found from error


def find_corrupt_chunk(path: str | Path) -> CorruptChunkError | None:
    """Decode every published chunk, and return the error of the first that cannot be decoded, or None."""
    try:
        store = SceneStore(path)
    except SceneError:
        return None
    for name in store.published():
        array = store.array(name)
        for key in sorted(store.keys(name)) if array.ndim else ["c"]:
            fault = _fault(array, key)
            if fault is not None:
                return CorruptChunkError(name, key, fault)
    return None


def discard_torn(store: SceneStore, name: str, leading: Sequence[int] | None = None) -> list[str]:
    """Remove the chunks of an unfinished array that cannot be decoded, for example after a power cut.

    Parameters
    ----------
    store : SceneStore
        Store of the array.
    name : str
        Array that was begun and is not published.
    leading : sequence of int, optional
        Pairs to check; all by default.

    Returns
    -------
    list of str
        Keys of the chunks removed.

    Notes
    -----
    Chunks are not synced to disk as they are written, which took half as long again. A run that resumes another one
    decodes them instead, a few at a time, so an undisturbed run pays for neither.
    """
    array = store.array(name)
    keys = sorted(store.keys(name) & expected_keys(array, leading))
    with ThreadPoolExecutor(_DECODERS) as pool:
        torn = [key for key, fault in zip(keys, pool.map(lambda key: _fault(array, key), keys), strict=True) if fault]
    for key in torn:
        store.delete_chunk(name, key)
    return torn


def _fault(array: zarr.Array[Any], key: str) -> str | None:
    """Return the codec error of a stored chunk (or shard), or None."""
    grid = array.shards or array.chunks
    index = [int(part) for part in key.split("/")[1:]]
    window = tuple(slice(i * step, (i + 1) * step) for i, step in zip(index, grid, strict=True))
    try:
        array[window]
    except (ValueError, RuntimeError) as error:
        return first_line(error)
    return None
