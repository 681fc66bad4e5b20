"""Appending dates and labels to an existing scene while others read it."""

import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest
import xarray as xr

from sarcd.attributes import decode
from sarcd.config import IngestOptions
from sarcd.errors import InputError, LockedError, MismatchError, OptionError, SceneError
from sarcd.ingestion import append as module
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.chunks import expected_keys, require_chunks
from sarcd.store.pairs import pair_indices, select_pairs
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore, open_scene, publish
from sarcd.store.storage import variable_locks
from tests.factories.rasters import UTM, slc, truncate, write_raster
from tests.said import logged

SHAPE = (40, 50)
MADE_BY = MadeBy("coherence", {"window": 5})
CHUNKED = IngestOptions(chunk=16)


def image(folder, day, rng, **profile):
    values = slc(rng, SHAPE)
    return write_raster(folder / f"{day}.tif", values, **{**UTM, **profile}), values


def label(folder, name, rng):
    values = rng.choice(np.array([0, 1, 255], "uint8"), SHAPE)
    return write_raster(folder / f"{name}.tif", values, **UTM), values


@pytest.fixture
def scene(tmp_path, rng):
    """Store a scene of two dates, in chunks of 16, with labels and coherence."""
    paths, values = zip(*(image(tmp_path, day, rng) for day in ("20230319", "20230331")), strict=True)
    labelled, truth = label(tmp_path, "first", rng)
    path = tmp_path / "scene.zarr"
    ingest(paths, path, IngestOptions(chunk=16, labels=(labelled,)))
    publish(SceneStore(path), attrs={"amplitude_statistics": {"median": [1.0], "dates": ["2023-03-19", "2023-03-31"]}})
    compute_coherence(path, 0.5)
    return path, np.stack(values), truth


def compute_coherence(path, value, name="coherence"):
    store = SceneStore(path)
    with stage(store, [name], range(len(store.dates("before"))), MADE_BY) as staging:
        for region in staging.missing():
            size = region.y.stop - region.y.start, region.x.stop - region.x.start
            staging.write(region, {name: np.full(size, value, "float32")})
        staging.finish()


