"""Exact median and median absolute deviation of a scene's amplitude, out of core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import decode
from sarcd.errors import StatisticsError
from sarcd.io.intake import take

ATTRIBUTE = "amplitude_statistics"
"""Root attribute that keeps them in a store, as JSON text."""

_FAN_IN = 16  # histograms added in one task; each is half a megabyte


@dataclass(frozen=True)
class AmplitudeStatistics:
    """Median and MAD of amplitude, linear, and the dates they came from.

    Parameters
    ----------
    median, mad : tuple of float
        One value pooled over all dates, or one a date.
    dates : tuple of str
        Dates the values came from, ISO 8601.
    per_date : bool
        Whether there is one value a date.
    """

    median: tuple[float, ...]
    mad: tuple[float, ...]
    dates: tuple[str, ...] = ()
    per_date: bool = False

    @classmethod
    def given(cls, median: float, mad: float) -> Self:
        """Return statistics from two numbers."""
        return cls((float(median),), (float(mad),)).checked()

    @classmethod
    def stored(cls, scene: xr.Dataset) -> Self | None:
        """Return the statistics kept with a scene, or None."""
        kept = scene.attrs.get(ATTRIBUTE)
        if kept is None:
            return None
        try:
            return cls.from_json(decode(kept))
        except (KeyError, TypeError, ValueError) as error:
            raise StatisticsError(
                "stored statistics cannot be read", where=schema.source_of(scene), mend="run 'sarcd stats --refresh'"
            ) from error

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(
            tuple(float(value) for value in values["median"]),
            tuple(float(value) for value in values["mad"]),
            tuple(str(date) for date in values["dates"]),
            bool(values["per_date"]),
        ).checked()

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as a store or a model file keeps them."""
        return {
            "median": list(self.median),
            "mad": list(self.mad),
            "dates": list(self.dates),
            "per_date": self.per_date,
        }

    def checked(self) -> Self:
        """Return self.

        Raises
        ------
        StatisticsError
            If a MAD is not above 0 or a value is not finite.
        """
        if len(self.median) != len(self.mad) or not self.median:
            raise StatisticsError("median and MAD must be of one length, at least 1")
        for median, mad in zip(self.median, self.mad, strict=True):
            check_spread(median, mad)
        return self

    def at(self, date: np.datetime64) -> tuple[float, float]:
        """Return median and MAD that normalise the image of a date."""
        if not self.per_date:
            return self.median[0], self.mad[0]
        text = iso(date)
        if text not in self.dates:
            raise StatisticsError(
                f"statistics kept per date have none for {text}", mend="renew them with 'sarcd stats --refresh'"
            )
        index = self.dates.index(text)
        return self.median[index], self.mad[index]


def iso(date: np.datetime64) -> str:
    """Return a date as text, to the microsecond."""
    return str(date.astype("datetime64[us]"))


def check_spread(median: float, mad: float) -> float:
    """Return `mad`, or raise if it cannot normalise anything.

    Raises
    ------
    StatisticsError
        If it is 0 or either value is not finite.
    """
    if not (np.isfinite(median) and np.isfinite(mad)):
        raise StatisticsError(f"median {median} and MAD {mad} of amplitude are not finite")
    if mad <= 0:
        raise StatisticsError(
            f"MAD of amplitude is 0 (median {median:g}): at least half of the valid pixels have one value",
            mend="check that the images hold data and that filled areas are NaN or declared no-data",
        )
    return mad


