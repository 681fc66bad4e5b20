"""Interferometric phase of a date, and the loss of coherence with the baseline between two dates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region
from sarcd.simulation.core.options import SiteOptions

WAVELENGTH_M, RANGE_M = 0.0311, 620e3
"""X-band from a low Earth orbit."""

STALE = 0.05
"""Relative error of the removed heights with respect to the terrain, besides their random error."""


def baselines_m(streams: RandomStreams, options: SiteOptions, dates: int) -> NDArray[np.float64]:
    """Return the perpendicular baseline of each date relative to the first, metres."""
    drawn = [streams.stream("baseline", date).normal(0, options.baseline_m) for date in range(1, dates)]
    return np.array([0.0, *drawn])


def geometric_loss(options: SiteOptions, baselines: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the loss of coherence between all dates on ground at a local incidence of 45 degrees, (T, T) float32.

    ``1 - g = |B| / B_critical`` with ``B_critical = lambda R tan(local incidence) / (2 resolution)``; `pull` is the
    remaining factor.
    """
    resolution = options.spacing_m * math.sin(math.radians(options.incidence_deg)) * options.oversampling[1]
    apart = np.abs(baselines[:, None] - baselines[None])
    return np.asarray(apart * 2 * resolution / (WAVELENGTH_M * RANGE_M), np.float32)


def pull(slope: FloatArray, incidence_deg: float) -> FloatArray:
    """Return ``1 / tan`` of local incidence, at most 20, for slopes that rise away from the radar."""
    tangent = np.float32(math.tan(math.radians(incidence_deg)))
    local = (tangent - slope) / np.maximum(1 + slope * tangent, np.float32(1e-3))
    return np.asarray(1 / np.maximum(np.abs(local), np.float32(0.05)), np.float32)


def phase_of(
    streams: RandomStreams, options: SiteOptions, region: Region, date: int, baseline_m: float, height_m: FloatArray
) -> NDArray[np.complex64]:
    """Return the phase factor of a date relative to the first: ramp, fringes of height errors, turbulence.

    Parameters
    ----------
    streams, options : RandomStreams, SiteOptions
        Random numbers and magnitudes.
    region : Region
        Region of the image.
    date : int
        Number of the image.
    baseline_m : float
        Perpendicular baseline relative to the first date.
    height_m : (Y, X) float32
        Terrain in radar geometry.

    Returns
    -------
    (Y, X) complex64, of magnitude 1
    """
    # Two-dimensional turbulence: power spectrum with slope 8/3, so 2 ** (-1/3) in amplitude from octave to octave.
    turbulence = streams.fractal(region, "turbulence", date, coarsest=512, finest=8, roughness=2 ** (-1 / 3))
    error = streams.fractal(region, "height error", coarsest=128, finest=8, roughness=0.5)
    sine = math.sin(math.radians(options.incidence_deg))
    per_metre = 4 * math.pi * baseline_m / (WAVELENGTH_M * RANGE_M * sine)
    radians = np.float32(options.turbulence_rad) * turbulence
    radians += np.float32(per_metre) * (np.float32(options.height_error_m) * error + np.float32(STALE) * height_m)
    # A ramp grows over the scene, so it is computed in double precision.
    along_y, along_x = (
        np.exp(-2j * np.pi * date * cycles * side).astype(np.complex64)
        for cycles, side in zip(options.ramp, (region.y(), region.x()), strict=True)
    )
    factor = np.empty(region.shape, np.complex64)
    factor.real, factor.imag = np.cos(radians), -np.sin(radians)
    factor *= along_x
    factor *= along_y
    return factor
