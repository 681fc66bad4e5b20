"""Partly copied stores and deleted files: refused with a helpful hint, and never made unreadable."""

import shutil

import numpy as np
import pytest
import xarray as xr
import zarr

import sarcd  # noqa: F401  registers .sarcd
from sarcd import estimation, jobs
from sarcd.config import DetectOptions
from sarcd.errors import CorruptChunkError, SceneError, StoreError
from sarcd.store.info import scene_info
from sarcd.store.results import remove
from sarcd.store.scene import SceneStore, open_scene
from sarcd_cli.main import main
from tests.factories.rasters import write_raster
from tests.factories.scenes import memory_scene, random_slc, stored_scene

SHAPE = (3, 52, 48)

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:Dataset has no geotransform")


@pytest.fixture
def foreign(tmp_path, rng):
    scene = memory_scene(rng, SHAPE)
    times = scene["time"].values
    label = (rng.random((2, *SHAPE[1:])) < 0.3).astype("uint8")
    scene = scene.assign_coords(before=("pair", times[:-1]), after=("pair", times[1:]))
    scene.assign(label=(("pair", "y", "x"), label)).to_zarr(tmp_path / "s.zarr")
    return tmp_path / "s.zarr"


@pytest.fixture
def own(tmp_path, rng):
    path = stored_scene(tmp_path / "own.zarr", rng, SHAPE)
    jobs.coherence(path)
    return path


def folder(path, name):
    shutil.rmtree(path / name)


def metadata(path, name):
    (path / name / "zarr.json").unlink()


def torn_metadata(path, name):
    (path / name / "zarr.json").write_text("{}")


@pytest.mark.parametrize("lose", [folder, metadata, torn_metadata])
@pytest.mark.parametrize("name", ["slc", "time", "y", "label"])
def test_an_array_that_is_listed_and_gone(foreign, lose, name):
    lose(foreign, name)
    for refused in (open_scene, jobs.coherence, jobs.statistics):
        with pytest.raises(StoreError, match=rf"{name}: the store lists this array.*copy the whole store again"):
            refused(foreign)


def test_images_that_are_gone_are_no_no_data_for_plain_opens(foreign):
    folder(foreign, "slc")
    with pytest.raises(StoreError, match="slc: the store lists this array"):
        estimation.coherence(xr.open_zarr(foreign))


def test_labels_that_are_gone_are_not_no_change(foreign):
    opened = xr.open_zarr(foreign)
    opened["change"] = opened["label"].variable.copy(data=np.zeros(opened["label"].shape, "uint8"))
    folder(foreign, "label")
    with pytest.raises(StoreError, match="label: the store lists this array"):
        opened.sarcd.evaluate()


@pytest.mark.parametrize("name", ["label", "coherence"])
def test_appending_beside_an_array_that_is_gone_harms_nothing(foreign, own, tmp_path, rng, name):
    path = foreign if name == "label" else own
    write_raster(tmp_path / "later.tif", random_slc(rng, (1, *SHAPE[1:]))[0])
    folder(path, name)
    before = (path / "zarr.json").read_bytes()
    assert main(["ingest", "--append", str(tmp_path / "later.tif"), "-o", str(path), "--date", "2025-06-01"]) == 1
    assert (path / "zarr.json").read_bytes() == before
    assert xr.open_zarr(path).sizes["pair"] == 2


def test_a_result_that_was_deleted_is_told_taken_off_the_list_and_made_again(own):
    folder(own, "coherence")
    states = {variable["name"]: variable["state"] for variable in scene_info(own)["variables"]}
    assert states["coherence"] == "damaged"
    with pytest.raises(StoreError, match=r"'sarcd remove .* coherence' takes it off the list"):
        jobs.coherence(own)
    assert remove(own, ["coherence"]) == ["coherence"]
    jobs.coherence(own)
    np.testing.assert_array_equal(xr.open_zarr(own)["coherence"], estimation.coherence(xr.open_zarr(own)[["slc"]]))


@pytest.mark.parametrize("name", ["time", "before", "y"])
@pytest.mark.parametrize("harm", ["absent", "torn"])
def test_a_coordinate_that_cannot_be_read(own, name, harm):
    chunk = own / name / "c" / "0"
    chunk.unlink()
    if harm == "torn":
        chunk.write_bytes(b"junk")
    with pytest.raises(CorruptChunkError, match=f"^{name}/c/0: chunk cannot be read.*Restore it from a copy"):
        jobs.coherence(own, name="coherence_new")


@pytest.mark.parametrize("name", ["time", "y"])
def test_an_axis_of_others_that_is_gone(foreign, name):
    (foreign / name / "c" / "0").unlink()
    with pytest.raises(CorruptChunkError, match=f"{name}/c/0: chunk cannot be read .absent."):
        jobs.coherence(foreign)


def test_a_grid_mapping_that_cannot_be_read_is_named(own):
    (own / "spatial_ref" / "c").write_bytes(b"junk")
    with pytest.raises(CorruptChunkError, match=r"spatial_ref/c: .*Restore it"):
        jobs.detect(own, DetectOptions("ratio-test"), name="new")


def without_root(path):
    (path / "zarr.json").unlink()


def half_a_root(path):
    root = path / "zarr.json"
    root.write_bytes(root.read_bytes()[:400])


@pytest.mark.parametrize("harm", [without_root, half_a_root])
def test_a_root_that_is_gone(own, harm):
    harm(own)
    for refused in (open_scene, SceneStore):
        with pytest.raises(SceneError, match=r"zarr\.json.*copy the whole store again"):
            refused(own)


def test_places_that_are_near_a_scene(own, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("no scene")
    zarr.open_group(tmp_path / "tree.zarr", mode="w")
    shutil.copytree(own, tmp_path / "tree.zarr" / "iw1")
    for place, told in {
        "own.zarr/slc": r"is one array of a store[.] Pass the store: .*own\.zarr[.]$",
        "empty": r"not a Zarr group .an empty folder.[.] Make a scene",
        "tree.zarr": r"in subgroups .iw1.[.] Pass one of them: .*tree\.zarr/iw1[.]$",
    }.items():
        with pytest.raises(SceneError, match=told):
            open_scene(tmp_path / place)
    for place in ("note.txt", "nowhere.zarr"):
        with pytest.raises(SceneError, match=r"is a file|no such scene"):
            remove(tmp_path / place, ["change"])
    with pytest.raises(SceneError, match="Use a path, or a URL such as s3"):
        open_scene("memory://s.zarr")


def test_arrays_that_do_not_fit_each_other(own):
    xr.Dataset({"label": (("pair", "y", "x"), np.zeros((1, *SHAPE[1:]), "uint8"))}).to_zarr(own, mode="a")
    with pytest.raises(SceneError, match=r"conflicting sizes.*'pair'.*Delete the array that does not match"):
        open_scene(own)
