"""Labels from rasters whose values mean change, or from vector files burned into the scene's grid."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.io.georef import Georeference
from sarcd.io.label_report import Understood
from sarcd.io.label_shapes import NotAVectorFileError, split_layer
from sarcd.io.rasters import Layer, LayerReader, is_declared_nodata, open_layer
from sarcd.schema import NO_LABEL

_BLOCK = 1024  # rows and columns looked at a time when values are listed
_MOST_LISTED = 12
_KINDS = ((1, "change"), (0, "none"), (NO_LABEL, "unlabelled"))

Window = tuple[slice, slice]


@dataclass(frozen=True)
class LabelWords:
    """Which values of a label file mean change, and which mean that nothing is known.

    Parameters
    ----------
    change, ignore : tuple of (lowest, highest)
        Ranges with both ends; empty where the user said nothing.
    change_names, ignore_names : tuple of str
        Words that an attribute of a vector file may hold in place of numbers, in lower case.
    """

    change: tuple[tuple[float, float], ...] = ()
    ignore: tuple[tuple[float, float], ...] = ()
    change_names: tuple[str, ...] = ()
    ignore_names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, change: str | None, ignore: str | None) -> LabelWords:
        """Read the words of ``--label-change`` and ``--label-ignore``.

        Examples
        --------
        >>> LabelWords.parse("1,128-255", None).change
        ((1.0, 1.0), (128.0, 255.0))
        >>> LabelWords.parse("Slide, dump", None).change_names
        ('slide', 'dump')
        """
        (changed, changed_names), (ignored, ignored_names) = (
            _ranges(change, "--label-change"),
            _ranges(ignore, "--label-ignore"),
        )
        return cls(changed, ignored, changed_names, ignored_names)

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
        if self.change_names:
            raise InputError(
                f"label values are numbers ({_listed(sorted(values))}), none of them {self.change_names[0]!r}",
                where=where,
                mend="say which mean change, as --label-change 128-255",
            )
        rest = {value for value in values if not _within(np.array([value]), self.ignore)[0]}
        # 0 and 255 alone are the commonest way of writing "no" and "yes": not to be taken for "no" and "unlabelled".
        if rest <= {0.0, 1.0} or (rest <= {0.0, 1.0, 255.0} and 1.0 in rest):
            return
        raise InputError(
            f"label values are {_listed(sorted(rest))}, not 0 and 1",
            where=where,
            mend="say which mean change, as --label-change 128-255, and which mean unlabelled, as --label-ignore 255",
        )

    def describe(self, values: set[float]) -> str:
        """Say what each of the values of a file is taken for.

        Examples
        --------
        >>> LabelWords.parse("128-255", "7").describe({0.0, 2.0, 7.0, 200.0})
        '200: change; 0, 2: none; 7: unlabelled'
        """
        ordered = np.array(sorted(values))
        labels = self.translate(ordered, None)
        if len(ordered) > _MOST_LISTED:
            ranges = [(self.change, "change"), (self.ignore, "unlabelled")]
            said = [f"{_ranges_text(own)}: {kind}" for own, kind in ranges if own]
            return "; ".join([*said, f"other values from {ordered[0]:g} to {ordered[-1]:g}: none"])
        found = [(ordered[labels == value].tolist(), kind) for value, kind in _KINDS]
        return "; ".join(f"{_listed(own)}: {kind}" for own, kind in found if own)

    def translate_texts(self, texts: np.ndarray, field: str, where: str) -> tuple[np.ndarray, str]:
        """Return 1, 0 and 255 for an attribute of words, 255 where there is none, and the rule in words.

        Raises
        ------
        InputError
            If nobody said which words mean change, or none of the words is there.
        """
        lower = np.array([text.lower() for text in texts], object)
        known = sorted({text for text in texts if text})
        changed, ignored = (np.isin(lower, list(names)) for names in (self.change_names, self.ignore_names))
        if not changed.any():
            more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
            unnamed = ", none of which --label-change names" if self.change_names or self.change else ""
            raise InputError(
                f"its attribute '{field}' is no number: it holds {', '.join(known[:_MOST_LISTED])}{more}{unnamed}",
                where=where,
                mend=f"say which mean change, as --label-change {known[0]!r}, and which unlabelled (--label-ignore)",
            )
        ignored |= lower == ""
        labels = changed.astype("uint8")
        labels[ignored] = NO_LABEL
        found = [(sorted({text for text in texts[labels == value] if text}), kind) for value, kind in _KINDS]
        return labels, "; ".join(f"{', '.join(own[:_MOST_LISTED])}: {kind}" for own, kind in found if own)


def _ranges_text(ranges: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges)


def _listed(values: Sequence[float]) -> str:
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(f"{value:g}" for value in values[:_MOST_LISTED]) + more


def _ranges(text: str | None, option: str) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Return ranges of numbers, and words."""
    if text is None:
        return (), ()
    number = r"-?\d+(?:\.\d+)?"
    found, names = [], []
    for word in text.split(","):
        if re.fullmatch(r"\s*[^\W\d_][\w ]*", word):
            names.append(word.strip().lower())
            continue
        match = re.fullmatch(rf"\s*({number})(?:\s*-\s*({number}))?\s*", word)
        low, high = (float(match[1]), float(match[2] or match[1])) if match else (1.0, 0.0)
        if low > high:
            raise OptionError(
                f"{word!r} is no value or range", where=option, mend="use values as in 255, 1,2 or 128-255"
            )
        found.append((low, high))
    return tuple(found), tuple(names)


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

    @property
    def understood(self) -> Understood:
        """How it was read."""

    def open(self) -> contextlib.AbstractContextManager[LabelReader]:
        """Give a reader, to be used in the thread that opened it."""


