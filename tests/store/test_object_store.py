"""Scenes on object storage, using a local S3 server."""

import sys

import numpy as np
import pytest
import xarray as xr

import sarcd  # noqa: F401  registers .sarcd
from sarcd import jobs
from sarcd.config import CoherenceOptions, Window
from sarcd.errors import CorruptChunkError, MismatchError, SceneError, StoreError
from sarcd.jobs import cluster
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.info import scene_info
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore, open_scene, publish
from sarcd.store.storage import zarr_location
from sarcd_cli.main import main
from tests import processes
from tests.factories.networks import random_model_file
from tests.factories.rasters import UTM, slc, write_raster
from tests.factories.scenes import dates, random_slc

pytest.importorskip("obstore")


def scene_at(place, shape=(2, 70, 100), **options):
    layout = SceneLayout(dates(shape[0]), np.arange(shape[1]), np.arange(shape[2]), chunk=32)
    with NewScene(place, layout, **options) as store:
        store.array("slc")[...] = random_slc(np.random.default_rng(0), shape, holes=0.01)
    return place


def keys(url):
    from zarr.core.sync import sync

    async def listing():
        return {key async for key in zarr_location(url).list_prefix("")}

    return sync(listing())


def test_every_command(bucket, tmp_path, capsys):
    """A command's output is the same as in a folder."""
    model = str(random_model_file(tmp_path / "m.safetensors", widths=(4, 8)))
    commands = (
        ["simulate", "{}", "--size", "96", "--seed", "1"],
        ["statistics", "{}"],
        ["coherence", "{}", "--window", "7"],
        ["predict", "{}", "--model", model, "--device", "cpu"],
        ["evaluate", "{}"],
        ["info", "{}"],
    )
    outputs = []
    for scene in (f"{bucket}/a/scene.zarr", str(tmp_path / "scene.zarr")):
        for words in commands:
            assert main([word.format(scene) for word in words]) == 0, capsys.readouterr().err
        outputs.append(capsys.readouterr().out.replace(scene, "SCENE"))
        assert main(["export", scene, str(tmp_path / f"{len(outputs)}.tif")]) == 0
        capsys.readouterr()
    assert outputs[0] == outputs[1]
    assert (tmp_path / "1.tif").read_bytes() == (tmp_path / "2.tif").read_bytes()
    assert keys(f"{bucket}/a/scene.zarr") == set(processes.tree(tmp_path / "scene.zarr"))
    there, here = open_scene(f"{bucket}/a/scene.zarr"), open_scene(tmp_path / "scene.zarr")
    xr.testing.assert_identical(there.compute(), here.compute())
    assert float(there.sarcd.coherence(window=7).max()) == pytest.approx(float(here.coherence.max()), abs=1e-5)


def test_images_go_there_and_more_are_added(bucket, tmp_path, rng):
    url = f"{bucket}/scene.zarr"
    values = [slc(rng, (40, 50)) for _ in range(3)]
    days = ("20230319", "20230331", "20230412")
    images = [write_raster(tmp_path / f"{day}.tif", value, **UTM) for day, value in zip(days, values, strict=True)]
    assert main(["ingest", *images[:2], "-o", url]) == 0
    assert main(["coherence", url]) == 0
    assert main(["ingest", images[2], "-o", url, "--append"]) == 0
    scene = open_scene(url)
    np.testing.assert_array_equal(scene.slc, values)
    assert scene.sizes["pair"] == 2
    assert scene.coherence.attrs["sarcd_complete"] == [True, False]
    assert main(["ingest", *images[:2], "-o", url]) == 1


