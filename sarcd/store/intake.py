"""The door of every public function that takes a scene: the one check of it, made once."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import schema
from sarcd.conform import conform
from sarcd.store.storage import is_url

if TYPE_CHECKING:
    from sarcd.store.pairs import Pair

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
    >>> scene = take(sites.site("A", size=64))
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
    from sarcd.store.openable import require_coordinates, require_listed
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
