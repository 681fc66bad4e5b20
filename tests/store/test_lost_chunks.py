"""A lost chunk is an error for every reader, and never read as no-data."""

import dataclasses
import shutil

import numpy as np
import pytest
import xarray as xr

from sarcd import change, estimation, jobs
from sarcd.config import DetectOptions, SummaryOptions
from sarcd.errors import CorruptChunkError
from sarcd.exporting.export_files import export
from sarcd.metrics import evaluate
from sarcd.simulation import sites
from sarcd.store.create import write_scene
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore, open_scene
from sarcd.training.patch_index import index_patches

METHODS = ("ratio-test", "log-ratio", "coherence-test", "network", "coherence-loss")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Store a finished scene of four chunks per image, with labels, coherence and a map."""
    path = tmp_path_factory.mktemp("lost") / "s.zarr"
    write_scene(sites.simulate("A", size=96, dates=3), path, chunk=48)
    jobs.coherence(path)
    jobs.detect(path, DetectOptions("ratio-test"))
    return path


@pytest.fixture
def scene(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "s.zarr")


def lose(path, key):
    (path / key).unlink()


@pytest.mark.parametrize("method", METHODS)
def test_detect(scene, method):
    lose(scene, "slc/c/1/1/0")
    before = set(SceneStore(scene).members())
    with pytest.raises(CorruptChunkError, match=r"slc/c/1/1/0.*absent"):
        jobs.detect(scene, DetectOptions(method), name="new")
    assert set(SceneStore(scene).members()) == before
    with pytest.raises(CorruptChunkError, match="slc/c/1/1/0"):
        xr.open_zarr(scene).sarcd.detect(method=method)


JOBS = {
    "coherence": lambda path: jobs.coherence(path, name="coherence_new"),
    "statistics": jobs.statistics,
    "predict": lambda path: jobs.predict(path, name="new"),
    "summarise": lambda path: jobs.summarise(path, SummaryOptions(of="omnibus"), name="new"),
}


@pytest.mark.parametrize("job", JOBS)
def test_jobs_refuse_before_they_write(scene, job):
    lose(scene, "slc/c/2/0/1")
    before, attrs = set(SceneStore(scene).members()), dict(SceneStore(scene).attrs)
    with pytest.raises(CorruptChunkError, match="slc/c/2/0/1"):
        JOBS[job](scene)
    assert set(SceneStore(scene).members()) == before
    assert dict(SceneStore(scene).attrs) == attrs


@pytest.mark.parametrize("key", ["label/c/0/1/1", "change/c/1/0/0"])
def test_evaluate_and_export(scene, tmp_path, key):
    lose(scene, key)
    name, pair = key.split("/")[0], int(key.split("/")[2])
    for opened in (open_scene(scene), open_scene(scene, chunks=None), xr.open_zarr(scene)):
        with pytest.raises(CorruptChunkError, match=key):
            evaluate(opened)
        with pytest.raises(CorruptChunkError, match=key):
            export(opened, tmp_path / "map.tif", variable=name)
        with pytest.raises(CorruptChunkError, match=key):
            export(opened, tmp_path / "map.gpkg", variable=name)
        with pytest.raises(CorruptChunkError, match=key):
            opened.sarcd.plot()
    assert not list(tmp_path.glob("map.*"))
    export(xr.open_zarr(scene), tmp_path / "map.tif", variable=name, pair=1 - pair)  # the intact pair


def test_evidence_that_lost_a_chunk(scene, tmp_path):
    lose(scene, "change_score/c/0/0/0")
    with pytest.raises(CorruptChunkError, match="change_score/c/0/0/0"):
        export(xr.open_zarr(scene), tmp_path / "map.gpkg")


LAZY = {
    "coherence": estimation.coherence,
    "normalize": estimation.normalize,
    "features": estimation.features,
    "statistics": estimation.statistics,
    "omnibus": change.omnibus_test,
    "looks": estimation.effective_looks,
    "plot": lambda scene: scene.sarcd.plot(),
    "cut": lambda scene: estimation.coherence(scene.isel(x=slice(0, 60))),
    "renamed": lambda scene: estimation.coherence(scene.rename(y="azimuth", x="range")),
}


@pytest.mark.parametrize("verb", LAZY)
@pytest.mark.parametrize("key", ["slc/c/0/0/0", "coherence/c/1/1/1"])  # read by features
def test_lazy_verbs_on_a_plain_open(scene, verb, key):
    lose(scene, key)
    with pytest.raises(CorruptChunkError, match=key):
        LAZY[verb](xr.open_zarr(scene))


def test_a_summary_of_a_map_that_lost_a_chunk(scene):
    lose(scene, "change/c/0/0/0")
    with pytest.raises(CorruptChunkError, match="change/c/0/0/0"):
        jobs.summarise(scene, SummaryOptions(of="change"))


def test_a_summary_needs_what_it_reads_alone(scene):
    lose(scene, "label/c/0/1/1")
    assert jobs.summarise(scene, SummaryOptions(of="omnibus"), name="new").computed > 0


def test_a_mask_that_lost_a_chunk(tmp_path):
    path = tmp_path / "s.zarr"
    sites.write_site(path, "A", size=96)
    lose(path, "mask/c/0/0")
    with pytest.raises(CorruptChunkError, match="mask/c/0/0"):
        xr.open_zarr(path).sarcd.detect(method="ratio-test")


def test_pairs_that_were_never_computed_are_no_loss(tmp_path):
    path = tmp_path / "s.zarr"
    sites.write_site(path, "A", size=64, dates=3)
    jobs.coherence(path, pairs="2023-03-04:2023-03-15")
    opened = xr.open_zarr(path)
    assert np.isnan(opened["coherence"][1]).all()
    assert np.isfinite(opened.sarcd.features()[1, 2]).any()  # computed, since it is not stored
    assert dataclasses.is_dataclass(jobs.coherence(path))


def test_training_on_labels_that_lost_a_chunk(scene):
    """Read as fill values they would count as unlabelled, and no patches would be sampled there."""
    lose(scene, "label/c/0/1/1")
    with pytest.raises(CorruptChunkError, match=r"label/c/0/1/1.*absent"):
        index_patches(SceneReader(scene), 32)
    assert not list(scene.glob("sarcd_patches*"))
