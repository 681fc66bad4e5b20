"""Ground that cannot be judged: one notion for every method without labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from sarcd import change, schema
from sarcd.change.pair_scores import Histories
from sarcd.config import Window
from sarcd.estimation.pairs import pairs_of
from sarcd.store.pairs import Pair


def without_hidden(scene: xr.Dataset, values: xr.DataArray) -> xr.DataArray:
    """Return values (pair, y, x) with NaN on layover and shadow: what hides the ground tells nothing of its changes."""
    return values.where(scene["mask"].variable == 0) if "mask" in scene else values


def mark_hidden(scene: xr.Dataset, found: xr.Dataset) -> xr.Dataset:
    """Add layover and shadow, where the scene has a `mask`, to `undecidable`, and leave `change` open there.

    Parameters
    ----------
    scene : xr.Dataset
        The `mask` (y, x) of a scene is 0 where the ground can be judged.
    found : xr.Dataset
        `change` (pair, y, x), with `undecidable` if the method looks at coherence.
    """
    if "mask" not in scene:
        return found
    seen = scene["mask"].variable == 0
    change = found["change"]
    if "undecidable" not in found:
        nothing = (change == schema.NO_LABEL).astype("uint8") * np.uint8(schema.NO_LABEL)
        found = found.assign(undecidable=nothing.assign_attrs(change.attrs))
    undecidable = found["undecidable"]
    marked = undecidable.where(seen | (undecidable == schema.NO_LABEL), 1).astype("uint8")
    left_open = change.where(seen, schema.NO_LABEL).astype("uint8")
    return found.assign(undecidable=marked.assign_attrs(undecidable.attrs), change=left_open.assign_attrs(change.attrs))


def without_coherence(
    scene: xr.Dataset, loss: xr.DataArray, window: Window, pairs: Sequence[Pair], history: Histories | None = None
) -> xr.DataArray:
    """Return `undecidable` of a loss of coherence, as of `sarcd.change.coherence_test`.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc`.
    loss : (pair, y, x) float32 DataArray
        By `sarcd.change.coherence_loss`, NaN where invalid and without a past.
    window : Window
        That the coherence was estimated in.
    pairs : sequence of (before, after)
        Those of `loss`.
    history : Histories, optional
        That `loss` was made with.

    Returns
    -------
    (pair, y, x) uint8
        1 where the ground was never coherent, or has no past; 0 where a loss can be told; 255 where invalid.
    """
    images = schema.require(scene, "slc")
    never = change.never_coherent(scene, window=window, pairs=pairs, history=history)
    valid = [np.isfinite(images[a].variable) & np.isfinite(images[b].variable) for a, b in pairs_of(scene, pairs)]
    has_past = never != schema.NO_LABEL
    known = xr.Variable.concat(valid, "pair") & ~(loss.isnull() & has_past)
    return (never != 0).where(known, schema.NO_LABEL).astype("uint8").rename("undecidable")
