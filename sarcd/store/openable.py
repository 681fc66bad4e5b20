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
    """Return the first line of an error's text, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def refuse_no_folder(path: Path) -> None:
    """Raise SceneError unless a path is a folder."""
    if not path.exists():
        raise SceneError("no such scene", source=str(path), hint="make one with 'sarcd ingest' or 'sarcd simulate'")
    if path.is_dir():
        return
    if zipfile.is_zipfile(path):
        hint = f"unpack it first: python -m zipfile -e {path} {path.with_suffix('')}"
        raise SceneError("is a zip file, which cannot be written to in place", source=str(path), hint=hint)
    raise SceneError("is a file, and a scene is a folder", source=str(path), hint="images are read by 'sarcd ingest'")


def not_openable(source: str, error: Exception) -> SceneError:
    """Return what to say of a store that xarray cannot open."""
    fault = None if is_url(source) or is_format_2(Path(source)) else _root_fault(Path(source))
    if fault is not None:
        return fault
    told, hint = first_line(error), None
    if "calendar" in told or "time units" in told:
        told = told.split(". Try")[0]
        hint = "write the store with datetime64 dates, for example by xarray"
    elif "conflicting sizes" in told:
        hint = "take the array that does not fit out of the store, or write it anew in the size of the others"
    return SceneError(f"not a Zarr group that xarray can open ({told})", source=source, hint=hint)


def not_writable(path: str, error: Exception) -> SceneError:
    """Return what to say of a place that is no Zarr group of format 3."""
    if not is_url(path):
        if is_format_2(Path(path)):
            hint = f"write it anew: sarcd.store.create.write_scene(xr.open_zarr('{path}'), 'NEW')"
            return SceneError("is in Zarr format 2, and commands keep results in format 3", source=path, hint=hint)
        fault = _root_fault(Path(path))
        if fault is not None:
            return fault
    told = f"not a Zarr v3 group that can be written ({first_line(error)})"
    return SceneError(told, source=path, hint="make a scene with 'sarcd ingest'")


def is_format_2(path: Path) -> bool:
    """Tell a store of Zarr format 2, which has no zarr.json."""
    return not (path / "zarr.json").exists() and any(
        (path / key).exists() for key in (".zgroup", ".zmetadata", ".zattrs")
    )


def _root_fault(path: Path) -> SceneError | None:
    """Return what is wrong with the metadata of a store's root, None where they can be read."""
    root = path / "zarr.json"
    if not root.exists():
        if any((inner / "zarr.json").exists() for inner in path.iterdir()):
            return SceneError("its zarr.json is missing: the store was copied in part", source=str(path), hint=_RESTORE)
        told = f"not a Zarr group ({'a folder without zarr.json' if any(path.iterdir()) else 'an empty folder'})"
        return SceneError(told, source=str(path), hint="make a scene with 'sarcd ingest' or 'sarcd simulate'")
    try:
        node = json.loads(root.read_bytes())
    except (OSError, ValueError) as error:
        return SceneError(f"its metadata cannot be read ({first_line(error)})", source=str(root), hint=_RESTORE)
    if isinstance(node, dict) and node.get("node_type") == "array":
        return SceneError("is one array of a store", source=str(path), hint=f"name the store: {path.parent}")
    return None


def node_kind(metadata: bytes | None) -> str | None:
    """Return whether metadata are of an ``array`` or a ``group``; None where they are absent or cannot be read."""
    try:
        node = json.loads(metadata or b"")
    except ValueError:
        return None
    kind = node.get("node_type") if isinstance(node, dict) else None
    return kind if kind in ("array", "group") else None


def refuse_encoded(scene: xr.Dataset, source: str) -> None:
    """Raise SceneError on variables whose stored numbers xarray decodes: jobs read what is stored."""
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
                f"'{name}' is stored encoded ({', '.join(found)}), which the commands do not decode",
                source=source,
                hint=f"write it decoded: sarcd.store.create.write_scene(xr.open_zarr('{source}'), 'NEW')",
            )


def refuse_no_images(scene: xr.Dataset, source: str) -> None:
    """Raise SceneError on a store that keeps its images in groups inside, naming these."""
    if is_url(source) or any(name in scene for name in schema.IMAGES):
        return
    found = [metadata for name in schema.IMAGES for metadata in Path(source).glob(f"*/{name}/zarr.json")]
    inner = sorted({metadata.parent.parent for metadata in found})
    if inner:
        listed = ", ".join(folder.name for folder in inner[:4])
        raise SceneError(
            f"the images are in groups inside ({listed})", source=source, hint=f"name one of them: {inner[0]}"
        )


def validated(scene: xr.Dataset, source: str) -> xr.Dataset:
    """Return a scene that is in the schema's own form, or refuse it with what could be done."""
    try:
        return schema.validate(scene)
    except SceneError as error:
        with _in_silence():
            conform(scene)  # which says better what could be done, unless it understands the dataset
        hint = f"write it as commands need it: sarcd.store.create.write_scene(xr.open_zarr('{source}'), 'NEW')"
        raise SceneError(error.error, source=source, hint=hint) from error


