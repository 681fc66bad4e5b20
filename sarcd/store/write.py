"""A scene in memory, or lazy, written as a new store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.conform.values import labels_as_flags
from sarcd.geography.georeference import of_scene, to_coordinates
from sarcd.geography.grid_mapping import pixel_places
from sarcd.progress import Progress, silent
from sarcd.store.create import NewScene, SceneLayout, grid_of
from sarcd.store.intake import take
from sarcd.store.scene import SceneStore

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
        With `slc` or `amplitude`, and `label` and `mask` if there are any; what was derived is left out.
    path : str or Path
        Where the store will be, by path or URL; it appears there when it is whole.
    chunk, shard : int
        Sides of chunks and shards in pixels; no shards at 0.
    overwrite : bool
        Replace a scene that is there.
    progress : callable
        Called with a description and a total; gives a context whose value is called with each advance.

    Returns
    -------
    str or Path
        `path`.

    Raises
    ------
    SceneError
        If the dataset is no scene.
    StoreError
        If something is at `path` already.
    """
    scene = take(scene)
    images, spatial_ref = schema.images_of(scene), _spatial_ref(scene)
    _tell(scene, str(images.name))
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


def _tell(scene: xr.Dataset, images: str) -> None:
    """Log what of a scene the new store will not hold."""
    lost = [str(name) for name in scene.data_vars if name not in (images, "label", "mask")]
    if lost:
        _LOG.info("left out, images, label and mask being all that is written: %s", ", ".join(sorted(lost)))
    for dim in ("y", "x"):
        if dim in scene.coords and scene[dim].dtype.kind not in "iuf":
            _LOG.warning("'%s' is %s: the new store has the numbers of the pixels instead", dim, scene[dim].dtype)


def _spatial_ref(scene: xr.Dataset) -> dict[str, Any]:
    """Return the attributes of the grid mapping, whatever the scene calls it."""
    if "spatial_ref" in scene.coords:
        return dict(scene["spatial_ref"].attrs)
    found = of_scene(scene)
    return to_coordinates(found, (scene.sizes["y"], scene.sizes["x"])).spatial_ref if found.crs or found.gcps else {}


def _copy(array: xr.DataArray, store: SceneStore, name: str) -> Iterator[int]:
    """Write an array in whole chunks (or shards), yielding the pixels written by each."""
    target = store.array(name)
    step_y, step_x = (target.shards or target.chunks)[-2:]
    planes: list[tuple[int, ...]] = [(index,) for index in range(array.shape[0])] if array.ndim == 3 else [()]
    height, width = array.shape[-2:]
    for plane, y, x in product(planes, range(0, height, step_y), range(0, width, step_x)):
        window: tuple[int | slice, ...] = (*plane, slice(y, y + step_y), slice(x, x + step_x))
        block = array[window].values
        target[window] = block
        yield block.size
