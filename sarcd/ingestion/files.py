"""Paths in the syntax of GDAL, and detection of truncated files that GDAL reads without an error."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np

_PREFIXED = (
    re.compile(r'^\w{2,}:"(?P<file>[^"]+)":?(?P<inner>.*)$'),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>(?:/vsi\w+/)*\w+://(?:[^/]*@)?[^:/]*(?::\d+)?/[^:]*)(?::(?P<inner>.+))?$"),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>/?[^:]+):(?P<inner>[^/].*|//?[^/].*)$"),
)
_NUMBERED = re.compile(
    r"^(?:GTIFF_DIR:(?:off:)?|NITF_IM:|DERIVED_SUBDATASET:|[A-Z]\w*_CALIB:)(?P<part>\w+):(?P<rest>.+)$"
)
"""GDAL names of parts of a file in which the part comes before the file."""
_URL = re.compile(r"(?P<before>^(?:/vsi\w+/)*)(?P<url>[A-Za-z][\w+.-]*://.+)$")
_VRT = re.compile(r"^vrt://(?P<file>.+?)(?P<options>\?[^/]*)?$", re.IGNORECASE)
_CURL_OPTIONS = re.compile(r"^/vsicurl(?:_streaming)?\?(?P<options>.+)$")
_LOCAL_URL = re.compile(r"^(?:file|zip|tar|gzip)://", re.IGNORECASE)
_BUCKET = re.compile(r"^/vsi(?:s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?/")
_SECRET = re.compile(
    r"sig|token|secret|key|pass|cred|auth|policy|expires|^x-|^s[eptrv]$|^sk|user|^pw|pwd|jwt|ticket|session|hash|^pin",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"[A-Za-z_.-]{1,20}=(?:\d{0,8}|[A-Za-z]{0,8})|[A-Za-z_.-]{1,20}|")
"""Parts of a query that cannot be a secret: a word, or a short number or word as its value."""
_USER = re.compile(r"://[^/\s\"'<>]*@")
_WORD_OF_CONNECTION = re.compile(r"\b(?:user|password|passwd|pwd|pw)=(?:'[^']*'|\"[^\"]*\"|\S*)\s*", re.IGNORECASE)


def split_path(path: str) -> tuple[PurePath, str]:
    """Return the file, and the GDAL subdataset in it if any; for a URL the path in it.

    Examples
    --------
    >>> split_path('ZARR:"stack/20230319.znap":/i_VV')
    (PurePosixPath('stack/20230319.znap'), '/i_VV')
    >>> split_path("https://127.0.0.1:8080/a/20230319.tif?x=1")
    (PurePosixPath('/a/20230319.tif'), '')
    """
    file, inner = _split(path)
    file = _curl_url(file) or file
    match = _URL.match(file)
    if match is None:
        return PurePath(file), inner
    parts = urlsplit(match["url"])
    return PurePath(parts.path if parts.path.strip("/") else f"/{parts.netloc}"), inner


def source_name(path: str) -> str:
    """Return the name under which a scene records the path of an image.

    It is the file name of a local file, and the subdataset if any. URLs and GDAL paths to object storage are recorded
    without secrets: user and password are removed, and so is the query, unless it consists only of short words and
    numbers, none of them named like a signature, a token or a key.

    Examples
    --------
    >>> source_name("data/20230319.tif"), source_name('ZARR:"data/x.zarr":/i_VV')
    ('20230319.tif', 'x.zarr:/i_VV')
    >>> source_name("https://me:secret@127.0.0.1:8080/a/b.tif?X-Amz-Signature=0123")
    'https://127.0.0.1:8080/a/b.tif'
    """
    file, inner = _split(path)
    vrt = _VRT.match(file)
    name = _file_name(file) if vrt is None else f"vrt://{source_name(vrt['file'])}{vrt['options'] or ''}"
    return _WORD_OF_CONNECTION.sub("", _USER.sub("://", f"{name}:{inner}" if inner else name)).strip()


def _file_name(file: str) -> str:
    """Return the recorded name of a file, or its URL without secrets."""
    file = _curl_url(file) or file
    match = _URL.match(file)
    if match is None or _LOCAL_URL.match(match["url"]):
        return file if _BUCKET.match(file) else PurePath(file).name
    return f"{match['before']}{_without_secrets(match['url'])}"


def _curl_url(file: str) -> str | None:
    """Return the URL in a GDAL path ``/vsicurl?header.Authorization=...&url=...``, as a path without options."""
    match = _CURL_OPTIONS.match(file)
    if match is None:
        return None
    return f"/vsicurl/{dict(parse_qsl(match['options'])).get('url', '')}"


def _split(path: str) -> tuple[str, str]:
    numbered = _NUMBERED.match(path)
    if numbered is not None:
        file, inner = _split(numbered["rest"])
        if not inner and "://" not in file:  # SENTINEL1_CALIB:UNCALIB:manifest.safe:IW1_VV:AMPLITUDE
            file, _, inner = file.partition(":")
        return file, ":".join(part for part in (numbered["part"], inner) if part)
    match = next((match for pattern in _PREFIXED if (match := pattern.match(path))), None)
    return (match["file"], match["inner"] or "") if match else (path, "")


def _without_secrets(url: str) -> str:
    head, _, rest = url.partition("://")
    rest, hash_mark, fragment = rest.partition("#")
    base, mark, query = rest.partition("?")
    host, slash, path = base.partition("/")
    host = host.rpartition("@")[2]
    path = re.sub(r";[^/]*=[^/]*", "", path)  # a session id
    parts = [*query.split("&"), *fragment.split("&")]
    if any(_SECRET.search(part.partition("=")[0]) or not _HARMLESS.fullmatch(part) for part in parts):
        mark = query = hash_mark = fragment = ""
    return f"{head}://{host}{slash}{path}{mark}{query}{hash_mark}{fragment}"


_RAW_DRIVERS = {"ENVI", "ISCE", "EHdr", "ROI_PAC", "GenBin", "PAux", "NITF"}


def item_bytes(dtype: str) -> int:
    """Return the size in bytes of a pixel of a rasterio dtype.

    Examples
    --------
    >>> item_bytes("complex_int16"), item_bytes("complex64")
    (4, 8)
    """
    return 4 if dtype == "complex_int16" else np.dtype(dtype).itemsize


def lacking(dataset: Any, opener: Callable[[str], Any]) -> str | None:
    """Return a description of missing pixels of an open dataset, or None.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Open dataset.
    opener : callable
        Opens the sources of a virtual dataset, like `rasterio.open`.

    Notes
    -----
    TIFF, JPEG, BMP, HDF5 and Zarr are not checked, because GDAL reports errors when reading them.
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
    return f"{path.name} has {size} bytes, but its image needs {wanted}" if size < wanted else None


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        return file.read()


def _is_compressed(dataset: Any) -> bool:
    if dataset.driver == "NITF":
        return bool(dataset.tags().get("NITF_IC", "NC") not in ("NC", "NM"))
    return str(dataset.tags(ns="ENVI").get("file_compression", "0")) != "0"


def _raw_bands_lack(dataset: Any) -> str | None:
    """Check the raw bands of a virtual dataset, which are plain binary files."""
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
            return f"{path.name} with its pixels is missing"
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
        except Exception:  # a header or a table, not an image
            continue
        with source:
            short = _lacking(source, opener, seen)
        if short:
            return short
    return None
