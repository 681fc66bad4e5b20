"""Simulated scenes with and without change for testing label-free detection with default options."""

import numpy as np
import xarray as xr
from scipy import ndimage, stats

from tests.factories.scenes import dates
from tests.factories.speckle import noise, noise_pair

SHARES = (0.0, 0.005, 0.01, 0.05, 0.1, 0.3)
CONTRAST_DB = 6.0
TEXTURE, TEXTURE_PX = 4.0, 3.0
"""Gamma shape parameter for the power of textured ground, and its correlation width in pixels."""


def ground_power(rng, side, *, textured):
    """Return mean power of ground with four levels, up to 12 dB apart; with texture, its speckle is K-distributed."""
    levels = np.digitize(_smooth(rng, side, side / 8), (-0.7, 0.0, 0.7))
    power = 10 ** (0.4 * levels)
    if textured:
        power = power * stats.gamma(TEXTURE, scale=1 / TEXTURE).ppf(stats.norm.cdf(_smooth(rng, side, TEXTURE_PX)))
    return power


def changed_ground(rng, side, share):
    """Return irregular patches that cover the given fraction."""
    field = _smooth(rng, side, max(4.0, side / 50))
    return field > np.quantile(field, 1 - share) if share else np.zeros((side, side), bool)


def amplitude_scene(seed, *, side=256, share=0.0, looks=1, textured=False):
    """Make two amplitude images with these looks, and the areas that changed by `CONTRAST_DB` up or down."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    speckle = rng.gamma(looks, 1 / looks, (2, side, side))
    return _scene("amplitude", np.sqrt(np.stack([before, after]) * speckle).astype("float32"), changed)


def complex_scene(seed, *, side=256, share=0.0, coherence=0.6, textured=False):
    """Make two complex images with this coherence; changed areas have a different power and no coherence."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    first, second = noise_pair(rng, (side, side), coherence)
    second = np.where(changed, noise(rng, (side, side)), second)
    images = np.stack([first * np.sqrt(before), second * np.sqrt(after)])
    return _scene("slc", images.astype("complex64"), changed)


def complex_stack(seed, *, side=256, share=0.0, coherence=0.6, textured=False):
    """Make three complex images, each pair with this coherence; areas changed on the last are as in `complex_pair`."""
    rng = np.random.default_rng(seed)
    before, after, changed = _powers(rng, side, share, textured)
    common = noise(rng, (side, side))
    dates_ = [np.sqrt(coherence) * common + np.sqrt(1 - coherence) * noise(rng, (side, side)) for _ in range(3)]
    dates_[2] = np.where(changed, noise(rng, (side, side)), dates_[2])
    powers = [before, before, after]
    images = np.stack([image * np.sqrt(power) for image, power in zip(dates_, powers, strict=True)])
    return _scene("slc", images.astype("complex64"), np.stack([np.zeros_like(changed), changed]))


def counts(scene, change):
    """Return hits, false alarms, misses and correct rejections in pixels, over labelled pixels."""
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
    """Make a Gaussian field of unit variance with the given correlation width in pixels."""
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
