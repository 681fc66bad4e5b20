"""Open layers of any raster that GDAL supports, and read windows of them."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from sarcd.errors import InputError
from sarcd.geography.georeference import Georeference, of_dataset
from sarcd.ingestion.bands import Role, band_name, choose_bands, iq_subdatasets, last_part
from sarcd.ingestion.files import item_bytes, lacking, split_path

_CACHE_BYTES = 2**27  # cache of decoded blocks for a row of tiles of a wide scene, so that none is decoded twice
_DERIVED = "DERIVED_SUBDATASETS"


@dataclass(frozen=True)
class Layer:
    """Description of a layer of pixels in a file, without open handles.

    Parameters
    ----------
    path : str
        Path as passed by the user.
    bands : tuple of (path, index)
        Bands to read, numbered from 1.
    role : Role
    names : tuple of str
        Names of the bands in the file.
    shape : (y, x)
    dtype : str
        rasterio dtype of a band.
    nodata : tuple of float or None
        Declared no-data value of each band.
    scale, offset : float
        Declared scale and offset from stored to real values.
    is_masked : bool
        Whether the file has a mask.
    palette : tuple of int or None
        Grey value of each stored value, if the band has a grey colour table.
    georeference : Georeference
    tags : dict of str to str
        Metadata of all domains of file and bands.
    """

    path: str
    bands: tuple[tuple[str, int], ...]
    role: Role
    names: tuple[str, ...]
    shape: tuple[int, int]
    dtype: str
    nodata: tuple[float | None, ...]
    scale: float
    offset: float
    is_masked: bool
    palette: tuple[int, ...] | None
    georeference: Georeference
    tags: dict[str, str]

    @property
    def is_complex(self) -> bool:
        """Whether the layer has phase."""
        return self.role == "iq" or self.dtype.startswith("complex")

    @property
    def pixel_bytes(self) -> int:
        """Memory to read and convert one pixel, in bytes."""
        return item_bytes(self.dtype) * len(self.bands) * (2 if self.dtype == "complex_int16" else 1) + 16


@contextlib.contextmanager
def gdal_session() -> Iterator[None]:
    """Limit the GDAL cache of decoded blocks."""
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        yield


@contextlib.contextmanager
def read_errors(path: str) -> Iterator[None]:
    """Convert GDAL errors to an InputError that names the file."""
    try:
        yield
    except (RasterioError, CPLE_BaseError, OSError) as error:
        deepest = error.__cause__ if str(error).startswith("Read failed") and error.__cause__ else error
        text = str(deepest).strip().splitlines()[0] if str(deepest).strip() else type(deepest).__name__
        text = re.sub(rf"^'?{re.escape(path)}'?[,:]?\s*", "", text).rstrip(".")
        missing = "://" not in path and not Path(path).exists() and split_path(path)[0] == Path(path)
        hint = "check the path" if missing else "check that the file is complete and in a format that GDAL supports"
        raise InputError("no such file" if missing else f"cannot be read ({text})", source=path, hint=hint) from error


def open_dataset(path: str) -> Any:
    """Open a raster without the warning about a missing georeference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def open_layer(path: str, *, band: str | None = None, iq: bool = False) -> Layer:
    """Open the layer of pixels in a raster.

    Parameters
    ----------
    path : str
        Anything that GDAL can open: a file, a folder, or a subdataset such as ``ZARR:"stack.zarr":/slc``.
    band : str, optional
        Number or name of a band, or of two, as in ``1,2``, for the real and imaginary part. By default a file must have
        one band, two bands named as real and imaginary part, or identical 8-bit bands.
    iq : bool
        Whether two bands are the real and imaginary part, regardless of their names.

    Raises
    ------
    InputError
        If the file cannot be read or is truncated, or the choice of bands is ambiguous.
    """
    with read_errors(path), open_dataset(path) as dataset:
        if dataset.count == 0:
            real, imaginary = iq_subdatasets(path, dataset, band)
            return _join(path, dataset, real, imaginary)
        short = lacking(dataset, open_dataset)
        if short:
            raise InputError(f"is truncated: {short}", source=path, hint="copy it again from its source")
        chosen, role = choose_bands(path, dataset, band, iq)
        return _describe(path, [(path, dataset, index) for index in chosen], role)


