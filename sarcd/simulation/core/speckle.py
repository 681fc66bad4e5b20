"""Band-limited speckle, and dates that share it according to their coherence."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from sarcd.errors import OptionError
from sarcd.simulation.core.classes import REFERENCE_DAYS, table
from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region, Shape, correlated, filtered

TAPS = 33
"""Length of the impulse response: its tail is below -45 dB with the usual weighting, -32 dB without any."""

HAMMING = 0.6
"""Hamming coefficient of the spectral weighting of X-band products."""

HIGHEST_COHERENCE = 0.97
"""Maximum coherence of any class at zero days."""


def impulse_response(oversampling: float, *, hamming: float = HAMMING, taps: int = TAPS) -> NDArray[np.float64]:
    """Return the impulse response of a radar image along one axis, of unit energy.

    The spectrum fills ``1 / oversampling`` of the sampled band with a Hamming weight ``hamming + (1 - hamming) cos``.

    Parameters
    ----------
    oversampling : float
        Sampling rate over bandwidth, 1 or more.
    hamming : float
        Coefficient of the weighting; 1 is none.
    taps : int
        Odd length in pixels.

    Raises
    ------
    OptionError
        If `oversampling` is below 1 or `taps` is even.

    Examples
    --------
    Correlation of neighbouring pixels at the usual sampling of X-band products:

    >>> h = impulse_response(1.2)
    >>> [round(float(sum(h[lag:] * h[:-lag])), 3) for lag in (1, 2, 3)]
    [0.658, 0.185, 0.026]
    """
    if oversampling < 1:
        raise OptionError(f"invalid oversampling {oversampling}", option="oversampling", hint="use 1 or more")
    if taps < 1 or taps % 2 == 0:
        raise OptionError(f"expected an odd number of taps, got {taps}", option="taps", hint="use an odd number")
    response = response_at(np.arange(taps) - taps // 2, oversampling, hamming=hamming)
    return np.asarray(response / np.sqrt(np.sum(response**2)), np.float64)


def response_at(
    pixels: NDArray[np.floating[Any]] | NDArray[np.integer[Any]], oversampling: float, *, hamming: float = HAMMING
) -> NDArray[np.float64]:
    """Return the impulse response, with peak ``hamming``, at distances in pixels that need not be integers."""
    at = pixels / oversampling
    response = hamming * np.sinc(at) + (1 - hamming) / 2 * (np.sinc(at - 1) + np.sinc(at + 1))
    return np.asarray(response, np.float64)


def kernels_of(oversampling: tuple[float, float], hamming: float) -> tuple[FloatArray, FloatArray]:
    """Return the impulse responses along y and x, float32."""
    ky, kx = (impulse_response(rate, hamming=hamming).astype(np.float32) for rate in oversampling)
    return ky, kx


def speckle(
    rng: np.random.Generator, shape: Shape, *, oversampling: tuple[float, float], hamming: float = HAMMING
) -> NDArray[np.complex64]:
    """Draw fully developed speckle: circular complex Gaussian, unit mean intensity, band-limited.

    Parameters
    ----------
    rng : np.random.Generator
        Source of random numbers.
    shape : (Y, X)
        Size in pixels.
    oversampling : (y, x)
        Along azimuth and range.
    hamming : float
        As in `impulse_response`.

    Returns
    -------
    (Y, X) complex64, linear amplitude
    """
    ky, kx = kernels_of(oversampling, hamming)
    white = rng.standard_normal((shape[0] + len(ky) - 1, 2 * (shape[1] + len(kx) - 1)), dtype=np.float32)
    return _complex(filtered(white, ky, kx, 2))


def speckle_over(
    streams: RandomStreams,
    region: Region,
    *field: str | int,
    oversampling: tuple[float, float],
    hamming: float = HAMMING,
) -> NDArray[np.complex64]:
    """Return `speckle` of a named field over a region of the plane."""
    return _complex(correlated(streams, region, *field, kernels=kernels_of(oversampling, hamming), parts=2))


def _complex(parts: FloatArray) -> NDArray[np.complex64]:
    parts *= np.float32(np.sqrt(0.5))
    return parts.view(np.complex64)


def temporal_table(days: NDArray[np.float64], *, level: float = 1.0, decay: float = 1.0) -> FloatArray:
    """Return the temporal coherence between all dates, by class.

    ``g_ij = (g0 - g_end) exp(-|t_i - t_j| / T) + g_end`` for i != j, with g0 such that the class has its tabulated
    coherence over `REFERENCE_DAYS`, and ``g_ii = 1``.

    Parameters
    ----------
    days : (T,) float64
        Dates in days.
    level : float
        Factor on g0 and g_end; g0 is limited to `HIGHEST_COHERENCE`.
    decay : float
        Factor on the time constants T.

    Returns
    -------
    (T, T, classes) float32
        In [0, 1], positive semi-definite for each class.
    """
    end, constant = table("coherence_end"), table("decay_days")
    start = end + (table("coherence") - end) * np.exp(REFERENCE_DAYS / constant)
    start = np.minimum(level * start, HIGHEST_COHERENCE)
    end = np.minimum(level * end, start)
    gap = np.abs(days[:, None] - days[None, :])
    by_class = (start - end) * np.exp(-gap[..., None] / (decay * constant)) + end
    by_class[np.arange(len(days)), np.arange(len(days))] = 1
    return np.asarray(by_class, np.float32)


@numba.njit(nogil=True, cache=True)
def correlate(
    looks: Any, table: Any, cover: Any, variety: Any, left: Any, keeps: Any, geometric: Any, pull: Any
) -> Any:
    """Mix independent speckle into dates of given coherence, by Cholesky decomposition at each pixel, in place.

    For two dates this is ``z1 = n1, z2 = g n1 + sqrt(1 - g^2) n2``. The coherence of dates i < j is a product of
    matrices that are each positive semi-definite, and so is the product: of time, by class, with its variation; of
    ground moved between them; of moisture at both; and of the angle between their lines of sight on the slope of the
    pixel.

    Parameters
    ----------
    looks : (T, Y, X) complex64
        Independent speckle of unit mean intensity; replaced by speckle of unit mean intensity with that coherence.
    table : (T, T, classes) float32
        Temporal coherence of each class.
    cover : (Y, X) uint8
        Classes.
    variety : (Y, X) float32
        Factor on the temporal coherence.
    left : (T - 1, Y, X) float32
        Coherence that ground moved in a pair retains, whatever its class would have retained; 1 where none moved.
    keeps : (T, Y, X) float32
        Fraction of coherence that a date retains with any other.
    geometric : (T, T) float32
        Loss due to the baseline between two dates, for a slope of `pull` 1.
    pull : (Y, X) float32
        Factor on that loss.

    Returns
    -------
    (T - 1, Y, X) float32
        Coherence of consecutive dates.
    """
    dates, height, width = looks.shape
    out = np.empty((dates - 1, height, width), np.float32)
    lower = np.zeros((dates, dates), np.float64)
    for y in range(height):
        for x in range(width):
            kind = cover[y, x]
            for i in range(dates):
                rest = 1.0
                for j in range(i):
                    g = table[i, j, kind] * variety[y, x]
                    moved = 1.0
                    for p in range(j, i):
                        if left[p, y, x] < 1:
                            own = max(table[p + 1, p, kind] * variety[y, x], 1e-3)
                            moved = min(moved, left[p, y, x] / own)
                    g *= moved
                    g *= keeps[i, y, x] * keeps[j, y, x]
                    g *= max(0.0, 1 - geometric[i, j] * pull[y, x])
                    if j == i - 1:
                        out[j, y, x] = g
                    for k in range(j):
                        g -= lower[i, k] * lower[j, k]
                    lower[i, j] = g / lower[j, j] if lower[j, j] > 1e-6 else 0.0
                    rest -= lower[i, j] * lower[i, j]
                lower[i, i] = np.sqrt(max(rest, 0.0))
            for i in range(dates - 1, 0, -1):
                total = np.complex64(0)
                for j in range(i + 1):
                    total += np.float32(lower[i, j]) * looks[j, y, x]
                looks[i, y, x] = total
    return out
