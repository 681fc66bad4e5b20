"""Sums over independent looks, sampled directly, for comparing tests of change with theory."""

import numpy as np

from tests.factories.scenes import dates


def pair_sums(rng, looks, coherence, count, *, change_db=0.0):
    """Return S11, S22 and abs(S12) of image pairs of this true coherence, the second brighter by `change_db`."""
    first, second = (rng.standard_normal((2, count, looks)) for _ in range(2))
    before = first[0] + 1j * first[1]
    after = coherence * before + np.sqrt(1 - coherence**2) * (second[0] + 1j * second[1])
    after *= 10 ** (change_db / 20)
    return (abs(before) ** 2).sum(1), (abs(after) ** 2).sum(1), abs((before * after.conj()).sum(1))


def coherence_of(sums):
    return sums[2] / np.sqrt(sums[0] * sums[1])


def rates(p, nominal):
    """Return measured rates of p-values divided by the nominal ones."""
    return np.array([(p <= rate).mean() / rate for rate in nominal])


def speckle_stack(rng, shape, coherence, *, breaks=()):
    """Make dates of white speckle with this coherence between all of them; after a break the ground is new."""

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


KINDS = ("calm", "stays", "returns", "twice")
TRUTH = {"calm": (0, 0, 0, None), "stays": (1, 2, 2, 1.0), "returns": (2, 3, 4, 0.0), "twice": (2, 1, 4, 1.0)}
"""Count, first and last date, and persistence, for each kind of ground in `changing_stack`."""


def changing_stack(rng, *, side=24, coherence=0.85):
    """Make six dates of adjacent patches along x, one for each of `KINDS`.

    Unchanged; new ground, brighter by 6 dB, from date 2 on; the same ground, brighter on date 3 only; the same ground,
    brighter by 6 dB from date 1 on and by 12 dB from date 4 on.
    """
    shape = (6, side, side)
    calm, returns, twice = (speckle_stack(rng, shape, coherence) for _ in range(3))
    stays = speckle_stack(rng, shape, coherence, breaks=(2,))
    stays[2:] *= 2
    returns[3] *= 2
    twice[1:] *= 2
    twice[4:] *= 2
    return np.concatenate([calm, stays, returns, twice], 2)


def shares_right(found, *, side=24, margin=4):
    """Return, for each kind, the fraction of pixels away from edges at which each layer of a summary is correct."""
    shares = {}
    for number, kind in enumerate(KINDS):
        part = found.isel(y=slice(margin, side - margin), x=slice(number * side + margin, (number + 1) * side - margin))
        for name, value in zip(
            ("change_count", "first_change", "last_change", "persistence"), TRUTH[kind], strict=True
        ):
            right = np.isnan(part[name]) if value is None else part[name] == value
            shares[kind, name] = float(right.mean())
    return shares