@dataclass(frozen=True)
class RasterLabels:
    """A raster on the scene's own grid."""

    path: str
    layer: Layer
    words: LabelWords
    understood: Understood

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


def open_labels(
    path: str,
    *,
    shape: tuple[int, int],
    georeference: Georeference,
    words: LabelWords,
    layer: str | None = None,
    field: str | None = None,
) -> LabelFile:
    """Find the labels that a file holds for a scene, and check that they fit it.

    Parameters
    ----------
    path : str
        A raster of the scene's size, or a vector file of any format that OGR reads, in a zip archive too; with its
        layer as ``FILE|layername=NAME``.
    shape : (y, x)
        Size of the scene.
    georeference : Georeference
        Of the scene.
    words : LabelWords
        What values mean.
    layer, field : str, optional
        Layer of a vector file, where the path names none, and attribute that holds the values of its shapes.

    Raises
    ------
    InputError
        If the file cannot be read, lies elsewhere, or has values that nobody explained.
    """
    from sarcd.io.vectors import open_vector

    file, named = (path, None) if Path(path).exists() else split_layer(path)
    try:
        if named is not None:
            return open_vector(file, shape=shape, georeference=georeference, words=words, layer=named, field=field)
        raster = _open_raster(file)
    except NotAVectorFileError as error:
        raise _unread(file, error, error) from error
    except InputError as error:
        # Whether a path exists is for GDAL to tell: it may lie in an archive, or elsewhere than on this disk.
        if error.error != "no such file" and not error.error.startswith("cannot be read"):
            raise
        try:
            return open_vector(file, shape=shape, georeference=georeference, words=words, layer=layer, field=field)
        except NotAVectorFileError as other:
            raise _unread(file, error, other) from other
    return _raster_labels(raster, shape, georeference, words)


def _open_raster(path: str) -> Layer:
    """Return the one band of a raster of labels."""
    try:
        try:
            return open_layer(path)
        except InputError:
            if not path.lower().endswith(".zip") or "://" in path or path.startswith("/vsi"):
                raise
            return replace(open_layer(f"/vsizip/{path}"), path=path)
    except InputError as error:
        if "--band" not in (error.mend or ""):  # which is of images
            raise
        mend = f"save the one with the labels as a file of its own, or name it as vrt://{path}?bands=1"
        raise InputError(error.error, where=error.where, mend=mend) from error


