"""Labels from rasters whose values mean change, or from vector files burned into the scene's grid."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.io.georef import Georeference
from sarcd.io.rasters import Layer, LayerReader, is_declared_nodata, open_layer
from sarcd.schema import NO_LABEL

_BLOCK = 1024  # rows and columns looked at a time when values are listed
_MOST_LISTED = 12

Window = tuple[slice, slice]


@dataclass(frozen=True)
class LabelWords:
    """Which values of a label file mean change, and which mean that nothing is known.

    Parameters
    ----------
    change, ignore : tuple of (lowest, highest)
        Ranges with both ends; empty where the user said nothing.
    """

    change: tuple[tuple[float, float], ...] = ()
    ignore: tuple[tuple[float, float], ...] = ()

    @classmethod
    def parse(cls, change: str | None, ignore: str | None) -> LabelWords:
        """Read the words of ``--label-change`` and ``--label-ignore``.

        Examples
        --------
        >>> LabelWords.parse("1,128-255", None).change
        ((1.0, 1.0), (128.0, 255.0))
        """
        return cls(_ranges(change, "--label-change"), _ranges(ignore, "--label-ignore"))

    def translate(self, values: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
        """Return 1, 0 and 255 for the values of a file; `unknown` is where the file itself declares no-data.

        255 means unlabelled, unless ``--label-change`` names it.
        """
        change = _within(values, self.change) if self.change else values == 1
        ignore = _within(values, self.ignore) | ~np.isfinite(values) | ((values == NO_LABEL) & ~change)
        if unknown is not None:
            ignore |= unknown
        labels = change.astype("uint8")
        labels[ignore] = NO_LABEL
        return labels

    def check(self, values: set[float], where: str) -> None:
        """Raise unless every value of a file has a meaning.

        Raises
        ------
        InputError
            Listing the values.
        """
        if self.change:
            return
        rest = {value for value in values if not _within(np.array([value]), self.ignore)[0]}
        # 0 and 255 alone are the commonest way of writing "no" and "yes": not to be taken for "no" and "unlabelled".
        if rest <= {0.0, 1.0} or (rest <= {0.0, 1.0, 255.0} and 1.0 in rest):
            return
        ordered = sorted(rest)
        listed = ", ".join(f"{value:g}" for value in ordered[:_MOST_LISTED])
        more = f" and {len(ordered) - _MOST_LISTED} more" if len(ordered) > _MOST_LISTED else ""
        raise InputError(
            f"label values are {listed}{more}, not 0 and 1",
            where=where,
            mend="say which mean change, as --label-change 128-255, and which mean unlabelled, as --label-ignore 255",
        )


def _ranges(text: str | None, option: str) -> tuple[tuple[float, float], ...]:
    if text is None:
        return ()
    number = r"-?\d+(?:\.\d+)?"
    found = []
    for word in text.split(","):
        match = re.fullmatch(rf"\s*({number})(?:\s*-\s*({number}))?\s*", word)
        low, high = (float(match[1]), float(match[2] or match[1])) if match else (1.0, 0.0)
        if low > high:
            raise OptionError(
                f"{word!r} is no value or range", where=option, mend="use values as in 255, 1,2 or 128-255"
            )
        found.append((low, high))
    return tuple(found)


def _within(values: np.ndarray, ranges: tuple[tuple[float, float], ...]) -> np.ndarray:
    inside = np.zeros(values.shape, bool)
    for low, high in ranges:
        inside |= (values >= low) & (values <= high)
    return inside


class LabelReader(Protocol):
    """Gives the labels of windows of the scene."""

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Return a window as (y, x) uint8: 1, 0, 255."""


class LabelFile(Protocol):
    """A label file that fits the scene."""

    @property
    def path(self) -> str:
        """The file, as the user gave it."""

    def open(self) -> contextlib.AbstractContextManager[LabelReader]:
        """Give a reader, to be used in the thread that opened it."""


@dataclass(frozen=True)
class RasterLabels:
    """A raster on the scene's own grid."""

    path: str
    layer: Layer
    words: LabelWords

    @contextlib.contextmanager
    def open(self) -> Iterator[LabelReader]:
        """Give a reader, to be used in the thread that opened it."""
        with LayerReader(self.layer) as reader:
            yield _RasterReader(reader, self.words)


@dataclass(frozen=True)
class _RasterReader:
    reader: LayerReader
    words: LabelWords

    def values(self, y: slice, x: slice) -> tuple[np.ndarray, np.ndarray | None]:
        bands, masked = self.reader.read(y, x)
        declared = is_declared_nodata(bands[0], self.reader.layer.nodata[0])
        if masked is None or declared is None:
            return bands[0], masked if declared is None else declared
        return bands[0], masked | declared

    def read(self, y: slice, x: slice) -> np.ndarray:
        return self.words.translate(*self.values(y, x))


def open_labels(path: str, *, shape: tuple[int, int], georeference: Georeference, words: LabelWords) -> LabelFile:
    """Find the labels that a file holds for a scene, and check that they fit it.

    Parameters
    ----------
    path : str
        A raster of the scene's size, or a vector file of any format that OGR reads.
    shape : (y, x)
        Size of the scene.
    georeference : Georeference
        Of the scene.
    words : LabelWords
        What values mean.

    Raises
    ------
    InputError
        If the file cannot be read, lies elsewhere, or has values that nobody explained.
    """
    from sarcd.io.vectors import open_vector

    try:
        layer = open_layer(path)
    except InputError as error:
        if not Path(path).exists() or "cannot be read" not in error.error:
            raise
        vector = open_vector(path, shape=shape, georeference=georeference, words=words)
        if vector is None:
            raise
        return vector
    _check_grid(layer, shape, georeference)
    labels = RasterLabels(path, layer, words)
    if not words.change:
        words.check(_values_of(labels), path)
    return labels


def _check_grid(layer: Layer, shape: tuple[int, int], georeference: Georeference) -> None:
    if layer.is_complex:
        raise InputError("is complex, which labels are not", where=layer.path)
    if layer.shape != shape:
        raise InputError(
            f"has {layer.shape[0]} x {layer.shape[1]} pixels, the scene {shape[0]} x {shape[1]}",
            where=layer.path,
            mend="draw the labels on the scene's grid, or give polygons in a vector file",
        )
    # Pictures carry no georeference: of the scene's size, they are taken to be drawn over it.
    if layer.georeference.kind != "none" and georeference.kind != "none":
        difference = georeference.difference(layer.georeference, shape)
        if difference:
            raise InputError(f"differs from the scene in {difference}", where=layer.path, mend="resample it first")


def _values_of(labels: RasterLabels) -> set[float]:
    """Return the values of a label raster, less what it declares no-data; so many at most as can be listed."""
    found: set[float] = set()
    with LayerReader(labels.layer) as reader:
        for y, x in blocks(labels.layer.shape, (_BLOCK, _BLOCK)):
            values, unknown = _RasterReader(reader, labels.words).values(y, x)
            seen = values if unknown is None else values[~unknown]
            found |= {float(value) for value in np.unique(seen[np.isfinite(seen)])}
            if len(found) > 1000:  # this is an image
                break
    return found


def blocks(shape: tuple[int, int], size: tuple[int, int]) -> Iterator[Window]:
    """Yield the windows of a grid of blocks, row by row.

    Examples
    --------
    >>> len(list(blocks((5, 4), (2, 3))))
    6
    """
    for y in range(0, shape[0], size[0]):
        for x in range(0, shape[1], size[1]):
            yield slice(y, min(y + size[0], shape[0])), slice(x, min(x + size[1], shape[1]))
