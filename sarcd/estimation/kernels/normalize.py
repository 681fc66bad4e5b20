"""Robust normalisation of amplitudes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SCALE = 0.6745
"""Median absolute deviation of a standard normal distribution, which makes z-scores of MADs (Eq. 3)."""

SATURATION = 3.0
"""W of Eq. 4: the z-score beyond which tanh saturates."""


def modified_tanh(amplitude: np.ndarray, median: float, mad: float) -> np.ndarray:
    """Bring amplitudes to (0, 1) by a modified z-score under a hyperbolic tangent.

    Parameters
    ----------
    amplitude : ndarray of float32 or complex64
        Linear amplitude; complex values count by their magnitude.
    median, mad : float
        Median and median absolute deviation of the amplitude over the scene, linear; `mad` above 0.

    Returns
    -------
    ndarray of float32
        In [0, 1], 0.5 at the median; NaN stays NaN.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 3 and 4.

    Examples
    --------
    >>> modified_tanh(np.array([[2.0, 2 + 3 / 0.6745]], "float32"), median=2.0, mad=1.0).round(3)
    array([[0.5  , 0.881]], dtype=float32)
    """
    magnitude = np.abs(amplitude) if np.iscomplexobj(amplitude) else np.asarray(amplitude, np.float32)
    out = np.empty(magnitude.shape, np.float32)
    _scale(magnitude.ravel(), median, SCALE / (mad * SATURATION), out.ravel())
    np.tanh(out, out=out)  # numpy's has vector instructions, the compiler's has not
    out += 1
    out *= 0.5
    return out


@njit(nogil=True, cache=True)
def _scale(values: Any, median: float, gain: float, out: Any) -> None:
    for i in range(values.size):
        out[i] = (values[i] - median) * gain
