"""Point targets: vehicles, and the metal corners of buildings, each imaged with the system's own point spread."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import Region
from sarcd.simulation.core.plan import Yard
from sarcd.simulation.core.pseudo import Targets
from sarcd.simulation.core.speckle import HAMMING, TAPS, response_at


def reach_px(hamming: float) -> int:
    """Return the half side of the stamped point spread, in pixels.

    Its tail falls as ``(2 - 1 / hamming) / x``, which 6 pixels cut at -32 dB of the peak with the usual weight: a
    lighter weight needs more of them, up to the length that speckle is filtered with.
    """
    return int(np.clip(round(18 * (2 - 1 / hamming)), 6, TAPS // 2))


def add_targets(
    image: NDArray[np.complex64],
    region: Region,
    targets: Targets,
    oversampling: tuple[float, float],
    hamming: float = HAMMING,
) -> None:
    """Add point targets to an image, in place.

    Parameters
    ----------
    image : (Y, X) complex64, linear amplitude
        Changed in place.
    region : Region
        That the image covers.
    targets : Targets
        With places in pixels of the image's plane, which need not be whole; what falls outside is cut.
    oversampling : (y, x)
        Of the image.
    hamming : float
        Weight on its spectrum.
    """
    reach = reach_px(hamming)
    steps = np.arange(-reach, reach + 1)
    sides = []
    for place, rate, first in zip((targets.y, targets.x), oversampling, (region.top, region.left), strict=True):
        whole = np.rint(place).astype(np.int64)
        spread = response_at(steps - (place - whole)[:, None], rate, hamming=hamming)
        sides.append((whole - first, spread / hamming))  # which is the peak
    height, width = image.shape
    for row, spread_y, column, spread_x, peak in zip(*sides[0], *sides[1], targets.amplitude, strict=True):
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, height), min(column + reach + 1, width)
        if top >= bottom or left >= right:
            continue
        cut_y = spread_y[top - row + reach : bottom - row + reach, None]
        cut_x = spread_x[None, left - column + reach : right - column + reach]
        image[top:bottom, left:right] += (peak * cut_y * cut_x).astype(np.complex64)


def corners(yards: list[Yard]) -> Targets:
    """Return the metal corners of buildings: some lots have one, which is there at every date with the same phase."""
    parts = []
    for yard in yards:
        _, rows, columns = yard.lots.shape
        row, column = np.mgrid[:rows, :columns].reshape(2, -1)
        lot = yard.lots.reshape(8, -1).astype(np.float64)
        along = (column - columns // 2 + 0.3 + 0.4 * lot[4]) * yard.block_px[0]
        across = (row - rows // 2 + 0.3 + 0.4 * lot[5]) * yard.block_px[1]
        cosine, sine = math.cos(yard.turn), math.sin(yard.turn)
        y, x = cosine * across + sine * along, cosine * along - sine * across
        standing = (lot[2] < (0.5 if yard.streets else 0.35)) & (np.hypot(y, x) < 0.85 * yard.outline.radius_px)
        power_db = 8 + 12 * lot[6]
        amplitude = 10 ** (power_db / 20) * np.exp(2j * math.pi * lot[7])
        centre_y, centre_x = yard.outline.centre
        parts.append((y[standing] + centre_y, x[standing] + centre_x, amplitude[standing]))
    if not parts:
        return Targets(np.empty(0), np.empty(0), np.empty(0, np.complex128))
    return Targets(*(np.concatenate(column) for column in zip(*parts, strict=True)))
