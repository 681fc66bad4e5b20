"""Small scenes in memory with labels and results."""

import numpy as np
import xarray as xr

DAYS = ["2023-03-07", "2023-03-19", "2023-03-31", "2023-04-12", "2023-04-24"]


def scene_of(label, dates=DAYS, **variables):
    label = np.asarray(label)
    times = np.array(dates[: len(label) + 1], "datetime64[us]")
    layers = {"label": label, **{name: np.asarray(value) for name, value in variables.items()}}
    return xr.Dataset(
        {name: (("pair", "y", "x"), value) for name, value in layers.items()},
        coords={"before": ("pair", times[:-1]), "after": ("pair", times[1:])},
    )


def random_scene(rng, shape=(2, 40, 50), **options):
    """Make smooth blobs of change, and a probability that detects half of it."""
    from scipy import ndimage

    rough = np.stack([ndimage.gaussian_filter(rng.normal(size=shape[1:]), 2) for _ in range(shape[0])])
    label = (rough > np.quantile(rough, 0.9)).astype(np.uint8)
    label[rng.random(shape) < 0.1] = 255
    noise = np.stack([ndimage.gaussian_filter(rng.normal(size=shape[1:]), 1.5) for _ in range(shape[0])])
    probability = (1 / (1 + np.exp(-(rough + noise) / rough.std() + 2))).astype(np.float32)
    probability[rng.random(shape) < 0.05] = np.nan
    change = np.where(np.isnan(probability), 255, probability >= 0.5).astype(np.uint8)
    return scene_of(label, change=change, change_probability=probability, change_score=probability * 9 - 3, **options)


def in_play(scene, name="change_probability"):
    label, score = scene["label"].values, scene[name].values
    known = (label != 255) & ~np.isnan(score)
    return score[known], label[known] == 1