def _unread(path: str, as_raster: InputError, as_vector: InputError) -> InputError:
    """Return the error of the two that says more of a file that neither GDAL nor OGR opens."""
    if as_raster.error == "no such file" or not re.search(r"\.(shp|gpkg|\w*json\w*|kml|kmz|gml|fgb|csv)$", path, re.I):
        return InputError(as_raster.error, where=path, mend=as_raster.mend)
    return InputError(as_vector.error, where=path, mend=as_vector.mend)


def _raster_labels(layer: Layer, shape: tuple[int, int], georeference: Georeference, words: LabelWords) -> RasterLabels:
    """Check a raster of labels, all of it, before anything is written."""
    path = layer.path
    _check_grid(layer, shape, georeference)
    labels = RasterLabels(path, layer, words, Understood(""))
    values, unknown = _values_of(labels)
    if not values:
        raise InputError(
            "holds no label: every pixel is no-data", where=path, mend="check its no-data value, or leave it out"
        )
    words.check(values, path)
    notes = []
    if unknown:
        notes.append(f"{unknown:,} pixels of no-data are unlabelled")
    if layer.georeference.kind == "none" and georeference.kind != "none":
        notes.append("it has no georeference and is laid over the scene pixel by pixel")
    if layer.georeference.kind != "none" and georeference.kind == "none":
        notes.append("its georeference is not looked at, since the scene has none")
    if (layer.scale, layer.offset) != (1.0, 0.0):
        notes.append(f"its scale {layer.scale:g} and offset {layer.offset:g} are not applied to label values")
    return replace(labels, understood=Understood(words.describe(values), notes=tuple(notes)))


def _check_grid(layer: Layer, shape: tuple[int, int], georeference: Georeference) -> None:
    if layer.is_complex:
        raise InputError(
            "is complex, which labels are not", where=layer.path, mend="give a raster of 0 and 1, or polygons"
        )
    if layer.shape != shape:
        turned = layer.shape == shape[::-1]
        raise InputError(
            f"has {layer.shape[0]} x {layer.shape[1]} pixels, the scene {shape[0]} x {shape[1]}",
            where=layer.path,
            mend="it may be transposed: swap its rows and columns"
            if turned
            else "draw the labels on the scene's grid, or give polygons in a vector file",
        )
    # Pictures carry no georeference: of the scene's size, they are taken to be drawn over it.
    if layer.georeference.kind != "none" and georeference.kind != "none":
        difference = georeference.difference(layer.georeference, shape)
        if difference:
            mend = "resample it first"
            if _is_upside_down(layer.georeference, georeference):
                mend = "it is stored bottom row first, or the scene is: turn it over, as with gdalwarp"
            raise InputError(f"differs from the scene in {difference}", where=layer.path, mend=mend)


def _is_upside_down(one: Georeference, other: Georeference) -> bool:
    return one.transform is not None and other.transform is not None and one.transform.e * other.transform.e < 0


def _values_of(labels: RasterLabels) -> tuple[set[float], int]:
    """Return the values of a label raster, so many at most as can be listed, and the pixels that it declares no-data.

    Raises
    ------
    InputError
        If it cannot be read to its end, or is a picture in colours.
    """
    found: set[float] = set()
    hidden = 0
    with LayerReader(labels.layer) as reader:
        for y, x in blocks(labels.layer.shape, (_BLOCK, _BLOCK)):
            try:
                values, unknown = _RasterReader(reader, labels.words).values(y, x)
            except InputError as error:
                if "bands differ" not in error.error:
                    raise
                raise InputError(
                    "is a picture in colours, which have no order",
                    where=labels.path,
                    mend="save it as one band of 0 and 1, or as polygons",
                ) from error
            known = np.isfinite(values) if unknown is None else np.isfinite(values) & ~unknown
            hidden += int(values.size - np.count_nonzero(known))
            if len(found) <= 1000:  # else this is an image
                found |= {float(value) for value in np.unique(values[known])}
    return found, hidden


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
