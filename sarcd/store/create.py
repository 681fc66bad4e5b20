"""Create new scenes: they are written beside their final path and moved there when complete.

Object storage has no move. There a scene is written in place, as a group whose list of finished arrays stays empty
until the scene is complete.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.core.sync import sync

from sarcd import schema
from sarcd.attributes import Json
from sarcd.conform.values import labels_as_flags
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import SceneError, StoreError
from sarcd.geography.georeference import of_scene, to_coordinates
from sarcd.geography.grid_mapping import pixel_places
from sarcd.store.openable import take
from sarcd.store.pairs import Pair, consecutive
from sarcd.store.scene import SceneStore, publish
from sarcd.store.storage import is_url, zarr_location

_UNFINISHED = "sarcd_unfinished"  # root attribute


@dataclass(frozen=True)
class SceneLayout:
    """Dates, size and georeference of a scene, which are needed before its first pixel is written.

    Parameters
    ----------
    times : ndarray of datetime64
        Strictly increasing dates.
    y, x : ndarray
        Coordinates of the pixel centres, or pixel numbers if the scene has no rectilinear map geometry.
    images : {"slc", "amplitude"}
        Name of the image variable.
    spatial_ref : dict
        Attributes of the CF grid mapping: CRS and transform, ground control points, or empty.
    attrs : dict
        Root attributes, such as wavelength_m and spacing_m.
    y_attrs, x_attrs : dict
        Attributes of the coordinates, such as units.
    pairs : sequence of (before, after), optional
        Pairs of dates; consecutive dates by default.
    chunk : int
        Side of a chunk along y and x in pixels.
    shard : int
        Side of a shard in pixels, a multiple of `chunk`; 0 for no shards.
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
    """Context manager that writes a new scene; at its end the scene exists completely or not at all.

    Parameters
    ----------
    path : str or Path
        Path or URL of the new scene.
    layout : SceneLayout
        Dates, size and georeference.
    overwrite : bool
        Replace an existing scene, once the new one is complete.

    Raises
    ------
    StoreError
        If `path` already exists.

    Examples
    --------
    ::

        with NewScene("scene.zarr", layout) as store:
            store.array("slc")[0, :1024, :1024] = block
    """

    def __init__(self, path: str | Path, layout: SceneLayout, *, overwrite: bool = False) -> None:
        self._path = str(path)
        self._layout = layout
        self._overwrite = overwrite
        refuse_existing(path, overwrite=overwrite)

    def __enter__(self) -> SceneStore:
        self._remove()  # files of a run that was killed
        if not is_url(self._path):
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._create()
        except BaseException:
            self._remove()
            raise

    @property
    def _staging(self) -> str:
        """Path where the scene is written before it is moved."""
        if is_url(self._path):
            return self._path
        final = Path(self._path)
        return str(final.with_name(f".{final.name}.unfinished"))

    def _remove(self) -> None:
        """Remove the files written so far."""
        if is_url(self._path):
            sync(zarr_location(self._path).delete_dir(""))
        else:
            shutil.rmtree(self._staging, ignore_errors=True)

    def _create(self) -> SceneStore:
        layout = self._layout
        zarr.open_group(zarr_location(self._staging), mode="w", zarr_format=3)
        store = SceneStore(self._staging)
        if is_url(self._path):
            publish(store, attrs={_UNFINISHED: 1})  # an empty list, for readers that open it meanwhile
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
        """Create an array of the size of the scene with `length` dates or pairs; it is published with the scene."""
        layout = self._layout
        shape = (length, len(layout.y), len(layout.x))
        chunks, shards = grid_of(shape, layout.chunk, layout.shard)
        store.create(name, shape, attrs or {}, chunks=chunks, shards=shards)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._remove()
            return
        try:
            self._finish()
        except BaseException:
            self._remove()
            raise

    def _finish(self) -> None:
        store = SceneStore(self._staging)
        attrs = {"Conventions": "CF-1.11", "sarcd_schema": schema.VERSION, "coordinates": schema.STORED_COORDINATES}
        attrs = {**self._layout.attrs, **attrs}
        if is_url(self._path):
            publish(store, add=store.members(), attrs={**attrs, _UNFINISHED: None})
            return
        publish(store, add=store.members(), attrs=attrs)
        staging, final = Path(self._staging), Path(self._path)
        # publish() has created a lock file beside the staging folder.
        for lock in staging.parent.glob(f".{staging.name}.*.lock"):
            lock.unlink(missing_ok=True)
        old = final.with_name(f".{final.name}.replaced")
        refuse_existing(final, overwrite=self._overwrite)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        staging.rename(final)
        shutil.rmtree(old, ignore_errors=True)


def refuse_existing(path: str | Path, *, overwrite: bool) -> None:
    """Raise if `path` exists and is not a scene, or is a scene and `overwrite` is False.

    Raises
    ------
    StoreError
        Naming the path.
    """
    if is_url(path):
        _refuse_object(str(path))
        return
    path = Path(path)
    if not path.exists():
        return
    if not _is_scene(path):
        raise StoreError("already exists and is not a scene", source=str(path), hint="choose another name")
    if not overwrite:
        raise StoreError(
            "already exists", source=str(path), hint="choose another name, or pass --overwrite to replace it"
        )


def _refuse_object(url: str) -> None:
    """Raise if a URL holds anything but the files of a killed run of sarcd.

    This holds with --overwrite too: object storage has no move, so the old scene would be gone before the new one is
    complete.
    """

    async def first_key() -> str | None:
        async for key in zarr_location(url).list_prefix(""):
            return str(key)
        return None

    if sync(first_key()) is not None and not _is_unfinished(url):
        raise StoreError("already exists", source=url, hint="choose another name, or remove it first")