def tree(path):
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def assert_grown(path, values, truth, new, *, new_truth=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = xr.open_zarr(path)
    np.testing.assert_array_equal(found["slc"].values, [*values, new])
    np.testing.assert_array_equal(found["after"].values, found["time"].values[1:])
    np.testing.assert_array_equal(found["before"].values, found["time"].values[:-1])
    unknown = np.full(SHAPE, 255, "uint8")
    np.testing.assert_array_equal(found["label"].values, [truth, unknown if new_truth is None else new_truth])
    coherence = found["coherence"].values
    assert (coherence[0] == 0.5).all()
    assert np.isnan(coherence[1]).all()
    assert found["label"].attrs["sarcd_complete"] == [True, new_truth is not None]
    assert found["coherence"].attrs["sarcd_complete"] == [True, False]


def test_contract_label_coherence_append_open(tmp_path, scene, rng):
    path, values, truth = scene
    added, new = image(tmp_path, "20230412", rng)
    report = append([added], path)
    assert (report.dates, report.pairs, report.labelled) == (("2023-04-12T00:00:00",), 2, ())
    assert_grown(path, values, truth, new)
    found = open_scene(path)
    assert found["slc"].attrs["sources"] == ["20230319.tif", "20230331.tif", "20230412.tif"]
    assert decode(found.attrs["amplitude_statistics"]) == {"median": [1.0], "dates": ["2023-03-19", "2023-03-31"]}
    store = SceneStore(path)
    require_chunks(store, "slc", range(3))
    assert store.keys("coherence") == expected_keys(store.array("coherence"), [0])
    code = f"""
        import sys, warnings
        warnings.simplefilter("error")
        import xarray as xr
        scene = xr.open_zarr({str(path)!r})
        assert dict(scene.sizes) == {{"time": 3, "pair": 2, "y": 40, "x": 50}}
        assert (scene["label"].isel(pair=1).values == 255).all()
        assert scene["coherence"].isel(pair=1).isnull().values.all()
        assert "sarcd" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)
    compute_coherence(path, 0.5)
    assert (xr.open_zarr(path)["coherence"].values == 0.5).all()


def test_several_dates_at_once_with_labels(tmp_path, scene, rng):
    path, values, truth = scene
    (late, latest), (mid, middle) = image(tmp_path, "20230424", rng), image(tmp_path, "20230412", rng)
    first, second = label(tmp_path, "second", rng), label(tmp_path, "third", rng)
    report = append([late, mid], path, IngestOptions(labels=(first[0], second[0])))
    found = xr.open_zarr(path)
    np.testing.assert_array_equal(found["slc"].values, [*values, middle, latest])
    np.testing.assert_array_equal(found["label"].values, [truth, first[1], second[1]])
    assert found["label"].attrs["sarcd_complete"] == [True, True, True]
    assert found["label"].attrs["sources"] == ["first.tif", "second.tif", "third.tif"]
    assert report.labelled == ("2023-03-31:2023-04-12", "2023-04-12:2023-04-24")


def test_what_was_understood_of_added_labels(tmp_path, scene, rng):
    """Together with images, and for existing pairs."""
    path = scene[0]
    added, _ = image(tmp_path, "20230412", rng)
    named, values = label(tmp_path, "second", rng)
    (found,) = append([added], path, IngestOptions(labels=(named,))).labels
    counts = [int((values == value).sum()) for value in (1, 0, 255)]
    assert [found.change, found.unchanged, found.unlabelled] == counts
    assert (found.pair, found.source, found.rule) == (
        "2023-03-31:2023-04-12",
        "second.tif",
        "1: change; 0: none; 255: unlabelled",
    )
    ones = write_raster(tmp_path / "ones.tif", np.ones(SHAPE, "uint8"), **UTM)
    options = IngestOptions(labels=(f"20230331:20230412={ones}",), overwrite=True)
    with logged('no labelled pixel is "no change"'):
        (found,) = append([], path, options).labels
    assert (found.change, found.unchanged, found.unlabelled) == (2000, 0, 0)


def test_label_of_a_longer_pair(tmp_path, scene, rng):
    path, _, truth = scene
    (added, _), (named, new) = image(tmp_path, "20230412", rng), label(tmp_path, "second", rng)
    append([added], path, IngestOptions(labels=(f"20230319:20230412={named}",)))
    found = xr.open_zarr(path)
    assert found.sizes["pair"] == 3
    np.testing.assert_array_equal(found["label"].values, [truth, np.full(SHAPE, 255), new])
    assert found["label"].attrs["sarcd_complete"] == [True, False, True]


def test_sharded_scene(tmp_path, rng):
    paths, values = zip(*(image(tmp_path, day, rng) for day in ("20230319", "20230331", "20230412")), strict=True)
    labelled, truth = label(tmp_path, "label", rng)
    ingest(paths[:2], tmp_path / "scene.zarr", IngestOptions(chunk=8, shard=32))
    append(paths[2:], tmp_path / "scene.zarr", IngestOptions(labels=(labelled,)))
    found = xr.open_zarr(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(found["slc"].values, values)
    np.testing.assert_array_equal(found["label"].values, [np.full(SHAPE, 255), truth])
    assert SceneStore(tmp_path / "scene.zarr").array("label").shards == (1, 32, 32)


@pytest.mark.parametrize("name", ["label", "coherence"])
def test_variables_without_flags_are_whole(tmp_path, scene, rng, name):
    """Variables written by other programs carry no completeness flags."""
    import zarr

    path, values, truth = scene
    array = zarr.open_array(str(path / name), mode="r+")
    del array.attrs["sarcd_complete"]
    publish(SceneStore(path), add=[name])
    added, new = image(tmp_path, "20230412", rng)
    append([added], path)
    assert_grown(path, values, truth, new)


# -- refusals: nothing changes --------------------------------------------------------------------------------------


def refused(path, images, message, options=None, error=InputError):
    before = tree(path)
    with pytest.raises(error, match=message) as caught:
        append(images, path, options)
    after = tree(path)
    after["time/c/0"] = before["time/c/0"]  # may hold dates beyond its length, which readers do not see
    assert after == before
    return caught.value


@pytest.mark.parametrize("day", ["20230318", "20230325", "20230331"])
def test_earlier_dates(tmp_path, scene, rng, day):
    added, _ = image(tmp_path, day, rng)
    error = refused(scene[0], [added], "not later than the last date of the scene, 2023-03-31")
    assert error.source == added
    assert "ingest all images again" in error.hint


def test_other_grid_or_kind(tmp_path, scene, rng):
    path = scene[0]
    refused(path, [image(tmp_path, "20230412", rng, crs="EPSG:32632")[0]], "differs from the scene in CRS")
    small = write_raster(tmp_path / "20230413.tif", slc(rng, (40, 49)), **UTM)
    refused(path, [small], "has 40 x 49 pixels, but the scene has 40 x 50")
    real = write_raster(tmp_path / "20230414.tif", np.ones(SHAPE, "float32"), **UTM)
    refused(path, [real], "contains real numbers")
    refused(path, [real], "is an amplitude image, but the scene is complex", IngestOptions(kind="db"))


def test_damaged_image(tmp_path, rng):
    paths = [image(tmp_path, day, rng)[0] for day in ("20230319", "20230331", "20230412")]
    ingest(paths[:2], tmp_path / "scene.zarr", CHUNKED)
    truncate(tmp_path / "20230412.tif", 0.9)
    refused(tmp_path / "scene.zarr", paths[2:], "cannot be read", IngestOptions(memory_bytes=1))
    empty = write_raster(tmp_path / "20230413.tif", np.zeros(SHAPE, "complex64"), **UTM)
    refused(tmp_path / "scene.zarr", [empty], "has no valid pixel")


def test_failure_after_new_labels_were_begun(tmp_path, rng, monkeypatch):
    paths = [image(tmp_path, day, rng)[0] for day in ("20230319", "20230331", "20230412")]
    ingest(paths[:2], tmp_path / "scene.zarr", CHUNKED)
    labelled, _ = label(tmp_path, "label", rng)

    def fails(*_arguments, **_options):
        raise KeyboardInterrupt("stop")

    monkeypatch.setattr(module, "extend_pairs", fails)
    refused(tmp_path / "scene.zarr", paths[2:], "stop", IngestOptions(labels=(labelled,)), KeyboardInterrupt)


def test_labels_that_are_of_no_new_pair(tmp_path, scene, rng):
    added, _ = image(tmp_path, "20230412", rng)
    labelled, _ = label(tmp_path, "second", rng)
    options = IngestOptions(labels=(f"20230319:20230331={labelled}",))
    refused(scene[0], [added], "2023-03-19:2023-03-31 is not a new pair", options, OptionError)
    refused(scene[0], [added], "2 label files for 1 pairs", IngestOptions(labels=(labelled, labelled)), OptionError)


@pytest.mark.parametrize("name", ["slc", "label", "coherence"])
def test_other_writers(tmp_path, scene, rng, name):
    added, _ = image(tmp_path, "20230412", rng)
    with variable_locks(str(scene[0]), [name]):
        refused(scene[0], [added], f"another process is writing '{name}'", error=LockedError)
    append([added], scene[0])


def test_no_scene(tmp_path, rng):
    added, _ = image(tmp_path, "20230412", rng)
    with pytest.raises(SceneError, match="no such scene"):
        append([added], tmp_path / "scene.zarr")


def test_nothing_to_add(scene):
    refused(scene[0], [], "nothing to add")


# -- while others look, and after a kill ----------------------------------------------------------------------------


def test_readers_see_the_old_state_or_the_new(tmp_path, scene, rng, monkeypatch):
    path, values, truth = scene
    added, new = image(tmp_path, "20230412", rng)
    slow = module.write_image

    def write_slowly(*arguments):
        time.sleep(0.2)
        return slow(*arguments)

    monkeypatch.setattr(module, "write_image", write_slowly)
    seen, failures, ended = set(), [], threading.Event()

    def poll():
        while not ended.is_set():
            try:
                found = xr.open_zarr(path)
                seen.add((found.sizes["time"], found.sizes["pair"], found["label"].sizes["pair"]))
                assert (found["coherence"].isel(pair=0).values == 0.5).all()
                assert np.isfinite(found["slc"].isel(time=-1).values).all()
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=poll)
    thread.start()
    append([added], path)
    patience = time.monotonic() + 60
    while (3, 2, 2) not in seen and not failures and time.monotonic() < patience:
        time.sleep(0.01)
    ended.set()
    thread.join()
    assert failures == []
    assert seen == {(2, 1, 1), (3, 2, 2)}
    assert_grown(path, values, truth, new)


KILLED = """
    import os, signal, sys
    from sarcd.config import IngestOptions
    from sarcd.ingestion.append import append
    from sarcd.store import scene as store
    from zarr.storage import LocalStore

    left, done, done_durably = int(sys.argv[1]), LocalStore.set, store.write_atomic

    def live_or_die():
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    async def set_or_die(self, key, value, *arguments, **options):
        live_or_die()
        return await done(self, key, value, *arguments, **options)

    def write_or_die(path, data):
        live_or_die()
        done_durably(path, data)

    LocalStore.set, store.write_atomic = set_or_die, write_or_die
    append(sys.argv[3].split(), sys.argv[2], IngestOptions(labels=tuple(sys.argv[4:])))
    print("whole")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
def test_killed_at_any_write(tmp_path, scene, rng):
    path, values, truth = scene
    (added, new), (labelled, new_truth) = image(tmp_path, "20230412", rng), label(tmp_path, "second", rng)
    whole = tmp_path / "whole.zarr"
    shutil.copytree(path, whole)
    append([added], whole)
    plain = tree(whole)
    killed = 0
    for writes in [0, 1, *range(5, 60, 4)]:
        copy = tmp_path / "copy.zarr"
        shutil.copytree(path, copy)
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(KILLED), str(writes), str(copy), added, labelled],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode == 0:
            assert_grown(copy, values, truth, new, new_truth=new_truth)
            break
        assert run.returncode == -signal.SIGKILL, run.stderr
        killed += 1
        found = xr.open_zarr(copy)
        assert dict(found.sizes) == {"time": 2, "pair": 1, "y": 40, "x": 50}
        np.testing.assert_array_equal(found["slc"].values, values)
        np.testing.assert_array_equal(found["label"].values, [truth])
        assert found["label"].attrs["sarcd_complete"] == [True]
        append([added], copy)  # without the labels that the killed run had started
        assert_grown(copy, values, truth, new)
        assert tree(copy) == plain
        shutil.rmtree(copy)
    else:
        pytest.fail("never ran to its end")
    assert killed >= 10


