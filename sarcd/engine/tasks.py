"""Rectangles of a scene, what one needs to be computed and written anywhere, and how progress is told."""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import numpy as np

from sarcd.store.regions import Region, Staging

Progress = Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]
"""Called with a description and a total; gives a context whose value is called with each advance."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show no progress."""
    yield lambda count: None


T = TypeVar("T")

Compute = Callable[[Region], dict[str, np.ndarray]]
"""Returns the values of every variable of a region; safe to call from several threads, small to send."""


class Opened(Generic[T]):
    """Something opened on first use, once a process: a reader with its cache, a network on its device.

    Where it is sent to another process only the recipe travels, and it is opened there anew.

    Parameters
    ----------
    recipe : callable
        Opens it; picklable.
    value : optional
        What the recipe would give, where this process has it already.

    Examples
    --------
    >>> opened = Opened(dict)
    >>> opened() is opened()
    True
    """

    def __init__(self, recipe: Callable[[], T], value: T | None = None) -> None:
        self._recipe = recipe
        self._value = value
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """Return it, opening it if no thread has yet."""
        with self._lock:
            if self._value is None:
                self._value = self._recipe()
            return self._value

    def __reduce__(self) -> tuple[type[Opened[T]], tuple[Callable[[], T]]]:
        return Opened, (self._recipe,)


class RegionTask:
    """Computes a region of a job and writes it; returns the number of pixels.

    Parameters
    ----------
    staging : Staging
        Where it is written.
    compute : callable
        See `Compute`.
    """

    def __init__(self, staging: Staging, compute: Compute) -> None:
        self._staging = staging
        self._compute = compute
        self._stopped = False

    def __call__(self, region: Region) -> int:
        """Do one region."""
        values = self._compute(region)
        if not self._stopped:
            self._staging.write(region, values)
        return region.pixels

    def stop(self) -> None:
        """Write nothing from now on: an interrupted job has given back its locks."""
        self._stopped = True


def return_memory() -> None:
    """Hand freed memory back to the system, where the C library keeps it (glibc).

    Each thread's arrays are freed into an arena of its own; without this, the arenas of a prediction grew by a third.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library has no malloc_trim, and needs none
            ctypes.CDLL(None).malloc_trim(0)


Rectangle = tuple[slice, slice]
"""Rows and columns of a scene."""


def grow(region: Rectangle, halo: tuple[int, int], shape: tuple[int, int]) -> Rectangle:
    """Return a rectangle with a halo, as far as the scene goes."""
    y, x = (
        slice(max(part.start - reach, 0), min(part.stop + reach, size))
        for part, reach, size in zip(region, halo, shape, strict=True)
    )
    return y, x


def inside(region: Rectangle, window: Rectangle) -> Rectangle:
    """Return where a rectangle lies within a window around it."""
    y, x = (
        slice(part.start - around.start, part.stop - around.start) for part, around in zip(region, window, strict=True)
    )
    return y, x