def test_a_resumed_run(bucket):
    url = scene_at(f"{bucket}/scene.zarr")
    jobs.coherence(url)
    store = SceneStore(url)
    expected = open_scene(url).coherence.values
    store.set_attrs("coherence", {"sarcd_complete": [False]})
    publish(store, remove=["coherence"])
    assert "coherence" not in open_scene(url)
    assert scene_info(url)["variables"][0]["state"] == "unfinished"
    store.delete_chunk("coherence", "c/0/1/2")
    with pytest.raises(MismatchError):
        jobs.coherence(url, CoherenceOptions(window=Window(7, 7)))
    result = jobs.coherence(url)
    assert (result.computed, result.kept) == (1, 11)
    np.testing.assert_array_equal(open_scene(url).coherence, expected)


def test_an_absent_chunk_is_named(bucket):
    url = scene_at(f"{bucket}/scene.zarr")
    SceneStore(url).delete_chunk("slc", "c/1/0/2")
    with pytest.raises(CorruptChunkError, match="slc/c/1/0/2"):
        SceneReader(url).pair_images((0, 1), slice(0, 70), slice(0, 100))


def test_a_new_scene_is_seen_when_whole(bucket):
    url = f"{bucket}/scene.zarr"
    layout = SceneLayout(dates(2), np.arange(40), np.arange(40), chunk=32)
    with NewScene(url, layout) as store:
        store.array("slc")[...] = 1
        with pytest.raises(SceneError, match="no 'slc'"):
            open_scene(url)
    assert "sarcd_unfinished" not in open_scene(url).attrs
    with pytest.raises(StoreError, match=r"already exists[.] Choose another name, or remove it first"):
        NewScene(url, layout, overwrite=True)
    assert open_scene(url).sizes["x"] == 40


def test_a_new_scene_that_failed_is_gone_and_a_killed_one_is_begun_anew(bucket):
    url = f"{bucket}/scene.zarr"
    layout = SceneLayout(dates(2), np.arange(40), np.arange(40), chunk=32)
    with pytest.raises(KeyError), NewScene(url, layout):
        raise KeyError
    assert keys(url) == set()
    NewScene(url, layout).__enter__().array("slc")[...] = 1  # never finished
    assert keys(url)
    with NewScene(url, layout) as store:
        store.array("slc")[...] = 2
    assert (open_scene(url).slc == 2).all()


def test_what_else_lies_there_is_left_alone(bucket):
    import zarr

    url = f"{bucket}/other.zarr"
    zarr.create_group(zarr_location(url)).create_array("theirs", shape=(1,), dtype="int8")
    before = keys(url)
    with pytest.raises(StoreError, match="already exists"):
        scene_at(url)
    assert keys(url) == before


@pytest.mark.distributed
def test_on_a_cluster(bucket, tmp_path):
    url, path = scene_at(f"{bucket}/scene.zarr"), scene_at(tmp_path / "scene.zarr")
    jobs.coherence(path)
    with processes.local_cluster(n_workers=2, threads_per_worker=1) as workers:
        with cluster(workers.scheduler_address):
            assert jobs.coherence(url).computed == 12
        assert main(["statistics", url, "--scheduler", workers.scheduler_address]) == 0
    assert main(["statistics", str(path)]) == 0
    xr.testing.assert_identical(open_scene(url).compute(), open_scene(path).compute())


def test_what_cannot_be_reached_is_one_line(bucket, monkeypatch, capsys):
    assert "not a Zarr group" in processes.only_line(processes.sarcd("statistics", f"{bucket}/none.zarr"))
    assert main(["statistics", "s4://bucket/scene.zarr"]) == 1
    assert capsys.readouterr().err.startswith("error: s4://bucket/scene.zarr: not a URL of object storage (")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert main(["simulate", f"{bucket}/scene.zarr", "--size", "64"]) == 1
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.endswith("Check the address, the credentials and AWS_ENDPOINT_URL.\n")
    monkeypatch.setitem(sys.modules, "obstore", None)
    assert main(["statistics", f"{bucket}/scene.zarr"]) == 1
    line = capsys.readouterr().err
    assert line.endswith("needs obstore, which is not installed. Install it with: pip install 'sarcd[s3]'.\n")
