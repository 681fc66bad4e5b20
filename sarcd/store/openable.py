"""The door of every public function that takes a scene: whether it can be opened, is whole, and is checked once."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.conform import conform, dates
from sarcd.errors import CorruptChunkError, SceneError, StoreError
from sarcd.store.storage import is_url

if TYPE_CHECKING:
    from sarcd.store.pairs import Pair
    from sarcd.store.scene import SceneStore

_RESTORE = "restore it from a copy, or copy the whole store again"


def first_line(error: BaseException) -> str:
    """Return the first line of the text of an error, or its type if it has no text."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def refuse_no_folder(path: Path) -> None:
    """Raise SceneError if a path is not a folder."""
    if not path.exists():
        raise SceneError("no such scene", source=str(path), hint="make one with 'sarcd ingest' or 'sarcd simulate'")
    if path.is_dir():
        return
    if zipfile.is_zipfile(path):
        hint = f"unpack it first: python -m zipfile -e {path} {path.with_suffix('')}"
        raise SceneError("is a zip file, which cannot be changed in place", source=str(path), hint=hint)
    raise SceneError("is a file, but a scene is a folder", source=str(path), hint="use 'sarcd ingest' to read images")


def not_openable(source: str, error: Exception) -> SceneError:
    """Return the error for a store that xarray cannot open."""
    fault = None if is_url(source) or is_format_2(Path(source)) else _root_fault(Path(source))
    if fault is not None:
        return fault
    reason, hint = first_line(error), None
    if "calendar" in reason or "time units" in reason:
        reason = reason.split(". Try")[0]
        hint = "write the store with datetime64 dates, for example with xarray"
    elif "conflicting sizes" in reason:
        hint = "delete the array that does not match from the store, or write it again with the size of the others"
    return SceneError(f"not a Zarr group that xarray can open ({reason})", source=source, hint=hint)


def not_writable(path: str, error: Exception) -> SceneError:
    """Return the error for a path that is not a Zarr group of format 3."""
    if not is_url(path):
        if is_format_2(Path(path)):
            hint = f"write it again: sarcd.store.create.write_scene(xr.open_zarr('{path}'), 'NEW')"
            return SceneError("is in Zarr format 2, but commands write results in format 3", source=path, hint=hint)
        fault = _root_fault(Path(path))
        if fault is not None:
            return fault
    text = f"not a Zarr v3 group that can be written ({first_line(error)})"
    return SceneError(text, source=path, hint="make a scene with 'sarcd ingest'")


def is_format_2(path: Path) -> bool:
    """Return whether a store is in Zarr format 2, which has no zarr.json."""
    return not (path / "zarr.json").exists() and any(
        (path / key).exists() for key in (".zgroup", ".zmetadata", ".zattrs")
    )


def _root_fault(path: Path) -> SceneError | None:
    """Return the error in the root metadata of a store, None if they can be read."""
    root = path / "zarr.json"
    if not root.exists():
        if any((inner / "zarr.json").exists() for inner in path.iterdir()):
            return SceneError(
                "its zarr.json is missing, so the store was copied incompletely", source=str(path), hint=_RESTORE
            )
        text = f"not a Zarr group ({'a folder without zarr.json' if any(path.iterdir()) else 'an empty folder'})"
        return SceneError(text, source=str(path), hint="make a scene with 'sarcd ingest' or 'sarcd simulate'")
    try:
        node = json.loads(root.read_bytes())
    except (OSError, ValueError) as error:
        return SceneError(f"its metadata cannot be read ({first_line(error)})", source=str(root), hint=_RESTORE)
    if isinstance(node, dict) and node.get("node_type") == "array":
        return SceneError("is one array of a store", source=str(path), hint=f"pass the store: {path.parent}")
    return None


def node_kind(metadata: bytes | None) -> str | None:
    """Return ``array`` or ``group`` from Zarr metadata; None if they are absent or cannot be read."""
    try:
        node = json.loads(metadata or b"")
    except ValueError:
        return None
    kind = node.get("node_type") if isinstance(node, dict) else None
    return kind if kind in ("array", "group") else None


