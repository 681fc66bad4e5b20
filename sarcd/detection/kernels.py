"""Network input from two amplitude images: logarithms relative to the scene's median, and their ratio at two scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate1d, uniform_filter

CHANNELS = ("before", "after", "ratio_fine", "ratio_coarse", "noise_before", "noise_after", "strength")
"""Channels that `pair_features` returns, in order."""

SIGMAS_PX = (1.0, 2.5)
"""Standard deviations of the Gaussian windows over which power is averaged before the ratio."""

REACH_PX = 8
"""Pixels beyond its own on which a feature depends: three sigmas of the wider window, rounded up."""

_FLOOR = 0.03  # of the median amplitude, below which an 8-bit image is dominated by quantisation
_NOISE_WINDOW = 5
_STRONG = 0.998  # fraction of the pixels below the strength
_DECIBEL_NOISE = 0.27  # nepers: speckle of about four looks, to which decibels of unknown scale are scaled
_LIMIT = 8.0  # nepers, 70 dB

Blocks = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class PairScale:
    """Properties measured once on a pair of images and applied to every part of them.

    Parameters
    ----------
    middle : float
        Median amplitude of both dates; of the pixels above 0 where more than half are 0, as in dark 8-bit images.
    shift : float
        Median of the natural logarithm of the amplitude ratio, coarse scale: a uniform gain difference is not a change.
    noise : (float, float)
        Standard deviation of the logarithm of amplitude within 5 x 5 pixels, before and after, median over the scene.
    strength : float
        Magnitude of the ratio on the coarse scale that all but a few pixels stay below: in a scene with a flood, a
        field that dried is not a change.
    nepers : float or None
        For images in decibels of unknown scale: nepers of amplitude per unit. None for amplitudes.
    """

    middle: float
    shift: float
    noise: tuple[float, float]
    strength: float
    nepers: float | None = None


def measure_scale(blocks: Blocks, *, decibels: bool = False) -> PairScale | None:
    """Measure the scale of a pair from a sample of it.

    Parameters
    ----------
    blocks : sequence of (before, after), each (Y, X) float
        Parts of the two images, linear amplitude, or decibels of any scale; values that are not finite are ignored.
    decibels : bool
        Whether the values are decibels.

    Returns
    -------
    PairScale or None
        None where no pixel is valid on both dates, or none has power.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, after = rng.gamma(4, 1, (2, 64, 64)) ** 0.5
    >>> scale = measure_scale([(before, 2 * after)])
    >>> round(scale.shift, 1), [round(s, 2) for s in scale.noise]
    (0.7, [0.25, 0.25])
    """
    nepers = None
    if decibels:
        spread = [_noise([block[date] for block in blocks]) for date in (0, 1)]
        nepers = _DECIBEL_NOISE / max(*spread, 1e-6)
    values = np.concatenate([block[date][_valid(*block)] for block in blocks for date in (0, 1)])
    if not decibels and len(values) and np.median(values) <= 0:
        values = values[values > 0]
    if not len(values):
        return None
    middle = float(np.median(values))
    rough = PairScale(middle, 0.0, (0.0, 0.0), 0.0, nepers)
    seen = [pair_features(*block, rough) for block in blocks]
    valid = [_valid(*block) for block in blocks]
    ratios = np.concatenate([layers[3][ok] for layers, ok in zip(seen, valid, strict=True)])
    shift = float(np.median(ratios))
    strength = float(np.quantile(np.abs(ratios - shift), _STRONG))
    noise = tuple(
        _noise([np.where(ok, layers[date], np.nan) for layers, ok in zip(seen, valid, strict=True)]) for date in (0, 1)
    )
    return PairScale(middle, shift, (float(noise[0]), float(noise[1])), strength, nepers)


def pair_features(before: np.ndarray, after: np.ndarray, scale: PairScale) -> np.ndarray:
    """Compute the features of two images.

    Parameters
    ----------
    before, after : (Y, X) float
        Linear amplitude, or decibels if the scale was measured so; values that are not finite are ignored.
    scale : PairScale
        From `measure_scale`.

    Returns
    -------
    (7, Y, X) float32
        `CHANNELS`, in nepers: logarithm of amplitude relative to the scene's median, logarithm of the ratio of
        amplitudes (root of mean powers) in two windows, noise of each date, and strength. 0 where invalid.

    Examples
    --------
    >>> scale = PairScale(middle=1.0, shift=0.0, noise=(0.2, 0.2), strength=1.0)
    >>> np.round(pair_features(np.ones((3, 3)), np.full((3, 3), 2.0), scale)[:, 1, 1].astype(float), 2).tolist()
    [0.0, 0.68, 0.68, 0.68, 0.2, 0.2, 1.0]
    """
    valid = _valid(before, after)
    if scale.nepers is None:
        images = [np.where(valid, image, 0).astype(np.float64) / scale.middle for image in (before, after)]
    else:
        steps = (np.where(valid, image - scale.middle, 0) for image in (before, after))
        images = [np.exp(np.clip(scale.nepers * step, -_LIMIT, _LIMIT)) for step in steps]
    images = [(np.maximum(image, 0) + _FLOOR) / (1 + _FLOOR) for image in images]
    out = np.zeros((len(CHANNELS), *before.shape), np.float32)
    for date, image in enumerate(images):
        out[date] = np.log(image) + (0.5 - date) * scale.shift  # half each, so that the dates can be swapped
        out[4 + date] = scale.noise[date]
    out[6] = scale.strength
    powers = [np.where(valid, image * image, 0) for image in images]
    for index, sigma in enumerate(SIGMAS_PX):
        weights = np.exp(-0.5 * (np.arange(-REACH_PX, REACH_PX + 1) / sigma) ** 2)
        sums = [_window_sum(power, weights) for power in powers]
        with np.errstate(divide="ignore", invalid="ignore"):
            out[2 + index] = 0.5 * np.log(sums[1] / sums[0]) - scale.shift
    out[:4] = np.clip(np.where(valid, out[:4], 0), -_LIMIT, _LIMIT)
    return out


def swap_dates(features: np.ndarray) -> np.ndarray:
    """Return the features (7, Y, X) of the same images in reverse order."""
    swapped: np.ndarray = np.stack(
        [features[1], features[0], -features[2], -features[3], features[5], features[4], features[6]]
    )
    return swapped


def _valid(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    valid: np.ndarray = np.isfinite(before) & np.isfinite(after)
    return valid


def _window_sum(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # each sum is computed on its own in a fixed order: identical to the last bit however the image is cut
    down = correlate1d(values, weights, axis=0, mode="constant")
    total: np.ndarray = correlate1d(down, weights, axis=1, mode="constant")
    return total


def _noise(images: Sequence[np.ndarray]) -> float:
    """Return the median standard deviation in small windows without invalid pixels.

    If there are none, return the standard deviation of all valid pixels; 0 if there are none either.
    """
    spreads = []
    for image in images:
        valid = np.isfinite(image)
        filled = np.where(valid, image, 0).astype(np.float64)
        fraction, mean, square = (
            uniform_filter(part, _NOISE_WINDOW, mode="constant") for part in (valid.astype(float), filled, filled**2)
        )
        whole = fraction > 1 - 1e-6
        spreads.append(np.sqrt(np.maximum(square - mean**2, 0))[whole])
    found = np.concatenate(spreads)
    if len(found):
        return float(np.median(found))
    left = np.concatenate([image[np.isfinite(image)] for image in images])
    return float(np.std(left)) if len(left) else 0.0
