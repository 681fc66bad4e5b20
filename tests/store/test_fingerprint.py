"""The digest changes with the stored data and with nothing else."""

import os
import shutil

import numpy as np
import pytest

from sarcd.store.results import fingerprint
from sarcd.store.scene import SceneStore
from tests.factories.scenes import stored_scene


@pytest.fixture
def path(tmp_path, rng):
    return stored_scene(tmp_path / "a.zarr", rng, (2, 40, 40), chunk=16)


def digest(path, *names):
    return fingerprint(SceneStore(path), names or ("slc", "time"))


def test_same_store_same_digest(tmp_path, path):
    assert digest(path) == digest(path)
    assert digest(path, "slc", "time") == digest(path, "time", "slc", "slc")
    assert digest(path, "slc") != digest(path, "time")
    faithful = shutil.copytree(path, tmp_path / "b.zarr")  # keeps the modification times
    assert digest(faithful) == digest(path)


def test_every_change_tells(path):
    seen = {digest(path)}
    chunk = path / "slc/c/1/2/0"
    data = chunk.read_bytes()
    status = chunk.stat()
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    seen.add(digest(path))
    chunk.write_bytes(data[:-1])
    os.utime(chunk, ns=(status.st_atime_ns, status.st_mtime_ns))
    seen.add(digest(path))
    chunk.unlink()
    seen.add(digest(path))
    SceneStore(path).set_attrs("slc", {"units": "volt"})
    seen.add(digest(path))
    shutil.rmtree(path / "slc")
    seen.add(digest(path))
    assert len(seen) == 6


def test_other_arrays_and_unfinished_files_do_not_count(path):
    before = digest(path)
    (path / "slc/c/0/0/9.partial").write_bytes(b"half")
    SceneStore(path).create_coordinate("other", np.zeros(3), ("n",), {})
    assert digest(path) == before
    assert digest(path, "slc", "absent") != digest(path, "slc", "missing")
