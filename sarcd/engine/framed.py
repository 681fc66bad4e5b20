"""Part of an image together with the pixels around it, in pieces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Framed(NamedTuple):
    """Part of an image, with the pixels around it that a window reaches, in pieces.

    Parameters
    ----------
    centre : (Y, X)
        The part itself.
    above, below : (N, L + X + R), optional
        Rows above and below it, including the corners; None if there are none.
    left, right : (Y, L), (Y, R), optional
        Columns left and right of it; None if there are none.

    Examples
    --------
    >>> image = np.arange(12).reshape(3, 4)
    >>> framed = Framed(image[:2, 1:3], below=image[2:], left=image[:2, :1], right=image[:2, 3:])
    >>> (framed.whole() == image).all(), framed.whole()[framed.inside].tolist()
    (np.True_, [[1, 2], [5, 6]])
    """

    centre: np.ndarray
    above: np.ndarray | None = None
    below: np.ndarray | None = None
    left: np.ndarray | None = None
    right: np.ndarray | None = None

    @property
    def lengths(self) -> tuple[int, int, int, int, int, int]:
        """Number of rows above, in and below the centre, and of columns left of, in and right of it."""
        height, width = self.centre.shape
        above, below = (0 if rows is None else rows.shape[0] for rows in (self.above, self.below))
        left, right = (0 if columns is None else columns.shape[1] for columns in (self.left, self.right))
        return above, height, below, left, width, right

    @property
    def inside(self) -> tuple[slice, slice]:
        """Position of the centre in the whole."""
        above, height, _, left, width, _ = self.lengths
        return slice(above, above + height), slice(left, left + width)

    def pieces(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return the pieces above, below, left of, in and right of the centre, empty where there are none."""
        nothing = self.centre[:0, :0]
        above, below, left, right = (
            nothing if piece is None else piece for piece in (self.above, self.below, self.left, self.right)
        )
        return above, below, left, self.centre, right

    def whole(self) -> np.ndarray:
        """Join the pieces; without any around the centre, return the centre itself, not a copy."""
        if all(piece is None for piece in self[1:]):
            return self.centre
        above, height, below, left, width, right = self.lengths
        out: np.ndarray = np.empty((above + height + below, left + width + right), self.centre.dtype)
        rows, columns = self.inside
        out[rows, columns] = self.centre
        for piece, place in (
            (self.above, np.s_[:above]),
            (self.below, np.s_[above + height :]),
            (self.left, np.s_[rows, :left]),
            (self.right, np.s_[rows, left + width :]),
        ):
            if piece is not None:
                out[place] = piece
        return out
