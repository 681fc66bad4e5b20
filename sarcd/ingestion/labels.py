"""Read labels from rasters, or from vector files rasterised onto the grid of the scene."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sarcd.errors import InputError
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_mapping import LabelMapping, Understood
from sarcd.ingestion.label_shapes import NotAVectorFileError, split_layer
from sarcd.ingestion.rasters import Layer, LayerReader, is_declared_nodata, open_layer
from sarcd.store.pairs import Pair

_BLOCK = 1024  # rows and columns read at a time to list values

Window = tuple[slice, slice]


class LabelReader(Protocol):
    """Reader of the labels of windows of the scene."""

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Return a window of labels, (y, x) uint8: 1, 0, 255."""


class LabelFile(Protocol):
    """Label file that matches the scene."""

    @property
    def path(self) -> str:
        """Path as passed by the user."""

    @property
    def understood(self) -> Understood:
        """How the file is read."""

    def open(self) -> contextlib.AbstractContextManager[LabelReader]:
        """Open a reader, which must be used in the same thread."""


@dataclass(frozen=True)
class RasterLabels:
    """Raster of labels on the grid of the scene."""

    path: str
    layer: Layer
    words: LabelMapping
    understood: Understood

    @contextlib.contextmanager
    def open(self) -> Iterator[LabelReader]:
        """Open a reader, which must be used in the same thread."""
        with LayerReader(self.layer) as reader:
            yield _RasterReader(reader, self.words)


@dataclass(frozen=True)
class _RasterReader:
    reader: LayerReader
    words: LabelMapping

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
    words: LabelMapping,
    layer: str | None = None,
    field: str | None = None,
    pair: Pair | None = None,
) -> LabelFile:
    """Open the labels of a scene in a file, and check that they match it.

    Parameters
    ----------
    path : str
        Raster of the size of the scene, or vector file in any format that OGR reads, also in a zip archive; with a
        layer as ``FILE|layername=NAME``.
    shape : (y, x)
        Size of the scene.
    georeference : Georeference
        Georeference of the scene.
    words : LabelMapping
        Meaning of values.
    layer, field : str, optional
        Layer of a vector file, if the path has none, and attribute with the values of its shapes.
    pair : (before, after), optional
        Pair of the labels; shapes with the dates of another pair are left out.

    Raises
    ------
    InputError
        If the file cannot be read, is elsewhere, or has values without a defined meaning.
    """
    from sarcd.ingestion.vectors import open_vector

    file, named = (path, None) if Path(path).exists() else split_layer(path)
    given: dict[str, Any] = {"shape": shape, "georeference": georeference, "words": words, "field": field, "pair": pair}
    try:
        if named is not None:
            return open_vector(file, layer=named, **given)
        raster = _open_raster(file)
    except NotAVectorFileError as error:
        raise _unread(file, error, error) from error
    except InputError as error:
        # Only GDAL knows whether a path exists: it may be in an archive, or not on this disk.
        if error.error != "no such file" and not error.error.startswith("cannot be read"):
            raise
        try:
            return open_vector(file, layer=layer, **given)
        except NotAVectorFileError as other:
            raise _unread(file, error, other) from other
    return _raster_labels(raster, shape, georeference, words)


def _open_raster(path: str) -> Layer:
    """Return the single band of a raster of labels."""
    try:
        try:
            return open_layer(path)
        except InputError:
            if not path.lower().endswith(".zip") or "://" in path or path.startswith("/vsi"):
                raise
            return replace(open_layer(f"/vsizip/{path}"), path=path)
    except InputError as error:
        if "--band" not in (error.hint or ""):  # which is an option of images
            raise
        hint = f"save the band with the labels as a separate file, or pass it as vrt://{path}?bands=1"
        raise InputError(error.error, source=error.source, hint=hint) from error


def _unread(path: str, as_raster: InputError, as_vector: InputError) -> InputError:
    """Return the more informative of the errors of GDAL and OGR, neither of which can open the file."""
    if as_raster.error == "no such file" or not re.search(r"\.(shp|gpkg|\w*json\w*|kml|kmz|gml|fgb|csv)$", path, re.I):
        return InputError(as_raster.error, source=path, hint=as_raster.hint)
    return InputError(as_vector.error, source=path, hint=as_vector.hint)


def _raster_labels(
    layer: Layer, shape: tuple[int, int], georeference: Georeference, words: LabelMapping
) -> RasterLabels:
    """Check all values of a raster of labels before anything is written."""
    path = layer.path
    _check_grid(layer, shape, georeference)
    labels = RasterLabels(path, layer, words, Understood(""))
    values, unknown = _values_of(labels)
    if not values:
        raise InputError(
            "contains no label, since every pixel is no-data",
            source=path,
            hint="check its no-data value, or leave it out",
        )
    words.check(values, path)
    notes = []
    if unknown:
        notes.append(f"{unknown:,} pixels of no-data are unlabelled")
    if layer.georeference.kind == "none" and georeference.kind != "none":
        notes.append("it has no georeference and is matched to the scene pixel by pixel")
    if layer.georeference.kind != "none" and georeference.kind == "none":
        notes.append("its georeference is ignored, since the scene has none")
    if (layer.scale, layer.offset) != (1.0, 0.0):
        notes.append(f"its scale {layer.scale:g} and offset {layer.offset:g} are not applied to label values")
    return replace(labels, understood=Understood(words.describe(values), notes=tuple(notes)))


def _check_grid(layer: Layer, shape: tuple[int, int], georeference: Georeference) -> None:
    if layer.is_complex:
        raise InputError(
            "is complex, but labels must be real", source=layer.path, hint="use a raster of 0 and 1, or polygons"
        )
    if layer.shape != shape:
        is_transposed = layer.shape == shape[::-1]
        raise InputError(
            f"has {layer.shape[0]} x {layer.shape[1]} pixels, but the scene has {shape[0]} x {shape[1]}",
            source=layer.path,
            hint="it may be transposed; swap its rows and columns"
            if is_transposed
            else "draw the labels on the grid of the scene, or use polygons in a vector file",
        )
    # Plain pictures have no georeference; those of the size of the scene are matched pixel by pixel.
    if layer.georeference.kind != "none" and georeference.kind != "none":
        difference = georeference.difference(layer.georeference, shape)
        if difference:
            hint = "resample it first"
            if _is_upside_down(layer.georeference, georeference):
                hint = "it or the scene is stored bottom row first; flip it, for example with gdalwarp"
            raise InputError(f"differs from the scene in {difference}", source=layer.path, hint=hint)


def _is_upside_down(one: Georeference, other: Georeference) -> bool:
    return one.transform is not None and other.transform is not None and one.transform.e * other.transform.e < 0


def _values_of(labels: RasterLabels) -> tuple[set[float], int]:
    """Return the values of a label raster, up to a maximum number, and the number of no-data pixels.

    Raises
    ------
    InputError
        If it cannot be read completely, or is a colour picture.
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
                    "is a colour picture, and colours have no order",
                    source=labels.path,
                    hint="save it as one band of 0 and 1, or as polygons",
                ) from error
            known = np.isfinite(values) if unknown is None else np.isfinite(values) & ~unknown
            hidden += int(values.size - np.count_nonzero(known))
            if len(found) <= 1000:  # otherwise it is an image, not labels
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
