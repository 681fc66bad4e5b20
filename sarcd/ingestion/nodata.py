"""No-data of images: declared by the file, set by the user, or detected.

Borders are 4-connected areas that touch the edge of the image. Each window is labelled separately. Only areas on the
rim of a window can be connected to the edge of the image, so the connected components of a graph of these areas are
sufficient. Memory grows with the rims, not with the image, and the result does not depend on the windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sarcd.errors import OptionError
from sarcd.ingestion.rasters import Layer, is_declared_nodata

CAUSES = {
    "declared": "declared no-data",
    "option": "no-data by --nodata",
    "not_finite": "not finite",
    "impossible": "impossible",
    "zero": "exact zeros",
    "border": "a border of zeros",
}
"""Causes of invalid pixels, by their name in reports; a pixel counts for the first cause that applies."""

LARGEST_AMPLITUDE = 1e18
"""Amplitudes above it are fill values such as 3.4e38; their power is not finite in float32."""
LARGEST_DECIBELS = 300.0
"""Absolute decibels above it are fill values such as -9999, which would otherwise read as an amplitude of 0."""


@dataclass(frozen=True)
class NoData:
    """User settings for no-data in one image.

    Parameters
    ----------
    value : float or complex, optional
        Stored value that is no-data, in addition to the declared one.
    guess : bool
        Whether undeclared borders are detected.
    """

    value: float | complex | None = None
    guess: bool = True

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Parse ``auto``, ``none`` or a number; the options have refused other text.

        Examples
        --------
        >>> NoData.parse("-9999"), NoData.parse("none")
        (NoData(value=-9999.0, guess=True), NoData(value=None, guess=False))
        """
        if text in (None, "auto", "none"):
            return cls(None, text != "none")
        return cls(complex(text) if "j" in text else float(text))

    def check(self, layer: Layer) -> None:
        """Raise if no pixel of a layer can have the value.

        Raises
        ------
        OptionError
            If the dtype cannot represent the value, which would then be ignored silently.
        """
        if (
            self.value is not None
            and where_value([np.zeros((1, 1), _dtype(layer))] * len(layer.bands), self.value) is None
        ):
            raise OptionError(
                f"no pixel of {layer.path} can be {number(self.value)}, since it is stored as {layer.dtype}",
                option="--nodata",
                hint="use a value as stored in the file, before scale and offset",
            )


GUESSED = NoData()
"""Default: without a value, and with detection."""


def _dtype(layer: Layer) -> np.dtype:
    return np.dtype("complex64" if layer.dtype.startswith("complex_int") else layer.dtype)


def where_value(bands: Sequence[np.ndarray], value: float | complex) -> np.ndarray | None:
    """Return where stored pixels have a value; None if their dtype cannot represent it.

    For complex pixels, a real value matches the real part if the imaginary part is 0 or the same value.

    Parameters
    ----------
    bands : sequence of (y, x) ndarray
        One band, or real and imaginary part.
    value : float or complex
        Value in the units of the file.
    """
    if isinstance(value, complex):
        if len(bands) == 1:
            return (
                np.asarray(bands[0] == np.asarray(value).astype(bands[0].dtype)) if bands[0].dtype.kind == "c" else None
            )
        parts = [is_declared_nodata(band, part) for band, part in zip(bands, (value.real, value.imag), strict=True)]
        return None if parts[0] is None or parts[1] is None else parts[0] & parts[1]
    found = is_declared_nodata(bands[0], value)
    if found is None or len(bands) == 1:
        return found
    same = is_declared_nodata(bands[1], value)
    return None if same is None else found & (same | (bands[1] == 0))


def number(value: float | complex) -> str:
    """Return a value as text, in the form of the option.

    Examples
    --------
    >>> number(-9999.0), number(1e-20), number(2 - 1j)
    ('-9999', '1e-20', '2-1j')
    """
    if isinstance(value, complex):
        return f"{value.real:.9g}{value.imag:+.9g}j"
    return f"{value:.9g}"


def repeated_corners(corners: Sequence[Sequence[np.ndarray]]) -> list[float | complex]:
    """Return the values of corners that are repeated along the edge of an image, which is rare in data.

    Parameters
    ----------
    corners : sequence of bands
        Bands of each corner, (2, 2) or less in a small image, with the corner pixel first when flattened.

    Returns
    -------
    list of float or complex
        Distinct stored values; a complex value is returned as real if ``--nodata`` matches it by the real number.
    """
    found: list[float | complex] = []
    for bands in corners:
        flat = [np.ravel(band) for band in bands]
        first = [band[0] for band in flat]
        # The neighbours along the two edges are the second and third of four pixels.
        again = [
            all(band[i] == one for band, one in zip(flat, first, strict=True)) for i in range(1, min(flat[0].size, 3))
        ]
        if not any(again):
            continue
        value = _plain(first)
        if value not in found:
            found.append(value)
    return found