def _join(path: str, container: Any, real: str, imaginary: str) -> Layer:
    with open_dataset(real) as first, open_dataset(imaginary) as second:
        layer = _describe(path, [(real, first, 1), (imaginary, second, 1)], "iq")
    names = (last_part(real), last_part(imaginary))
    return replace(layer, names=names, tags={**container.tags(), **layer.tags})


def _describe(path: str, parts: Sequence[tuple[str, Any, int]], role: Role) -> Layer:
    _, first, index = parts[0]
    dtypes = {dataset.dtypes[i - 1] for _, dataset, i in parts}
    if len(dtypes) > 1 or len({dataset.shape for _, dataset, _ in parts}) > 1:
        raise InputError("its two bands differ in size or type", source=path, hint="select others with --band")
    flags = first.mask_flag_enums[index - 1]
    return Layer(
        path=path,
        bands=tuple((name, i) for name, _, i in parts),
        role=role,
        names=tuple(band_name(dataset, i) for _, dataset, i in parts),
        shape=first.shape,
        dtype=dtypes.pop(),
        nodata=tuple(dataset.nodatavals[i - 1] for _, dataset, i in parts),
        scale=first.scales[index - 1],
        offset=first.offsets[index - 1],
        is_masked=MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
        palette=_grey_palette(path, first, index),
        georeference=of_dataset(first),
        tags=_all_tags(first, index),
    )


def _all_tags(dataset: Any, index: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for band in (index, 0):
        domains = dataset.tag_namespaces(band) if band else dataset.tag_namespaces()
        for domain in [None, *domains]:
            if domain != _DERIVED:
                tags.update(dataset.tags(band, ns=domain) if band else dataset.tags(ns=domain))
    return tags


def _grey_palette(path: str, dataset: Any, index: int) -> tuple[int, ...] | None:
    if dataset.colorinterp[index - 1] != ColorInterp.palette:
        return None
    colours = dataset.colormap(index)
    table = tuple(colours.get(value, (0, 0, 0))[0] for value in range(max(colours) + 1))
    if any(len(set(colour[:3])) > 1 for colour in colours.values()):
        return ()  # colours have no order, which is needed for images but not for labels
    return None if table == tuple(range(len(table))) else table


class LayerReader:
    """Reader of windows of a layer; like GDAL handles, it must be used in the thread that opened it.

    Parameters
    ----------
    layer : Layer
    """

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self._stack = contextlib.ExitStack()
        self._bands: list[tuple[Any, int]] = []

    def __enter__(self) -> Self:
        datasets: dict[str, Any] = {}
        with read_errors(self.layer.path):
            for path, index in self.layer.bands:
                if path not in datasets:
                    datasets[path] = self._stack.enter_context(open_dataset(path))
                self._bands.append((datasets[path], index))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, y: slice, x: slice) -> tuple[list[np.ndarray], np.ndarray | None]:
        """Return the stored bands of a window (one of several identical ones), and the mask of the file.

        Returns
        -------
        bands : list of ndarray
            One (y, x) array, or real and imaginary part.
        masked : ndarray of bool or None
            True where the file masks a pixel.

        Raises
        ------
        InputError
            If the window cannot be read, or bands that must be identical are not.
        """
        window = Window(x.start, y.start, x.stop - x.start, y.stop - y.start)
        with read_errors(self.layer.path):
            bands = [dataset.read(index, window=window) for dataset, index in self._bands]
            masked = None
            if self.layer.is_masked:
                dataset, index = self._bands[0]
                masked = dataset.read_masks(index, window=window) == 0
        if self.layer.role == "equal":
            if any(not np.array_equal(bands[0], other) for other in bands[1:]):
                raise InputError(
                    f"its {len(bands)} bands differ", source=self.layer.path, hint="select one with --band"
                )
            bands = bands[:1]
        return bands, masked


def is_declared_nodata(values: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Return where values equal the declared no-data value; None if their dtype cannot represent it."""
    if nodata is None:
        return None
    if np.isnan(nodata):
        return np.isnan(values) if values.dtype.kind in "fc" else None
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        if nodata != int(nodata) or not limits.min <= nodata <= limits.max:
            return None
    real = values.real if values.dtype.kind == "c" else values
    with np.errstate(over="ignore"):
        found: np.ndarray = real == np.asarray(nodata).astype(real.dtype)
    if values.dtype.kind == "c":
        found &= (values.imag == 0) | (values.imag == values.real)
    return found
