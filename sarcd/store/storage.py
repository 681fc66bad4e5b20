"""Where scenes lie, files that outlast a power cut, and locks beside a store."""

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

_RETRY_SECONDS = 30  # obstore's own three minutes are long to wait for a slip of the pen in an address


def is_url(path: str | Path) -> bool:
    """Tell a URL, such as ``s3://bucket/scene.zarr``, from a path."""
    return "://" in str(path)


def zarr_location(path: str | Path) -> Any:
    """Return what Zarr opens: the path itself, or the object storage that a URL means.

    Parameters
    ----------
    path : str or Path
        A folder, or a URL that obstore knows (``s3://``, ``gs://``, ``az://`` ...). Credentials, region and endpoint
        come from the usual variables of the environment, such as ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``.

    Raises
    ------
    MissingPackageError
        If obstore is not installed.
    SceneError
        If obstore does not know the URL.
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
        hint = "give a path, or a URL as s3://bucket/scene.zarr, gs:// or az://"
        told = f"no URL of object storage ({str(error).splitlines()[0]})"
        raise SceneError(told, source=str(path), hint=hint) from error
    return ObjectStore(store)


_SYNCING = 8  # files at a time: a disk takes several in one go


def write_atomic(path: Path, data: bytes) -> None:
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


def sync_folder(folder: Path) -> None:
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


_STRUCTURE_WAIT_SECONDS = 10.0  # creating an array or publishing takes milliseconds, unless dates are being appended


def _lock_path(store: str, what: str) -> Path:
    if is_url(store):  # object storage has no locks; writers of one machine are kept apart all the same
        digest = hashlib.sha256(store.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"sarcd-{digest}.{what}.lock"
    path = Path(store).resolve()
    return path.with_name(f".{path.name}.{what}.lock")


@contextlib.contextmanager
def _hold(store: str, what: str, timeout: float, message: str) -> Iterator[None]:
    # The operating system frees the lock when its process dies, however it dies; the empty file stays.
    lock = FileLock(_lock_path(store, what), timeout=timeout)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(message, source=store, hint="wait for it to end, then run this again") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"the lock of a store that is to be written cannot be had ({(error.strerror or str(error)).lower()})",
            source=lock.lock_file,
            hint="make the store's folder writable, or copy the scene",
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def variable_locks(store: str, names: Iterable[str]) -> Iterator[None]:
    """Hold the locks of several variables, or refuse at once.

    Raises
    ------
    LockedError
        If another process writes one of them.
    """
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(_hold(store, name, 0, f"another process is writing '{name}'"))
        yield


@contextlib.contextmanager
def new_scene_lock(store: str) -> Iterator[None]:
    """Hold the lock of a scene that is being made; unlike the others its file goes, so that a failure leaves nothing.

    Raises
    ------
    LockedError
        If another process is making it.
    """
    with _hold(store, "new", 0, "another process is making this scene"):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # some systems keep a file that is open
                _lock_path(store, "new").unlink()


@contextlib.contextmanager
def structure_lock(store: str) -> Iterator[None]:
    """Hold the lock under which arrays appear, grow, and are published.

    Raises
    ------
    LockedError
        If another process keeps it, which only appending images does for long.
    """
    with _hold(store, "structure", _STRUCTURE_WAIT_SECONDS, "another process is changing the store's structure"):
        yield
