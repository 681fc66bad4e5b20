"""Texture: how reflectivity varies within a class, gamma-distributed and correlated in space."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

from sarcd.simulation.core.classes import table
from sarcd.simulation.core.fields import Dice, FloatArray, Region, correlated, gaussian_kernel

CORRELATION_PX = 1.5
"""Standard deviation of the smoothing that correlates the texture, in pixels."""

_LIMIT, _STEPS = 5.0, 1000


@cache
def gamma_table() -> FloatArray:
    """Return quantiles of unit-mean gamma distributions at normal numbers from -5 to 5: (classes, 1001) float32."""
    at = np.linspace(-_LIMIT, _LIMIT, _STEPS + 1)
    order = table("texture_order").astype(np.float64)[:, None]
    return np.asarray(special.gammaincinv(order, special.ndtr(at)) / order, np.float32)


def texture(dice: Dice, region: Region, *field: str | int, cover: NDArray[np.uint8]) -> FloatArray:
    """Return the texture of a land-cover map.

    A correlated normal field is turned into gamma-distributed numbers of unit mean and variance ``1 / order`` by
    quantiles, so that neighbours stay correlated. Together with speckle it makes the products K-distributed: the
    normalised second moment of intensity is ``2 (1 + 1 / order)`` instead of 2.

    Parameters
    ----------
    dice : Dice
        Random numbers.
    region : Region
        Where.
    *field : str or int
        Name of the field.
    cover : (Y, X) uint8
        Classes (`Cover`), each with its own order.

    Returns
    -------
    (Y, X) float32, linear power, unit mean
    """
    kernel = gaussian_kernel(CORRELATION_PX)
    normal = correlated(dice, region, *field, kernels=(kernel, kernel))
    return np.asarray(_quantiles(normal, cover, gamma_table()), np.float32)


@numba.njit(nogil=True, cache=True)
def _quantiles(normal: Any, cover: Any, tables: Any) -> Any:
    """Look up each normal number in its class's table; beyond 5 standard deviations it is clipped."""
    last = tables.shape[1] - 1
    for y in range(normal.shape[0]):
        for x in range(normal.shape[1]):
            place = (min(max(normal[y, x], np.float32(-5)), np.float32(5)) + np.float32(5)) * np.float32(100)
            i = min(int(place), last - 1)
            low = tables[cover[y, x], i]
            normal[y, x] = low + (place - np.float32(i)) * (tables[cover[y, x], i + 1] - low)
    return normal