# -- labels alone ---------------------------------------------------------------------------------------------------


def test_labels_drawn_later(tmp_path, rng):
    paths, _ = zip(*(image(tmp_path, day, rng) for day in ("20230319", "20230331", "20230412")), strict=True)
    path = tmp_path / "scene.zarr"
    ingest(paths, path, CHUNKED)
    (first, one), (second, two) = label(tmp_path, "one", rng), label(tmp_path, "two", rng)
    report = append([], path, IngestOptions(labels=(f"2023-03-31:2023-04-12={second}",)))
    assert (report.sources, report.pairs, report.labelled) == ((), 2, ("2023-03-31:2023-04-12",))
    found = xr.open_zarr(path)
    np.testing.assert_array_equal(found["label"].values, [np.full(SHAPE, 255), two])
    assert found["label"].attrs["sarcd_complete"] == [False, True]
    append([], path, IngestOptions(labels=(f"2023-03-19:2023-03-31={first}", f"2023-03-19:2023-04-12={second}")))
    found = xr.open_zarr(path)
    np.testing.assert_array_equal(found["label"].values, [one, two, two])
    assert found["label"].attrs["sarcd_complete"] == [True, True, True]
    assert found["label"].attrs["sources"] == ["one.tif", "two.tif", "two.tif"]


