"""Windows over chunked images: each chunk is computed from itself and from thin edges of its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from sarcd.engine.framed import Framed

_TOP, _BOTTOM, _LEFT, _RIGHT = "top", "bottom", "left", "right"


def map_framed(
    kernel: Callable[..., np.ndarray],
    arrays: Sequence[Any],
    *,
    reach: tuple[int, int],
    dtype: Any,
    measured: Mapping[str, Any],
    placed: bool,
) -> Any:
    """Apply a kernel to every chunk of dask arrays (y, x), framed by the pixels up to `reach` away.

    Parameters
    ----------
    kernel : callable
        Takes one `Framed` per array, and returns the result inside their centre.
    arrays : sequence of dask arrays (Y, X)
        Arrays with the same chunks, none shorter than the reach along an axis with several chunks.
    reach : (int, int)
        Reach of the kernel in pixels along y and x.
    dtype : dtype
        Data type of the result.
    measured : mapping
        Keyword arguments of the kernel, plain values or dask objects.
    placed : bool
        Whether the kernel takes `first_row`, the row at which the frame begins.

    Returns
    -------
    dask array, (Y, X)
        Result with the same chunks.

    Notes
    -----
    Only the edges of chunks are passed to neighbours: first columns, then rows, whose corners come from the columns
    that the chunk has received. A chunk thus receives four edges instead of eight pieces, and is copied to be joined
    with them only if the kernel needs the whole.
    """
    import dask.array as da
    from dask.base import tokenize, unpack_collections
    from dask.delayed import delayed
    from dask.highlevelgraph import HighLevelGraph

    chunks = arrays[0].chunks
    depth = (reach[0] if len(chunks[0]) > 1 else 0, reach[1] if len(chunks[1]) > 1 else 0)
    later = {name: delayed(value, pure=True) for name, value in measured.items() if unpack_collections(value)[0]}
    now = {name: value for name, value in measured.items() if name not in later}
    names = [array.name for array in arrays]
    name = "framed-" + tokenize(kernel, names, depth, np.dtype(dtype), now, later, placed)
    work = partial(_work, kernel=partial(kernel, **now), names=tuple(later))
    keys_of_later = [value.key for value in later.values()]
    grid = [(i, j) for i in range(len(chunks[0])) for j in range(len(chunks[1]))]
    edges = {names[k]: _edges(arrays[k], f"edges-{tokenize(names[k], depth)}", depth) for k in range(len(arrays))}
    starts = [max(sum(chunks[0][:i]) - depth[0], 0) if placed else None for i in range(len(chunks[0]))]
    layer: dict[Any, Any] = {
        (name, *at): (work, [_frame(source, edges[source], at) for source in names], keys_of_later, starts[at[0]])
        for at in grid
    }
    graph = HighLevelGraph.from_collections(name, layer, [*arrays, *later.values()])
    layers: dict[str, Any] = dict(graph.layers)
    needs = dict(graph.dependencies)
    for array in arrays:
        of_edges, tasks = edges[array.name]
        layers[of_edges], needs[of_edges] = tasks, set(array.__dask_layers__())
        needs[name] = needs[name] | {of_edges}
    return da.Array(HighLevelGraph(layers, needs), name, chunks, dtype=dtype, meta=np.empty((0, 0), dtype))


_Key = tuple[Any, ...]
_Edges = tuple[str, dict[_Key, Any]]


def _edges(array: Any, name: str, depth: tuple[int, int]) -> _Edges:
    """Return the name and tasks of a graph layer with all edges that chunks of an array (y, x) pass to neighbours."""
    (rows, columns), (deep, wide) = array.numblocks, depth
    tasks: dict[_Key, Any] = {}
    chunks = [(i, j) for i in range(rows) for j in range(columns)]
    for i, j in chunks if wide else []:
        if j > 0:
            tasks[name, _LEFT, i, j] = (_columns, (array.name, i, j), 0, wide)
        if j < columns - 1:
            tasks[name, _RIGHT, i, j] = (_columns, (array.name, i, j), -wide, None)
    for i, j in chunks if deep else []:
        beside = _beside((name, tasks), i, j)
        if i > 0:
            tasks[name, _TOP, i, j] = (_rows, (array.name, i, j), *beside, 0, deep)
        if i < rows - 1:
            tasks[name, _BOTTOM, i, j] = (_rows, (array.name, i, j), *beside, -deep, None)
    return name, tasks


def _beside(edges: _Edges, i: int, j: int) -> list[_Key | None]:
    """Return the keys of the columns left and right of a chunk, None where there are none."""
    return [_known(edges, _RIGHT, i, j - 1), _known(edges, _LEFT, i, j + 1)]


def _known(edges: _Edges, side: str, i: int, j: int) -> _Key | None:
    name, tasks = edges
    return (name, side, i, j) if (name, side, i, j) in tasks else None


def _frame(array: str, edges: _Edges, at: tuple[int, int]) -> list[_Key | None]:
    """Return the keys of the pieces of a `Framed`, in its order."""
    i, j = at
    return [
        (array, i, j),
        _known(edges, _BOTTOM, i - 1, j),
        _known(edges, _TOP, i + 1, j),
        *_beside(edges, i, j),
    ]


def _columns(chunk: np.ndarray, start: int, stop: int | None) -> np.ndarray:
    """Copy columns, since a view would keep the whole chunk in memory."""
    copied: np.ndarray = chunk[:, start:stop].copy()
    return copied


def _rows(
    chunk: np.ndarray, left: np.ndarray | None, right: np.ndarray | None, start: int, stop: int | None
) -> np.ndarray:
    """Copy rows, with the corners beside them."""
    pieces = [piece[start:stop] for piece in (left, chunk, right) if piece is not None]
    joined: np.ndarray = np.concatenate(pieces, axis=1)
    return joined


def _work(
    images: Sequence[Sequence[Any]],
    told: Sequence[Any],
    first_row: int | None,
    *,
    kernel: Callable[..., np.ndarray],
    names: Sequence[str],
) -> np.ndarray:
    options = dict(zip(names, told, strict=True))
    if first_row is not None:
        options["first_row"] = first_row
    return kernel(*(Framed(*pieces) for pieces in images), **options)
