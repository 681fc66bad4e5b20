"""Scenes on disk: opening them, and the handle through which writers change them.

The consolidated metadata of the root list the finished arrays, and only `publish` writes them. Arrays are created and
resized in place before that, and a plain `xr.open_zarr` does not show them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from sarcd import schema
from sarcd.attributes import Json, plain
from sarcd.errors import SceneError, StoreError
from sarcd.store.coordinates import decode_dates
from sarcd.store.openable import (
    corrupt_coordinate,
    node_kind,
    not_openable,
    not_writable,
    refuse_encoded,
    refuse_no_folder,
    refuse_no_images,
    require_coordinates,
    require_listed,
    validated,
)
from sarcd.store.storage import is_url, structure_lock, sync_folder, write_atomic, zarr_location


def open_scene(
    path: str | Path,
    *,
    chunks: Any = {},  # noqa: B006  in xarray, {} means the stored chunks
    damaged: bool = False,
) -> xr.Dataset:
    """Open a stored scene and check it against the schema.

    Parameters
    ----------
    path : str or Path
        Path or URL of a Zarr group.
    chunks : dict or None, optional
        As in `xarray.open_zarr`: ``{}`` returns dask arrays with the stored chunks, None arrays that are read when
        indexed.
    damaged : bool
        Also open a store in which an array of labels or results is missing, in order to report it.

    Returns
    -------
    xr.Dataset
        As from `xarray.open_zarr`, without unfinished arrays.

    Raises
    ------
    SceneError
        If the path is not a Zarr group, or not a scene.
    StoreError
        If the store lists an array that is missing, or a coordinate cannot be read.
    """
    source = str(path)
    if not is_url(source):
        refuse_no_folder(Path(source))
    location, store = zarr_location(source), None
    with contextlib.suppress(SceneError):  # another format, or not readable: xarray raises the error below
        store = SceneStore(source)
    if store is not None:
        require_listed(store, (*schema.IMAGES, *schema.COORDINATES) if damaged else None)
        require_coordinates(store)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stores of others without consolidated metadata raise a warning
            scene = xr.open_zarr(location, chunks=chunks)
        scene.encoding["source"] = source  # xarray does not set it for object storage
        return _checked(scene, source)
    except SceneError:
        raise
    except Exception as error:
        torn = None if store is None else corrupt_coordinate(store)
        raise torn or not_openable(source, error) from error


def _checked(scene: xr.Dataset, source: str) -> xr.Dataset:
    """Return an opened store without unfinished variables, or refuse it."""
    unfinished = [
        name
        for name, array in scene.data_vars.items()
        if schema.COMPLETE in array.attrs and not any(completeness(array))
    ]
    scene = schema.with_pair_dates(scene.drop_vars(unfinished))
    refuse_encoded(scene, source)
    refuse_no_images(scene, source)
    return validated(scene, source)


def completeness(array: xr.DataArray | zarr.Array[Any]) -> list[bool]:
    """Return the completeness flags of a derived array, one per pair."""
    return schema.flags_of(array.attrs)


class SceneStore:
    """Handle on the Zarr group of a scene, for writers.

    Parameters
    ----------
    path : str or Path
        Path or URL of a Zarr v3 group.

    Raises
    ------
    SceneError
        If the path is not a Zarr v3 group.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        location = zarr_location(path)
        if not is_url(path):
            refuse_no_folder(Path(path))
        try:
            self._group = zarr.open_group(location, mode="r+", use_consolidated=False, zarr_format=3)
        except Exception as error:
            raise not_writable(self.path, error) from error

    @property
    def address(self) -> str:
        """Path or URL by which another process finds the store."""
        return self.path if is_url(self.path) else str(Path(self.path).resolve())

    @property
    def folder(self) -> Path | None:
        """Folder of a store on a file system; None for object storage."""
        return None if is_url(self.path) else Path(self.path)

    # -- keys -------------------------------------------------------------------------------------------------------

    def read_json(self, key: str) -> Json:
        """Return a JSON document of the store, such as the ``zarr.json`` of an array."""
        buffer = sync(self._group.store.get(self._key(key), prototype=default_buffer_prototype()))
        if buffer is None:
            raise StoreError("metadata are missing", source=f"{self.path}/{key}")
        try:
            return cast(Json, json.loads(buffer.to_bytes()))
        except ValueError as error:
            raise StoreError(f"metadata cannot be read ({error})", source=f"{self.path}/{key}") from error

    def documents(self, keys: Iterable[str]) -> dict[str, bytes | None]:
        """Return the values of several keys, None if absent, with concurrent requests to the storage."""
        wanted = list(keys)

        async def fetch() -> list[Any]:
            prototype = default_buffer_prototype()
            return await asyncio.gather(*(self._group.store.get(self._key(key), prototype) for key in wanted))

        return {key: data and data.to_bytes() for key, data in zip(wanted, sync(fetch()), strict=True)}

    def write_json(self, key: str, value: Json) -> None:
        """Replace a JSON document of the store atomically."""
        data = json.dumps(value, indent=2).encode()
        if self.folder is not None:
            write_atomic(self.folder / key, data)
            return
        sync(self._group.store.set(self._key(key), default_buffer_prototype().buffer.from_bytes(data)))

    def _key(self, key: str) -> str:
        return f"{self._group.path}/{key}" if self._group.path else key

    def copy_key(self, source: str, target: str) -> None:
        """Copy the bytes under one key to another."""
        data = sync(self._group.store.get(self._key(source), prototype=default_buffer_prototype()))
        if data is None:
            raise StoreError("is missing", source=f"{self.path}/{source}")
        sync(self._group.store.set(self._key(target), data))

    def keys(self, name: str) -> set[str]:
        """Return the existing chunk keys of an array, such as ``c/0/3/1``, with a single listing."""

        async def listing() -> list[str]:
            return [key async for key in self._group.store.list_prefix(self._key(f"{name}/c/"))]

        prefix = len(self._key(f"{name}/"))
        return {key[prefix:] for key in sync(listing()) if not key.endswith(".partial")}

    def objects(self, key: str) -> tuple[Any, str]:
        """Return the obstore store of a scene on object storage, and the full key in it."""
        return cast(Any, self._group.store).store, self._key(key)

    def stored_bytes(self, name: str) -> int:
        """Return the stored size of an array with all its keys, in bytes."""
        return int(sync(self._group.store.getsize_prefix(self._key(f"{name}/"))))

    # -- contents ---------------------------------------------------------------------------------------------------

    @property
    def attrs(self) -> Json:
        """Published root attributes."""
        return cast(Json, self.read_json("zarr.json").get("attributes", {}))

    def published(self) -> dict[str, Json]:
        """Return the metadata of every finished array, by name.

        In stores of other programs without consolidated metadata, these are all arrays but those that sarcd has begun.
        """
        return {name: metadata for name, metadata in self.listed().items() if metadata.get("node_type") == "array"}

    def listed(self) -> dict[str, Json]:
        """Return the metadata of everything that plain opens show, including subgroups of other programs."""
        consolidated = self.read_json("zarr.json").get("consolidated_metadata")
        if consolidated is not None:
            return cast(dict[str, Json], consolidated.get("metadata", {}))
        found = {name: self.read_json(f"{name}/zarr.json") for name in self.members()}
        flags = {name: schema.flags_of(metadata.get("attributes", {})) for name, metadata in found.items()}
        return {name: metadata for name, metadata in found.items() if not flags[name] or any(flags[name])}

    def lost(self) -> list[str]:
        """Return the names that are listed but whose metadata are missing or cannot be read."""
        for _ in range(2):  # twice, since another process may have unpublished one meanwhile
            names = [name for name in self.listed() if "/" not in name]
            kinds = self._kinds(names)
            lost = [name for name in names if kinds[name] is None]
            if not lost:
                break
        return lost

    def members(self) -> list[str]:
        """Return the names of all arrays, finished or not, except those for internal use of sarcd."""

        async def listing() -> list[str]:
            return [name async for name in self._group.store.list_dir(self._group.path)]

        kinds = self._kinds(name for name in sync(listing()) if not name.startswith(schema.PRIVATE))
        return sorted(name for name, kind in kinds.items() if kind == "array")

    def __contains__(self, name: str) -> bool:
        return self._kinds([name])[name] is not None

    def _kinds(self, names: Iterable[str]) -> dict[str, str | None]:
        """Return for each name ``array`` or ``group``, or None if it has no readable metadata."""
        documents = self.documents(f"{name}/zarr.json" for name in names)
        return {key.rpartition("/")[0]: node_kind(data) for key, data in documents.items()}

    def array(self, name: str) -> zarr.Array[Any]:
        """Return an array, finished or not, that writes every chunk, including empty ones."""
        path = f"{self._group.path}/{name}" if self._group.path else name
        opened = zarr.open_array(self._group.store, path=path, mode="r+")
        # `open_array` ignores its `config` if the array exists, so a new handle is made.
        metadata = cast(Any, opened.metadata)
        return zarr.Array(zarr.AsyncArray(metadata, opened.store_path, {"write_empty_chunks": True}))

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the scene along y and x."""
        published = self.published()
        height, width = next(published[name] for name in schema.IMAGES if name in published)["shape"][1:]
        return height, width

    @property
    def grid(self) -> tuple[int, int]:
        """Size of a region along y and x: a stored chunk of the images, or a shard."""
        images = self.array(next(name for name in schema.IMAGES if name in self))
        height, width = (images.shards or images.chunks)[1:]
        return height, width

    def dates(self, name: str) -> np.ndarray:
        """Return a published coordinate of dates (`time`, `before` or `after`) as datetime64[us]."""
        listed = self.published()
        if name not in listed:
            return np.empty(0, "datetime64[us]")
        count = listed[name]["shape"][0]
        return decode_dates(self.array(name)[:count], listed[name].get("attributes", {}), f"{self.path}/{name}")

    # -- changes ----------------------------------------------------------------------------------------------------

    def create(
        self, name: str, shape: Sequence[int], attrs: Json, *, chunks: Sequence[int], shards: Any = None
    ) -> None:
        """Create an array of the schema, unpublished; an existing array of this name is removed."""
        variable = schema.variable(name)
        self.delete(name)
        self._group.create_array(
            name,
            shape=tuple(shape),
            dtype=variable.dtype,
            chunks=tuple(chunks),
            shards=shards,
            compressors=codecs_of(np.dtype(variable.dtype)),
            fill_value=variable.fill,
            dimension_names=variable.dims,
            attributes=plain({**variable.attrs(), "grid_mapping": "spatial_ref", **attrs}),
        )
        if self.folder is not None:
            sync_folder(self.folder / name)  # a resume needs these metadata after a power cut, if chunks survive it

    def create_coordinate(
        self, name: str, values: np.ndarray, dims: tuple[str, ...], attrs: Json, *, chunk: int | None = None
    ) -> None:
        """Create a coordinate array and write it; dates get a chunk size that leaves room for more."""
        self.delete(name)
        room = 1024 if name in ("time", "before", "after") else chunk
        chunks = tuple(room or max(1, size) for size in values.shape)
        array = self._group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            chunks=chunks,
            compressors=[ZstdCodec(level=1, checksum=True)],
            fill_value=0,
            dimension_names=dims,
            attributes=plain(attrs),
            config={"write_empty_chunks": True},
        )
        array[...] = values

    def delete(self, name: str) -> None:
        """Remove an array and all its keys, even if its metadata are missing."""
        sync(self._group.store.delete_dir(self._key(name)))

    def delete_chunk(self, name: str, key: str) -> None:
        """Remove one chunk of an array."""
        sync(self._group.store.delete(self._key(f"{name}/{key}")))

    def set_attrs(self, name: str, attrs: Json) -> None:
        """Update the attributes of an array in its own metadata; readers see them after `publish`."""
        metadata = self.read_json(f"{name}/zarr.json")
        merged = plain({**metadata.get("attributes", {}), **attrs})
        self.write_json(f"{name}/zarr.json", {**metadata, "attributes": merged})


def publish(
    store: SceneStore,
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    attrs: Json | None = None,
    locked: bool = False,
) -> None:
    """Publish or unpublish arrays, in one atomic replacement of the root metadata.

    Parameters
    ----------
    store : SceneStore
        Store to change.
    add : iterable of str
        Arrays to list with their current metadata; they may be listed already.
    remove : iterable of str
        Arrays to remove from the list; their files are kept.
    attrs : dict, optional
        Root attributes to set; a value of None removes the attribute.
    locked : bool
        Whether the caller already holds the structure lock.
    """
    names = list(add)
    if store.folder is not None:
        for name in names:
            sync_folder(store.folder / name)  # listed arrays must survive a power cut
    with contextlib.nullcontext() if locked else structure_lock(store.path):
        root, listed = store.read_json("zarr.json"), store.listed()
        for name in remove:
            listed.pop(name, None)
        for name in names:
            listed[name] = store.read_json(f"{name}/zarr.json")
        merged = {**root.get("attributes", {}), **(attrs or {})}
        root["attributes"] = plain(merged)
        root["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": {name: listed[name] for name in sorted(listed)},
        }
        store.write_json("zarr.json", root)


def codecs_of(dtype: np.dtype[Any]) -> list[Any]:
    """Return the codecs of an image: LZ4 after a bit shuffle, and a checksum.

    The bit shuffle separates the lower bits, which are noise, from the others. On real images the result is smaller
    than with zstd and several times as fast. Without a checksum a flipped bit would read as data.
    """
    if dtype.itemsize == 1:
        return [BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle", typesize=1), Crc32cCodec()]
    # a complex64 is two float32
    return [BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle", typesize=4), Crc32cCodec()]
