"""Coherence of simulated speckle of known coherence, for comparison with theory and for tables in the documentation."""

import numpy as np
import xarray as xr

from sarcd import estimation
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.estimation.kernels.looks import effective_looks
from sarcd.simulation.core.speckle import impulse_response
from tests.factories.scenes import dates
from tests.factories.speckle import noise_pair

PERIOD_10 = (0.0, 2 * np.pi / 10)

# looks: window = step between non-overlapping windows, shape of the image
WINDOWS = {
    4: ((1, 5), (220, 1250)),
    9: ((3, 3), (510, 540)),
    25: ((5, 5), (600, 650)),
    49: ((7, 7), (630, 665)),
}


def scene_of(before, after):
    return xr.Dataset({"slc": (("time", "y", "x"), np.stack([before, after]))}, coords={"time": dates(2)})


def separate_windows(looks, truth, seed=5):
    """Return boxcar coherence over non-overlapping windows of this many independent pixels."""
    window, shape = WINDOWS[looks]
    before, after = noise_pair(np.random.default_rng(seed), shape, truth)
    if looks == 4:  # one pixel of each 5-pixel window is invalid
        before[:, ::5] = np.nan
    return boxcar(before, after, window)[window[0] // 2 :: window[0], window[1] // 2 :: window[1]].ravel()


def moments(sample):
    """Return mean and standard deviation of a sample, each with its standard error."""
    mean, deviation = sample.mean(dtype=float), sample.std(dtype=float)
    fourth = ((sample - mean) ** 4).mean(dtype=float)
    error_of_deviation = np.sqrt((fourth - deviation**4) / sample.size) / (2 * deviation)
    return (mean, deviation / np.sqrt(sample.size)), (deviation, error_of_deviation)


def mean_of(truth, *, oversampling=None, ramp=(0.0, 0.0), side=600, power=1, seed=7, **options):
    """Return the mean over a scene of constant true coherence, away from its border."""
    pair = noise_pair(np.random.default_rng(seed), (side, side), truth, oversampling=oversampling, ramp=ramp)
    found = estimation.coherence(scene_of(*pair), **options).values[0, 10:-10, 10:-10]
    return float((found.astype(float) ** power).mean())


def looks_by_formula(oversampling, window):
    """Return the effective looks of a square window for speckle of this spectrum along both axes."""
    response = impulse_response(oversampling)
    r = np.array([response[lag:] @ response[:-lag] for lag in range(1, window)])
    return effective_looks((np.ones(window), np.ones(window)), (r, r))


def edge(seed=3, rows=4000, columns=80):
    """Make a pair with an edge along y: left coherence 0.8, right 0.2 and 6 dB darker."""
    right = np.arange(columns) >= columns // 2
    before, after = noise_pair(np.random.default_rng(seed), (rows, columns), np.where(right, 0.2, 0.8))
    gain = np.where(right, np.float32(0.5), np.float32(1))
    return scene_of(before * gain, after * gain)


def blur_and_deviation(scene, **options):
    """Return how far the mean profile across `edge` is from a step, in pixels, and the deviation far to either side.

    The distance is the area between profile and step divided by the height of the step.
    """
    found = estimation.coherence(scene, **options).values[0, 10:-10, 12:-12].astype(float)
    profile, half = found.mean(axis=0), found.shape[1] // 2
    left, right = profile[:10].mean(), profile[-10:].mean()
    blur = (np.abs(profile[:half] - left).sum() + np.abs(profile[half:] - right).sum()) / (left - right)
    return float(blur), float(found[:, :10].std()), float(found[:, -10:].std())
