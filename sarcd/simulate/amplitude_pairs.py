"""Two detected images of one stretch of ground, with what changed between them: what a network can learn from.

Everything that public two-date scenes differ in is drawn at random: ground (fields, natural cover, water, rivers, roads,
buildings), kind, share, sign and strength of the change, looks of each date, correlation and resampling of the speckle,
misregistration, brightness that varies without anybody calling it change, and how the image was brought to 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special
from scipy.spatial import cKDTree

from sarcd.simulate.fields import Shape, fractal, stream

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Rng: TypeAlias = np.random.Generator

KINDS = ("flood", "parcels", "blobs", "stripes", "shapes", "lines")


@dataclass(frozen=True)
class Pair:
    before: Floats
    after: Floats
    label: NDArray[np.uint8]
    looks: tuple[float, float]
    kind: str
    contrast_db: float


def amplitude_pair(seed, shape=(256, 256), *, share=None, contrast_db=None, looks=None, kind=None, sign=None,
                   plain=False) -> Pair:
    rng = stream(seed, "amplitude pair")
    ground, water, elevation, level = _ground(rng, shape)
    kind = kind or str(rng.choice(KINDS, p=(0.24, 0.16, 0.2, 0.14, 0.14, 0.12)))
    share_ = share if share is not None else (0.0 if rng.random() < 0.1 else float(np.exp(rng.uniform(np.log(0.004), np.log(0.35)))))
    contrast = contrast_db if contrast_db is not None else float(np.exp(rng.uniform(np.log(2.0), np.log(13.0))))
    sign_ = sign if sign is not None else int(rng.choice((-1, 0, 1), p=(0.35, 0.3, 0.35)))
    delta = np.zeros(shape, np.float32)
    if share_ > 0:
        delta = _change(rng, shape, kind, share_, contrast, sign_, elevation)
    before, after = ground, ground + delta
    if rng.random() < 0.5 and share_ > 0 and kind in ("flood", "lines", "stripes"):
        # the new ground is of one kind, whatever was there before: water over fields
        new = float(np.median(ground)) + (sign_ or int(rng.choice((-1, 1)))) * contrast
        flat = new + 0.4 * fractal(rng, shape, coarsest=16)
        after = np.where(delta != 0, flat, ground)
    changed = np.abs(after - before)
    outline = delta != 0
    label = _drawn(rng, outline & (changed > 1.5))
    unsure = outline & (changed <= min(1.5, 0.5 * contrast)) & (changed > 0.5) & ~label
    extra_b, extra_a = _unlabelled(rng, shape, contrast if share_ > 0 else 6.0, ground, plain)
    before, after = before + extra_b, after + extra_a
    if rng.random() < 0.5:
        before, after, = after, before
    moved = rng.uniform(-1, 1, 2) if rng.random() < 0.5 else rng.uniform(-0.3, 0.3, 2)
    after = ndimage.shift(after, moved, order=1, mode="nearest")
    looks_ = looks or _looks(rng)
    images = _images(rng, before, after, looks_)
    out = np.where(unsure, 255, label).astype(np.uint8)
    return Pair(images[0], images[1], out, looks_, kind, contrast)


def _looks(rng: Rng) -> tuple[float, float]:
    first = float(np.exp(rng.uniform(0, np.log(25))))
    first = 1.0 if rng.random() < 0.1 else first
    if rng.random() < 0.6:
        return first, first
    return first, float(np.exp(rng.uniform(0, np.log(25))))


# ground

def _ground(rng: Rng, shape: Shape):
    """sigma0 in dB, mask of water, and the elevation that water follows."""
    style = rng.choice(("fields", "natural", "plain"), p=(0.45, 0.35, 0.2))
    spread = rng.uniform(0.5, 3.5)
    if style == "fields":
        cells, count = _cells(rng, shape, rng.uniform(12, 70))
        ground = (spread * rng.standard_normal(count)).astype(np.float32)[cells]
    elif style == "natural":
        classes = int(rng.integers(2, 6))
        field = fractal(rng, shape, coarsest=int(2 ** rng.integers(5, 8)), roughness=rng.uniform(0.3, 0.65))
        cuts = np.sort(rng.standard_normal(classes - 1))
        ground = (spread * rng.standard_normal(classes)).astype(np.float32)[np.digitize(field, cuts)]
    else:
        ground = np.zeros(shape, np.float32)
    texture = rng.choice((0.0, 0.5, 1.0, 1.8), p=(0.25, 0.35, 0.25, 0.15))
    if texture:
        ground = ground + np.float32(texture) * fractal(rng, shape, coarsest=int(2 ** rng.integers(1, 6)), finest=1, roughness=0.7)
    elevation = fractal(rng, shape, coarsest=int(2 ** rng.integers(4, 8)), roughness=rng.uniform(0.25, 0.55))
    low = np.float32(-rng.uniform(5, 16))
    water = np.zeros(shape, bool)
    if rng.random() < 0.45:
        water |= elevation < np.quantile(elevation, rng.uniform(0.05, 0.6))
    if rng.random() < 0.35:
        water |= _bands(rng, shape, rng.uniform(0.01, 0.12))
    ground = np.where(water, low + np.float32(0.3) * ground, ground)
    if rng.random() < 0.35:
        roads = _roads(rng, shape)
        ground = np.where(roads, ground + np.float32(rng.choice((-1, 1)) * rng.uniform(2, 7)), ground)
    if rng.random() < 0.35:
        ground = ground + _buildings(rng, shape)
    if rng.random() < 0.3:  # ponds, greenhouses: there on both dates
        stripes = _stripes(rng, shape, rng.uniform(0.01, 0.08))
        ground = np.where(stripes, np.float32(rng.choice((low, 5.0))), ground)
    return ground.astype(np.float32), water, elevation, low


def _cells(rng: Rng, shape: Shape, size: float):
    """Numbers of parcels: nearest of random points, stretched and turned."""
    angle, stretch = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 0.6))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    u = (np.cos(angle) * x + np.sin(angle) * y) / stretch
    v = (-np.sin(angle) * x + np.cos(angle) * y) * stretch
    metric = int(rng.choice((1, 2)))
    count = max(4, int(shape[0] * shape[1] / size**2))
    points = rng.uniform((u.min(), v.min()), (u.max(), v.max()), (count * 2, 2))
    _, cells = cKDTree(points).query(np.stack([u.ravel(), v.ravel()], 1), p=metric)
    return cells.reshape(shape), len(points)


def _bands(rng: Rng, shape: Shape, share: float) -> Mask:
    field = fractal(rng, shape, coarsest=int(2 ** rng.integers(5, 9)), finest=8, roughness=0.35)
    return np.abs(field) < np.quantile(np.abs(field), share)


def _roads(rng: Rng, shape: Shape) -> Mask:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    out = np.zeros(shape, bool)
    turn = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 9))):
        angle = turn + rng.choice((0, np.pi / 2)) + rng.normal(0, 0.05)
        at = rng.uniform(0, 1, 2) * shape
        distance = np.abs(np.cos(angle) * (y - at[0]) + np.sin(angle) * (x - at[1]))
        out |= distance < rng.uniform(0.5, 2.0)
    return out


def _buildings(rng: Rng, shape: Shape) -> Floats:
    where = fractal(rng, shape, coarsest=64) > rng.uniform(0.5, 2.2)
    points = where & (rng.random(shape) < rng.uniform(0.01, 0.15))
    bright = ndimage.gaussian_filter(points * rng.exponential(1, shape), rng.uniform(0.4, 1.0)).astype(np.float32)
    return np.float32(10 * np.log10(np.e)) * np.log1p(bright * np.float32(rng.uniform(5, 60)))


# change

def _change(rng: Rng, shape: Shape, kind: str, share: float, contrast: float, sign: int, elevation: Floats) -> Floats:
    """Change of sigma0 in dB, 0 where there is none."""
    sides = np.full(shape, 1 if sign == 0 else sign, np.float32)
    if kind == "flood":
        start = rng.uniform(0, max(0.0, 0.7 - share))
        low, high = np.quantile(elevation, (start, start + share))
        mask = (elevation >= low) & (elevation < high)
    elif kind == "parcels":
        cells, count = _cells(rng, shape, rng.uniform(6, 40))
        sizes = np.bincount(cells.ravel(), minlength=count)
        order = rng.permutation(np.flatnonzero(sizes))
        chosen = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), share * cells.size)))]
        which = np.zeros(count, np.float32)
        which[chosen] = 1
        mask = which[cells] > 0
        if sign == 0:
            sides = rng.choice((-1, 1), count).astype(np.float32)[cells]
    elif kind == "blobs":
        field = fractal(rng, shape, coarsest=int(2 ** rng.integers(4, 8)), finest=int(2 ** rng.integers(0, 3)), roughness=rng.uniform(0.2, 0.55))
        mask = field > np.quantile(field, 1 - share)
    elif kind == "stripes":
        mask = _stripes(rng, shape, share)
    elif kind == "shapes":
        mask = _shapes(rng, shape, share)
    else:
        mask = _bands(rng, shape, min(share, 0.12))
    if sign == 0 and kind != "parcels":
        sides = np.where(fractal(rng, shape, coarsest=128, finest=64) > 0, 1, -1).astype(np.float32)
    inside = 1 + np.float32(rng.uniform(0, 0.3)) * fractal(rng, shape, coarsest=32)
    return np.where(mask, sides * np.float32(contrast) * np.maximum(inside, 0.3), 0).astype(np.float32)


def _stripes(rng: Rng, shape: Shape, share: float) -> Mask:
    """Rotated rectangles cut into strips with something between."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    out = np.zeros(shape, bool)
    for _ in range(40):
        angle, at = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        u = np.cos(angle) * (x - at[1]) + np.sin(angle) * (y - at[0])
        v = -np.sin(angle) * (x - at[1]) + np.cos(angle) * (y - at[0])
        period, duty = rng.uniform(6, 22), rng.uniform(0.5, 0.85)
        half = np.exp(rng.uniform(np.log(8), np.log(60), 2)) * min(1.0, 1.5 * np.sqrt(share) + 0.3)
        out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1]) & ((u / period) % 1 < duty)
        if out.mean() >= share:
            break
    return out


