"""Label counts are stored with the scene, hidden from other readers, and recomputed when they are out of date."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr

from sarcd.config import IngestOptions
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.info import scene_info
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore
from sarcd.store.storage import variable_locks
from sarcd.training import patch_index as module
from sarcd.training.patch_index import index_patches
from tests.factories.labelled_scenes import toy_scene
from tests.factories.rasters import UTM, slc, write_raster

NAME = "sarcd_patches_label_32"


@pytest.fixture
def path(tmp_path):
    return toy_scene(tmp_path / "a.zarr")


@pytest.fixture
def counted(monkeypatch):
    """Record the scenes that are counted instead of read from stored counts."""
    calls, real = [], module._count
    monkeypatch.setattr(module, "_count", lambda reader, *more: calls.append(reader.path) or real(reader, *more))
    return calls


def look(path, truth="label"):
    return index_patches(SceneReader(path), 32, truth)


def assert_same(a, b):
    np.testing.assert_array_equal(a.labelled, b.labelled)
    np.testing.assert_array_equal(a.changed, b.changed)


def test_counted_once(path, counted):
    first, second = look(path), look(path)
    assert_same(first, second)
    assert first.changed.sum() == 3 * 24**2
    assert counted == [path]
    index_patches(SceneReader(path), 16)
    assert len(counted) == 2


def test_counted_anew_when_labels_or_images_change(path, counted):
    look(path)
    SceneStore(path).array("label")[0, :32, :32] = 255
    assert look(path).labelled[0, 0, 0] == 0
    SceneStore(path).array("slc")[1, 64:, :64] = np.nan
    assert look(path).labelled[0, 2:, :2].sum() == 0
    assert len(counted) == 3


@pytest.mark.parametrize("harm", ["torn", "absent", "other values", "no metadata", "foreign"])
def test_damaged_counts_are_made_anew(tmp_path, path, counted, harm):
    first = look(path)
    folder = tmp_path / "a.zarr" / NAME
    (chunk,) = (p for p in (folder / "c").rglob("*") if p.is_file())
    if harm == "torn":
        chunk.write_bytes(chunk.read_bytes()[:9])
    elif harm == "absent":
        chunk.unlink()
    elif harm == "other values":
        SceneStore(path).array(NAME)[0] = 7
    elif harm == "no metadata":
        (folder / "zarr.json").write_text("{")
    else:
        metadata = json.loads((folder / "zarr.json").read_text())
        (folder / "zarr.json").write_text(json.dumps({**metadata, "attributes": {}}))
    assert_same(look(path), first)
    assert len(counted) == 2
    assert_same(look(path), first)
    assert len(counted) == 2


def test_nobody_else_sees_them(path):
    before = scene_info(path)
    look(path)
    assert NAME in SceneStore(path)
    assert scene_info(path) == before
    assert NAME not in SceneStore(path).members()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(xr.open_zarr(path).data_vars) == {"slc", "label"}


def test_store_that_cannot_be_written(path, counted, monkeypatch):
    def refuse(self, *arguments):
        raise PermissionError(13, "permission denied")

    expected = look(path)
    SceneStore(path).delete(NAME)
    monkeypatch.setattr(SceneStore, "create_coordinate", refuse)
    assert_same(look(path), expected)
    assert NAME not in SceneStore(path)


def test_other_writers_are_not_disturbed(path, counted):
    with variable_locks(path, [NAME]):
        look(path)
    assert NAME not in SceneStore(path)
    look(path)
    assert NAME in SceneStore(path)


def test_appended_dates(tmp_path, rng, counted):
    def raster(name, values):
        return write_raster(tmp_path / f"{name}.tif", values, **UTM)

    paths = [raster(day, slc(rng, (64, 64))) for day in ("20230319", "20230331", "20230412")]
    labels = raster("label", (rng.random((64, 64)) < 0.1).astype("uint8"))
    path = tmp_path / "scene.zarr"
    ingest(paths[:2], path, IngestOptions(chunk=32, labels=(labels,)))
    first = look(path)
    append(paths[2:], path, IngestOptions(chunk=32))
    second = look(path)
    assert second.labelled.shape == (2, 2, 2)
    np.testing.assert_array_equal(second.labelled, [first.labelled[0], np.zeros((2, 2))])
    assert len(counted) == 2
    assert scene_info(path)["pairs"] == [["2023-03-19", "2023-03-31"], ["2023-03-31", "2023-04-12"]]
