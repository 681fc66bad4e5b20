"""Looks of a scene's images, from their spectrum or from their intensity alone, and phase ramps of its pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config import BRIGHTNESS_WINDOW, CoherenceOptions, Estimator, Window
from sarcd.engine.lazy import is_lazy
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.levels import sample_blocks, sample_now
from sarcd.store.openable import take

ATTRIBUTE = "effective_looks"
"""Attribute of a coherence that holds the effective looks of its window."""

_BLOCK, _BLOCKS = 256, 4  # side in pixels, and number along each axis: a sample of at most a million pixels

_SAME = 0.1  # radians per pixel, which reduces the sum over a window of five by 1 %

Rectangle = tuple[slice, slice]
Ramp = tuple[float, float]


@dataclass(frozen=True)
class Looks:
    """Independent looks of windows over the speckle of a scene.

    Parameters
    ----------
    effective : float
        Equivalent number of looks of intensity in the estimator's window (for `adaptive`: in the largest one).
    floor : float
        Independent pixels with the same mean square coherence at zero true coherence, for the removal of bias.
    core : float
        Effective looks of the window in which `adaptive` averages intensity.
    """

    effective: float
    floor: float
    core: float


@dataclass(frozen=True)
class Calibration:
    """Measurements made once on a whole scene that apply to every part of it.

    Parameters
    ----------
    looks : Looks, optional
        None where the sample of the images holds no valid pixels, or where the looks are not needed.
    ramps : dict, optional
        Fringe frequency (y, x) in radians per pixel of the interferogram of a pair, everywhere or in a part of the
        scene, by the dates of the pair.
    """

    looks: Looks | None = None
    ramps: dict[tuple[np.datetime64, np.datetime64], Ramp] | None = None

    def ramp(self, scene: xr.Dataset, before: int = 0, after: int = 1) -> Ramp | None:
        """Return the ramp of the images at two positions along `time`, None where none was measured."""
        if self.ramps is None:
            return None
        times = schema.dates_of(scene, "time")
        return self.ramps[times[before], times[after]]

    def attrs(self) -> dict[str, Any]:
        """Return the attributes of a coherence that was estimated with this calibration."""
        return {} if self.looks is None else {ATTRIBUTE: self.looks.effective}


def needs_looks(options: CoherenceOptions) -> bool:
    """Return whether the estimate depends on the looks of the scene's spectrum."""
    return options.debias or options.estimator == "adaptive"


def needs_ramp(options: CoherenceOptions) -> bool:
    """Return whether the estimate depends on the ramp of the whole pair."""
    return options.estimator == "fringe"


def effective_looks(scene: xr.Dataset, window: int | Window = 5, *, estimator: Estimator = "boxcar") -> float:
    """Compute the equivalent number of independent looks of a coherence window from the scene's own spectrum.

    Neighbouring pixels of a radar image are correlated, since the image is oversampled; a window therefore has fewer
    looks than pixels.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` (time, y, x) complex64, linear; a fixed sample of its first two dates, at most a million pixels, is
        read immediately.
    window : int or Window
        Odd size in pixels; a number means a square.
    estimator : {"boxcar", "gaussian", "fringe", "adaptive"}
        Estimator that defines the weights of the window; for ``adaptive`` those of the largest neighbourhood.

    Returns
    -------
    float
        From 1 to the number of pixels of the window.

    Raises
    ------
    SceneError
        If there is no `slc`, or no valid pixel in the sample.
    OptionError
        If the window cannot be used.

    Notes
    -----
    The product over both axes of ``M / (1 + 2 sum_l (1 - l / M) abs(r_l)^2)``, where r_l is the complex autocorrelation
    of the image at lag l, the median over the blocks of the sample; see
    `sarcd.estimation.kernels.looks.effective_looks`.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> 5 < effective_looks(sites.simulate("A", size=64), 5) < 25
    True
    """
    scene = take(scene)
    options = CoherenceOptions(window=Window.of(window), estimator=estimator)
    looks = measure_looks([np.asarray(block) for block in _sample(schema.require(scene, "slc"))], options)
    if looks is None:
        raise no_looks(schema.source_of(scene))
    return looks.effective


def no_looks(source: str | None = None) -> SceneError:
    """Return the error for a scene whose sample has no valid pixel."""
    return SceneError(
        "the effective looks are unknown: no valid pixels in the sample of the images",
        source=source,
        hint="use a part of the scene that holds data, or an estimator other than 'adaptive' without bias removal",
    )


