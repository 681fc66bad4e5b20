"""Compiled kernels, cached between test runs in the user's cache folder.

numba only detects changes in the file of a kernel itself, and not in the files whose kernels and constants it uses. The
folder is therefore keyed by all kernel sources and by the compiler versions.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.metadata
import shutil
import sys
import tempfile
import time
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from llvmlite import binding

SOURCES = Path(__file__).resolve().parents[1] / "sarcd"
_UNUSED_SECONDS = 14 * 86400  # other folders unused for longer are removed


def kernel_cache() -> Path:
    """Return a folder for exclusive use by this test run: the cached one, or a new one if that is in use.

    Each worker uses its own subfolder, since processes that compile into one folder race.
    """
    kept = platformdirs.user_cache_path("sarcd-tests") / _key()
    try:
        kept.mkdir(parents=True, exist_ok=True)
        lock = FileLock(kept / "lock")
        lock.acquire(timeout=0)
    except (OSError, Timeout):
        fresh = Path(tempfile.mkdtemp(prefix="sarcd-numba-"))
        atexit.register(shutil.rmtree, fresh, ignore_errors=True)
        return fresh
    atexit.register(lock.release)
    _remove_unused(kept)
    return kept


def _key() -> str:
    digest = hashlib.sha256(repr((sys.version, importlib.metadata.version("numba"))).encode())
    digest.update(f"{binding.get_host_cpu_name()} {binding.get_host_cpu_features().flatten()}".encode())
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_bytes()
        if b"numba" in text or "kernels" in str(path.relative_to(SOURCES)):
            digest.update(str(path).encode() + text)  # numba names cache entries by the path of the source
    return digest.hexdigest()[:16]


def _remove_unused(kept: Path) -> None:
    (kept / "used").touch()
    for other in kept.parent.iterdir():
        used = other / "used"
        if other != kept and used.exists() and time.time() - used.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