def refuse_encoded(scene: xr.Dataset, source: str) -> None:
    """Raise SceneError for variables that xarray decodes, since jobs read the stored values."""
    for name in scene.data_vars:
        known, encoding = schema.known(name), scene[name].encoding
        if known is None:
            continue
        found = [key for key in ("scale_factor", "add_offset") if key in encoding]
        for key in ("_FillValue", "missing_value"):
            value = encoding.get(key)
            if value is not None and not np.array_equal(
                value, np.asarray(known.fill), equal_nan=known.dtype[0] in "fc"
            ):
                found.append(key)
        if found:
            raise SceneError(
                f"'{name}' is stored encoded ({', '.join(found)}), which commands do not decode",
                source=source,
                hint=f"write it decoded: sarcd.store.create.write_scene(xr.open_zarr('{source}'), 'NEW')",
            )


def refuse_no_images(scene: xr.Dataset, source: str) -> None:
    """Raise SceneError if a store holds its images in subgroups; the error names them."""
    if is_url(source) or any(name in scene for name in schema.IMAGES):
        return
    found = [metadata for name in schema.IMAGES for metadata in Path(source).glob(f"*/{name}/zarr.json")]
    inner = sorted({metadata.parent.parent for metadata in found})
    if inner:
        listed = ", ".join(folder.name for folder in inner[:4])
        raise SceneError(f"the images are in subgroups ({listed})", source=source, hint=f"pass one of them: {inner[0]}")