def test_labels_are_not_replaced_unasked(tmp_path, scene, rng):
    path, _, _ = scene
    other, new = label(tmp_path, "other", rng)
    refused(path, [], "2023-03-19:2023-03-31 is labelled already", IngestOptions(labels=(other,)), MismatchError)
    append([], path, IngestOptions(labels=(other,), overwrite=True))
    np.testing.assert_array_equal(xr.open_zarr(path)["label"].values, [new])


def test_interrupted_replacement_keeps_the_labels_of_other_pairs(tmp_path, scene, rng, monkeypatch):
    path, _, truth = scene
    (added, _), (labelled, _) = image(tmp_path, "20230412", rng), label(tmp_path, "second", rng)
    append([added], path, IngestOptions(labels=(labelled,)))
    other, third = label(tmp_path, "other", rng)
    options = IngestOptions(labels=(f"2023-03-31:2023-04-12={other}",), overwrite=True)

    def fails(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_labels", fails)
        with pytest.raises(KeyboardInterrupt):
            append([], path, options)
    found = xr.open_zarr(path)["label"]
    np.testing.assert_array_equal(found.values, [truth, np.full(SHAPE, 255)])
    assert found.attrs["sarcd_complete"] == [True, False]
    append([], path, IngestOptions(labels=options.labels))
    np.testing.assert_array_equal(xr.open_zarr(path)["label"].values, [truth, third])


def test_growth_keeps_other_pair_policies(tmp_path, scene, rng):
    """Pairs requested by a job are kept, and the new one comes after them."""
    path = scene[0]
    mid, late = image(tmp_path, "20230412", rng)[0], image(tmp_path, "20230424", rng)[0]
    append([mid], path)
    store = SceneStore(path)
    pair_indices(store, select_pairs("reference", store.dates("time")))
    assert len(store.dates("before")) == 3
    append([late], path)
    found = xr.open_zarr(path)
    order = np.searchsorted(found["time"].values, [found["before"].values, found["after"].values]).T.tolist()
    assert order == [[0, 1], [1, 2], [0, 2], [2, 3]]
