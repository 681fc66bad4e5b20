"""Random fields over an unbounded plane of pixels: blockwise white noise, natural (fractal) fields, filtered noise.

Every value depends on seed, field and pixel alone. Neither the requested part of the plane nor the order of requests
changes a byte, so that scenes of any size can be simulated piece by piece.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray: TypeAlias = NDArray[np.float32]
Shape: TypeAlias = tuple[int, int]

BLOCK_PX = 64
"""Side of the blocks of white noise, each from a generator of its own."""

_SPLINE_POWER = 0.55
"""Integral of the squared quadratic B-spline: variance of white noise after subdivision along one axis."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the plane in whole pixels; it may start below 0.

    Parameters
    ----------
    top, left : int
        First row and column.
    height, width : int
        Size.
    """

    top: int
    left: int
    height: int
    width: int

    @property
    def shape(self) -> Shape:
        """Return (height, width)."""
        return self.height, self.width

    def grown(self, y: int, x: int, right: int | None = None) -> Region:
        """Return the region with `y` more rows on both sides, `x` more columns on the left and `right` on the right."""
        right = x if right is None else right
        return Region(self.top - y, self.left - x, self.height + 2 * y, self.width + x + right)

    def y(self) -> NDArray[np.float64]:
        """Return the rows as a column, (height, 1)."""
        return np.arange(self.top, self.top + self.height, dtype=np.float64)[:, None]

    def x(self) -> NDArray[np.float64]:
        """Return the columns as a row, (1, width)."""
        return np.arange(self.left, self.left + self.width, dtype=np.float64)[None]

    def around(self, centre: tuple[float, float], reach_px: float) -> tuple[slice, slice] | None:
        """Return the slices of this region's arrays within `reach_px` of a point, or None if there are none."""
        sides = []
        for first, size, middle in zip((self.top, self.left), self.shape, centre, strict=True):
            low = max(math.floor(middle - reach_px) - first, 0)
            high = min(math.ceil(middle + reach_px) + 1 - first, size)
            if high <= low:
                return None
            sides.append(slice(low, high))
        return sides[0], sides[1]

    def part(self, box: tuple[slice, slice]) -> Region:
        """Return the region that slices of this region's arrays cover."""
        y, x = box
        return Region(self.top + y.start, self.left + x.start, y.stop - y.start, x.stop - x.start)