def validated(scene: xr.Dataset, source: str) -> xr.Dataset:
    """Return a scene if it has the form of the schema; otherwise raise an error that says how to convert it."""
    try:
        return schema.validate(scene)
    except SceneError as error:
        with _in_silence():
            conform(scene)  # raises a more helpful error, unless it can convert the dataset
        hint = (
            f"write it in the form that commands need: sarcd.store.create.write_scene(xr.open_zarr('{source}'), 'NEW')"
        )
        raise SceneError(error.error, source=source, hint=hint) from error


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Suppress log messages of this thread about conversions, since a store that is refused is not converted."""
    thread, logger = threading.get_ident(), logging.getLogger(dates.__name__)

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def require_listed(store: SceneStore, names: Iterable[str] | None = None) -> None:
    """Raise if an array that a store lists is missing: plain opens would show it as no-data.

    Parameters
    ----------
    store : SceneStore
    names : iterable of str, optional
        Arrays to check; all by default. Those that are not listed are ignored.

    Raises
    ------
    StoreError
        Naming the first array whose metadata are missing or cannot be read.
    """
    wanted = None if names is None else set(names)
    lost = [name for name in store.lost() if (_matters(store, name) if wanted is None else name in wanted)]
    if not lost:
        return
    known = schema.known(lost[0])
    is_result = known is not None and known.derived and known.name != "mask"
    hint = (
        f"'sarcd remove {store.path} {lost[0]}' takes it off the list. Otherwise {_RESTORE}" if is_result else _RESTORE
    )
    more = f" (and of {len(lost) - 1} more)" if lost[1:] else ""
    raise StoreError(
        f"the store lists this array, but its zarr.json{more} is missing or cannot be read",
        source=f"{store.path}/{lost[0]}",
        hint=hint,
    )


def _matters(store: SceneStore, name: str) -> bool:
    """Return whether sarcd reads an array, or extends it along `pair`."""
    dims = store.listed()[name].get("dimension_names") or ()
    return name in schema.COORDINATES or schema.known(name) is not None or "pair" in dims


def require_coordinates(store: SceneStore) -> None:
    """Raise CorruptChunkError if a chunk of a coordinate is missing: missing dates would read as 1970."""
    own, wanted = store.attrs.get("coordinates") == schema.STORED_COORDINATES, dict[str, tuple[str, str]]()
    for name, metadata in store.published().items():
        if name not in schema.COORDINATES or not metadata["shape"]:
            continue
        if metadata["chunk_key_encoding"] != {"name": "default", "configuration": {"separator": "/"}}:
            continue
        steps = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        # Other programs omit chunks of fill values only, which an axis of several different values never is.
        if not own and (name not in ("time", "y", "x") or min(*steps, *metadata["shape"]) < 2):
            continue
        counts = [range(-(-size // step)) for size, step in zip(metadata["shape"], steps, strict=True)]
        keys = ["c/" + "/".join(map(str, index)) for index in product(*counts)]
        wanted |= {f"{name}/{key}": (name, key) for key in keys}
    for path, data in store.documents(wanted).items():
        if data is None:
            raise CorruptChunkError(*wanted[path], "absent")


def corrupt_coordinate(store: SceneStore) -> CorruptChunkError | None:
    """Decode the coordinates of a store, and return the error of the first that cannot be decoded, or None."""
    for name in schema.COORDINATES:
        if name not in store:
            continue
        array: Any = store.array(name)
        try:
            array[...]
        except (ValueError, RuntimeError) as error:
            return CorruptChunkError(name, "c/0" if array.ndim else "c", first_line(error))
    return None


_taken: dict[int, tuple[weakref.ref[xr.Dataset], bool]] = {}
"""Datasets that `take` returned, by id, and whether they were checked for images."""


def take(scene: Any, *, images: bool = True, results: bool = False) -> xr.Dataset:
    """Convert a scene to the form of the schema, and check that its stored arrays are complete.

    Public functions call this first and pass the result on. A dataset that `take` has returned is not checked again.

    Parameters
    ----------
    scene : xr.Dataset
        Scene as passed by the user.
    images : bool
        Whether the scene must hold images. If so, its stored images, mask and coherence must be complete.
    results : bool
        Whether all stored variables must be complete.

    Returns
    -------
    xr.Dataset
        See `sarcd.conform.conform`.

    Raises
    ------
    SceneError
        If the dataset is not a scene.
    CorruptChunkError
        If a chunk is missing in the store of sarcd that the scene was opened from: it would read as no-data.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> scene = take(sites.simulate("A", size=64))
    >>> take(scene) is scene
    True
    """
    known, with_images = _taken.get(id(scene), (None, False))
    own = None if known is None else known()
    if own is not None and own is scene and (with_images or not images):
        return own
    checked = conform(scene, images=images)
    if images or results:
        require_stored(checked, _inputs(checked, results=results))
    key = id(checked)
    _taken[key] = weakref.ref(checked, lambda _reference: _taken.pop(key, None)), images
    return checked


def require_stored(scene: xr.Dataset, names: Iterable[str], pairs: Sequence[Pair] | None = None) -> None:
    """Raise if the store that a scene was opened from lacks a chunk of some variables.

    Parameters
    ----------
    scene : xr.Dataset
        Scene of any origin. In stores that sarcd did not write, only missing arrays can be detected.
    names : iterable of str
        Variables. Those that the scene does not have, or that were assigned after opening it, are ignored.
    pairs : sequence of (before, after), optional
        Dates of the pairs to check; by default all that are finished.

    Raises
    ------
    CorruptChunkError
        Naming the first absent chunk.
    StoreError
        Naming an array that the store lists but does not contain.
    """
    source, own = schema.source_of(scene), schema.is_own(scene)
    if source is None or not (own if is_url(source) else (Path(source) / "zarr.json").exists()):
        return
    stored = [name for name in names if name in scene and "chunks" in scene[name].encoding]
    if not stored:
        return
    from sarcd.store.chunks import require_chunks, require_finished
    from sarcd.store.scene import SceneStore

    store = SceneStore(source)
    require_listed(store, stored)
    if not own:
        return
    require_coordinates(store)
    if pairs is None:
        require_finished(store, stored)
        return
    listed = list(zip(store.dates("before"), store.dates("after"), strict=True))
    for name in stored:
        if "pair" in scene[name].dims and name in store.published():
            require_chunks(store, name, [listed.index(pair) for pair in pairs if pair in listed])
        else:
            require_finished(store, [name])


def _inputs(scene: xr.Dataset, *, results: bool) -> list[str]:
    """Return the variables that operations read: images, mask and coherence, or all of the schema."""
    known = {str(name): found for name in scene.data_vars if (found := schema.known(name)) is not None}
    inputs = (*schema.IMAGES, "mask", "coherence")
    return [name for name, variable in known.items() if results or variable.name in inputs]
