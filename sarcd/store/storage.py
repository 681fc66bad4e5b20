"""Where scenes lie: folders, and object storage by URL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sarcd.errors import SceneError

_RETRY_SECONDS = 30  # obstore's own three minutes are long to wait for a slip of the pen in an address


def is_url(path: str | Path) -> bool:
    """Tell a URL, such as ``s3://bucket/scene.zarr``, from a path."""
    return "://" in str(path)


def zarr_place(path: str | Path) -> Any:
    """Return what Zarr opens: the path itself, or the object storage that a URL means.

    Parameters
    ----------
    path : str or Path
        A folder, or a URL that obstore knows (``s3://``, ``gs://``, ``az://`` ...). Credentials, region and endpoint
        come from the usual variables of the environment, such as ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``.

    Raises
    ------
    SceneError
        If obstore is not installed or does not know the URL.
    """
    if not is_url(path):
        return str(path)
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
        from zarr.storage import ObjectStore
    except ImportError as error:
        raise SceneError("obstore is not installed", where=str(path), mend="pip install 'sarcd[s3]'") from error
    from datetime import timedelta

    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    try:
        store = from_url(
            str(path).rstrip("/"),
            client_options={"allow_http": True} if plain else None,
            retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
        )
    except (BaseError, ValueError) as error:
        mend = "give a path, or a URL as s3://bucket/scene.zarr, gs:// or az://"
        told = f"no URL of object storage ({str(error).splitlines()[0]})"
        raise SceneError(told, where=str(path), mend=mend) from error
    return ObjectStore(store)