@contextlib.contextmanager
def _in_silence() -> Iterator[None]:
    """Keep this thread's check from logging what it would do: nothing is done with a store that is refused."""
    thread, logger = threading.get_ident(), logging.getLogger(dates.__name__)

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def require_listed(store: SceneStore, names: Iterable[str] | None = None) -> None:
    """Raise unless arrays that a store lists are there: plain opens would show those that are gone as no-data.

    Parameters
    ----------
    store : SceneStore
    names : iterable of str, optional
        Arrays that matter; all by default. Those that are not listed are passed over.

    Raises
    ------
    StoreError
        Naming the first array whose own metadata are missing or cannot be read.
    """
    wanted = None if names is None else set(names)
    lost = [name for name in store.lost() if (_matters(store, name) if wanted is None else name in wanted)]
    if not lost:
        return
    known = schema.known(lost[0])
    is_result = known is not None and known.derived and known.name != "mask"
    cure = f"'sarcd remove {store.path} {lost[0]}' takes it off the list; or {_RESTORE}" if is_result else _RESTORE
    more = f" (and of {len(lost) - 1} more)" if lost[1:] else ""
    raise StoreError(
        f"the store lists this array, but its zarr.json{more} is missing or cannot be read",
        source=f"{store.path}/{lost[0]}",
        hint=cure,
    )


def _matters(store: SceneStore, name: str) -> bool:
    """Tell whether sarcd reads an array, or lengthens it with the pairs."""
    dims = store.listed()[name].get("dimension_names") or ()
    return name in schema.COORDINATES or schema.known(name) is not None or "pair" in dims


def require_coordinates(store: SceneStore) -> None:
    """Raise CorruptChunkError where a store has lost a chunk of a coordinate: absent dates would read as 1970."""
    own, wanted = store.attrs.get("coordinates") == schema.STORED_COORDINATES, dict[str, tuple[str, str]]()
    for name, metadata in store.published().items():
        if name not in schema.COORDINATES or not metadata["shape"]:
            continue
        if metadata["chunk_key_encoding"] != {"name": "default", "configuration": {"separator": "/"}}:
            continue
        steps = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        # Others leave out what holds nothing but the fill value, which an axis of several different values does not.
        if not own and (name not in ("time", "y", "x") or min(*steps, *metadata["shape"]) < 2):
            continue
        counts = [range(-(-size // step)) for size, step in zip(metadata["shape"], steps, strict=True)]
        keys = ["c/" + "/".join(map(str, index)) for index in product(*counts)]
        wanted |= {f"{name}/{key}": (name, key) for key in keys}
    for path, data in store.documents(wanted).items():
        if data is None:
            raise CorruptChunkError(*wanted[path], "absent")


def corrupt_coordinate(store: SceneStore) -> CorruptChunkError | None:
    """Decode the coordinates of a store, and return the error of the first that fails, or None."""
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
"""Datasets that `take` returned and that nobody outside has seen, by their id, and whether they had to hold images."""


def take(scene: Any, *, images: bool = True, results: bool = False) -> xr.Dataset:
    """Return a scene in the form of the schema, whole as far as it is stored, or refuse it.

    Public functions call this first with what they were given, and hand on what it returns; functions that take it
    again get it back as it is.

    Parameters
    ----------
    scene : xr.Dataset
        As the user gave it.
    images : bool
        Whether it has to hold images, and those, mask and coherence have to be whole where they are stored.
    results : bool
        Whether all that is stored has to be whole.

    Returns
    -------
    xr.Dataset
        See `sarcd.conform.conform`.

    Raises
    ------
    SceneError
        If the dataset is no scene.
    CorruptChunkError
        If the scene was opened from a store of sarcd's that has lost a chunk: read as it is, it would pass for no-data.

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
    """Raise unless the store that a scene was opened from holds every chunk of some of its variables.

    Parameters
    ----------
    scene : xr.Dataset
        Of any origin; of what does not come from a store of sarcd's only whole arrays can be told to be lost.
    names : iterable of str
        Variables; those that the scene does not have, or that were assigned since it was opened, are passed over.
    pairs : sequence of (before, after), optional
        Dates of the pairs that matter; by default all that are finished.

    Raises
    ------
    CorruptChunkError
        Naming the first absent chunk.
    StoreError
        Naming an array that the store lists and has lost.
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
    """Return the variables that operations look at: images, mask and coherence, or all of the schema."""
    known = {str(name): found for name in scene.data_vars if (found := schema.known(name)) is not None}
    looked_at = (*schema.IMAGES, "mask", "coherence")
    return [name for name, variable in known.items() if results or variable.name in looked_at]
