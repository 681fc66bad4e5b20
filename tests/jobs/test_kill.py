"""A job killed at any time: the store opens, readers see nothing incomplete, and a rerun gives the same bytes."""

import random
import shutil
import sys
import time
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sarcd.store.scene import SceneStore
from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene
from tests.processes import forked, tree

SHAPE, CHUNK = (2, 208, 208), 16  # 169 chunks per variable: enough to kill between the first and the last
KILLS = {"coherence": 10, "predict": 10, "summarise": 4}


def chunks_of(scene, names):
    files = (file for name in names for file in (scene / name / "c").rglob("*") if file.is_file())
    return sum(1 for file in files if file.suffix != ".partial")


def kill_at(command, scene, names, count):
    """Run a command in a separate process and kill it after this many chunks; returns how many were written."""
    process, looked = forked(*command), 0.0
    try:
        while process.is_alive() and (reached := chunks_of(scene, names)) < count:
            if time.monotonic() - looked > 0.1:
                opened = xr.open_zarr(scene)  # while the command runs, plain xarray sees the old state
                assert not set(names) & set(opened)
                looked = time.monotonic()
            time.sleep(0.002 if reached else 0.02)
    finally:
        process.kill()
        process.join()
    return chunks_of(scene, names)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
@pytest.mark.parametrize("job", KILLS)
def test_kill_and_rerun(tmp_path, job):
    shape = (4, *SHAPE[1:]) if job == "summarise" else SHAPE
    source = stored_scene(tmp_path / "source.zarr", np.random.default_rng(0), shape, chunk=CHUNK, holes=0.01)
    if job == "coherence":
        names, options = ["coherence"], ["--window", "7"]
    elif job == "summarise":
        names, options = ["change_count", "first_change", "persistence"], ["--of", "omnibus"]
    else:
        model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
        names, options = ["change_probability", "change"], ["--model", str(model), "--tiles", "16", "--device", "cpu"]
        assert main(["statistics", str(source)]) == 0
    undisturbed = tmp_path / "undisturbed.zarr"
    shutil.copytree(source, undisturbed)
    assert main([job, str(undisturbed), *options]) == 0
    expected = tree(undisturbed)
    total = chunks_of(undisturbed, names)
    between = 0
    for count in sorted(random.Random(7).sample(range(1, total * 9 // 10), KILLS[job])):
        scene = tmp_path / f"killed{count}.zarr"
        shutil.copytree(source, scene)
        reached = kill_at([job, str(scene), *options], scene, names, count)
        between += 0 < reached < total
        check_killed(scene, names, finished=reached == total)
        assert main([job, str(scene), *options]) == 0
        assert tree(scene) == expected
        shutil.rmtree(scene)
    assert between >= 0.7 * KILLS[job]


class Stopped(BaseException):
    """Mimics a kill: nothing catches it."""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["coherence", "--estimator", "boxcar"], ["coherence"]),
        (["detect", "--method", "ratio-test"], ["change_score", "change"]),
        (["summarise", "--of", "omnibus"], ["change_count", "first_change", "persistence"]),
    ],
)
def test_stopped_after_the_last_chunk(tmp_path, monkeypatch, words, names):
    """The rerun, which finds no chunk left to compute, also writes the metadata recorded beside the chunks."""
    source = stored_scene(tmp_path / "source.zarr", np.random.default_rng(0), (3, 32, 32), chunk=16)
    job, *options = words
    undisturbed = shutil.copytree(source, tmp_path / "undisturbed.zarr")
    records = 0

    def count_or_stop(store, name, attrs, *, at=None, record=SceneStore.set_attrs):
        nonlocal records
        if records == at:
            raise Stopped
        records += 1
        record(store, name, attrs)

    with monkeypatch.context() as counting:
        counting.setattr(SceneStore, "set_attrs", count_or_stop)
        assert main([job, str(undisturbed), *options]) == 0
    for at in range(records):
        scene, records = shutil.copytree(source, tmp_path / f"stopped{at}.zarr"), 0
        with monkeypatch.context() as stopping:
            stopping.setattr(SceneStore, "set_attrs", partialmethod(count_or_stop, at=at))
            with pytest.raises(Stopped):
                main([job, str(scene), *options])
        assert chunks_of(scene, names) == chunks_of(undisturbed, names)
        check_killed(scene, names, finished=False)
        assert main([job, str(scene), *options]) == 0
        assert tree(scene) == tree(undisturbed)


def check_killed(scene: Path, names, *, finished):
    opened = xr.open_zarr(scene)
    np.testing.assert_array_equal(opened.slc, xr.open_zarr(scene.parent / "source.zarr").slc)
    if not finished:
        assert not set(names) & set(opened)
