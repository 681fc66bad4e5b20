"""A digest that tells whether stored arrays are still what they were, without reading their chunks."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sarcd.store.scene import SceneStore

Entry = tuple[str, int, str]


def fingerprint(store: SceneStore, names: Iterable[str]) -> str:
    """Digest of some arrays of a store: their metadata, and size and age of every chunk.

    Parameters
    ----------
    store : SceneStore
        Store that holds them.
    names : iterable of str
        Arrays; those that the store lacks count as absent.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits. Another one after any change to an array; also for a copy of the store whose
        files were given new times.

    Notes
    -----
    Of a chunk in a folder counts the time of its last change in nanoseconds, of one on object storage its ETag.

    Examples
    --------
    ::

        before = fingerprint(SceneStore("scene.zarr"), ["slc", "label"])
    """
    digest = hashlib.sha256()
    for name in sorted(set(names)):
        known: Any = None
        if name in store:
            metadata = store.array(name).metadata.to_dict()
            known = [json.dumps(metadata, sort_keys=True, default=str), sorted(_chunks(store, name))]
        digest.update(json.dumps([name, known]).encode())
    return digest.hexdigest()


def _chunks(store: SceneStore, name: str) -> Iterator[Entry]:
    """Yield key, size and age of each chunk of an array."""
    if store.folder is not None:
        yield from _files(store.folder / name / "c", "c")
        return
    objects, prefix = store.objects(f"{name}/c/")
    for batch in objects.list(prefix=prefix):
        for found in batch:
            yield found["path"], int(found["size"]), str(found["e_tag"] or found["last_modified"])


def _files(folder: Path, key: str) -> Iterator[Entry]:
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            place = f"{key}/{entry.name}"
            if entry.is_dir():
                yield from _files(Path(entry.path), place)
            elif not entry.name.endswith(".partial"):
                status = entry.stat()
                yield place, status.st_size, str(status.st_mtime_ns)
