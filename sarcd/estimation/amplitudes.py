"""Exact median and median absolute deviation of the amplitude of a scene, out of core."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import decode
from sarcd.config.ingest import LEVEL_JUMP_DB, LEVEL_PIXELS
from sarcd.errors import StatisticsError
from sarcd.store.openable import take

ATTRIBUTE = "amplitude_statistics"
"""Root attribute of a store that holds the statistics, as JSON text."""

_FAN_IN = 16  # histograms added in one task; each is half a megabyte


@dataclass(frozen=True)
class AmplitudeStatistics:
    """Median and MAD of amplitude, linear, and the dates that they were computed from.

    Parameters
    ----------
    median, mad : tuple of float
        One value pooled over all dates, or one per date.
    dates : tuple of str
        Dates that the values were computed from, ISO 8601.
    per_date : bool
        Whether there is one value per date.
    level : tuple of float
        Median of each date on its own, if computed; 0 for a date with fewer than 1000 valid pixels.
    valid : tuple of float
        Fraction of valid pixels of each date, if counted.
    """

    median: tuple[float, ...]
    mad: tuple[float, ...]
    dates: tuple[str, ...] = ()
    per_date: bool = False
    level: tuple[float, ...] = ()
    valid: tuple[float, ...] = ()

    @property
    def jump_db(self) -> float:
        """Largest difference between the levels of the dates in decibels; 0 where they are unknown."""
        return jump_db(self.level)

    @classmethod
    def given(cls, median: float, mad: float) -> Self:
        """Return statistics from two numbers."""
        return cls((float(median),), (float(mad),)).checked()

    @classmethod
    def stored(cls, scene: xr.Dataset) -> Self | None:
        """Return the statistics stored with a scene, or None."""
        kept = scene.attrs.get(ATTRIBUTE)
        if kept is None:
            return None
        try:
            return cls.from_json(decode(kept))
        except (KeyError, TypeError, ValueError) as error:
            raise StatisticsError(
                "stored statistics cannot be read",
                source=schema.source_of(scene),
                hint="recompute them with 'sarcd statistics --refresh'",
            ) from error

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(
            tuple(float(value) for value in values["median"]),
            tuple(float(value) for value in values["mad"]),
            tuple(str(date) for date in values["dates"]),
            bool(values["per_date"]),
            tuple(float(value) for value in values.get("level", ())),
            tuple(float(value) for value in values.get("valid", ())),
        ).checked()

    def to_json(self) -> dict[str, Any]:
        """Return plain values that a store or a model file can hold."""
        known = {"level": list(self.level), "valid": list(self.valid)}
        return {
            "median": list(self.median),
            "mad": list(self.mad),
            "dates": list(self.dates),
            "per_date": self.per_date,
            **{name: values for name, values in known.items() if values},
        }

    def checked(self) -> Self:
        """Return self.

        Raises
        ------
        StatisticsError
            If a MAD is not above 0 or a value is not finite.
        """
        if len(self.median) != len(self.mad) or not self.median:
            raise StatisticsError("median and MAD must have the same length, at least 1")
        for median, mad in zip(self.median, self.mad, strict=True):
            check_spread(median, mad)
        return self

    def at(self, date: np.datetime64) -> tuple[float, float]:
        """Return median and MAD that normalise the image of a date."""
        if not self.per_date:
            return self.median[0], self.mad[0]
        text = iso(date)
        if text not in self.dates:
            hint = "recompute them with 'sarcd statistics --refresh'"
            raise StatisticsError(f"per-date statistics have no values for {text}", hint=hint)
        index = self.dates.index(text)
        return self.median[index], self.mad[index]


def iso(date: np.datetime64) -> str:
    """Return a date as text, to the microsecond."""
    return str(date.astype("datetime64[us]"))


def check_spread(median: float, mad: float) -> float:
    """Return `mad`, or raise if it cannot be used for normalisation.

    Raises
    ------
    StatisticsError
        If it is 0 or either value is not finite.
    """
    if not (np.isfinite(median) and np.isfinite(mad)):
        raise StatisticsError(f"median {median} and MAD {mad} of amplitude are not finite")
    if mad <= 0:
        raise StatisticsError(
            f"the MAD of amplitude is 0 (median {median:g}): at least half of the valid pixels have the same value",
            hint="check that the images hold data and that filled areas are NaN or declared no-data",
        )
    return mad


def jump_db(levels: Sequence[float]) -> float:
    """Return the largest difference between levels, linear amplitudes, in decibels; levels of 0 are ignored.

    Examples
    --------
    >>> jump_db([1.0, 2.0, 0.0])
    6.02
    """
    known = [level for level in levels if level > 0]
    return round(20 * math.log10(max(known) / min(known)), 2) if known else 0.0


def statistics(scene: xr.Dataset, *, per_date: bool | None = False) -> xr.Dataset:
    """Compute the exact median and median absolute deviation of amplitude over the valid pixels of a scene.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    per_date : bool or None
        One value per date instead of one for all dates. None: the values that the scene is normalised with, along
        `time`: per date where the medians of the dates differ by more than 1 dB, otherwise the same for all dates.

    Returns
    -------
    xr.Dataset
        `median` and `mad`, float64, linear; scalars, or along `time`. Lazy if the images are: computing them reads the
        images four times, a chunk at a time.

    Raises
    ------
    StatisticsError
        When computed: if there is no valid pixel, or the MAD is 0.

    Notes
    -----
    The bits of non-negative floats sort like their values: one pass counts the upper 16 bits, a second the lower 16
    within the bin of the median. Amplitude is ``np.abs`` in float32, deviations from the median are rounded to float32,
    and an even count gives the mean of the two middle values in float64; the result equals that of numpy computed this
    way.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 2.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> bool(statistics(sites.simulate("A", size=64))["mad"] > 0)
    True
    """
    scene = take(scene)
    images = schema.images_of(scene)
    count = images.sizes["time"]
    values = _columns(images, per_date)
    dims = () if per_date is False else ("time",)
    coords = {} if per_date is False else {"time": scene["time"]}
    data = [column[0] if per_date is False else _join(column[:count]) for column in values]
    attrs = {"units": images.attrs.get("units", "1")}
    return xr.Dataset(
        {
            "median": (dims, data[0], {"long_name": "median amplitude, linear", **attrs}),
            "mad": (dims, data[1], {"long_name": "median absolute deviation of amplitude, linear", **attrs}),
        },
        coords=coords,
    )


def compute_statistics(scene: xr.Dataset, *, per_date: bool | None = None) -> AmplitudeStatistics:
    """Compute `statistics` immediately and return plain numbers with their dates.

    Parameters
    ----------
    scene : xr.Dataset
        As in `statistics`.
    per_date : bool, optional
        One value per date, or one for all; by default per date where their medians differ by more than 1 dB.
    """
    scene = take(scene)
    dates = tuple(iso(date) for date in schema.dates_of(scene, "time"))
    # Read here, not within a task, so that on a cluster every pass is a separate graph.
    images = schema.images_of(scene)
    found = _Reading(_layers(images), per_date)()
    pixels = images.sizes["y"] * images.sizes["x"]
    valid = tuple(count / pixels for count in found.counts)
    kept = len(dates) if found.per_date else 1
    return AmplitudeStatistics(
        found.median[:kept], found.mad[:kept], dates, found.per_date, found.levels, valid
    ).checked()


def completed(statistics: AmplitudeStatistics, scene: xr.Dataset) -> AmplitudeStatistics:
    """Return statistics that cover every date of a scene: per-date ones are extended by the dates that they lack.

    Pooled statistics, and those of known dates, are unchanged.
    """
    times = schema.dates_of(scene, "time")
    lacking = [i for i, time in enumerate(times) if iso(time) not in statistics.dates]
    if not statistics.per_date or not lacking:
        return statistics
    new = compute_statistics(scene.isel(time=lacking), per_date=True)
    joined = {
        name: getattr(statistics, name) + getattr(new, name)
        for name in ("median", "mad", "dates", "level", "valid")
        if getattr(statistics, name)
    }
    return replace(statistics, **joined)


def _layers(images: xr.DataArray) -> tuple[Any, ...]:
    """Return the data of each date."""
    return tuple((image.values if image.chunks is None else image.data) for image in images)


def _join(values: Sequence[Any]) -> Any:
    if all(isinstance(value, np.ndarray) for value in values):
        return np.stack(values)
    import dask.array as da

    return da.stack(values)


def _columns(images: xr.DataArray, per_date: bool | None) -> tuple[list[Any], list[Any]]:
    """Return median and MAD of each date as 0-d arrays, lazy if the images are; pooled ones are all equal."""
    dates = range(images.sizes["time"])
    if images.chunks is None:
        found = _Reading(_layers(images), per_date)()
        return [np.array(value) for value in found.median], [np.array(value) for value in found.mad]
    import dask.array as da
    from dask.delayed import delayed

    # One task reads the images pass after pass: as tasks of the caller's graph the passes would share their keys, and
    # dask would keep the whole scene in memory from the first pass to the last.
    found = delayed(_Reading(_layers(images), per_date), traverse=False, pure=False)()
    median, mad = (
        [da.from_delayed(delayed(np.asarray)(column[i]), (), float) for i in dates]
        for column in (found.median, found.mad)
    )
    return median, mad


@dataclass(frozen=True)
class _Found:
    """Median and MAD of each date, pooled ones repeated, with the level and the count of each date on its own."""

    median: tuple[float, ...]
    mad: tuple[float, ...]
    per_date: bool
    levels: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class _Reading:
    """Median and MAD of images (y, x), one per date, read once per pass, block by block."""

    images: tuple[Any, ...]
    per_date: bool | None

    def __call__(self) -> _Found:
        dates = len(self.images)
        together, separate = [tuple(range(dates))], [(date,) for date in range(dates)]
        upper = self._upper([None] * dates)
        counts = tuple(int(histogram.sum()) for histogram in upper)
        if not any(counts):
            raise StatisticsError("no valid pixel in any image", hint="check the images and their no-data values")
        *levels, pooled = self._medians(upper, [*separate, *together], [None] * dates)
        known = tuple(level if count >= LEVEL_PIXELS else 0.0 for level, count in zip(levels, counts, strict=True))
        per_date = jump_db(known) > LEVEL_JUMP_DB if self.per_date is None else self.per_date
        if self.per_date and not all(counts):
            raise StatisticsError("no valid pixel in an image", hint="check the images and their no-data values")
        centres = levels if per_date else [pooled] * dates
        groups = separate if per_date else together
        spreads = self._medians(self._upper(centres), groups, centres)
        for group, spread in zip(groups, spreads, strict=True):
            if counts[group[0]] or not per_date:
                check_spread(centres[group[0]], spread)
        values = list(zip(centres, spreads if per_date else spreads * dates, strict=True))
        some = next(value for value, count in zip(values, counts, strict=True) if count)
        # dates without a valid pixel take the values of another
        values = [value if count else some for value, count in zip(values, counts, strict=True)]
        median, mad = zip(*values, strict=True)
        return _Found(median, mad, per_date, known, counts)

    def _upper(self, centres: Sequence[float | None]) -> list[np.ndarray]:
        from sarcd.estimation.kernels import normalize as kernels

        return self._sums(kernels.upper_histogram, [(centre,) for centre in centres])

    def _medians(
        self, upper: Sequence[np.ndarray], groups: Sequence[tuple[int, ...]], centres: Sequence[float | None]
    ) -> list[float]:
        """Return the median of each group of dates, 0 for one without values, from one pass over all dates."""
        from sarcd.estimation.kernels import normalize as kernels

        sums = [np.sum([upper[date] for date in group], axis=0) for group in groups]
        bins = [kernels.middle_bins(each) if each.any() else None for each in sums]
        wanted: list[tuple[int, ...]] = [
            tuple(
                sorted(
                    {one for group, pair in zip(groups, bins, strict=True) if pair and date in group for one in pair}
                )
            )
            for date in range(len(self.images))
        ]
        lower = self._sums(_lower_histograms, list(zip(wanted, centres, strict=True)))
        found = []
        for group, pair, each in zip(groups, bins, sums, strict=True):
            if pair is None:
                found.append(0.0)
                continue
            parts = [np.sum([lower[date][wanted[date].index(one)] for date in group], axis=0) for one in pair]
            found.append(kernels.median_from_histograms(each, *parts))
        return found

    def _sums(self, histogram: Any, arguments: Sequence[tuple[Any, ...]]) -> list[np.ndarray]:
        """Add the histograms of all blocks of each date, computed with the arguments of that date."""
        if all(isinstance(image, np.ndarray) for image in self.images):
            return [np.asarray(histogram(image, *given)) for image, given in zip(self.images, arguments, strict=True)]
        from dask.base import compute
        from dask.delayed import delayed

        totals = []
        for image, given in zip(self.images, arguments, strict=True):
            parts = [delayed(histogram)(block, *given) for block in image.to_delayed().ravel()]
            while len(parts) > 1:
                parts = [delayed(sum)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
            totals.append(parts[0])
        return [np.asarray(total) for total in compute(*totals)]


def _lower_histograms(block: np.ndarray, bins: tuple[int, ...], centre: float | None) -> np.ndarray:
    """Return the lower histograms of some bins, (bins, 65536), from one pass over the block."""
    from sarcd.estimation.kernels import normalize as kernels

    values = np.abs(block) if np.iscomplexobj(block) else block
    return np.stack([kernels.lower_histogram(values, one, centre) for one in bins] or [np.zeros(0, np.int64)])