def _shapes(rng: Rng, shape: Shape, share: float) -> Mask:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    out = np.zeros(shape, bool)
    most = np.sqrt(share * shape[0] * shape[1])
    for _ in range(60):
        angle, at = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        u = np.cos(angle) * (x - at[1]) + np.sin(angle) * (y - at[0])
        v = -np.sin(angle) * (x - at[1]) + np.cos(angle) * (y - at[0])
        half = np.exp(rng.uniform(np.log(2.5), np.log(max(4.0, 0.6 * most)), 2))
        if rng.random() < 0.5:
            out |= (u / half[0]) ** 2 + (v / half[1]) ** 2 < 1
        else:
            out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1])
        if out.mean() >= share:
            break
    return out


def _drawn(rng: Rng, mask: Mask) -> Mask:
    """What a person draws of a mask: smooth, without the smallest pieces and holes."""
    least = int(rng.integers(4, 30))
    smooth = ndimage.median_filter(mask.view(np.uint8), size=int(rng.choice((1, 3, 3, 5)))) > 0
    return ~_without_small(~_without_small(smooth, least), least)


def _without_small(mask: Mask, least: int) -> Mask:
    parts, _ = ndimage.label(mask)
    return (np.bincount(parts.ravel()) >= least)[parts] & mask


# what nobody calls change