@dataclass(frozen=True)
class RandomStreams:
    """Random streams of one seed at one site.

    Philox is counter-based: a stream depends on its key alone, so that adding a field to the simulator, or drawing
    fields in another order, does not change any other field.

    Parameters
    ----------
    seed : int
        The user's seed.
    site : str
        Name of the site, part of every key.

    Examples
    --------
    >>> streams = RandomStreams(0, "A")
    >>> bool(streams.stream("speckle", 0).random() == streams.stream("speckle", 0).random())
    True
    >>> bool(streams.stream("speckle", 0).random() == streams.stream("speckle", 1).random())
    False
    """

    seed: int
    site: str

    def _digest(self, field: tuple[str | int, ...], size: int) -> int:
        name = "/".join(str(part) for part in (int(self.seed), self.site, *field))
        return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=size).digest(), "little")

    def stream(self, *field: str | int) -> np.random.Generator:
        """Return the random stream of a named field, for example ``"mine", 3, 1``."""
        return np.random.Generator(np.random.Philox(key=self._digest(field, 16)))

    def white(self, region: Region, *field: str | int, parts: int = 1) -> FloatArray:
        """Return standard normal numbers over a region.

        Parameters
        ----------
        region : Region
            Region of the plane.
        *field : str or int
            Name of the field.
        parts : int
            Numbers per pixel, interleaved along x: 2 for complex noise.

        Returns
        -------
        (height, parts * width) float32
        """
        key = np.uint64(self._digest(field, 8))
        bits = np.random.Philox(key=0)
        state, number = bits.state, parts * BLOCK_PX**2 // 2
        out = np.empty((region.height, parts * region.width), np.float32)
        for row in range(region.top // BLOCK_PX, (region.top + region.height - 1) // BLOCK_PX + 1):
            y0, y1 = _overlap(row, region.top, region.height)
            for column in range(region.left // BLOCK_PX, (region.left + region.width - 1) // BLOCK_PX + 1):
                x0, x1 = _overlap(column, region.left, region.width)
                state["state"]["key"][:] = key, np.uint64((row & 0xFFFFFFFF) << 32 | (column & 0xFFFFFFFF))
                bits.state = state  # counter 0: the start of the block
                target = out[y0 - region.top : y1 - region.top, parts * (x0 - region.left) : parts * (x1 - region.left)]
                top, left = y0 - row * BLOCK_PX, parts * (x0 - column * BLOCK_PX)
                _normals(bits.random_raw(number), _BULK, _TAIL, parts * BLOCK_PX, top, left, target)
        return out

    def fractal(
        self, region: Region, *field: str | int, coarsest: int, finest: int = 2, roughness: float = 0.5
    ) -> FloatArray:
        """Return a natural-looking field: Gaussian, zero mean, unit variance.

        A coarse lattice of normal numbers is refined by subdivision (quadratic B-spline), and each octave adds its own
        detail. Every pixel depends on few lattice points, unlike in a field made by a scene-wide Fourier transform.

        Parameters
        ----------
        region : Region
            Region of the plane.
        *field : str or int
            Name of the field.
        coarsest, finest : int
            Range of lattice spacings in pixels that contribute detail; rounded to powers of two.
        roughness : float
            Amplitude of an octave relative to the next coarser one; ``2 ** -H`` for a Hurst exponent H.

        Returns
        -------
        (height, width) float32
        """
        octaves = max(0, round(math.log2(coarsest)))
        regions = [region]
        for _ in range(octaves):
            regions.append(_coarser(regions[-1]))
        values = self.white(regions[octaves], *field, octaves)
        amplitudes = [roughness**step for step in range(octaves) if 2 ** (octaves - 1 - step) >= finest]
        scale = np.float32(1 / (_SPLINE_POWER * math.sqrt(1 + sum(amplitude**2 for amplitude in amplitudes))))
        values *= scale
        for step in range(octaves):
            level = octaves - 1 - step
            here = regions[level]
            noise = self.white(here, *field, level) if step < len(amplitudes) else _NO_NOISE
            size = np.float32(amplitudes[step]) * scale if step < len(amplitudes) else np.float32(0)
            values = _refine(values, here.top & 1, here.left & 1, here.height, here.width, noise, size)
        return values


# Quantiles of the normal distribution at multiples of 1 / 4096, and within the first 1 / 4096: interpolation turns
# uniform numbers into normal ones, four times faster than numpy's rejection method.
_BULK = special.ndtri(np.arange(4097) / 4096).astype(np.float32)
_TAIL = special.ndtri(np.append(0.25, np.arange(1, 4097)) / 4096**2).astype(np.float32)


@numba.njit(nogil=True, cache=True)
def _normals(raw: Any, bulk: Any, tail: Any, width: int, top: int, left: int, out: Any) -> None:
    """Turn the uniform numbers of a block, two per 64 bits, into normal ones, and keep a part of them."""
    rest = np.float32(2.0**-20)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            place = (y + top) * width + x + left
            bits = (raw[place >> 1] >> np.uint64(32 * (place & 1))) & np.uint64(0xFFFFFFFF)
            i, low = np.int64(bits >> np.uint64(20)), np.int64(bits & np.uint64(0xFFFFF))
            if 0 < i < 4095:
                part = np.float32(low) * rest
                out[y, x] = bulk[i] + part * (bulk[i + 1] - bulk[i])
            else:
                if i > 0:  # the upper tail mirrors the lower one
                    low = 0xFFFFF - low
                j, part = low >> 8, np.float32(low & 0xFF) / np.float32(256)
                value = tail[j] + part * (tail[j + 1] - tail[j])
                out[y, x] = value if i == 0 else -value


_NO_NOISE = np.zeros((0, 0), np.float32)


def _overlap(block: int, first: int, size: int) -> tuple[int, int]:
    """Return the start and the end of the overlap of a block of noise with one side of a region."""
    return max(block * BLOCK_PX, first), min((block + 1) * BLOCK_PX, first + size)


def _coarser(region: Region) -> Region:
    """Return the lattice points at twice the spacing from which a region is refined."""
    top, left = region.top >> 1, region.left >> 1
    bottom, right = (region.top + region.height - 1) >> 1, (region.left + region.width - 1) >> 1
    return Region(top, left, bottom + 2 - top, right + 2 - left)


@numba.njit(nogil=True, cache=True)
def _refine(coarse: Any, odd_y: int, odd_x: int, height: int, width: int, noise: Any, size: Any) -> Any:
    """Double the sampling along both axes (Chaikin's corner cutting) and add `size` times `noise`, if any."""
    out = np.empty((height, width), np.float32)
    line = np.empty(coarse.shape[1], np.float32)
    near, far = np.float32(0.75), np.float32(0.25)
    for y in range(height):
        i = (y + odd_y) >> 1
        low, high = (near, far) if (y + odd_y) & 1 == 0 else (far, near)
        for j in range(coarse.shape[1]):
            line[j] = low * coarse[i, j] + high * coarse[i + 1, j]
        for x in range(width):
            j = (x + odd_x) >> 1
            if (x + odd_x) & 1 == 0:
                out[y, x] = near * line[j] + far * line[j + 1]
            else:
                out[y, x] = far * line[j] + near * line[j + 1]
        if noise.shape[0] > 0:
            for x in range(width):
                out[y, x] += size * noise[y, x]
    return out


def above(fraction: float) -> np.float32:
    """Return the value that a fraction of a field of unit variance exceeds.

    Examples
    --------
    >>> round(float(above(0.025)), 2)
    1.96
    """
    return np.float32(special.ndtri(1 - min(max(fraction, 1e-9), 1 - 1e-9)))


def gaussian_kernel(sigma_px: float) -> FloatArray:
    """Return a Gaussian smoothing kernel of unit energy, so that filtered white noise keeps its variance."""
    reach = max(1, math.ceil(3.5 * sigma_px))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    return np.asarray(kernel / np.sqrt(np.sum(kernel**2)), np.float32)


def correlated(
    streams: RandomStreams, region: Region, *field: str | int, kernels: tuple[FloatArray, FloatArray], parts: int = 1
) -> FloatArray:
    """Return stationary Gaussian noise, filtered along y and x with kernels of unit energy.

    Parameters
    ----------
    streams : RandomStreams
        Source of random numbers.
    region : Region
        Region of the plane.
    *field : str or int
        Name of the field.
    kernels : (ky, kx), 1-D of odd length
        Impulse responses along y and x.
    parts : int
        1 for real noise of unit variance, 2 for real and imaginary parts side by side, each of unit variance.

    Returns
    -------
    (height, parts * width) float32
    """
    ky, kx = kernels
    white = streams.white(region.grown(len(ky) // 2, len(kx) // 2), *field, parts=parts)
    return np.asarray(filtered(white, ky, kx, parts), np.float32)


@numba.njit(nogil=True, cache=True)
def filtered(values: Any, ky: Any, kx: Any, parts: int) -> Any:
    """Filter along both axes and keep what the kernels cover completely; values of a pixel are interleaved along x."""
    height, width = values.shape[0] - len(ky) + 1, values.shape[1] - parts * (len(kx) - 1)
    out = np.zeros((height, width), np.float32)
    column = np.empty(values.shape[1], np.float32)
    for y in range(height):
        column[:] = np.float32(0)
        for k in range(len(ky)):
            weight, row = ky[k], values[y + k]
            for x in range(len(column)):
                column[x] += weight * row[x]
        line = out[y]
        for k in range(len(kx)):
            weight, shifted = kx[k], column[parts * k :]
            for x in range(width):
                line[x] += weight * shifted[x]
    return out
