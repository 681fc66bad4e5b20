"""Storage of scenes: local paths and URLs, atomic writes with fsync, and locks beside a store."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sarcd.errors import LockedError, SceneError, StoreError
from sarcd.optional import require

_RETRY_SECONDS = 30  # obstore's default of three minutes is too long if the address has a typing error


def is_url(path: str | Path) -> bool:
    """Return whether a location is a URL, such as ``s3://bucket/scene.zarr``, and not a path."""
    return "://" in str(path)


def zarr_location(path: str | Path) -> Any:
    """Return the argument for Zarr to open: the path itself, or the object storage of a URL.

    Parameters
    ----------
    path : str or Path
        Folder, or URL that obstore supports (``s3://``, ``gs://``, ``az://`` ...). Credentials, region and endpoint are
        read from the usual environment variables, such as ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``.

    Raises
    ------
    MissingPackageError
        If obstore is not installed.
    SceneError
        If obstore does not support the URL.
    """
    if not is_url(path):
        return str(path)
    require("obstore", source=str(path))
    from datetime import timedelta

    from obstore.exceptions import BaseError
    from obstore.store import from_url
    from zarr.storage import ObjectStore

    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    try:
        store = from_url(
            str(path).rstrip("/"),
            client_options={"allow_http": True} if plain else None,
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
        )
    except (BaseError, ValueError) as error:
        hint = "use a path, or a URL such as s3://bucket/scene.zarr, gs://... or az://..."
        text = f"not a URL of object storage ({str(error).splitlines()[0]})"
        raise SceneError(text, source=str(path), hint=hint) from error
    return ObjectStore(store)


_SYNCING = 8  # files at a time, since a disk can sync several together


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file atomically, so that after a power cut it holds the old or the new bytes."""
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


def sync_folder(folder: Path) -> None:
    """Sync all files and directories under a folder to disk."""
    folders = [Path(name) for name, _, _ in os.walk(folder)]
    files = [file for each in folders for file in each.iterdir() if file.is_file()]
    with ThreadPoolExecutor(_SYNCING) as pool:
        list(pool.map(_sync, [*files, *folders]))


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders, and keeps file names without a sync
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_STRUCTURE_WAIT_SECONDS = 10.0  # creating or publishing takes milliseconds, appending dates longer


def _lock_path(store: str, what: str) -> Path:
    if is_url(store):  # object storage has no locks; this one excludes other writers on this machine
        digest = hashlib.sha256(store.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sarcd-{digest}.{what}.lock"
    path = Path(store).resolve()
    return path.with_name(f".{path.name}.{what}.lock")


@contextlib.contextmanager
def _hold(store: str, what: str, timeout: float, message: str) -> Iterator[None]:
    # The operating system releases the lock when its process ends in any way; the empty file remains.
    lock = FileLock(_lock_path(store, what), timeout=timeout)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(message, source=store, hint="wait for it to end, then run this again") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"cannot lock the store for writing ({(error.strerror or str(error)).lower()})",
            source=lock.lock_file,
            hint="make the store's folder writable, or copy the scene",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def variable_locks(store: str, names: Iterable[str]) -> Iterator[None]:
    """Hold the locks of several variables; do not wait for them.

    Raises
    ------
    LockedError
        If another process is writing one of them.
    """
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_hold(store, name, 0, f"another process is writing '{name}'"))
        yield


@contextlib.contextmanager
def new_scene_lock(store: str) -> Iterator[None]:
    """Hold the lock of a scene that is being created; its file is removed, so that a failure leaves nothing behind.

    Raises
    ------
    LockedError
        If another process is creating it.
    """
    with _hold(store, "new", 0, "another process is creating this scene"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # some systems cannot remove an open file
                _lock_path(store, "new").unlink()


@contextlib.contextmanager
def structure_lock(store: str) -> Iterator[None]:
    """Hold the lock for creating, extending and publishing arrays.

    Raises
    ------
    LockedError
        If another process holds it for too long, which only appending images does.
    """
    with _hold(store, "structure", _STRUCTURE_WAIT_SECONDS, "another process is changing the store's structure"):
        yield
