"""Texture: how reflectivity varies within a class, gamma-distributed and correlated in space."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import special

from sarcd.simulate.classes import table
from sarcd.simulate.fields import FloatArray, Shape, correlated_normal, gaussian_kernel

CORRELATION_PX = 1.5
"""Standard deviation of the smoothing that correlates the texture, in pixels."""


def gamma_of_normal(normal: FloatArray, order: float) -> FloatArray:
    """Turn standard normal numbers into gamma-distributed ones of unit mean and variance ``1 / order``.

    By quantiles, so that neighbours stay correlated. The table reaches 5 standard deviations; what lies beyond is
    clipped (6 numbers in 10 million).

    Examples
    --------
    >>> round(float(gamma_of_normal(np.zeros(1, np.float32), 2.0)[0]), 3)  # the median, below the mean of 1
    0.839
    """
    at = np.linspace(-5, 5, 1001)
    quantiles = special.gammaincinv(order, special.ndtr(at)) / order
    return np.asarray(np.interp(normal, at, quantiles), np.float32)


def texture(
    rng: np.random.Generator, cover: NDArray[np.uint8], *, correlation_px: float = CORRELATION_PX
) -> FloatArray:
    """Draw the texture of a land-cover map.

    Together with speckle it makes the products K-distributed: the normalised second moment of intensity is
    ``2 (1 + 1 / order)`` instead of 2.

    Parameters
    ----------
    rng : np.random.Generator
        Where the numbers come from.
    cover : (Y, X) uint8
        Classes (`Cover`), each with its own order.
    correlation_px : float
        Standard deviation of the smoothing of the underlying normal field, in pixels.

    Returns
    -------
    (Y, X) float32, linear power, unit mean
    """
    kernel = gaussian_kernel(correlation_px)
    shape: Shape = (cover.shape[0], cover.shape[1])
    normal = cast("FloatArray", correlated_normal(rng, shape, (kernel, kernel), complex_=False))
    order = table("texture_order")
    out = np.empty_like(normal)
    for one in np.unique(order):
        here = np.isin(cover, np.flatnonzero(order == one))
        if here.any():
            out[here] = gamma_of_normal(normal[here], float(one))
    return out
