"""Patches of a scene on object storage, using a local S3 server."""

import shutil

import numpy as np
import pytest

from sarcd.config import CoherenceOptions, TrainOptions, Window
from sarcd.store.results import fingerprint
from sarcd.store.scene import SceneStore
from sarcd.training import patch_index as module
from sarcd.training.datasets import prepare
from sarcd.training.sampler import in_batches, requests
from tests.factories.labelled_scenes import toy_scene

pytest.importorskip("obstore")
OPTIONS = TrainOptions(patch=16, coherence=CoherenceOptions(window=Window(5, 5)), batch=4, cache="none")


def read(path):
    patches = prepare(OPTIONS, [path], [], draw_seed=0).training
    return patches[requests(0, in_batches(np.arange(len(patches)), len(patches)))[0]]


def test_patches_are_those_of_the_same_scene_on_disk(tmp_path, bucket, monkeypatch):
    from obstore.store import S3Store

    path = tmp_path / "a.zarr"
    toy_scene(path, side=64, squares=[(8, 8, 20)])
    store = S3Store("scenes", client_options={"allow_http": True})
    for file in (file for file in path.rglob("*") if file.is_file()):
        store.put(f"a.zarr/{file.relative_to(path).as_posix()}", file.read_bytes())
    url = f"{bucket}/a.zarr"
    x, target, _ = read(url)
    expected, labels, _ = read(shutil.copytree(path, tmp_path / "b.zarr"))
    assert x.numpy().tobytes() == expected.numpy().tobytes()
    assert target.equal(labels)
    assert "sarcd_patches_label_16" in SceneStore(url)

    counted, real = [], module._count
    monkeypatch.setattr(module, "_count", lambda *arguments: counted.append(1) or real(*arguments))
    read(url)
    assert not counted
    before = fingerprint(SceneStore(url), ["label"])
    SceneStore(url).array("label")[0, :16, :16] = 255
    assert fingerprint(SceneStore(url), ["label"]) != before
    read(url)
    assert counted
