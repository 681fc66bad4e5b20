"""Truncated files that GDAL would read without a word, filling up with zeros or with chance."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_RAW_DRIVERS = {"ENVI", "ISCE", "EHdr", "ROI_PAC", "GenBin", "PAux", "NITF"}


def item_bytes(dtype: str) -> int:
    """Return the bytes of a pixel of a rasterio dtype.

    Examples
    --------
    >>> item_bytes("complex_int16"), item_bytes("complex64")
    (4, 8)
    """
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def lacking(dataset: Any, opener: Callable[[str], Any]) -> str | None:
    """Say what an open dataset lacks of its pixels, or return None.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Open dataset.
    opener : callable
        Opens the sources of a virtual dataset, as `rasterio.open` does.

    Notes
    -----
    TIFF, JPEG, BMP, HDF5 and Zarr are not looked at: for them GDAL's own reading fails.
    """
    return _lacking(dataset, opener, set())


def _lacking(dataset: Any, opener: Callable[[str], Any], seen: set[str]) -> str | None:
    files = [name for name in dataset.files if Path(name).is_file()]
    if dataset.driver == "VRT":
        return _raw_bands_lack(dataset) or _sources_lack(dataset, opener, seen)
    if dataset.driver == "PNG" and files:
        return None if b"IEND" in _tail(Path(files[0])) else "its end is missing"
    if dataset.driver in _RAW_DRIVERS and files and not _is_compressed(dataset):
        pixels = dataset.width * dataset.height
        offset = int(dataset.tags(ns="ENVI").get("header_offset", 0)) if dataset.driver == "ENVI" else 0
        return _shorter(Path(files[0]), offset + sum(pixels * item_bytes(dtype) for dtype in dataset.dtypes))
    return None


def _shorter(path: Path, wanted: int) -> str | None:
    size = path.stat().st_size
    return f"{path.name} has {size} bytes, its image needs {wanted}" if size < wanted else None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        return file.read()


def _is_compressed(dataset: Any) -> bool:
    if dataset.driver == "NITF":
        return bool(dataset.tags().get("NITF_IC", "NC") not in ("NC", "NM"))
    return str(dataset.tags(ns="ENVI").get("file_compression", "0")) != "0"


def _raw_bands_lack(dataset: Any) -> str | None:
    """Check the bands of a virtual dataset that lie as plain numbers in a file."""
    text = dataset.tags(ns="xml:VRT").get("xml:VRT")
    if not text:
        return None
    for band in ET.fromstring(text).iterfind("VRTRasterBand[@subClass='VRTRawRasterBand']"):
        source = band.find("SourceFilename")
        if source is None or not source.text:
            continue
        relative = source.get("relativeToVRT", source.get("relativetoVRT", "0")) == "1"
        path = Path(dataset.name).parent / source.text if relative else Path(source.text)
        if not path.is_file():
            return f"{path.name}, which holds its pixels, is missing"
        index = int(band.get("band", 1))
        pixel = item_bytes(dataset.dtypes[index - 1])
        step = int(band.findtext("PixelOffset") or pixel)
        line = int(band.findtext("LineOffset") or step * dataset.width)
        end = int(band.findtext("ImageOffset") or 0) + (dataset.height - 1) * line + (dataset.width - 1) * step + pixel
        short = _shorter(path, end)
        if short:
            return short
    return None


def _sources_lack(dataset: Any, opener: Callable[[str], Any], seen: set[str]) -> str | None:
    for name in dataset.files[1:]:
        if name in seen or not Path(name).is_file():
            continue
        seen.add(name)
        try:
            source = opener(name)
        except Exception:  # a header or a table beside the pixels
            continue
        with source:
            short = _lacking(source, opener, seen)
        if short:
            return short
    return None