def _plain(parts: Sequence[np.generic]) -> float | complex:
    if len(parts) == 1 and not np.iscomplexobj(parts[0]):
        return _shortest(parts[0])
    real, imaginary = parts if len(parts) == 2 else (np.real(parts[0]), np.imag(parts[0]))
    value = complex(_shortest(real), _shortest(imaginary))
    return value.real if value.imag in (0.0, value.real) else value


def _shortest(value: np.generic) -> float:
    """Return the shortest number with the same value in the dtype of the file: 1e-10, not 1.00000001e-10."""
    return float(str(value))


Window = tuple[slice, slice]

_EDGE = 0  # node of the graph for everything outside the image


class EdgeAreas:
    """Connectivity of pixels to the edge of an image.

    Windows are added row by row, from the top left, and form a grid over the image.

    Parameters
    ----------
    width, height : int
        Size of the image in pixels.

    Examples
    --------
    >>> mask = np.array([[1, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]], bool)
    >>> areas = EdgeAreas(4, 3)
    >>> areas.add((slice(0, 3), slice(0, 4)), mask, mask)
    >>> areas.close()
    2
    >>> areas.connected(0, mask).astype(int).tolist()
    [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    """

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._above = np.zeros(width, np.int64)  # node of each pixel in the row above the current windows, 0 for none
        self._left = np.zeros(0, np.int64)
        self._links: list[np.ndarray] = []
        self._counts = [np.zeros(1, np.int64)]
        self._windows: list[tuple[int, np.ndarray]] = []  # first node of each window, and its labels on the rim
        self._nodes = 1
        self._reached = np.zeros(0, bool)

    def add(self, window: Window, passable: np.ndarray, counted: np.ndarray) -> None:
        """Add a window.

        Parameters
        ----------
        window : (slice, slice)
            Rows and columns of the window in the image.
        passable : (y, x) bool
            Pixels that form areas.
        counted : (y, x) bool
            Pixels of these that are counted.
        """
        y, x = window
        labels, found = _label(passable)
        rims = labels[0], labels[-1], labels[:, 0], labels[:, -1]
        on_rim = np.unique(np.concatenate(rims))
        on_rim = on_rim[on_rim > 0]
        nodes = np.zeros(found + 1, np.int64)
        nodes[on_rim] = self._nodes + np.arange(len(on_rim))
        self._windows.append((self._nodes, on_rim))
        self._counts.append(np.bincount(labels[counted], minlength=found + 1)[on_rim])
        self._nodes += len(on_rim)
        top, bottom, left, right = (nodes[rim] for rim in rims)
        at_edge = y.start == 0, y.stop == self._height, x.start == 0, x.stop == self._width
        for is_edge, rim in zip(at_edge, (top, bottom, left, right), strict=True):
            if is_edge:
                self._link(rim, np.full(len(rim), _EDGE), edge=True)
        if y.start > 0:
            self._link(top, self._above[x])
        if x.start > 0:
            self._link(left, self._left)
        self._above[x], self._left = bottom, right

    def _link(self, one: np.ndarray, other: np.ndarray, *, edge: bool = False) -> None:
        touching = (one > 0) if edge else (one > 0) & (other > 0)
        if touching.any():
            self._links.append(np.unique(np.stack([one[touching], other[touching]], axis=1), axis=0))

    def close(self) -> int:
        """Find the connected areas after the last window; return how many counted pixels are connected to the edge."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        links = np.concatenate(self._links) if self._links else np.zeros((0, 2), np.int64)
        graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(self._nodes, self._nodes))
        _, component = connected_components(graph, directed=False)
        self._reached = component == component[_EDGE]
        return int(np.concatenate(self._counts)[self._reached].sum())

    def reaches(self, index: int) -> bool:
        """Return whether the window with this number, in the order of adding, has pixels connected to the edge."""
        first, on_rim = self._windows[index]
        return bool(self._reached[first : first + len(on_rim)].any())

    def connected(self, index: int, passable: np.ndarray) -> np.ndarray:
        """Return which pixels of a window, as added, are connected to the edge, (y, x) bool."""
        first, on_rim = self._windows[index]
        labels, found = _label(passable)
        reached = np.zeros(found + 1, bool)
        reached[on_rim] = self._reached[first : first + len(on_rim)]
        return np.asarray(reached[labels])


def _label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    if not mask.any():
        return np.zeros(mask.shape, np.int32), 0
    from scipy.ndimage import label

    labels, found = label(mask)
    return labels, int(found)