def amplitude_statistics(scene: xr.Dataset, *, per_date: bool = False) -> xr.Dataset:
    """Exact median and median absolute deviation of amplitude over the valid pixels of a scene.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    per_date : bool
        One value a date instead of one for all dates together.

    Returns
    -------
    xr.Dataset
        `median` and `mad`, float64, linear; scalars, or along `time`. Lazy if the images are: computing reads them four
        times, a chunk at a time.

    Raises
    ------
    StatisticsError
        When computed: if there is no valid pixel, or the MAD is 0.

    Notes
    -----
    The bits of non-negative floats sort like their values: one pass counts the upper 16 bits, a second the lower 16
    within the bin of the median. Amplitude is ``np.abs`` in float32, deviations from the median are rounded to float32,
    an even count takes the mean of the two middle values in float64; the result equals numpy computed that way.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 2.

    Examples
    --------
    >>> from sarcd import sites
    >>> bool(amplitude_statistics(sites.site("A", size=64))["mad"] > 0)
    True
    """
    scene = take(scene)
    images = schema.images_of(scene)
    results = [_median_and_mad(group) for group in _groups(scene, per_date)]
    dims = ("time",) if per_date else ()
    coords = {"time": scene["time"]} if per_date else {}
    attrs = {"units": images.attrs.get("units", "1")}
    columns = [list(column) for column in zip(*results, strict=True)]
    data = [_join(column) if per_date else column[0] for column in columns]
    return xr.Dataset(
        {
            "median": (dims, data[0], {"long_name": "median amplitude, linear", **attrs}),
            "mad": (dims, data[1], {"long_name": "median absolute deviation of amplitude, linear", **attrs}),
        },
        coords=coords,
    )


def compute_statistics(scene: xr.Dataset, *, per_date: bool = False) -> AmplitudeStatistics:
    """Compute `amplitude_statistics` now and return plain numbers with their dates."""
    scene = take(scene)
    dates = tuple(iso(date) for date in schema.dates_of(scene, "time"))
    # Read from here, not from within a task, so that on a cluster every pass is a graph of its own.
    median, mad = zip(*(_Reading(group.data)() for group in _groups(scene, per_date)), strict=True)
    return AmplitudeStatistics(median, mad, dates, per_date).checked()


def _groups(scene: xr.Dataset, per_date: bool) -> list[xr.DataArray]:
    """Return the images that each median is of."""
    images = schema.images_of(scene)
    return [images[i : i + 1] for i in range(images.sizes["time"])] if per_date else [images]


def _join(values: Sequence[Any]) -> Any:
    if all(isinstance(value, np.ndarray) for value in values):
        return np.stack(values)
    import dask.array as da

    return da.stack(values)


def _median_and_mad(images: xr.DataArray) -> tuple[Any, Any]:
    """Return median and MAD as 0-d arrays, lazy if the images are."""
    if images.chunks is None:
        median, mad = _Reading(images.values)()
        return np.array(median), np.array(mad)
    import dask.array as da
    from dask.delayed import delayed

    # One task that reads the images pass after pass: as tasks of the caller's graph, the passes would share their keys,
    # and dask would keep the whole scene in memory from the first to the last.
    both = delayed(_Reading(images.data), traverse=False, pure=False)()
    median, mad = (da.from_delayed(delayed(np.asarray)(both[i]), (), float) for i in range(2))
    return median, mad


@dataclass(frozen=True, eq=False)
class _Reading:
    """Median and MAD of an array that is read once a pass, block by block."""

    data: Any

    def __call__(self) -> tuple[float, float]:
        median = self._median(None)
        return median, check_spread(median, self._median(median))

    def _median(self, centre: float | None) -> float:
        from sarcd.kernels import statistics as kernels

        upper = self._sum(kernels.upper_histogram, centre)
        if not upper.any():
            raise StatisticsError("no valid pixel in any image", mend="check the images and their no-data values")
        low, high = kernels.middle_bins(upper)
        lower = self._sum(_lower_pair, (low, high), centre)
        return kernels.median_from_histograms(upper, lower[0], lower[1])

    def _sum(self, histogram: Any, *arguments: Any) -> np.ndarray:
        """Add up a histogram of every block."""
        if isinstance(self.data, np.ndarray):
            return np.asarray(histogram(self.data, *arguments))
        from dask.delayed import delayed

        parts = [delayed(histogram)(block, *arguments) for block in self.data.to_delayed().ravel()]
        while len(parts) > 1:
            parts = [delayed(sum)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
        return np.asarray(parts[0].compute())


def _lower_pair(block: np.ndarray, bins: tuple[int, int], centre: float | None) -> np.ndarray:
    """Lower histograms of both middle bins, (2, 65536), from one reading of the block."""
    from sarcd.kernels import statistics as kernels

    low = kernels.lower_histogram(block, bins[0], centre)
    return np.stack([low, low if bins[0] == bins[1] else kernels.lower_histogram(block, bins[1], centre)])
