"""Point targets: vehicles, and the metal corners of buildings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate.speckle import impulse_response

REACH_PX = 6
"""Half side of the stamped point spread, in pixels."""


def add_targets(
    image: NDArray[np.complex64],
    y: NDArray[np.int64],
    x: NDArray[np.int64],
    amplitude: NDArray[np.complex128],
    *,
    oversampling: tuple[float, float],
) -> None:
    """Add point targets to an image, in place, each with the system's own point spread.

    Parameters
    ----------
    image : (Y, X) complex64, linear amplitude
        Changed in place.
    y, x : (N,) int64
        Pixels of the targets; what falls outside the image is cut.
    amplitude : (N,) complex128
        Peak amplitude and phase of each.
    oversampling : (y, x)
        Of the image.
    """
    spread = point_spread(oversampling)
    for row, column, peak in zip(y, x, amplitude, strict=True):
        top, left = max(row - REACH_PX, 0), max(column - REACH_PX, 0)
        bottom, right = min(row + REACH_PX + 1, image.shape[0]), min(column + REACH_PX + 1, image.shape[1])
        if top >= bottom or left >= right:
            continue
        cut = spread[
            top - row + REACH_PX : bottom - row + REACH_PX, left - column + REACH_PX : right - column + REACH_PX
        ]
        image[top:bottom, left:right] += (peak * cut).astype(np.complex64)


def point_spread(oversampling: tuple[float, float]) -> NDArray[np.float64]:
    """Return the image of a point of unit peak amplitude, (2 REACH_PX + 1) pixels a side."""
    sides = [impulse_response(rate, taps=2 * REACH_PX + 1) for rate in oversampling]
    spread = np.outer(sides[0], sides[1])
    return np.asarray(spread / spread.max(), np.float64)
