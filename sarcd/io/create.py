"""New scenes: made beside their final place and moved there when whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zarr

from sarcd import schema
from sarcd.errors import StoreError
from sarcd.io.pairs import Pair, consecutive
from sarcd.io.store import SceneStore, publish

Json = dict[str, Any]


@dataclass(frozen=True)
class SceneLayout:
    """What must be known of a scene before its first pixel is written.

    Parameters
    ----------
    times : ndarray of datetime64
        Dates, strictly increasing.
    y, x : ndarray
        Coordinates of the pixel centres, or pixel numbers where there is no rectilinear map.
    images : {"slc", "amplitude"}
        Name of the image variable.
    spatial_ref : dict
        Attributes of the CF grid mapping: CRS and transform, ground control points, or nothing.
    attrs : dict
        Root attributes such as wavelength_m, spacing_m.
    y_attrs, x_attrs : dict
        Attributes of the coordinates, such as units.
    pairs : sequence of (before, after), optional
        Consecutive dates by default.
    chunk : int
        Side of a chunk along y and x.
    shard : int
        Side of a shard, a multiple of `chunk`; 0 for none.
    """

    times: np.ndarray
    y: np.ndarray
    x: np.ndarray
    images: str = "slc"
    spatial_ref: Json = field(default_factory=dict)
    attrs: Json = field(default_factory=dict)
    y_attrs: Json = field(default_factory=dict)
    x_attrs: Json = field(default_factory=dict)
    pairs: Sequence[Pair] | None = None
    chunk: int = schema.CHUNK
    shard: int = 0


class NewScene:
    """Context in which a new scene is written; at its end the scene is in its place, whole, or not there at all.

    Parameters
    ----------
    path : str or Path
        Where the scene will be.
    layout : SceneLayout
        Dates, size, georeference.
    overwrite : bool
        Replace a scene that is there already, once the new one is whole.

    Raises
    ------
    StoreError
        If something is at `path` already.

    Examples
    --------
    ::

        with NewScene("scene.zarr", layout) as store:
            store.array("slc")[0, :1024, :1024] = block
    """

    def __init__(self, path: str | Path, layout: SceneLayout, *, overwrite: bool = False) -> None:
        self._final = Path(path)
        self._layout = layout
        self._overwrite = overwrite
        self._staging = self._final.with_name(f".{self._final.name}.unfinished")
        self._names: list[str] = []
        refuse_existing(self._final, overwrite=overwrite)

    def __enter__(self) -> SceneStore:
        shutil.rmtree(self._staging, ignore_errors=True)  # left by a run that was killed
        self._staging.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._create()
        except BaseException:
            shutil.rmtree(self._staging, ignore_errors=True)
            raise

    def _create(self) -> SceneStore:
        layout = self._layout
        zarr.open_group(str(self._staging), mode="w", zarr_format=3)
        store = SceneStore(self._staging)
        time_attrs = {"units": schema.TIME_UNITS, "calendar": "proleptic_gregorian"}
        pairs = consecutive(layout.times) if layout.pairs is None else list(layout.pairs)
        store.create_coordinate("y", layout.y, ("y",), {"axis": "Y", **layout.y_attrs})
        store.create_coordinate("x", layout.x, ("x",), {"axis": "X", **layout.x_attrs})
        store.create_coordinate("spatial_ref", np.zeros((), "int64"), (), layout.spatial_ref)
        store.create_coordinate("time", _microseconds(layout.times), ("time",), {**time_attrs, "axis": "T"})
        for position, name in enumerate(("before", "after")):
            dates = np.array([pair[position] for pair in pairs], "datetime64[us]")
            attrs = {**time_attrs, "long_name": f"date of the image {name} the change"}
            store.create_coordinate(name, _microseconds(dates), ("pair",), attrs)
        self.create_image(store, layout.images, len(layout.times))
        return store

    def create_image(self, store: SceneStore, name: str, length: int, attrs: Json | None = None) -> None:
        """Create an array of the scene's size with `length` dates or pairs, to be published with the scene."""
        layout = self._layout
        shape = (length, len(layout.y), len(layout.x))
        chunks, shards = grid_of(shape, layout.chunk, layout.shard)
        store.create(name, shape, attrs or {}, chunks=chunks, shards=shards)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _finish(self) -> None:
        store = SceneStore(self._staging)
        attrs = {"Conventions": "CF-1.11", "sarcd_schema": schema.VERSION, "coordinates": "spatial_ref before after"}
        publish(store, add=store.members(), attrs={**self._layout.attrs, **attrs})
        # The publish above took a lock beside the staging folder; its file goes with it.
        for lock in self._staging.parent.glob(f".{self._staging.name}.*.lock"):
            lock.unlink(missing_ok=True)
        old = self._final.with_name(f".{self._final.name}.replaced")
        refuse_existing(self._final, overwrite=self._overwrite)
        if self._final.exists():
            shutil.rmtree(old, ignore_errors=True)
            self._final.rename(old)
        self._staging.rename(self._final)
        shutil.rmtree(old, ignore_errors=True)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise if `path` is taken, by a scene without `overwrite`, or by anything that is not a scene.

    Raises
    ------
    StoreError
        Naming the path.
    """
    if not path.exists():
        return
    if not _is_scene(path):
        raise StoreError("is there already and is not a scene", where=str(path), mend="choose another name")
    if not overwrite:
        raise StoreError("is there already", where=str(path), mend="choose another name, or pass --overwrite")


def _is_scene(path: Path) -> bool:
    """Tell a scene from every other folder, other people's Zarr groups too: --overwrite is about to remove it."""
    try:
        root = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(root, dict) and "sarcd_schema" in (root.get("attributes") or {})


def grid_of(shape: Sequence[int], chunk: int, shard: int = 0) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return chunk and shard shapes of a (time or pair, y, x) array: 1 along the first axis, never beyond the scene."""
    if shard and shard % chunk:
        raise StoreError(f"shards of {shard} are no multiple of chunks of {chunk}", mend="choose a multiple")
    chunks = (1, *(min(chunk, size) for size in shape[1:]))
    if not shard or all(size <= chunk for size in shape[1:]):
        return chunks, None
    sides = [-(-min(shard, size) // step) * step for size, step in zip(shape[1:], chunks[1:], strict=True)]
    return chunks, (1, *sides)


def _microseconds(dates: np.ndarray) -> np.ndarray:
    return np.asarray(dates).astype("datetime64[us]").astype("int64")
