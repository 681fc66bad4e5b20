"""Ground of a simulated pair: its cover, its changes, and variations that are not labelled as change."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

KINDS = {"flood": 0.24, "parcels": 0.16, "blobs": 0.2, "stripes": 0.14, "shapes": 0.14, "lines": 0.12}
"""Kinds of change and their probabilities."""

_NEPER_DB = np.float32(10 * np.log10(np.e))


def ground(rng: Rng, shape: Shape) -> tuple[Floats, Floats]:
    """Draw the ground before any change.

    Returns
    -------
    sigma0_db, elevation : (Y, X) float32
        Backscatter in dB relative to common ground, and the height that water follows, zero mean, unit variance.
    """
    sigma0 = _cover(rng, shape)
    elevation = fractal(rng, shape, coarsest=int(2 ** rng.integers(4, 8)), roughness=rng.uniform(0.25, 0.55))
    low = np.float32(-rng.uniform(5, 16))
    water = np.zeros(shape, bool)
    if rng.random() < 0.45:
        water |= elevation < np.quantile(elevation, rng.uniform(0.05, 0.6))
    if rng.random() < 0.35:
        water |= bands(rng, shape, rng.uniform(0.01, 0.12))
    sigma0 = np.where(water, low + np.float32(0.3) * sigma0, sigma0)
    if rng.random() < 0.35:
        on_road = roads(rng, shape)
        sigma0 = np.where(on_road, sigma0 + np.float32(rng.choice((-1, 1)) * rng.uniform(2, 7)), sigma0)
    if rng.random() < 0.35:
        sigma0 = sigma0 + _buildings(rng, shape)
    if rng.random() < 0.3:  # ponds and greenhouses present on both dates
        ponds = stripes(rng, shape, rng.uniform(0.01, 0.08))
        sigma0 = np.where(ponds, np.float32(rng.choice((float(low), 5.0))), sigma0)
    return sigma0.astype(np.float32), elevation


def _cover(rng: Rng, shape: Shape) -> Floats:
    """Draw fields, natural cover or plain ground, with texture; (Y, X) float32 in dB."""
    style = rng.choice(("fields", "natural", "plain"), p=(0.45, 0.35, 0.2))
    spread = rng.uniform(0.5, 3.5)
    if style == "fields":
        cells, count = parcels(rng, shape, rng.uniform(12, 70))
        sigma0 = (spread * rng.standard_normal(count)).astype(np.float32)[cells]
    elif style == "natural":
        classes = int(rng.integers(2, 6))
        field = fractal(rng, shape, coarsest=int(2 ** rng.integers(5, 8)), roughness=rng.uniform(0.3, 0.65))
        cuts = np.sort(rng.standard_normal(classes - 1))
        sigma0 = (spread * rng.standard_normal(classes)).astype(np.float32)[np.digitize(field, cuts)]
    else:
        sigma0 = np.zeros(shape, np.float32)
    texture = rng.choice((0.0, 0.5, 1.0, 1.8), p=(0.25, 0.35, 0.25, 0.15))
    if texture:
        grain = fractal(rng, shape, coarsest=int(2 ** rng.integers(1, 6)), finest=1, roughness=0.7)
        sigma0 = sigma0 + np.float32(texture) * grain
    return np.asarray(sigma0, np.float32)


def _buildings(rng: Rng, shape: Shape) -> Floats:
    """Draw quarters of bright points; (Y, X) float32, dB above their surroundings."""
    where = fractal(rng, shape, coarsest=64) > rng.uniform(0.5, 2.2)
    points = where & (rng.random(shape) < rng.uniform(0.01, 0.15))
    bright = ndimage.gaussian_filter(points * rng.exponential(1, shape), rng.uniform(0.4, 1.0)).astype(np.float32)
    return np.asarray(_NEPER_DB * np.log1p(bright * np.float32(rng.uniform(5, 60))), np.float32)


def change(rng: Rng, elevation: Floats, *, kind: str, fraction: float, contrast_db: float, sign: int) -> Floats:
    """Draw where the ground changed, and by how much.

    Parameters
    ----------
    elevation : (Y, X) float32
        Height that water follows.
    kind : str
        One of `KINDS`.
    fraction : float
        Approximate fraction of the ground that changes.
    contrast_db : float
        Mean magnitude of the change in dB.
    sign : int
        1 for an increase of intensity, -1 for a decrease, 0 for both.

    Returns
    -------
    (Y, X) float32
        Change of sigma nought in dB, 0 where there is none.
    """
    shape = elevation.shape
    sides = np.full(shape, 1 if sign == 0 else sign, np.float32)
    if kind == "parcels":
        mask, own = _changed_parcels(rng, shape, fraction, sign)
        sides = sides if own is None else own
    else:
        mask = _outline(rng, elevation, kind, fraction)
    if sign == 0 and kind != "parcels":
        sides = np.where(fractal(rng, shape, coarsest=128, finest=64) > 0, 1, -1).astype(np.float32)
    inside = 1 + np.float32(rng.uniform(0, 0.3)) * fractal(rng, shape, coarsest=32)
    return np.where(mask, sides * np.float32(contrast_db) * np.maximum(inside, 0.3), 0).astype(np.float32)


def _outline(rng: Rng, elevation: Floats, kind: str, fraction: float) -> Mask:
    shape = elevation.shape
    if kind == "flood":
        start = rng.uniform(0, max(0.0, 0.7 - fraction))
        low, high = np.quantile(elevation, (start, start + fraction))
        return np.asarray((elevation >= low) & (elevation < high))
    if kind == "blobs":
        coarsest, finest = int(2 ** rng.integers(4, 8)), int(2 ** rng.integers(0, 3))
        field = fractal(rng, shape, coarsest=coarsest, finest=finest, roughness=rng.uniform(0.2, 0.55))
        return np.asarray(field > np.quantile(field, 1 - fraction))
    if kind == "stripes":
        return stripes(rng, shape, fraction)
    if kind == "shapes":
        return plain_shapes(rng, shape, fraction)
    return bands(rng, shape, min(fraction, 0.12))


def _changed_parcels(rng: Rng, shape: Shape, fraction: float, sign: int) -> tuple[Mask, Floats | None]:
    cells, count = parcels(rng, shape, rng.uniform(6, 40))
    sizes = np.bincount(cells.ravel(), minlength=count)
    order = rng.permutation(np.flatnonzero(sizes))
    chosen = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), fraction * cells.size)))]
    mask = np.isin(np.arange(count), chosen)[cells]
    sides = rng.choice((-1, 1), count).astype(np.float32)[cells] if sign == 0 else None
    return mask, sides


def unlabelled(rng: Rng, sigma0: Floats, contrast_db: float) -> tuple[Floats, Floats]:
    """Draw differences between the dates that are not labelled as change: moisture, growth, wind, ships, gain.

    Their strength scales with that of the change, since labels of strong changes ignore weak ones.

    Parameters
    ----------
    sigma0 : (Y, X) float32
        Ground in dB.
    contrast_db : float
        Magnitude of the change.

    Returns
    -------
    before, after : (Y, X) float32
        Terms to be added, in dB.
    """
    shape = sigma0.shape
    strength = rng.uniform(0, 0.45) * contrast_db if rng.random() < 0.8 else 0.0
    extra = np.zeros(shape, np.float32)
    if rng.random() < 0.6:  # moisture, incidence, gain along the swath
        extra += np.float32(rng.uniform(0.2, 0.6) * strength) * fractal(rng, shape, coarsest=128, finest=32)
    if rng.random() < 0.5:  # growing fields
        cells, count = parcels(rng, shape, rng.uniform(15, 60))
        extra += (0.6 * min(strength, 4.0) * rng.standard_normal(count)).astype(np.float32)[cells]
    if rng.random() < 0.5:  # wet ground, snow
        patches = fractal(rng, shape, coarsest=int(2 ** rng.integers(4, 7)), finest=4)
        extra += np.float32(rng.uniform(0.2, 0.6) * min(strength, 4.0)) * patches
    if rng.random() < 0.4:  # wind on water
        dark = sigma0 < np.quantile(sigma0, rng.uniform(0.1, 0.5))
        extra += dark * np.float32(rng.normal(0, min(strength, 3.0)))
    if rng.random() < 0.5:
        extra += np.float32(rng.uniform(0, 0.8)) * fractal(rng, shape, coarsest=8, finest=1, roughness=0.8)
    spots = np.zeros(shape, np.float32)
    if rng.random() < 0.35:  # ships, vehicles, glints
        points = (rng.random(shape) < 10 ** rng.uniform(-4.5, -3)) * rng.uniform(3, 14, shape)
        size = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        spots = ndimage.grey_dilation(points, size=size).astype(np.float32)
    before = spots * np.float32(rng.random() < 0.5)
    after = extra + spots * np.float32(rng.random() < 0.5)
    return before, after


FloatArray: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, int]

_SPLINE_POWER = 0.55
"""Integral of the squared quadratic B-spline: variance of white noise after subdivision along one axis."""


def stream(seed: int, *field: str | int) -> np.random.Generator:
    """Return the random stream of one named field of one seed.

    Philox is counter-based: a stream depends on its key alone, so that adding a field to the simulator, or drawing
    fields in another order, does not change any other field.

    Parameters
    ----------
    seed : int
        The user's seed.
    *field : str or int
        Name of the field, for example ``"speckle", 0`` for the first date.

    Examples
    --------
    >>> bool(stream(0, "speckle", 0).random() == stream(0, "speckle", 0).random())
    True
    >>> bool(stream(0, "speckle", 0).random() == stream(0, "speckle", 1).random())
    False
    """
    name = "/".join(str(part) for part in (int(seed), *field))
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=16).digest(), "little")
    return np.random.Generator(np.random.Philox(key=key))


def fractal(
    rng: np.random.Generator, shape: Shape, *, coarsest: int, finest: int = 2, roughness: float = 0.5
) -> FloatArray:
    """Draw a natural-looking field: Gaussian, zero mean, unit variance.

    A coarse lattice of normal numbers is refined by subdivision (quadratic B-spline), and each octave adds its own
    detail. Every pixel depends on few lattice points, unlike in a field made by a scene-wide Fourier transform.

    Parameters
    ----------
    rng : np.random.Generator
        Source of random numbers.
    shape : (Y, X)
        Size in pixels.
    coarsest, finest : int
        Range of lattice spacings in pixels that contribute detail; rounded to powers of two.
    roughness : float
        Amplitude of an octave relative to the next coarser one; ``2 ** -H`` for a Hurst exponent H.

    Returns
    -------
    (Y, X) float32
    """
    octaves = max(0, round(math.log2(coarsest)))
    sizes = [shape]
    for _ in range(octaves):
        y, x = sizes[-1]
        sizes.append((y // 2 + 2, x // 2 + 2))
    field: FloatArray = rng.standard_normal(sizes[octaves], dtype=np.float32)
    amplitude, variance = 1.0, 1.0
    for level in range(octaves - 1, -1, -1):
        y, x = sizes[level]
        field = _refine(_refine(field, 0)[:y], 1)[:, :x]
        if 2**level >= finest:
            amplitude *= roughness
            variance += amplitude**2
            field = field + np.float32(amplitude) * rng.standard_normal(field.shape, dtype=np.float32)
    return np.ascontiguousarray(field * np.float32(1 / (_SPLINE_POWER * math.sqrt(variance))))


def _refine(field: FloatArray, axis: int) -> FloatArray:
    """Double the sampling along one axis (Chaikin's corner cutting)."""
    low, high = (field[:-1], field[1:]) if axis == 0 else (field[:, :-1], field[:, 1:])
    size = list(low.shape)
    size[axis] *= 2
    out = np.empty(size, np.float32)
    even, odd = (out[::2], out[1::2]) if axis == 0 else (out[:, ::2], out[:, 1::2])
    quarter = np.float32(0.25)
    np.add(low, quarter * (high - low), out=even)
    np.add(high, quarter * (low - high), out=odd)
    return out


Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Rng: TypeAlias = np.random.Generator


def grid(shape: Shape) -> tuple[Floats, Floats]:
    """Return the row and the column of every pixel, (Y, X) float32 each."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return y, x


def parcels(rng: Rng, shape: Shape, size_px: float) -> tuple[NDArray[np.intp], int]:
    """Divide the ground into parcels, the cells of random points along stretched and rotated axes.

    Returns
    -------
    (Y, X) int, int
        Parcel number of each pixel, and how many numbers there are; some have no pixel.
    """
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 0.6))
    y, x = grid(shape)
    u = (np.cos(angle) * x + np.sin(angle) * y) / stretch
    v = (-np.sin(angle) * x + np.cos(angle) * y) * stretch
    metric = int(rng.choice((1, 2)))
    count = 2 * max(4, int(shape[0] * shape[1] / size_px**2))
    points = rng.uniform((u.min(), v.min()), (u.max(), v.max()), (count, 2))
    _, nearest = cKDTree(points).query(np.stack([u.ravel(), v.ravel()], 1), p=metric)
    return nearest.reshape(shape), count


def bands(rng: Rng, shape: Shape, fraction: float) -> Mask:
    """Return winding bands, such as rivers, that cover about a fraction of the ground."""
    field = fractal(rng, shape, coarsest=int(2 ** rng.integers(5, 9)), finest=8, roughness=0.35)
    return np.asarray(np.abs(field) < np.quantile(np.abs(field), fraction))


def roads(rng: Rng, shape: Shape) -> Mask:
    """Return up to eight straight roads, most of them parallel or perpendicular to one another."""
    y, x = grid(shape)
    out = np.zeros(shape, bool)
    turn = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 9))):
        angle = turn + rng.choice((0, np.pi / 2)) + rng.normal(0, 0.05)
        at = rng.uniform(0, 1, 2) * shape
        distance = np.abs(np.cos(angle) * (y - at[0]) + np.sin(angle) * (x - at[1]))
        out |= distance < rng.uniform(0.5, 2.0)
    return out


def stripes(rng: Rng, shape: Shape, fraction: float) -> Mask:
    """Return rectangles cut into strips, such as ponds between dams, that cover about a fraction of the ground."""
    out = np.zeros(shape, bool)
    for u, v in _turned_axes(rng, shape, 40):
        period, duty = rng.uniform(6, 22), rng.uniform(0.5, 0.85)
        half = np.exp(rng.uniform(np.log(8), np.log(60), 2)) * min(1.0, 1.5 * np.sqrt(fraction) + 0.3)
        out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1]) & ((u / period) % 1 < duty)
        if out.mean() >= fraction:
            break
    return out


def plain_shapes(rng: Rng, shape: Shape, fraction: float) -> Mask:
    """Return ellipses and rectangles of many sizes that cover about a fraction of the ground."""
    out = np.zeros(shape, bool)
    largest = max(4.0, 0.6 * np.sqrt(fraction * shape[0] * shape[1]))
    for u, v in _turned_axes(rng, shape, 60):
        half = np.exp(rng.uniform(np.log(2.5), np.log(largest), 2))
        if rng.random() < 0.5:
            out |= (u / half[0]) ** 2 + (v / half[1]) ** 2 < 1
        else:
            out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1])
        if out.mean() >= fraction:
            break
    return out


def as_drawn(rng: Rng, mask: Mask) -> Mask:
    """Return a mask as drawn by hand: smooth, without the smallest pieces and holes."""
    min_pixels = int(rng.integers(4, 30))
    smooth = ndimage.median_filter(mask.view(np.uint8), size=int(rng.choice((1, 3, 3, 5)))) > 0
    return ~_without_small(~_without_small(smooth, min_pixels), min_pixels)


def _without_small(mask: Mask, min_pixels: int) -> Mask:
    parts, _ = ndimage.label(mask)
    return np.asarray((np.bincount(parts.ravel()) >= min_pixels)[parts] & mask)


def _turned_axes(rng: Rng, shape: Shape, times: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield the coordinates of all pixels relative to a random position, along randomly rotated axes."""
    y, x = grid(shape)
    for _ in range(times):
        angle, at = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        u = np.cos(angle) * (x - at[1]) + np.sin(angle) * (y - at[0])
        v = -np.sin(angle) * (x - at[1]) + np.cos(angle) * (y - at[0])
        yield u, v