def calibrate(
    scene: xr.Dataset, options: CoherenceOptions, pairs: Sequence[tuple[int, int]], *, always_looks: bool = False
) -> Calibration:
    """Measure now, on a whole scene, what the coherence of its parts needs.

    Parameters
    ----------
    scene : xr.Dataset
        The whole scene, with `slc`.
    options : CoherenceOptions
        Options of the coherence estimate.
    pairs : sequence of (int, int)
        Positions along `time` of the images of each pair.
    always_looks : bool
        Measure the looks even if the estimate does not need them.

    Returns
    -------
    Calibration
        As far as the options need it; the same for the same scene, whichever parts are processed later.
    """
    looks, ramps = None, None
    if always_looks or needs_looks(options):
        looks = measure_looks([np.asarray(block) for block in _sample(schema.require(scene, "slc"))], options)
    if needs_ramp(options):
        times = schema.dates_of(scene, "time")
        ramps = {
            (times[before], times[after]): measure_ramp(
                [np.asarray(block) for block in pair_sample(scene, before, after)]
            )
            for before, after in set(pairs)
        }
    return Calibration(looks, ramps)


def looks_sample(scene: xr.Dataset) -> list[Any]:
    """Return the blocks (y, x) of a scene on which looks are measured: arrays, or dask arrays where it is lazy."""
    return _sample(schema.require(scene, "slc"))


def looks_later(scene: xr.Dataset, options: CoherenceOptions) -> Any:
    """Return the `Looks` of a scene: measured now for images in memory, otherwise as a dask task."""
    return _now_or_later(measure_looks, _sample(schema.require(scene, "slc")), options)


def ramp_later(scene: xr.Dataset, before: int, after: int) -> Any:
    """Return the ramp of a pair: measured now for images in memory, otherwise as a dask task."""
    return _now_or_later(measure_ramp, pair_sample(scene, before, after))


def _now_or_later(measure: Any, blocks: list[Any], *arguments: Any) -> Any:
    if all(isinstance(block, np.ndarray) for block in blocks):
        return measure(blocks, *arguments)
    from dask.delayed import delayed

    return delayed(measure, pure=True)(blocks, *arguments)


def measure_looks(blocks: Sequence[np.ndarray], options: CoherenceOptions) -> Looks | None:
    """Return the looks of a window from blocks (y, x) of single-look complex images, None if no pixel is valid."""
    from sarcd.estimation.kernels.looks import effective_looks as looks_of
    from sarcd.estimation.kernels.looks import floor_looks
    from sarcd.estimation.kernels.weighted import gaussian_weights

    sides = options.window.y, options.window.x
    correlation = measure_correlation(blocks, (max(sides[0], BRIGHTNESS_WINDOW), max(sides[1], BRIGHTNESS_WINDOW)))
    if correlation is None:
        return None
    weigh = gaussian_weights if options.estimator == "gaussian" else np.ones
    weights, core = tuple(weigh(side).astype(float) for side in sides), np.ones(BRIGHTNESS_WINDOW)
    return Looks(
        looks_of((weights[0], weights[1]), correlation),
        floor_looks((weights[0], weights[1]), correlation),
        looks_of((core, core), correlation),
    )


