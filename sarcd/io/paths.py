"""Paths as GDAL takes them: files, URLs, and what is chosen within a file."""

from __future__ import annotations

import re
from pathlib import PurePath
from urllib.parse import parse_qsl, urlsplit

_PREFIXED = (
    re.compile(r'^\w{2,}:"(?P<file>[^"]+)":?(?P<inner>.*)$'),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>(?:/vsi\w+/)*\w+://[^:/]*(?::\d+)?/[^:]*):(?P<inner>.+)$"),
    re.compile(r"^(?!\w+://)\w{2,}:(?P<file>/?[^:]+):(?P<inner>[^/].*|//?[^/].*)$"),
)
_URL = re.compile(r"(?P<before>^(?:/vsi\w+/)*)(?P<url>[A-Za-z][\w+.-]*://.+)$")
_BUCKET = re.compile(r"^/vsi(?:s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?/")
_SECRET = re.compile(r"sig|token|secret|key|pass|cred|auth|policy|expires|^x-|^s[eptrv]$|^sk|user", re.IGNORECASE)
_LONGEST_VALUE = 24  # characters of a query's value; signatures are longer


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
    match = _URL.match(file)
    if match is None:
        return PurePath(file), inner
    parts = urlsplit(match["url"])
    return PurePath(parts.path if parts.path.strip("/") else f"/{parts.netloc}"), inner


def source_name(path: str) -> str:
    """Return what a scene keeps of the path that an image was read from.

    Of a local file its name without folders; of a subdataset also what is chosen within it; a URL, or a path of GDAL's
    to object storage, whole, but without what opens it: user and password are left out, and so is the query where it
    holds a signature, a token, a key or anything long.

    Examples
    --------
    >>> source_name("data/20230319.tif"), source_name('ZARR:"data/x.zarr":/i_VV')
    ('20230319.tif', 'x.zarr:/i_VV')
    >>> source_name("https://me:secret@127.0.0.1:8080/a/b.tif?X-Amz-Signature=0123")
    'https://127.0.0.1:8080/a/b.tif'
    """
    file, inner = _split(path)
    match = _URL.match(file)
    if match is not None:
        name = match["before"] + _without_secrets(match["url"])
    else:
        name = file if _BUCKET.match(file) else PurePath(file).name
    return f"{name}:{inner}" if inner else name


def _split(path: str) -> tuple[str, str]:
    match = next((match for pattern in _PREFIXED if (match := pattern.match(path))), None)
    return (match["file"], match["inner"]) if match else (path, "")


def _without_secrets(url: str) -> str:
    head, _, rest = url.partition("://")
    rest, hash_mark, fragment = rest.partition("#")
    base, mark, query = rest.partition("?")
    place, slash, path = base.partition("/")
    place = place.rpartition("@")[2]
    pairs = parse_qsl(f"{query}&{fragment}", keep_blank_values=True)
    if any(_SECRET.search(key) or len(value) > _LONGEST_VALUE for key, value in pairs):
        mark = query = hash_mark = fragment = ""
    return f"{head}://{place}{slash}{path}{mark}{query}{hash_mark}{fragment}"
