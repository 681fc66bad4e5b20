"""Histograms of difference images, out of core: one reading, the same for any chunking."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from sarcd.attributes import parameters_of
from sarcd.change.kernels.thresholds.histogram import Histogram, count_cells, histogram
from sarcd.errors import StatisticsError

_FAN_IN = 16  # counts added in one task; each is a megabyte
_BAND = 4
"""Columns of chunks that are read at a time: halos keep some rows of them, which are as long as a band is wide."""


def histogram_of(array: xr.DataArray) -> Histogram:
    """Count the finite values of an array now, chunk by chunk.

    Raises
    ------
    StatisticsError
        If there is none.
    """
    counts = _counts(array.data)
    if not counts.any():
        raise StatisticsError(
            "no valid pixel in the difference image",
            where=None if array.name is None else str(array.name),
            mend="check the images and their no-data values",
        )
    return histogram(counts)


def is_signed(difference: xr.DataArray) -> bool:
    """Tell whether both ends of a difference image mean change, by the attributes of what made it."""
    return bool(parameters_of(difference).get("signed", False))


def _counts(data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return count_cells(data)
    edges = np.cumsum([0, *data.chunks[-1]])[::_BAND].tolist()
    bands = zip(edges, [*edges[1:], None], strict=True)
    counts = [_count_band(data[..., start:stop]) for start, stop in bands if start < data.shape[-1]]
    return np.asarray(sum(counts))


def _count_band(data: Any) -> np.ndarray:
    from dask.delayed import delayed

    parts = [delayed(count_cells)(block) for block in data.to_delayed().ravel()]
    while len(parts) > 1:
        parts = [delayed(sum)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    return np.asarray(parts[0].compute())
