"""Paths as GDAL takes them: files, URLs, and what is chosen within a file."""

from __future__ import annotations

import re
from pathlib import PurePath
from urllib.parse import parse_qsl, urlsplit

_PREFIXED = (
    re.compile(r'^\w{2,}:"(?P<file>[^"]+)":?(?P<inner>.*)$'),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>(?:/vsi\w+/)*\w+://(?:[^/]*@)?[^:/]*(?::\d+)?/[^:]*)(?::(?P<inner>.+))?$"),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>/?[^:]+):(?P<inner>[^/].*|//?[^/].*)$"),
)
_NUMBERED = re.compile(
    r"^(?:GTIFF_DIR:(?:off:)?|NITF_IM:|DERIVED_SUBDATASET:|[A-Z]\w*_CALIB:)(?P<part>\w+):(?P<rest>.+)$"
)
"""GDAL's names of parts of a file that put the part before the file."""
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
"""Parts of a query that cannot be what opens a file: a word, or a short number or word that a word names."""
_USER = re.compile(r"://[^/\s\"'<>]*@")
_WORD_OF_CONNECTION = re.compile(r"\b(?:user|password|passwd|pwd|pw)=(?:'[^']*'|\"[^\"]*\"|\S*)\s*", re.IGNORECASE)


def split_path(path: str) -> tuple[PurePath, str]:
    """Return the file, and what is chosen within it where the path names a GDAL subdataset; of a URL its path.

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
    """Return what a scene keeps of the path that an image was read from.

    Of a local file its name without folders; of a subdataset also what is chosen within it; a URL, or a path of GDAL's
    to object storage, whole, but without what opens it: user and password are left out, and so is the query unless
    it is of short words and numbers alone, none of them called a signature, a token, a key or the like.

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
    """Return what a scene keeps of a file: a name, or an address without what opens it."""
    file = _curl_url(file) or file
    match = _URL.match(file)
    if match is None or _LOCAL_URL.match(match["url"]):
        return file if _BUCKET.match(file) else PurePath(file).name
    return f"{match['before']}{_without_secrets(match['url'])}"


def _curl_url(file: str) -> str | None:
    """Return the address that GDAL's ``/vsicurl?header.Authorization=...&url=...`` reads, as a path of its own."""
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
    place, slash, path = base.partition("/")
    place = place.rpartition("@")[2]
    path = re.sub(r";[^/]*=[^/]*", "", path)  # a session's number
    parts = [*query.split("&"), *fragment.split("&")]
    if any(_SECRET.search(part.partition("=")[0]) or not _HARMLESS.fullmatch(part) for part in parts):
        mark = query = hash_mark = fragment = ""
    return f"{head}://{place}{slash}{path}{mark}{query}{hash_mark}{fragment}"