def _unlabelled(rng: Rng, shape: Shape, contrast: float, ground: Floats, plain: bool):
    strength = 0.0 if plain else rng.uniform(0, 0.22) * contrast
    extra = np.zeros(shape, np.float32)
    if strength:
        if rng.random() < 0.6:  # moisture, incidence, gain along the swath
            extra += np.float32(rng.uniform(0.2, 0.7) * strength) * fractal(rng, shape, coarsest=128, finest=32)
        if rng.random() < 0.5:  # fields that grow
            cells, count = _cells(rng, shape, rng.uniform(15, 60))
            extra += (0.6 * min(strength, 2.0) * rng.standard_normal(count)).astype(np.float32)[cells]
        if rng.random() < 0.4:  # dark ground rises and falls: wind on water
            dark = ground < np.quantile(ground, rng.uniform(0.1, 0.5))
            extra += dark * np.float32(rng.normal(0, min(strength, 2.0)))
        if rng.random() < 0.5:
            extra += np.float32(rng.uniform(0, 0.5)) * fractal(rng, shape, coarsest=4, finest=1, roughness=0.8)
    spots = np.zeros(shape, np.float32)
    if not plain and rng.random() < 0.35:  # ships, vehicles, glints
        points = (rng.random(shape) < 10 ** rng.uniform(-4.5, -3)) * rng.uniform(3, 14, shape)
        spots = ndimage.grey_dilation(points, size=(int(rng.integers(1, 4)), int(rng.integers(1, 4)))).astype(np.float32)
    return spots if rng.random() < 0.5 else 0 * spots, extra + spots * (rng.random() < 0.5)


