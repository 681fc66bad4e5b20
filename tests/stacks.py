"""Sums over independent looks, drawn directly: what the tests of change are held to their theory with."""

import numpy as np

from tests.scenes import dates


def pair_sums(rng, looks, coherence, count, *, change_db=0.0):
    """S11, S22 and abs(S12) of pairs of images of that true coherence, the second brighter by `change_db`."""
    first, second = (rng.standard_normal((2, count, looks)) for _ in range(2))
    before = first[0] + 1j * first[1]
    after = coherence * before + np.sqrt(1 - coherence**2) * (second[0] + 1j * second[1])
    after *= 10 ** (change_db / 20)
    return (abs(before) ** 2).sum(1), (abs(after) ** 2).sum(1), abs((before * after.conj()).sum(1))


def coherence_of(sums):
    return sums[2] / np.sqrt(sums[0] * sums[1])


def rates(p, nominal):
    """Measured rates of p-values over the nominal ones."""
    return np.array([(p <= rate).mean() / rate for rate in nominal])


def speckle_stack(rng, shape, coherence, *, breaks=()):
    """Dates of white speckle of that coherence among all of them; after a break the ground is another."""

    def noise():
        parts = rng.standard_normal((2, *shape[1:]))
        return (parts[0] + 1j * parts[1]) * np.sqrt(0.5)

    ground, images = noise(), []
    for date in range(shape[0]):
        if date in breaks:
            ground = noise()
        images.append(np.sqrt(coherence) * ground + np.sqrt(1 - coherence) * noise())
    return np.stack(images).astype("complex64")


def stack_scene(images, name="slc"):
    import xarray as xr

    coords = {"time": dates(len(images)), "y": np.arange(images.shape[1]), "x": np.arange(images.shape[2])}
    return xr.Dataset({name: (("time", "y", "x"), images)}, coords=coords)
