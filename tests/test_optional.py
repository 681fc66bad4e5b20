"""Base install: everything that needs no extra works without any, and the rest names its extra in one line."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sarcd.errors import MissingPackageError, SarcdError
from sarcd.optional import require
from sarcd.simulation import sites
from sarcd.store.create import write_scene
from sarcd_cli.main import COMMANDS
from tests.factories.rasters import UTM, write_raster

ROOT = Path(__file__).resolve().parents[1]

EXTRAS = {
    "learn": ("torch", "torchvision", "safetensors"),
    "plot": ("matplotlib",),
    "cluster": ("distributed",),
    "s3": ("obstore",),
}

RUN_WITHOUT = """
import contextlib, io, json, sys
from importlib.machinery import PathFinder
packages, calls = json.loads(sys.stdin.read())

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in packages else super().find_spec(name, path, target)

sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]
from sarcd_cli.main import main
found = []
for words in calls:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def without(packages, calls, folder):
    """Run commands in one new process that lacks some packages; returns exit code, stdout and stderr of each."""
    given = json.dumps([packages, [words.split() for words in calls]])
    done = subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT], input=given, cwd=folder, check=True, capture_output=True, text=True
    )
    return dict(zip(calls, json.loads(done.stdout), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optional")
    scene = sites.simulate("A", size=64)
    write_scene(scene, folder / "scene.zarr")
    for date, image in zip(("20230304", "20230315"), scene["slc"].values, strict=True):
        write_raster(folder / f"{date}.tif", image, **UTM)
    return folder


BASE = (
    "--help",
    "--version",
    *(f"{name} --help" for name in COMMANDS),
    "simulate other.zarr --site A --size 64",
    "ingest 20230304.tif 20230315.tif -o mine.zarr",
    "info scene.zarr",
    "statistics scene.zarr",
    "coherence scene.zarr",
    "detect scene.zarr --method ratio-test",
    "evaluate scene.zarr",
    "export scene.zarr map.tif",
    "export scene.zarr map.gpkg",
    "remove scene.zarr coherence",
    "train --print-config",
)

NETWORKS = "networks need PyTorch, which is not installed. Install it with: pip install 'sarcd[learn]'"
PICTURES = "pictures need matplotlib, which is not installed. Install it with: pip install 'sarcd[plot]'"
STORAGE = "object storage needs obstore, which is not installed. Install it with: pip install 'sarcd[s3]'"
CLUSTER = "a cluster needs dask.distributed, which is not installed. Install it with: pip install 'sarcd[cluster]'"
REFUSED = {
    "predict scene.zarr --name own": NETWORKS,
    "predict scene.zarr --name own --model none.safetensors": NETWORKS,
    "detect scene.zarr": f"{NETWORKS}, or use --method ratio-test",
    "detect scene.zarr --method pretrained": f"{NETWORKS}, or use --method ratio-test",
    "detect scene.zarr --method network --name own": f"{NETWORKS}, or use --method ratio-test",
    "detect scene.zarr --method auto-label-free --name own": f"{NETWORKS}, or use --method ratio-test",
    "train scene.zarr -o model.safetensors": NETWORKS,
    "train scene.zarr -o model.safetensors --unlabelled other.zarr": NETWORKS,
    "pseudo-label scene.zarr --model none.safetensors": NETWORKS,
    "threshold scene.zarr --best-f1 --model none.safetensors": NETWORKS,
    "demo": NETWORKS,
    "evaluate scene.zarr --picture errors.png": PICTURES,
    "export scene.zarr map.png": PICTURES,
    "info s3://bucket/scene.zarr": f"s3://bucket/scene.zarr: {STORAGE}",
    "statistics s3://bucket/scene.zarr": f"s3://bucket/scene.zarr: {STORAGE}",
    "coherence scene.zarr --scheduler tcp://127.0.0.1:9": f"tcp://127.0.0.1:9: {CLUSTER}",
}


@pytest.fixture(scope="module")
def ran(folder):
    return without(sum(EXTRAS.values(), ()), [*BASE, *REFUSED], folder)


@pytest.mark.parametrize("command", BASE)
def test_the_base_install_runs_what_needs_no_extra(ran, command):
    code, out, err = ran[command]
    assert (code, "error" in err) == (0, False), err
    assert out


@pytest.mark.parametrize(("command", "line"), REFUSED.items())
def test_a_missing_extra_is_named_in_one_line(ran, command, line):
    code, out, err = ran[command]
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"error: {line}."
    assert err.count("error") == 1


def test_training_and_prediction_need_no_other_extra(folder, tmp_path):
    """Without matplotlib a training run has no plot of its curves; all other output is present."""
    train = (
        f"train {folder}/scene.zarr -o model.safetensors --widths 4,8 --patch 32 --batch 2 --epochs 1 --val-fraction 0"
    )
    calls = [train, f"predict {folder}/scene.zarr --model model.safetensors --name learnt"]
    packages = [name for extra, names in EXTRAS.items() if extra != "learn" for name in names]
    for code, _, err in without(packages, calls, tmp_path).values():
        assert code == 0, err
    assert (tmp_path / "model.run" / "config.toml").exists()
    assert not list((tmp_path / "model.run").glob("*.png"))


@pytest.mark.parametrize(("package", "extra"), [(name, extra) for extra, names in EXTRAS.items() for name in names])
def test_every_optional_package_has_an_extra_of_the_same_name(monkeypatch, package, extra):
    """Python code can catch it as an ImportError."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        require(package)
    assert isinstance(caught.value, MissingPackageError)
    assert isinstance(caught.value, SarcdError)
    assert caught.value.hint == f"install it with: pip install 'sarcd[{extra}]'"


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = {extra: {re.match(r"[\w-]+", line)[0] for line in lines} for extra, lines in extras.items()}
    assert {extra: names[extra] for extra in EXTRAS} == {extra: set(packages) for extra, packages in EXTRAS.items()}
    assert extras["all"] == [f"sarcd[{','.join(EXTRAS)}]"]
    assert not {package for packages in EXTRAS.values() for package in packages} & {
        re.match(r"[\w-]+", line)[0] for line in project["dependencies"]
    }
