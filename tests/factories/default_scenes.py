"""Simulated scenes that detection without labels is held to as it comes, with and without change."""

import numpy as np
import xarray as xr
from scipy import ndimage, stats

from tests.factories.scenes import dates
from tests.factories.speckle import noise, noise_pair

SHARES = (0.0, 0.005, 0.01, 0.05, 0.1, 0.3)
CONTRAST_DB = 6.0
TEXTURE, TEXTURE_PX = 4.0, 3.0
"""Shape of the gamma distribution of a textured ground's power, and the width in pixels that it is correlated over."""


def ground_power(rng, side, *, textured):
    """Mean power of ground of four levels, 12 dB apart at most; textured, its speckle is K-distributed."""
    levels = np.digitize(_smooth(rng, side, side / 8), (-0.7, 0.0, 0.7))
    power = 10 ** (0.4 * levels)
    if textured:
        power = power * stats.gamma(TEXTURE, scale=1 / TEXTURE).ppf(stats.norm.cdf(_smooth(rng, side, TEXTURE_PX)))
    return power


def changed_ground(rng, side, share):
    """Irregular patches that cover that share."""
    field = _smooth(rng, side, max(4.0, side / 50))
    return field > np.quantile(field, 1 - share) if share else np.zeros((side, side), bool)


def amplitude_scene(seed, *, side=256, share=0.0, looks=1, textured=False):
    """Two detected images of that many looks, and what became brighter or darker by `CONTRAST_DB`."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    speckle = rng.gamma(looks, 1 / looks, (2, side, side))
    return _scene("amplitude", np.sqrt(np.stack([before, after]) * speckle).astype("float32"), changed)


def complex_scene(seed, *, side=256, share=0.0, coherence=0.6, textured=False):
    """Two complex images of that coherence; what changed has another power and none."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    first, second = noise_pair(rng, (side, side), coherence)
    second = np.where(changed, noise(rng, (side, side)), second)
    images = np.stack([first * np.sqrt(before), second * np.sqrt(after)])
    return _scene("slc", images.astype("complex64"), changed)


def complex_stack(seed, *, side=256, share=0.0, coherence=0.6, textured=False):
    """Three complex images, each pair of that coherence; what changed on the last has another power and none."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    common = noise(rng, (side, side))
    dates_ = [np.sqrt(coherence) * common + np.sqrt(1 - coherence) * noise(rng, (side, side)) for _ in range(3)]
    dates_[2] = np.where(changed, noise(rng, (side, side)), dates_[2])
    powers = [before, before, after]
    images = np.stack([image * np.sqrt(power) for image, power in zip(dates_, powers, strict=True)])
    return _scene("slc", images.astype("complex64"), np.stack([np.zeros_like(changed), changed]))


def counts(scene, change):
    """Hits, false alarms, misses and rightly unflagged pixels, of those that have a label."""
    known = scene.label.values != 255
    real, flagged = scene.label.values[known] == 1, change.values[known] == 1
    parts = (real & flagged, ~real & flagged, real & ~flagged, ~real & ~flagged)
    return tuple(int(part.sum()) for part in parts)


def _powers(rng, side, share, textured):
    before = ground_power(rng, side, textured=textured)
    changed = changed_ground(rng, side, share)
    brighter = _smooth(rng, side, side / 10) > 0
    gain = np.where(changed, np.where(brighter, CONTRAST_DB, -CONTRAST_DB), 0)
    return before, before * 10 ** (gain / 10), changed


def _smooth(rng, side, sigma):
    """Gaussian field of unit variance that is correlated over some pixels."""
    field = ndimage.gaussian_filter(rng.standard_normal((side, side)), sigma, mode="wrap")
    return (field - field.mean()) / field.std()


def _scene(name, images, changed):
    changed = changed.reshape(-1, *changed.shape[-2:])  # (pair, y, x)
    times, side = dates(len(changed) + 1), changed.shape[-1]
    return xr.Dataset(
        {name: (("time", "y", "x"), images), "label": (("pair", "y", "x"), changed.astype(np.uint8))},
        coords={
            "time": times,
            "before": ("pair", times[:-1]),
            "after": ("pair", times[1:]),
            "y": np.arange(side),
            "x": np.arange(side),
        },
    )
