"""Locks beside a store: one a variable, so that two writers never share one, and one for the store's structure."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sarcd.errors import LockedError, StoreError
from sarcd.store.storage import is_url

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
        raise LockedError(message, where=store, mend="wait for it to end, then run this again") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreError(
            f"the lock of a store that is to be written cannot be had ({(error.strerror or str(error)).lower()})",
            where=lock.lock_file,
            mend="make the store's folder writable, or copy the scene",
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
