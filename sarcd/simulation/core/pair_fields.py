"""Random fields of small scenes that are made whole: counter-based streams by name, and natural (fractal) fields."""

from __future__ import annotations

import hashlib
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, int]

_SPLINE_POWER = 0.55
"""Integral of the squared quadratic B-spline: variance that one axis of the subdivision leaves of white noise."""


def stream(seed: int, *field: str | int) -> np.random.Generator:
    """Return the random numbers of one named field of one seed.

    Philox is counter-based: a stream depends on its key alone, so that adding a field to the simulator, or drawing the
    fields in another order, changes no other field.

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

    A coarse lattice of normal numbers is refined by subdivision (quadratic B-spline), and each octave adds detail of
    its own. Every pixel depends on few lattice points, unlike a field made by a scene-wide Fourier transform.

    Parameters
    ----------
    rng : np.random.Generator
        Where the numbers come from.
    shape : (Y, X)
        Size in pixels.
    coarsest, finest : int
        Lattice spacings in pixels between which there is detail; rounded to powers of two.
    roughness : float
        Amplitude of an octave relative to the one above it; ``2 ** -H`` for a Hurst exponent H.

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