def _is_unfinished(url: str) -> bool:
    try:
        return SceneStore(url).attrs.get(_UNFINISHED) in (1, True)
    except SceneError:
        return False


def _is_scene(path: Path) -> bool:
    """Return whether a folder is a scene of sarcd, and not for example another Zarr group.

    --overwrite removes the folder, so nothing else may count as a scene.
    """
    try:
        root = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(root, dict) and "sarcd_schema" in (root.get("attributes") or {})


def grid_of(shape: Sequence[int], chunk: int, shard: int = 0) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Return chunk and shard shapes of a (time or pair, y, x) array: 1 along the first axis, at most the scene size."""
    if shard and shard % chunk:
        raise StoreError(f"shard size {shard} is not a multiple of chunk size {chunk}", hint="choose a multiple")
    chunks = (1, *(min(chunk, size) for size in shape[1:]))
    if not shard or all(size <= chunk for size in shape[1:]):
        return chunks, None
    sides = [-(-min(shard, size) // step) * step for size, step in zip(shape[1:], chunks[1:], strict=True)]
    return chunks, (1, *sides)


def _microseconds(dates: np.ndarray) -> np.ndarray:
    return np.asarray(dates).astype("datetime64[us]").astype("int64")


_LOG = logging.getLogger(__name__)


def write_scene(
    scene: xr.Dataset,
    path: str | Path,
    *,
    chunk: int = schema.CHUNK,
    shard: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> str | Path:
    """Write the images, labels and mask of a scene as a new store, region by region.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with `slc` or `amplitude`, and optionally `label` and `mask`. Derived variables are not written.
    path : str or Path
        Path or URL of the new store, which exists once it is complete.
    chunk, shard : int
        Sides of chunks and shards in pixels; `shard` 0 writes no shards.
    overwrite : bool
        Replace an existing scene.
    progress : callable
        Called with a description and a total. It returns a context manager whose value is called with each advance.

    Returns
    -------
    str or Path
        `path`.

    Raises
    ------
    SceneError
        If the dataset is not a scene.
    StoreError
        If `path` already exists.
    """
    scene = take(scene)
    images, spatial_ref = schema.images_of(scene), _spatial_ref(scene)
    _log_omissions(scene, str(images.name))
    scene = scene[[str(images.name), *(name for name in ("label", "mask") if name in scene)]]
    if "label" in scene:
        scene = scene.assign(label=labels_as_flags(scene["label"]))
    schema.validate(scene)
    before, after = (
        schema.dates_of(scene, name) if name in scene.coords else np.empty(0, "datetime64[us]")
        for name in ("before", "after")
    )
    layout = SceneLayout(
        times=schema.dates_of(scene, "time"),
        y=pixel_places(scene, "y"),
        x=pixel_places(scene, "x"),
        images=str(images.name),
        spatial_ref=spatial_ref,
        attrs={key: value for key, value in scene.attrs.items() if key != "coordinates"},
        y_attrs=dict(scene["y"].attrs),
        x_attrs=dict(scene["x"].attrs),
        pairs=list(zip(before, after, strict=True)) or None,
        chunk=chunk,
        shard=shard,
    )
    new = NewScene(path, layout, overwrite=overwrite)
    with new as store:
        names = [str(images.name)]
        if "label" in scene:
            new.create_image(store, "label", len(before), {schema.COMPLETE: [True] * len(before)})
            names.append("label")
        if "mask" in scene:
            shape = scene["mask"].shape
            store.create(
                "mask", shape, {**scene["mask"].attrs, schema.COMPLETE: [1]}, chunks=grid_of((1, *shape), chunk)[0][1:]
            )
            names.append("mask")
        with progress("write", sum(scene[name].size for name in names)) as advance:
            for name in names:
                for count in _copy(scene[name], store, name):
                    advance(count)
    return path


def _log_omissions(scene: xr.Dataset, images: str) -> None:
    """Log which variables and coordinates of a scene the new store will not hold."""
    lost = [str(name) for name in scene.data_vars if name not in (images, "label", "mask")]
    if lost:
        _LOG.info("only images, label and mask are written; left out: %s", ", ".join(sorted(lost)))
    for dim in ("y", "x"):
        if dim in scene.coords and scene[dim].dtype.kind not in "iuf":
            _LOG.warning("'%s' is %s, so the new store holds pixel numbers instead", dim, scene[dim].dtype)


def _spatial_ref(scene: xr.Dataset) -> dict[str, Any]:
    """Return the attributes of the grid mapping, which may have any name."""
    if "spatial_ref" in scene.coords:
        return dict(scene["spatial_ref"].attrs)
    found = of_scene(scene)
    return to_coordinates(found, (scene.sizes["y"], scene.sizes["x"])).spatial_ref if found.crs or found.gcps else {}


def _copy(array: xr.DataArray, store: SceneStore, name: str) -> Iterator[int]:
    """Write an array in whole chunks (or shards), and yield the number of pixels of each."""
    target = store.array(name)
    step_y, step_x = (target.shards or target.chunks)[-2:]
    planes: list[tuple[int, ...]] = [(index,) for index in range(array.shape[0])] if array.ndim == 3 else [()]
    height, width = array.shape[-2:]
    for plane, y, x in product(planes, range(0, height, step_y), range(0, width, step_x)):
        window: tuple[int | slice, ...] = (*plane, slice(y, y + step_y), slice(x, x + step_x))
        block = array[window].values
        target[window] = block
        yield block.size
