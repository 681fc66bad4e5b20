"""Files that outlast a power cut."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_SYNCING = 8  # files at a time: a disk takes several in one go


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file atomically, so that after a power cut it holds the old bytes or the new."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    _sync(path.parent)


def settle(folder: Path) -> None:
    """Wait until all files under a folder are on the disk, under their names."""
    folders = [Path(place) for place, _, _ in os.walk(folder)]
    files = [file for place in folders for file in place.iterdir() if file.is_file()]
    with ThreadPoolExecutor(_SYNCING) as pool:
        list(pool.map(_sync, [*files, *folders]))


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders, and keeps names without
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
