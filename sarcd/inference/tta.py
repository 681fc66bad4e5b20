"""Ways to show a network the same ground: dates exchanged, and turned round along either axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variant:
    """One way to show a network its input.

    Turned tiles stay exact: their sides are multiples of the stride, so the cells of every level of the network fall on
    the same pixels, and the result is that of one pass over the whole padded scene, turned round and turned back.

    Parameters
    ----------
    swap : bool
        The two dates exchanged.
    flip_azimuth, flip_range : bool
        Turned round along y, along x.

    Examples
    --------
    >>> tiles = np.arange(8).reshape(1, 2, 2, 2)
    >>> Variant(swap=True, flip_azimuth=True).turn(tiles, ("before", "after")).ravel().tolist()
    [6, 7, 4, 5, 2, 3, 0, 1]
    """

    swap: bool = False
    flip_azimuth: bool = False
    flip_range: bool = False

    def turn(self, inputs: np.ndarray, channels: Sequence[str]) -> np.ndarray:
        """Return inputs (B, C, H, W) as this variant shows them."""
        if self.swap:
            other = {"before": "after", "after": "before"}
            inputs = inputs[:, [channels.index(other.get(name, name)) for name in channels]]
        return self.turn_back(inputs)

    def turn_back(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (..., H, W) turned as the ground lies."""
        y, x = (slice(None, None, -1 if flip else 1) for flip in (self.flip_azimuth, self.flip_range))
        return outputs[..., y, x]


PLAIN = Variant()


def variants(*, swap: bool = False, flips: bool = False) -> list[list[Variant]]:
    """Return the variants to take the mean over; those that differ in the order of the dates are together.

    Parameters
    ----------
    swap : bool
        Both orders of the dates.
    flips : bool
        As it lies, turned round along y, along x, and along both.

    Examples
    --------
    >>> [len(group) for group in variants(swap=True, flips=True)]
    [2, 2, 2, 2]
    """
    turns = [(False, False), (True, False), (False, True), (True, True)] if flips else [(False, False)]
    return [[Variant(order, *turn) for order in ((False, True) if swap else (False,))] for turn in turns]
