"""Outlines of what lies on the ground and of what changes there, as masks drawn at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from sarcd.simulation.core.pair_fields import Shape, fractal

Floats: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Rng: TypeAlias = np.random.Generator


def grid(shape: Shape) -> tuple[Floats, Floats]:
    """Return the row and the column of every pixel, (Y, X) float32 each."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return y, x


def parcels(rng: Rng, shape: Shape, size_px: float) -> tuple[NDArray[np.intp], int]:
    """Divide the ground into parcels: nearest of random points, in axes stretched and turned.

    Returns
    -------
    (Y, X) int, int
        Number of each pixel's parcel, and how many numbers there are; some have no pixel.
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


def bands(rng: Rng, shape: Shape, share: float) -> Mask:
    """Return winding bands, such as rivers, that cover about a share of the ground."""
    field = fractal(rng, shape, coarsest=int(2 ** rng.integers(5, 9)), finest=8, roughness=0.35)
    return np.asarray(np.abs(field) < np.quantile(np.abs(field), share))


def roads(rng: Rng, shape: Shape) -> Mask:
    """Return up to eight straight roads, most of them parallel or square to one another."""
    y, x = grid(shape)
    out = np.zeros(shape, bool)
    turn = rng.uniform(0, np.pi)
    for _ in range(int(rng.integers(1, 9))):
        angle = turn + rng.choice((0, np.pi / 2)) + rng.normal(0, 0.05)
        at = rng.uniform(0, 1, 2) * shape
        distance = np.abs(np.cos(angle) * (y - at[0]) + np.sin(angle) * (x - at[1]))
        out |= distance < rng.uniform(0.5, 2.0)
    return out


def stripes(rng: Rng, shape: Shape, share: float) -> Mask:
    """Return rectangles cut into strips, such as ponds between dams, until they cover a share of the ground."""
    out = np.zeros(shape, bool)
    for u, v in _turned_axes(rng, shape, 40):
        period, duty = rng.uniform(6, 22), rng.uniform(0.5, 0.85)
        half = np.exp(rng.uniform(np.log(8), np.log(60), 2)) * min(1.0, 1.5 * np.sqrt(share) + 0.3)
        out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1]) & ((u / period) % 1 < duty)
        if out.mean() >= share:
            break
    return out


def plain_shapes(rng: Rng, shape: Shape, share: float) -> Mask:
    """Return ellipses and rectangles of many sizes, until they cover a share of the ground."""
    out = np.zeros(shape, bool)
    largest = max(4.0, 0.6 * np.sqrt(share * shape[0] * shape[1]))
    for u, v in _turned_axes(rng, shape, 60):
        half = np.exp(rng.uniform(np.log(2.5), np.log(largest), 2))
        if rng.random() < 0.5:
            out |= (u / half[0]) ** 2 + (v / half[1]) ** 2 < 1
        else:
            out |= (np.abs(u) < half[0]) & (np.abs(v) < half[1])
        if out.mean() >= share:
            break
    return out


def as_drawn(rng: Rng, mask: Mask) -> Mask:
    """Return what a person draws of a mask: smooth, without the smallest pieces and holes."""
    least = int(rng.integers(4, 30))
    smooth = ndimage.median_filter(mask.view(np.uint8), size=int(rng.choice((1, 3, 3, 5)))) > 0
    return ~_without_small(~_without_small(smooth, least), least)


def _without_small(mask: Mask, least: int) -> Mask:
    parts, _ = ndimage.label(mask)
    return np.asarray((np.bincount(parts.ravel()) >= least)[parts] & mask)


def _turned_axes(rng: Rng, shape: Shape, times: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield the coordinates of all pixels about a random place, along axes turned at random."""
    y, x = grid(shape)
    for _ in range(times):
        angle, at = rng.uniform(0, np.pi), rng.uniform(0, 1, 2) * shape
        u = np.cos(angle) * (x - at[1]) + np.sin(angle) * (y - at[0])
        v = -np.sin(angle) * (x - at[1]) + np.cos(angle) * (y - at[0])
        yield u, v
