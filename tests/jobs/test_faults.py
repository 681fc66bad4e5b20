"""Faults of real machines, simulated with real processes: no data are lost, and one line says what to do."""

import json
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene
from tests.processes import caught_at, chunks, mounted, only_line, sarcd, tree

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals and mounts of POSIX"),
]
SHAPE, CHUNK, TOTAL = (2, 208, 208), 16, 169  # enough chunks to interrupt between the first and the last
OPTIONS = ("--window", "7")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Store a scene, and beside it the results of undisturbed jobs."""
    path = tmp_path_factory.mktemp("faults") / "source.zarr"
    stored_scene(path, np.random.default_rng(0), SHAPE, chunk=CHUNK, holes=0.01)
    undisturbed = path.with_name("undisturbed.zarr")
    shutil.copytree(path, undisturbed)
    assert main(["coherence", str(undisturbed), *OPTIONS]) == 0
    return path


@pytest.fixture
def scene(tmp_path, source):
    return shutil.copytree(source, tmp_path / "scene.zarr")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model_file(tmp_path_factory.mktemp("model") / "m.safetensors", widths=(4, 8))


def undisturbed(source):
    return tree(source.with_name("undisturbed.zarr"))


def half_made(scene):
    """Kill a job half-way."""
    with caught_at(scene, "coherence", TOTAL // 2, "coherence", scene, *OPTIONS) as process:
        process.kill()
    assert TOTAL // 2 <= len(chunks(scene, "coherence")) < TOTAL


def test_power_cut(scene, source):
    half_made(scene)
    emptied, truncated, zeroed = chunks(scene, "coherence")[:3]
    emptied.write_bytes(b"")
    truncated.write_bytes(truncated.read_bytes()[:-5])
    zeroed.write_bytes(bytes(zeroed.stat().st_size))
    rerun = sarcd("coherence", scene, *OPTIONS)
    assert rerun.returncode == 0
    assert re.fullmatch(
        rf"warning: {scene}/coherence/c/0/\d+/\d+ and 2 more damaged by a crash or a power cut; computing again\n",
        rerun.stderr,
    )
    assert tree(scene) == undisturbed(source)


def test_changed_settings_and_older_versions_are_not_mixed(scene, source):
    half_made(scene)
    other = only_line(sarcd("coherence", scene, "--window", "5"))
    assert other.startswith(f"error: {scene}/coherence: was begun with other settings (window {{'y': 7, 'x': 7}}, now")
    assert "--overwrite" in other
    metadata = scene / "coherence" / "zarr.json"
    ours = metadata.read_text()
    metadata.write_text(re.sub(r'"sarcd_version": "[^"]*"', '"sarcd_version": "0.0.1"', ours))
    older = only_line(sarcd("coherence", scene, *OPTIONS))
    assert older.startswith(f"error: {scene}/coherence: was begun with other settings (begun by sarcd 0.0.1)")
    assert "--overwrite" in older
    assert main(["coherence", str(scene), *OPTIONS, "--overwrite"]) == 0
    assert tree(scene) == undisturbed(source)


@pytest.mark.parametrize("job", ["coherence", "predict"])
def test_interrupt(scene, source, model, job):
    if job == "coherence":
        name, options = "coherence", OPTIONS
    else:
        name, options = "change", ("--model", str(model), "--tiles", "16", "--device", "cpu")
        assert main(["statistics", str(scene)]) == 0
    with caught_at(scene, name, 10, job, scene, *options) as process:
        process.send_signal(signal.SIGINT)  # once is enough
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    said = [line for line in err.splitlines() if "is computed in the same pass" not in line]
    assert said == ["interrupted; the same command resumes"]
    left = len(chunks(scene, name))
    assert 10 <= left < TOTAL
    rerun = sarcd(job, scene, *options, "--json")
    assert json.loads(rerun.stdout)["regions_kept"] >= left - 2  # with two variables, one may be a region ahead
    if job == "coherence":
        assert tree(scene) == undisturbed(source)


def test_two_writers(scene, source):
    with caught_at(scene, "coherence", 10, "coherence", scene, *OPTIONS) as first:
        first.send_signal(signal.SIGSTOP)
        second = only_line(sarcd("coherence", scene, "--window", "5", "--overwrite"))
        first.send_signal(signal.SIGCONT)
        assert first.communicate(timeout=60)[1] == ""
    assert second == (
        f"error: {scene}: another process is writing 'coherence'. Wait for it to end, then run this again.\n"
    )
    assert first.returncode == 0
    assert tree(scene) == undisturbed(source)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "absent"])
def test_corrupt_image(scene, source, damage, capsys):
    chunk = scene / "slc" / "c" / "1" / "7" / "11"
    whole = chunk.read_bytes()
    spoil(chunk, damage)
    line = only_line(sarcd("coherence", scene, *OPTIONS))
    assert line.startswith("error: slc/c/1/7/11: chunk cannot be read (")
    assert line.endswith("). Restore it from a copy, or ingest again.\n")
    assert "coherence" not in xr.open_zarr(scene)
    assert main(["statistics", str(scene)]) == 1
    assert capsys.readouterr().err == line
    chunk.write_bytes(whole)
    assert main(["coherence", str(scene), *OPTIONS]) == 0
    assert tree(scene) == undisturbed(source)


def spoil(chunk, damage):
    whole = bytearray(chunk.read_bytes())
    if damage == "absent":
        chunk.unlink()
        return
    if damage == "flipped":
        whole[len(whole) // 2] ^= 4
    chunk.write_bytes(whole if damage == "flipped" else whole[: len(whole) // 2])


def test_corrupt_result(scene, source, model):
    shutil.copytree(source.with_name("undisturbed.zarr") / "coherence", scene / "coherence")
    assert main(["coherence", str(scene), "--window", "5", "--overwrite"]) == 0
    spoil(scene / "coherence" / "c" / "0" / "3" / "4", "flipped")
    predict = ("predict", scene, "--model", model, "--device", "cpu")
    line = sarcd(*predict).stderr.splitlines()[-1]
    assert line.startswith("error: coherence/c/0/3/4: chunk cannot be read (")
    assert "Compute 'coherence' again with --overwrite" in line
    assert "change" not in xr.open_zarr(scene)
    assert main(["coherence", str(scene), "--window", "5", "--overwrite"]) == 0
    assert main([str(word) for word in predict]) == 0


def test_other_schema_version(scene, model, tmp_path, capsys):
    root = scene / "zarr.json"
    root.write_text(root.read_text().replace('"sarcd_schema": 1', '"sarcd_schema": 9'))
    before = tree(scene)
    line = only_line(sarcd("coherence", scene))
    assert line == (
        f"error: {scene}: the store has schema version 9, and this version of sarcd reads 1. "
        "Use the version of sarcd that wrote it, or ingest the images again.\n"
    )
    others = (
        ["statistics", scene],
        ["predict", scene, "--model", model],
        ["info", scene],
        ["evaluate", scene],
        ["export", scene, tmp_path / "out.tif"],
        ["ingest", model, "-o", scene, "--append"],
    )
    for words in others:
        assert main([str(word) for word in words]) == 1
        assert "the store has schema version 9" in capsys.readouterr().err
    assert tree(scene) == before


def test_full_disk(tmp_path, source):
    with mounted(tmp_path / "disk", "-o", "size=6m") as problem:
        if problem:
            pytest.skip(f"no small disk can be mounted here: {problem}")
        scene = shutil.copytree(source, tmp_path / "disk" / "scene.zarr")
        before = tree(scene)
        leave(tmp_path / "disk", 64 * 4096)  # one page per chunk: room for some of them
        line = only_line(sarcd("coherence", scene, *OPTIONS))
        hint = "Free some space there, then run the same command again"
        assert line == f"error: {scene}/coherence: no space left on device. {hint}.\n"
        assert 0 < len(chunks(scene, "coherence")) < TOTAL
        assert {name: data for name, data in tree(scene).items() if not name.startswith("coherence/")} == before
        leave(tmp_path / "disk", 0)
        line = only_line(sarcd("statistics", scene))
        assert line.startswith(f"error: {scene}")
        assert line.endswith(f": no space left on device. {hint}.\n")
        assert "coherence" not in xr.open_zarr(scene)
        line = only_line(sarcd("simulate", tmp_path / "disk" / "new.zarr", "--size", "64"))
        assert "no space left on device" in line
        assert [file.name for file in (tmp_path / "disk").glob("*new.zarr*")] == []
        (tmp_path / "disk" / "ballast").unlink()
        assert main(["coherence", str(scene), *OPTIONS]) == 0
        assert tree(scene) == undisturbed(source)


def leave(disk, space):
    """Fill a disk except for the given number of bytes."""
    with (disk / "ballast").open("ab") as file:
        file.write(bytes(max(0, shutil.disk_usage(disk).free - space)))


READ_ONLY = {
    "disk": re.compile(
        r"error: /disk/.scene.zarr.(coherence|structure).lock: cannot lock the store for writing "
        r"\(read-only file system\)[.] Make the store's folder writable, or copy the scene[.]\n$"
    ),
    "store": re.compile(
        r"error: /disk/scene.zarr\S*: read-only file system[.] Check its permissions, or name another place[.]\n$"
    ),
}


@pytest.mark.parametrize("what", ["disk", "store"])
def test_read_only(tmp_path, source, what):
    with mounted(tmp_path / "disk", "-o", "size=6m") as problem:
        if problem:
            pytest.skip(f"permissions do not stop an administrator, and nothing can be mounted here: {problem}")
        scene = shutil.copytree(source, tmp_path / "disk" / "scene.zarr")
        before = tree(scene)
        place = scene if what == "store" else tmp_path / "disk"
        with mounted(place, "--bind", kind=None, source=place) if what == "store" else mounted(tmp_path / "x"):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
            for command in (["coherence", *OPTIONS], ["statistics"]):
                line = only_line(sarcd(command[0], scene, *command[1:]))
                assert READ_ONLY[what].match(line.replace(str(tmp_path), "")), line
            assert main(["info", str(scene)]) == 0
            assert tree(scene) == before
