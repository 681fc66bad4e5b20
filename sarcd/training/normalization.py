"""Median and MAD that normalise the amplitudes of training: each scene's own, or those of all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.estimation.amplitudes import AmplitudeStatistics, amplitude_statistics, completed, compute_statistics, iso
from sarcd.store.chunks import chunk_errors
from sarcd.store.scene import open_scene


def statistics_of(path: str, note: Callable[[str], None]) -> AmplitudeStatistics:
    """Return the amplitude statistics kept with a scene; computed now, and said, where there are none."""
    scene = open_scene(path)
    kept = AmplitudeStatistics.stored(scene)
    if kept is not None:
        with chunk_errors(path):
            return completed(kept, scene)  # those kept per date may lack dates that were appended
    with chunk_errors(path):
        computed = compute_statistics(scene)
    several = f"median {computed.median[0]:.6g}, MAD {computed.mad[0]:.6g}"
    if computed.per_date:
        several = f"one median and MAD a date, since the medians differ by {computed.jump_db:.1f} dB"
    note(f"{path}: amplitude statistics computed, {several}; 'sarcd stats' would keep them")
    return computed


def pooled_statistics(paths: Sequence[str]) -> AmplitudeStatistics:
    """Compute median and MAD of the amplitudes of several scenes together, exactly and out of core."""
    import dask.array as da

    images = []
    for path in paths:
        data = schema.images_of(open_scene(path)).data
        images.append(da.abs(data) if data.dtype.kind == "c" else data)
    # NaN counts nowhere: padded with it, scenes of any size lie one above the other, each in its own chunks.
    height, width = (max(data.shape[axis] for data in images) for axis in (1, 2))
    padded = [
        da.pad(
            data,
            ((0, 0), (0, height - data.shape[1]), (0, width - data.shape[2])),
            mode="constant",
            constant_values=np.nan,
        )
        for data in images
    ]
    dates = [date for path in paths for date in schema.dates_of(open_scene(path), "time")]
    # Scenes may share dates; counted numbers keep their images apart.
    counted = np.arange(len(dates)).astype("datetime64[us]")
    together = xr.Dataset({"amplitude": (("time", "y", "x"), da.concatenate(padded))}, coords={"time": counted})
    computed = amplitude_statistics(together, per_date=False).compute()
    texts = tuple(sorted({iso(date) for date in dates}))
    return AmplitudeStatistics((float(computed["median"]),), (float(computed["mad"]),), texts).checked()
