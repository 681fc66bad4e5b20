"""Windows of a scene, tasks that compute and write them in any process, and progress reporting."""

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
"""Called with a description and a total. It returns a context manager whose value is called with each advance."""


@contextlib.contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Report no progress."""
    yield lambda count: None


T = TypeVar("T")

Compute = Callable[[Region], dict[str, np.ndarray]]
"""Returns the values of every variable of a region. It must be thread-safe, and small when pickled."""


class Opened(Generic[T]):
    """Object that is opened on first use, once per process, such as a reader with its cache or a network on its device.

    Only the recipe is pickled; another process opens the object again.

    Parameters
    ----------
    recipe : callable
        Opens the object; must be picklable.
    value : optional
        The object, if this process has opened it already.

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
        """Return the object, opening it first if no thread has done so."""
        with self._lock:
            if self._value is None:
                self._value = self._recipe()
            return self._value

    def __reduce__(self) -> tuple[type[Opened[T]], tuple[Callable[[], T]]]:
        return Opened, (self._recipe,)


class RegionTask:
    """Task that computes a region of a job, writes it, and returns its number of pixels.

    Parameters
    ----------
    staging : Staging
        Variables to write.
    compute : callable
        See `Compute`.
    """

    def __init__(self, staging: Staging, compute: Compute) -> None:
        self._staging = staging
        self._compute = compute
        self._stopped = False

    def __call__(self, region: Region) -> int:
        """Compute and write one region."""
        values = self._compute(region)
        if not self._stopped:
            self._staging.write(region, values)
        return region.pixels

    def stop(self) -> None:
        """Stop writing: an interrupted job has released its locks."""
        self._stopped = True


def return_memory() -> None:
    """Return freed memory to the operating system, which glibc would keep.

    glibc has an arena per thread. Without this call, the arenas of a prediction grew by a third.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # other C libraries have no malloc_trim and need none
            ctypes.CDLL(None).malloc_trim(0)


Rectangle = tuple[slice, slice]
"""Rows and columns of a scene."""


def grow(region: Rectangle, halo: tuple[int, int], shape: tuple[int, int]) -> Rectangle:
    """Extend a window by a halo, clipped to the scene."""
    y, x = (
        slice(max(part.start - reach, 0), min(part.stop + reach, size))
        for part, reach, size in zip(region, halo, shape, strict=True)
    )
    return y, x


def inside(region: Rectangle, window: Rectangle) -> Rectangle:
    """Return the position of a window relative to a larger window around it."""
    y, x = (
        slice(part.start - around.start, part.stop - around.start) for part, around in zip(region, window, strict=True)
    )
    return y, x
