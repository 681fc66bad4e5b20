"""Which images of a scene an operation compares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError
from sarcd.store.pairs import Pair, explicit_pairs, select_pairs


def pairs_of(scene: xr.Dataset, pairs: str | Sequence[Pair] | None = None) -> list[tuple[int, int]]:
    """Return the positions along `time` of the two images of each pair.

    Parameters
    ----------
    scene : xr.Dataset
        Scene.
    pairs : str or sequence of (before, after), optional
        A policy of `sarcd.store.pairs.select_pairs`, or a list as of `explicit_pairs`; by default the scene's own
        list, or consecutive dates where it has none.

    Raises
    ------
    SceneError
        If the scene has fewer than two dates.
    OptionError
        If a pair is no pair of the scene's dates.
    """
    times = schema.dates_of(scene, "time")
    if len(times) < 2:
        raise SceneError(
            f"time has {len(times)} date; change needs 2",
            where=schema.source_of(scene),
            mend="add images with 'sarcd ingest --append'",
        )
    if pairs is None and scene.sizes.get("pair"):  # an empty list is none
        chosen = list(zip(schema.dates_of(scene, "before"), schema.dates_of(scene, "after"), strict=True))
    elif pairs is None or isinstance(pairs, str):
        chosen = select_pairs(pairs or "consecutive", times)
    else:
        chosen = explicit_pairs(list(pairs), times)
    positions = {time: index for index, time in enumerate(times)}
    for date in np.unique(np.array(chosen, "datetime64[us]")):
        if date not in positions:
            raise SceneError(
                f"a pair names {schema.short_date(date)}, which is not in 'time'",
                where=schema.source_of(scene),
                mend="select pairs together with dates, or name pairs of the dates that are there",
            )
    return [(positions[before], positions[after]) for before, after in chosen]