# images

def _images(rng: Rng, before: Floats, after: Floats, looks: tuple[float, float]) -> tuple[Floats, Floats]:
    blur, grain = rng.choice((0.0, rng.uniform(0.35, 0.9))), rng.random() < 0.25
    shared = rng.uniform(0, 0.6) if rng.random() < 0.2 else 0.0
    common = None
    amplitudes = []
    resample = rng.uniform(1.05, 1.7) if grain else 1.0
    for ground, n in ((before, looks[0]), (after, looks[1])):
        normal = _normal(rng, ground.shape, blur, resample)
        if common is None:
            common = normal
        else:
            normal = shared * common + np.sqrt(1 - shared**2) * normal
        amplitudes.append(np.sqrt(10 ** (ground / 10) * _gamma(normal, n)))
    if rng.random() < 0.2:  # dropped or clipped pixels of old products
        at = int(rng.integers(2))
        hit = rng.random(before.shape) < rng.uniform(0.002, 0.06)
        amplitudes[at] = np.where(hit, amplitudes[at] * rng.uniform(0.15, 0.9, before.shape), amplitudes[at])
    if rng.random() < 0.08:
        amplitudes = [ndimage.gaussian_filter(a, 0.6) for a in amplitudes]
    return _digitised(rng, amplitudes)


def _normal(rng: Rng, shape: Shape, blur: float, resample: float) -> Floats:
    size = [int(np.ceil(side / resample)) + 1 for side in shape]
    field = rng.standard_normal(size, dtype=np.float32)
    if blur:
        field = ndimage.gaussian_filter(field, blur, mode="wrap", truncate=3)
        field /= field.std()
    if resample > 1:
        rows, columns = (np.minimum((np.arange(side) / resample).astype(int), n - 1) for side, n in zip(shape, size))
        return field[rows][:, columns]
    return field[: shape[0], : shape[1]]


def _gamma(normal: Floats, looks: float) -> Floats:
    z = np.linspace(-5, 5, 1001)
    values = special.gammaincinv(looks, special.ndtr(z)) / looks
    return np.interp(normal, z, values).astype(np.float32)


def _digitised(rng: Rng, amplitudes: list[Floats]) -> tuple[Floats, Floats]:
    how = rng.choice(("linear", "root", "power", "decibel", "float"), p=(0.55, 0.1, 0.12, 0.08, 0.15))
    if how == "float":
        return amplitudes[0].astype(np.float32), (amplitudes[1] * np.exp(rng.normal(0, 0.1))).astype(np.float32)
    power = {"linear": 1.0, "root": 0.5, "power": rng.uniform(0.6, 1.4), "decibel": 1.0}[how]
    own = rng.random() < 0.3  # each date stretched by itself
    share = 1 - 10 ** rng.uniform(-4, -1.5)
    middle = rng.uniform(20, 125)
    by_top = rng.random() < 0.5
    out, gain, span = [], 1.0, rng.uniform(22, 45)
    for i, amplitude in enumerate(amplitudes):
        value = 20 * np.log10(np.maximum(amplitude, 1e-5)) if how == "decibel" else amplitude**power
        if how == "decibel":
            if i == 0 or own:
                gain = float(np.quantile(value, share))
            scaled = 255 * (1 + (value - gain) / span)
        else:
            if i == 0 or own:
                gain = 255 / float(np.quantile(value, share)) if by_top else middle / float(np.median(value))
            scaled = value * gain * np.exp(rng.normal(0, 0.08))
        out.append(np.clip(np.round(scaled), 0, 255).astype(np.float32))
    return out[0], out[1]
