"""Read windows of a stored scene through a cache of decoded chunks.

The halos of neighbouring regions overlap the same chunks. Without the cache each chunk would be decoded nine times.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import schema
from sarcd.conform.values import as_image
from sarcd.errors import CorruptChunkError
from sarcd.store.chunks import require_chunks
from sarcd.store.scene import SceneStore, completeness, open_scene

_Key = tuple[str, tuple[int, ...]]
_Part = tuple[int, int, Future[np.ndarray]]  # first row and column of a chunk, and the chunk


class SceneReader:
    """Reader of windows of a stored scene.

    Parameters
    ----------
    path : str or Path
        Path or URL of the scene.
    cache_bytes : int
        Maximum size of the cached chunks.
    rim : int
        Width in pixels of the strips along the edges of each decoded chunk that are kept longer, in another
        `cache_bytes` of memory, for windows that extend that far into neighbouring chunks.

    Notes
    -----
    Thread-safe: a chunk that two threads need is decoded once.
    """

    def __init__(self, path: str | Path, *, cache_bytes: int = 2**28, rim: int = 0) -> None:
        self.path = str(path)
        self.scene = open_scene(path, chunks=None)
        self.images = str(schema.images_of(self.scene).name)
        self.shape = self.scene.sizes["y"], self.scene.sizes["x"]
        self._store = SceneStore(path)
        self._arrays: dict[str, Any] = {}
        self._present: set[tuple[str, int]] = set()
        self._cache: OrderedDict[_Key, Future[np.ndarray]] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._held = 0
        self._rim = rim
        self._rims: OrderedDict[_Key, list[_Part]] = OrderedDict()
        self._rims_held = 0
        self._lock = threading.Lock()

    @property
    def chunks(self) -> tuple[int, int]:
        """Size of a stored chunk of the images along y and x."""
        height, width = self._array(self.images).chunks[1:]
        return int(height), int(width)

    def pair_images(self, pair: tuple[int, int], y: slice, x: slice) -> list[np.ndarray]:
        """Return a window of each image of a pair; treat it as read-only, since it may be a view into the cache."""
        requested = [self._request(self.images, date, y, x) for date in pair]
        return [_seen(parts, y, x) for parts in requested]

    def plane(self, name: str, index: int, y: slice, x: slice) -> np.ndarray:
        """Return a window of one date or pair of a variable; treat it as read-only, since it may be a view."""
        return _seen(self._request(name, index, y, x), y, x)

    def _request(self, name: str, index: int, y: slice, x: slice) -> list[_Part]:
        """Decode the chunks of a window, without waiting for those that another thread is decoding."""
        self._require(name, index)
        step_y, step_x = self._array(name).chunks[1:]
        rows = range(y.start // step_y, -(-y.stop // step_y))
        columns = range(x.start // step_x, -(-x.stop // step_x))
        return [self._part((name, (index, i, j)), y, x, (step_y, step_x)) for i, j in product(rows, columns)]

    def _part(self, key: _Key, y: slice, x: slice, steps: tuple[int, int]) -> _Part:
        """Return a chunk, or a strip of its rim if that covers the window."""
        _, (_, i, j) = key
        top, left = max(y.start, i * steps[0]), max(x.start, j * steps[1])
        bottom, right = min(y.stop, (i + 1) * steps[0]), min(x.stop, (j + 1) * steps[1])
        with self._lock:
            if key not in self._cache and key in self._rims:
                self._rims.move_to_end(key)
                for y0, x0, strip in self._rims[key]:
                    height, width = strip.result().shape
                    if y0 <= top and bottom <= y0 + height and x0 <= left and right <= x0 + width:
                        return y0, x0, strip
        return i * steps[0], j * steps[1], self._chunk(key)

    def _keep_rim(self, key: _Key, chunk: np.ndarray) -> None:
        """Cache strips along the four edges of a decoded chunk, and evict the oldest ones."""
        rim = self._rim
        if not rim:
            return
        name, (_, i, j) = key
        (height, width), (step_y, step_x) = chunk.shape, self._array(name).chunks[1:]
        y0, x0 = i * step_y, j * step_x
        strips = [(y0, x0, chunk[:rim]), (y0 + max(height - rim, 0), x0, chunk[-rim:])]
        strips += [(y0, x0, chunk[:, :rim]), (y0, x0 + max(width - rim, 0), chunk[:, -rim:])]
        kept = [(y, x, _done(strip.copy())) for y, x, strip in strips]
        size = sum(strip.nbytes for _, _, strip in strips)
        with self._lock:
            if key not in self._rims:
                self._rims_held += size
            self._rims[key] = kept
            while self._rims_held > self._cache_bytes:
                _, oldest = self._rims.popitem(last=False)
                self._rims_held -= sum(strip.result().nbytes for _, _, strip in oldest)

    def _array(self, name: str) -> Any:
        with self._lock:
            if name not in self._arrays:
                self._arrays[name] = self._store.array(name)
            return self._arrays[name]

    def _require(self, name: str, index: int) -> None:
        """Check once for absent chunks, which would read as NaN; incomplete pairs may lack chunks."""
        with self._lock:
            if (name, index) in self._present:
                return
        complete = completeness(self.scene[name])
        if not complete or complete[index]:
            require_chunks(self._store, name, [index])
        with self._lock:
            self._present.add((name, index))

    def _chunk(self, key: _Key) -> Future[np.ndarray]:
        with self._lock:
            future = self._cache.get(key)
            mine = future is None
            if future is None:
                future = self._cache[key] = Future()
            self._cache.move_to_end(key)
        if not mine:
            return future
        try:
            chunk = self._decode(key)
        except BaseException as error:
            with self._lock:
                self._cache.pop(key, None)
            future.set_exception(error)
            raise
        self._keep_rim(key, chunk)
        future.set_result(chunk)
        self._make_room(chunk.nbytes)
        return future

    def _make_room(self, added: int) -> None:
        with self._lock:
            self._held += added
            for key in list(self._cache):
                if self._held <= self._cache_bytes:
                    return
                if self._cache[key].done():
                    self._held -= self._cache.pop(key).result().nbytes

    def _decode(self, key: _Key) -> np.ndarray:
        name, (index, i, j) = key
        array = self._array(name)
        step_y, step_x = array.chunks[1:]
        y, x = slice(i * step_y, (i + 1) * step_y), slice(j * step_x, (j + 1) * step_x)
        try:
            values = np.asarray(array[index, y, x])
        except (ValueError, RuntimeError) as error:
            grid = array.shards or array.chunks
            stored = f"c/{index // grid[0]}/{i * step_y // grid[1]}/{j * step_x // grid[2]}"
            raise CorruptChunkError(name, stored, str(error).strip().splitlines()[0][:120]) from error
        # Images that other programs wrote may hold zeros and infinities as no-data.
        return values if schema.is_own(self.scene) else as_image(name, values)


def _done(chunk: np.ndarray) -> Future[np.ndarray]:
    future: Future[np.ndarray] = Future()
    future.set_result(chunk)
    return future


def _seen(parts: Sequence[_Part], y: slice, x: slice) -> np.ndarray:
    """Return a window: a view if it is within one chunk, otherwise a copy."""
    y0, x0, future = parts[0]
    chunk = future.result()
    if len(parts) == 1:
        return chunk[y.start - y0 : y.stop - y0, x.start - x0 : x.stop - x0]
    out = np.empty((y.stop - y.start, x.stop - x.start), chunk.dtype)
    _assemble(parts, y, x, out)
    return out


def _assemble(parts: Sequence[_Part], y: slice, x: slice, out: np.ndarray) -> None:
    """Copy the parts of a window from the chunks that it overlaps."""
    for y0, x0, future in parts:
        chunk = future.result()
        top, left = max(y.start, y0), max(x.start, x0)
        bottom, right = min(y.stop, y0 + chunk.shape[0]), min(x.stop, x0 + chunk.shape[1])
        out[top - y.start : bottom - y.start, left - x.start : right - x.start] = chunk[
            top - y0 : bottom - y0, left - x0 : right - x0
        ]
