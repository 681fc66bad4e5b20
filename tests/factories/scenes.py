"""Small scenes shared by tests."""

import numpy as np
import xarray as xr

from sarcd.store.create import NewScene, SceneLayout


def dates(count):
    return np.datetime64("2023-03-19", "us") + np.arange(count) * np.timedelta64(12, "D")


def random_slc(rng, shape, *, coherence=0.7, holes=0.0):
    """Make correlated circular noise, (time, y, x) complex64."""

    def noise():
        return rng.normal(size=shape[1:]) + 1j * rng.normal(size=shape[1:])

    shared = noise()
    images = np.stack([np.sqrt(coherence) * shared + np.sqrt(1 - coherence) * noise() for _ in range(shape[0])])
    images = images.astype("complex64")
    images[rng.random(shape) < holes] = np.nan + 1j * np.nan
    return images


def memory_scene(rng, shape=(2, 50, 60), **options):
    """Make a scene of complex images in memory."""
    return xr.Dataset(
        {"slc": (("time", "y", "x"), random_slc(rng, shape, **options))},
        coords={"time": dates(shape[0]), "y": np.arange(shape[1]), "x": np.arange(shape[2])},
    )


def stored_scene(path, rng, shape=(2, 50, 60), *, chunk=32, shard=0, slc=None, **options):
    """Store a scene of complex images; returns its path."""
    images = random_slc(rng, shape, **options) if slc is None else slc
    layout = SceneLayout(dates(shape[0]), np.arange(shape[1]), np.arange(shape[2]), chunk=chunk, shard=shard)
    with NewScene(path, layout) as store:
        store.array("slc")[...] = images
    return path
