"""Band-limited speckle, and dates that share it as far as their coherence says."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from sarcd.errors import OptionError
from sarcd.simulate.classes import REFERENCE_DAYS, table
from sarcd.simulate.fields import Shape, correlated_normal

TAPS = 33
"""Length of the impulse response: its tail beyond is under -45 dB at the oversamplings in use."""


def impulse_response(oversampling: float, *, hamming: float = 0.6, taps: int = TAPS) -> NDArray[np.float64]:
    """Return the impulse response of a radar image along one axis, of unit energy.

    Its spectrum fills ``1 / oversampling`` of the sampled band with a Hamming weight ``hamming + (1 - hamming) cos``.

    Parameters
    ----------
    oversampling : float
        Sampling rate over bandwidth, 1 or more.
    hamming : float
        Coefficient of the weight; 1 is none.
    taps : int
        Odd length in pixels.

    Raises
    ------
    OptionError
        If `oversampling` is below 1 or `taps` is even.

    Examples
    --------
    Correlation of neighbouring pixels at the sampling usual for X-band products:

    >>> h = impulse_response(1.2)
    >>> [round(float(sum(h[lag:] * h[:-lag])), 3) for lag in (1, 2, 3)]
    [0.658, 0.185, 0.026]
    """
    if oversampling < 1:
        raise OptionError(f"oversampling is {oversampling}", where="oversampling", mend="use 1 or more")
    if taps < 1 or taps % 2 == 0:
        raise OptionError(f"impulse response of {taps} taps", where="taps", mend="use an odd number")
    n = np.arange(taps) - taps // 2
    at = n / oversampling
    response = hamming * np.sinc(at) + (1 - hamming) / 2 * (np.sinc(at - 1) + np.sinc(at + 1))
    return np.asarray(response / np.sqrt(np.sum(response**2)), np.float64)


def speckle(rng: np.random.Generator, shape: Shape, *, oversampling: tuple[float, float]) -> NDArray[np.complex64]:
    """Draw fully developed speckle: circular complex Gaussian, unit mean intensity, band-limited.

    Parameters
    ----------
    rng : np.random.Generator
        Where the numbers come from.
    shape : (Y, X)
        Size in pixels.
    oversampling : (y, x)
        Along azimuth and range.

    Returns
    -------
    (Y, X) complex64, linear amplitude
    """
    kernels = (impulse_response(oversampling[0]), impulse_response(oversampling[1]))
    return cast("NDArray[np.complex64]", correlated_normal(rng, shape, kernels, complex_=True))


def temporal_coherence(days: NDArray[np.float64], cover: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the coherence between all dates that time alone leaves, by class.

    ``g_ij = (g0 - g_end) exp(-|t_i - t_j| / T) + g_end`` for i != j, with g0 such that the class has its tabulated
    coherence over `REFERENCE_DAYS`, and ``g_ii = 1``.

    Parameters
    ----------
    days : (T,) float64
        Dates in days.
    cover : any shape, uint8
        Classes (`Cover`).

    Returns
    -------
    (T, T, ...) float32
        In [0, 1].
    """
    end, decay = table("coherence_end"), table("decay_days")
    start = end + (table("coherence") - end) * np.exp(REFERENCE_DAYS / decay)
    gap = np.abs(days[:, None] - days[None, :]).astype(np.float32)
    by_class = (start - end) * np.exp(-gap[..., None] / decay) + end
    by_class[np.arange(len(days)), np.arange(len(days))] = 1
    return np.asarray(by_class[:, :, cover], np.float32)


def correlate(looks: NDArray[np.complex64], coherence: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Mix independent speckle into dates that have the coherence asked for, by Cholesky decomposition per pixel.

    For two dates this is ``z1 = n1, z2 = g n1 + sqrt(1 - g^2) n2``.

    Parameters
    ----------
    looks : (T, Y, X) complex64
        Independent speckle of unit mean intensity.
    coherence : (T, T, Y, X) or (T, T, 1, 1) float32
        Coherence between the dates, positive semi-definite at each pixel; only its lower triangle is read.

    Returns
    -------
    (T, Y, X) complex64
        Speckle of unit mean intensity with that coherence.

    Raises
    ------
    OptionError
        If no set of images can have these coherences.
    """
    dates = len(looks)
    lower: list[list[NDArray[np.float32]]] = []
    mixed = np.empty_like(looks)
    for i in range(dates):
        row: list[NDArray[np.float32]] = []
        left = np.ones_like(coherence[i, i])
        for j in range(i):
            value = coherence[i, j] - sum((row[k] * lower[j][k] for k in range(j)), start=np.float32(0))
            pivot = lower[j][j]
            row.append(np.divide(value, pivot, out=np.zeros_like(value), where=pivot > 1e-6))
            left -= row[j] ** 2
        if float(left.min()) < -1e-3:
            raise OptionError("coherences contradict each other", where="coherence", mend="use values from 0 to 1")
        row.append(np.sqrt(np.maximum(left, 0)))
        lower.append(row)
        mixed[i] = row[0] * looks[0]
        for j in range(1, i + 1):
            mixed[i] += row[j] * looks[j]
    return mixed
