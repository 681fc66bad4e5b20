"""The two labelled pairs of real images on which published methods are compared."""

import warnings

import numpy as np
import rasterio
import xarray as xr

from tests.factories.scenes import dates

PUBLISHED = {
    "ottawa": {
        "absolute log-ratio of 5 x 5 means, 2-means": (512, 2202),
        "PCA-k-means (h = 4, S = 3) on log-ratio": (964, 1855),
    },
    "yellow_D": {
        "absolute log-ratio of 5 x 5 means, 2-means": (1565, 938),
        "PCA-k-means (h = 4, S = 3) on log-ratio": (1607, 602),
    },
}
"""Published false alarms and misses in pixels, as listed in the README of the data."""

LEARNED = {"ottawa": {"DDNet": (637, 1051), "contrastive pre-training, best": (762, 885)}}
"""The same for networks trained without labels."""


def read_pair(folder):
    """Make a scene of the two images, 8-bit amplitudes as float32, with the ground truth as `label`."""

    def band(name):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            with rasterio.open(folder / name) as file:
                return file.read(1)

    images = np.stack([band("im1.bmp"), band("im2.bmp")]).astype("float32")
    label = (band("gt.bmp") >= 128).astype("uint8")[None]
    times = dates(2)
    return xr.Dataset(
        {"amplitude": (("time", "y", "x"), images), "label": (("pair", "y", "x"), label)},
        coords={
            "time": times,
            "before": ("pair", times[:1]),
            "after": ("pair", times[1:]),
            "y": np.arange(images.shape[1]),
            "x": np.arange(images.shape[2]),
        },
    )


def errors(change, scene):
    """Return false alarms and misses of a map against the label, in pixels."""
    claimed, real = change.values == 1, scene.label.values == 1
    return int((claimed & ~real).sum()), int((~claimed & real).sum())


def percent(false_alarms, misses, scene):
    """Return percentage correct and kappa times 100."""
    from sarcd.metrics.kernels.scores import kappa, overall_accuracy

    real = int(scene.label.sum())
    counts = real - misses, false_alarms, misses, scene.label.size - real - false_alarms
    return 100 * float(overall_accuracy(*counts)), 100 * float(kappa(*counts))