def measure_correlation(blocks: Sequence[np.ndarray], window: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the autocorrelation of images at the lags within a window, None if no pixel is valid."""
    from sarcd.estimation.kernels.looks import lag_correlation

    found = [lag_correlation(block, (window[0] - 1, window[1] - 1)) for block in blocks]
    known = [pair for pair in found if np.isfinite(pair[0][:1]).all() and np.isfinite(pair[1][:1]).all()]
    if not known:
        return None
    # lags beyond the blocks are longer than the correlation of any spectrum
    along_y, along_x = (np.nan_to_num(np.median(np.stack([pair[axis] for pair in known]), axis=0)) for axis in (0, 1))
    return along_y, along_x


def measure_ramp(blocks: Sequence[np.ndarray]) -> Ramp:
    """Return the ramp of an interferogram from blocks, first those of one image, then those of the other.

    It is the mean frequency if the whole scene shares one. Where only a part of the scene has a ramp, the mean applies
    nowhere, and the most prominent nonzero frequency is used instead.
    """
    from sarcd.estimation.kernels.frequencies import frequency, phase_steps, prominent, spectrum

    half = len(blocks) // 2
    pairs = list(zip(blocks[:half], blocks[half:], strict=True))
    along_y, along_x = (frequency(axis) for axis in np.asarray(sum(phase_steps(*pair) for pair in pairs)))
    spectra = [spectrum(*pair) for pair in pairs]
    found = prominent(np.sum([power for power, _ in spectra], axis=0), sum(tiles for _, tiles in spectra))
    if found is None or np.hypot(found[0] - along_y, found[1] - along_x) < _SAME:
        return along_y, along_x
    return found


def _sample(images: xr.DataArray) -> list[Any]:
    """Return blocks (y, x) of the first two dates in turn, since later dates may be appended."""
    dates = min(2, images.sizes["time"])
    return [_block(images[i % dates], part) for i, part in enumerate(_rectangles(images))]


def pair_sample(scene: xr.Dataset, before: int, after: int) -> list[Any]:
    """Return blocks (y, x) of one image, then the same blocks of the other."""
    images = schema.require(scene, "slc")
    return [_block(images[date], part) for date in (before, after) for part in _rectangles(images)]


def _block(image: xr.DataArray, part: Rectangle) -> Any:
    block = image[part]
    return block.values if block.chunks is None else block.data


def _rectangles(images: xr.DataArray) -> list[Rectangle]:
    """Return rectangles spread evenly over the scene."""
    axes = []
    for name in ("y", "x"):
        size = images.sizes[name]
        side = min(_BLOCK, size)
        starts = np.linspace(0, size - side, min(_BLOCKS, -(-size // side))).round().astype(int)
        axes.append([slice(int(start), int(start) + side) for start in starts])
    return list(product(*axes))


WINDOW = 9
"""Side of the windows in pixels: larger ones are rarely homogeneous, smaller ones overestimate few looks."""


def intensity_looks(scene: xr.Dataset, *, window: int = WINDOW) -> xr.DataArray:
    """Estimate the equivalent number of looks of each image where it is unknown: amplitude, 8-bit or filtered ones.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear; a fixed sample, at most a million pixels per date, is read
        immediately.
    window : int
        Odd side in pixels, 3 or more, of the windows that are assumed homogeneous.

    Returns
    -------
    (time,) float64
        Looks of intensity, about 1 for complex images.

    Raises
    ------
    SceneError
        If the sample of an image holds no complete window of valid pixels with nonzero variance.
    OptionError
        If the window cannot be used.

    Notes
    -----
    The most frequent value of ``mean^2 / variance`` of power among windows: see
    `sarcd.estimation.kernels.looks.looks_mode`. Where neighbouring pixels are correlated, a window varies less than the
    image: for simulated complex images, oversampled 1.1 to 1.4 times, the estimate is 1.12 to 1.16 looks.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> bool((intensity_looks(sites.simulate("A", size=128)) < 3).all())
    True
    """
    scene = take(scene)
    images = schema.images_of(scene)
    size = _checked(window)
    found = [measure_intensity_looks(sample_now(image), size, schema.source_of(scene)) for image in images]
    attrs = {"long_name": "equivalent number of looks of intensity", "units": "1"}
    return xr.DataArray(found, dims="time", coords={"time": scene["time"]}, name="looks", attrs=attrs)


def looks_of_image(image: xr.DataArray, source: str | None) -> Any:
    """Return the looks of one image (y, x): measured now if it is in memory, otherwise as a dask task."""
    blocks = sample_blocks(image)
    if not is_lazy(image):
        return measure_intensity_looks(blocks, WINDOW, source)
    from dask.delayed import delayed

    return delayed(measure_intensity_looks, pure=True)(blocks, WINDOW, source)


def measure_intensity_looks(blocks: Sequence[np.ndarray], window: int, source: str | None) -> float:
    """Return the looks of an image from blocks (y, x) of it, amplitude or complex.

    Raises
    ------
    SceneError
        If no window can be used.
    """
    from sarcd.estimation.kernels.looks import local_looks, looks_mode

    found = looks_mode([local_looks(np.abs(block).astype(np.float64) ** 2, window) for block in blocks])
    if found is None:
        raise SceneError(
            "the looks cannot be estimated: no window of the sample is valid and varies",
            source=source,
            hint="give the looks, or use a larger scene",
        )
    return found


def _checked(window: int) -> int:
    size = Window.of(window).y
    if size < 3:
        raise OptionError("a window of one pixel has no variance", option="window", hint="use a window of 3 or more")
    return size
