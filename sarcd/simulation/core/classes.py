"""Land cover of a mine: X-band backscatter, coherence and texture of each class."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region, correlated, gaussian_kernel


class Cover(IntEnum):
    """Values of a land-cover map."""

    GROUND = 0
    BENCH_FLOOR = 1
    BENCH_FACE = 2
    DUMP = 3
    DUMP_ACTIVE = 4
    TAILINGS = 5
    TAILINGS_WET = 6
    VEGETATION = 7
    WATER = 8
    ROAD = 9
    ROAD_BUSY = 10
    BUILDINGS = 11


@dataclass(frozen=True)
class Backscatter:
    """Radar signature of one class.

    Parameters
    ----------
    sigma0_db : float
        Mean sigma nought on flat ground, dB.
    coherence : float
        Temporal coherence over `REFERENCE_DAYS`.
    coherence_end : float
        Coherence that remains after a long time.
    decay_days : float
        Time constant of the decay in between.
    texture_order : float
        Order of the gamma-distributed texture; large values are smooth.
    """

    sigma0_db: float
    coherence: float
    coherence_end: float
    decay_days: float
    texture_order: float


REFERENCE_DAYS = 22.0
"""Revisit time that the coherences of `SIGNATURES` refer to."""

# Assumed values for X-band over 11 to 33 days, since no such table is published. The decay constants keep the coherence
# at zero days below 1; ground that decorrelates at once has long ones, since nothing is left to lose.
SIGNATURES: dict[Cover, Backscatter] = {
    Cover.GROUND: Backscatter(-12.0, 0.65, 0.35, 60.0, 8.0),
    Cover.BENCH_FLOOR: Backscatter(-10.0, 0.75, 0.45, 120.0, 10.0),
    Cover.BENCH_FACE: Backscatter(-4.0, 0.65, 0.40, 120.0, 4.0),
    Cover.DUMP: Backscatter(-8.0, 0.65, 0.35, 90.0, 6.0),
    Cover.DUMP_ACTIVE: Backscatter(-8.0, 0.35, 0.10, 60.0, 5.0),
    Cover.TAILINGS: Backscatter(-15.0, 0.60, 0.25, 60.0, 20.0),
    Cover.TAILINGS_WET: Backscatter(-18.0, 0.20, 0.02, 60.0, 20.0),
    Cover.VEGETATION: Backscatter(-9.0, 0.08, 0.02, 60.0, 8.0),
    Cover.WATER: Backscatter(-22.0, 0.02, 0.02, 60.0, 30.0),
    Cover.ROAD: Backscatter(-16.0, 0.60, 0.30, 60.0, 15.0),
    Cover.ROAD_BUSY: Backscatter(-16.0, 0.20, 0.05, 60.0, 15.0),
    Cover.BUILDINGS: Backscatter(0.0, 0.85, 0.75, 300.0, 2.0),
}


def table(name: str) -> NDArray[np.float32]:
    """Return one column of `SIGNATURES` as an array indexed by the class value.

    Examples
    --------
    >>> float(table("sigma0_db")[Cover.WATER])
    -22.0
    """
    column = np.zeros(len(Cover), np.float32)
    for cover, signature in SIGNATURES.items():
        column[cover] = getattr(signature, name)
    return column


CORRELATION_PX = 1.5
"""Standard deviation in pixels of the smoothing that correlates the texture."""

_LIMIT, _STEPS = 5.0, 1000


@cache
def gamma_table() -> FloatArray:
    """Return quantiles of unit-mean gamma distributions at normal numbers from -5 to 5: (classes, 1001) float32."""
    at = np.linspace(-_LIMIT, _LIMIT, _STEPS + 1)
    order = table("texture_order").astype(np.float64)[:, None]
    return np.asarray(special.gammaincinv(order, special.ndtr(at)) / order, np.float32)


def texture(streams: RandomStreams, region: Region, *field: str | int, cover: NDArray[np.uint8]) -> FloatArray:
    """Simulate the texture of a land-cover map.

    A correlated normal field is mapped by quantiles to gamma-distributed numbers of unit mean and variance ``1 /
    order``, so that neighbours remain correlated. Multiplied by speckle it is K-distributed: the normalised second
    moment of intensity is ``2 (1 + 1 / order)`` instead of 2.

    Parameters
    ----------
    streams : RandomStreams
        Source of random numbers.
    region : Region
        Region of the plane.
    *field : str or int
        Name of the field.
    cover : (Y, X) uint8
        Classes (`Cover`), each with its own order.

    Returns
    -------
    (Y, X) float32, linear power, unit mean
    """
    kernel = gaussian_kernel(CORRELATION_PX)
    normal = correlated(streams, region, *field, kernels=(kernel, kernel))
    return np.asarray(_quantiles(normal, cover, gamma_table()), np.float32)


@numba.njit(nogil=True, cache=True)
def _quantiles(normal: Any, cover: Any, tables: Any) -> Any:
    """Look up each normal number in the table of its class, clipped at 5 standard deviations."""
    last = tables.shape[1] - 1
    for y in range(normal.shape[0]):
        for x in range(normal.shape[1]):
            place = (min(max(normal[y, x], np.float32(-5)), np.float32(5)) + np.float32(5)) * np.float32(100)
            i = min(int(place), last - 1)
            low = tables[cover[y, x], i]
            normal[y, x] = low + (place - np.float32(i)) * (tables[cover[y, x], i + 1] - low)
    return normal
