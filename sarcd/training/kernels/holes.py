"""Features as a network takes them: without holes, the channels of a pixel side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit


def fill_interleaved(
    layers: Sequence[np.ndarray], constants: Sequence[float], label: np.ndarray, ignored: int
) -> tuple[np.ndarray, np.ndarray]:
    """Put channels side by side, with holes filled, and mark the holes in the labels.

    Parameters
    ----------
    layers : sequence of C (Y, X) float32
        Channels, NaN where invalid.
    constants : sequence of C float
        What holes are filled with.
    label : (Y, X) uint8
        Labels.
    ignored : int
        Value of pixels that take no part.

    Returns
    -------
    values : (Y, X, C) float32
        Without NaN.
    target : (Y, X) uint8
        Labels, `ignored` where any channel was NaN.

    Notes
    -----
    One pass over what `sarcd.estimation.channels.fill_holes` takes several over.

    Examples
    --------
    >>> before, after = np.array([[1, np.nan]], "float32"), np.array([[2, 3]], "float32")
    >>> values, target = fill_interleaved([before, after], [0.5, 0.5], np.zeros((1, 2), "uint8"), 255)
    >>> values.tolist(), target.tolist()
    ([[[1.0, 2.0], [0.5, 3.0]]], [[0, 255]])
    """
    values = np.empty((*label.shape, len(layers)), np.float32)
    target = np.array(label, np.uint8)
    for channel, (layer, constant) in enumerate(zip(layers, constants, strict=True)):
        _fill(layer, np.float32(constant), np.uint8(ignored), values[..., channel], target)
    return values, target


@njit(nogil=True, cache=True)
def _fill(layer: Any, constant: Any, ignored: Any, values: Any, target: Any) -> None:
    for y in range(layer.shape[0]):
        for x in range(layer.shape[1]):
            value = layer[y, x]
            if np.isnan(value):
                values[y, x] = constant
                target[y, x] = ignored
            else:
                values[y, x] = value
