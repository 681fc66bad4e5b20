"""What the tests take from a window: mean powers, coherence, and the independent looks behind them."""

from __future__ import annotations

import numpy as np

from sarcd.estimation.kernels.windows import box, window_sum


def mean_power(image: np.ndarray, valid: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Mean power over the valid pixels of a window around every pixel.

    Parameters
    ----------
    image : (Y, X) complex64 or float32
        Complex image or amplitude, linear.
    valid : (Y, X) bool
        Which pixels take part.
    window : (int, int)
        Odd size along y and x in pixels, cut at the border.

    Returns
    -------
    (Y, X) float64
        NaN where no pixel of the window is valid.

    Examples
    --------
    >>> mean_power(np.array([[1, 3, np.nan]], "float32"), np.array([[True, True, False]]), (1, 3)).round(9).tolist()
    [[5.0, 5.0, 9.0]]
    """
    power = np.where(valid, image.real, 0).astype(np.float64) ** 2
    if np.iscomplexobj(image):
        power += np.where(valid, image.imag, 0).astype(np.float64) ** 2
    count = window_sum(valid.astype(np.float64), box(window))
    count[count == 0] = np.nan
    return np.asarray(window_sum(power, box(window)) / count)


def count_valid(valid: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Count the valid pixels of the window around every pixel.

    Examples
    --------
    >>> count_valid(np.ones((2, 4), bool), (3, 3)).tolist()
    [[4, 6, 6, 4], [4, 6, 6, 4]]
    """
    return window_sum(valid.astype(np.float64), box(window)).astype(np.int32)


def enough(valid: np.ndarray, window: tuple[int, int], min_valid: float) -> np.ndarray:
    """Tell where at least a share `min_valid` of the window, as the border cuts it, is valid, and the pixel itself is.

    Parameters
    ----------
    valid : (Y, X) bool
        Which pixels take part.
    window : (int, int)
        Odd size along y and x in pixels.
    min_valid : float
        Least share.

    Returns
    -------
    (Y, X) bool

    Examples
    --------
    >>> enough(np.array([[True, True, False, False]]), (1, 3), 0.6).tolist()
    [[True, True, False, False]]
    """
    inside = count_valid(np.ones(valid.shape, bool), window)
    return np.asarray(valid & (count_valid(valid, window) >= min_valid * inside))


def looks_of(count: np.ndarray, looks: float, pixels: int) -> np.ndarray:
    """Independent looks of windows of which `count` pixels are valid, where a whole window has `looks`.

    Parameters
    ----------
    count : (Y, X) int
        Valid pixels.
    looks : float
        Looks of the whole window.
    pixels : int
        Pixels of the whole window.

    Returns
    -------
    (Y, X) float64
        Exact for independent pixels and for a single one; correlated ones lie between the two.

    Examples
    --------
    >>> looks_of(np.array([1, 13, 25]), 9.0, 25).tolist()
    [1.0, 5.0, 9.0]
    """
    if pixels == 1:
        return np.full(count.shape, looks, np.float64)
    of_one = min(1.0, looks)
    return np.asarray(of_one + (looks - of_one) / (pixels - 1) * (np.maximum(count, 1) - 1.0))


def berger(coherence: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Berger's coherence, ``2 abs(S12) / (S11 + S22)``: the best estimate where both powers are known to be equal.

    Parameters
    ----------
    coherence : any shape, float
        Sample coherence, ``abs(S12) / sqrt(S11 S22)``.
    before, after : same shape, float
        Mean powers, linear.

    Returns
    -------
    same shape, float
        In [0, 1]; a change of power lowers it.

    References
    ----------
    .. [1] Berger 1957, IRE Trans. Inf. Theory 3(2), 140-146.

    Examples
    --------
    >>> float(berger(np.float64(1.0), np.float64(1.0), np.float64(4.0)))
    0.8
    """
    # the quotient first: a product of powers could leave the range of float32
    root = np.sqrt(after / before)
    return np.asarray(coherence * (2 * root / (1 + root * root)))
