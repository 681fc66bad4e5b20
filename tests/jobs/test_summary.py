"""Multi-date summaries: known changes of a stack are found, and the stored result equals the lazy dataset."""

import pickle
import re
import shutil

import numpy as np
import pytest
import rasterio
import xarray as xr

import sarcd
from sarcd import jobs
from sarcd.attributes import parameters_of
from sarcd.config import DetectOptions, IngestOptions, SummaryOptions, Window
from sarcd.engine import tasks as _task
from sarcd.errors import MismatchError
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.info import scene_info
from sarcd.store.pairs import consecutive, extend_pairs
from sarcd.store.regions import Region
from sarcd.store.scene import SceneStore, open_scene
from sarcd_cli.main import main
from tests.factories.labelled_scenes import add_layer
from tests.factories.networks import random_model_file
from tests.factories.rasters import UTM, slc, write_raster
from tests.factories.scenes import random_slc, stored_scene
from tests.factories.stacks import changing_stack, shares_right, stack_scene
from tests.processes import tree

SHAPE = (6, 24, 96)
COUNTS = ["change_count", "first_change", "last_change"]


@pytest.fixture(scope="module")
def images():
    stack = changing_stack(np.random.default_rng(3))
    stack[:, :3, :5] = np.nan
    return stack


@pytest.fixture
def path(tmp_path, images):
    return stored_scene(tmp_path / "scene.zarr", None, SHAPE, chunk=16, slc=images)


@pytest.fixture(scope="module")
def once_detected(tmp_path_factory, images):
    path = stored_scene(tmp_path_factory.mktemp("detected") / "scene.zarr", None, SHAPE, chunk=16, slc=images)
    detect(path)
    return path


@pytest.fixture
def detected(tmp_path, once_detected):
    return shutil.copytree(once_detected, tmp_path / "detected.zarr")


def detect(path, *, pairs=None):
    options = DetectOptions("combined-test", expected=0.85, false_alarms=1e-4, looks=25)
    jobs.detect(path, options, pairs=pairs)


def failure(capsys, *words):
    """Return the one line printed by a failing command."""
    assert main([str(word) for word in words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("of", ["change", "omnibus"])
def test_known_times_by_command_and_lazily(detected, of):
    path = detected
    assert main(["summarise", str(path), "--of", of]) == 0
    stored = xr.open_zarr(path)
    shares = shares_right(stored)
    assert min(shares.values()) > 0.95, shares
    lazy = open_scene(path).sarcd.summarise(of)
    assert set(lazy.data_vars) == {*COUNTS, "persistence", *(["omnibus_score"] if of == "omnibus" else [])}
    for name in lazy.data_vars:
        np.testing.assert_array_equal(stored[name], lazy[name])
        assert stored[name].dtype == lazy[name].dtype
        for key in ("sarcd_parameters", "dates", "why", "long_name"):
            assert stored[name].attrs[key] == lazy[name].attrs[key]
    assert stored.first_change.attrs["dates"][2].startswith("2023-04-12")


def test_omnibus_test_as_a_method(images):
    scene = stack_scene(images)
    found = scene.sarcd.omnibus_test(looks=25)
    summary = scene.sarcd.summarise("omnibus", looks=25)
    np.testing.assert_array_equal(summary.omnibus_score, found.omnibus_score)
    known = found.change.isel(pair=0) < 255
    np.testing.assert_array_equal(summary.change_count.where(known), (found.change == 1).sum("pair").where(known))


def test_unknown_ground_stays_unknown(detected):
    path = detected
    for of in ("change", "omnibus"):
        jobs.summarise(path, SummaryOptions(of), overwrite=True)
        corner = xr.open_zarr(path).isel(y=slice(2), x=slice(3))
        assert (corner.change_count == 255).all()
        assert (corner.first_change == -1).all()
        assert (corner.last_change == -1).all()
        assert np.isnan(corner.persistence).all()


@pytest.mark.parametrize("of", ["change", "omnibus"])
def test_same_bytes_for_any_regions_and_chunks(tmp_path, images, of):
    rng = np.random.default_rng(0)
    images = images[:, :23, 10:83].copy()
    images[rng.random(images.shape) < 0.05] = np.nan
    change = rng.choice(np.array([0, 0, 0, 1, 255], "uint8"), (5, *images.shape[1:]))
    options, names = SummaryOptions(of, window=Window(7, 3)), (*COUNTS, "persistence")
    found = []
    for number, grid in enumerate(({"chunk": 128}, {"chunk": 10}, {"chunk": 5, "shard": 15})):
        path = stored_scene(tmp_path / str(number), None, images.shape, slc=images, **grid)
        extend_pairs(SceneStore(path), consecutive(SceneStore(path).dates("time")))
        add_layer(path, "change", change)
        jobs.summarise(path, options)
        found.append(xr.open_zarr(path))
    scene = found[0][["slc", "change"]].load()
    lazy = scene.chunk({"time": 2, "pair": 1, "y": (5, 1, 17), "x": 13})
    found += [one.sarcd.summarise(of, window=options.window) for one in (scene, lazy)]
    assert 0.1 < float(found[0].persistence.notnull().mean()) < 0.9
    for other in found[1:]:
        for name in names if of == "change" else (*names, "omnibus_score"):
            np.testing.assert_array_equal(other[name], found[0][name], err_msg=name)


def test_every_part_knows_its_first_row(path, monkeypatch):
    """The last bits of coherence depend on the first row; the replacement here depends on it entirely."""

    def by_row(before, _after, _window, _min_valid, first_row):
        rows = (np.arange(len(before)) + first_row) // 3 % 2
        return np.broadcast_to(np.float32(0.999) * rows[:, None], before.shape).astype(np.float32)

    monkeypatch.setattr("sarcd.change.kernels.summary.boxcar", by_row)
    jobs.summarise(path)
    scene = open_scene(path).load()[["slc"]]
    returns = scene.sarcd.summarise("omnibus").persistence.isel(x=slice(52, 68), y=slice(6, 12)).mean("x").values
    assert abs(returns[:3] - returns[3:]).min() > 0.5
    for one in (scene, scene.chunk(time=1, y=7, x=50)):
        np.testing.assert_array_equal(xr.open_zarr(path).persistence, one.sarcd.summarise("omnibus").persistence)


def test_a_region_travels(path, monkeypatch):
    seen, real = [], _task.RegionTask.__call__
    monkeypatch.setattr(_task.RegionTask, "__call__", lambda task, region: seen.append(task) or real(task, region))
    jobs.summarise(path)
    region = Region(0, slice(16, 24), slice(32, 48))
    here, there = (compute(region) for compute in (seen[0]._compute, pickle.loads(pickle.dumps(seen[0]._compute))))
    assert set(here) == {*COUNTS, "persistence", "omnibus_score"}
    for name in here:
        np.testing.assert_array_equal(here[name], there[name])


def test_resumes_and_refuses_other_settings(path, tmp_path, images, monkeypatch):
    whole = jobs.summarise(path, name="whole")
    before, calls = tree(path), []
    real = _task.RegionTask.__call__

    def stop(task, region):
        calls.append(region)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(task, region)

    with monkeypatch.context() as patch:
        patch.setattr(_task.RegionTask, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            jobs.summarise(path)
    assert not {*COUNTS, "persistence"} & set(xr.open_zarr(path))
    assert {variable["state"] for variable in scene_info(path)["variables"]} == {"complete", "unfinished"}
    with pytest.raises(MismatchError, match=r"was begun with other settings \(window.*--overwrite"):
        jobs.summarise(path, SummaryOptions(window=Window(7, 7)))
    torn = next(file for file in (path / "change_count" / "c").rglob("*") if file.is_file())
    torn.write_bytes(b"")
    with pytest.warns(UserWarning, match="damaged by a crash"):
        again = jobs.summarise(path)
    assert again.kept > 0
    assert again.computed + again.kept == whole.computed
    stored = xr.open_zarr(path)
    for name in (*COUNTS, "persistence", "omnibus_score"):
        np.testing.assert_array_equal(stored[name], stored[f"{name}_whole"])
    assert jobs.summarise(path).computed == 0
    assert {name: data for name, data in tree(path).items() if name in before and name != "zarr.json"} == {
        name: data for name, data in before.items() if name != "zarr.json"
    }


def test_says_what_it_chose(path, capsys):
    assert main(["summarise", str(path), "--no-persistence", "--name", "a"]) == 0
    assert capsys.readouterr().err == (
        "omnibus: the scene holds no map of change; this test looks at brightness alone\n"
    )
    times = SceneStore(path).dates("time")
    extend_pairs(SceneStore(path), consecutive(times))  # listed, which does not mean that they are computed
    detect(path, pairs="2023-03-19:2023-03-31")
    assert main(["summarise", str(path), "--no-persistence", "--name", "b"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("omnibus: 'change' lacks 2023-03-31 to 2023-04-12; this test")
    detect(path, pairs="consecutive")
    assert main(["summarise", str(path), "--name", "c"]) == 0
    out, err = capsys.readouterr()
    assert err == "change: the scene holds it for all 5 pairs of consecutive dates\n"
    assert "change_count_c, first_change_c, last_change_c, persistence_c" in out
    stored = xr.open_zarr(path)
    assert stored.change_count_c.attrs["why"] in err
    assert "persistence_a" not in stored
    assert parameters_of(stored.change_count_a)["of"] == "omnibus"


def test_probabilities_are_cut_where_their_map_was(detected, rng):
    scene = open_scene(detected).load()
    change = scene.change
    probability = change.astype("float32").copy(data=rng.random(change.shape, "float32")).rename("change_probability")
    probability.attrs = {"sarcd_operation": "predict", "sarcd_parameters": {"threshold": 0.3}}
    scene["change_probability"] = probability
    for threshold, cut in ((None, 0.3), (0.8, 0.8)):
        found = scene.sarcd.summarise(threshold=threshold, persistence=False)
        np.testing.assert_array_equal(found.change_count, (probability >= np.float32(cut)).sum("pair"))
        assert parameters_of(found.change_count)["threshold"] == cut
    probability.attrs = {}
    found = scene.sarcd.summarise(probability.rename(None), persistence=False)
    np.testing.assert_array_equal(found.change_count, (probability >= 0.5).sum("pair"))


@pytest.mark.parametrize("pairs", ["all", "reference", "2023-03-19:2023-04-12"])
def test_pairs_by_policy(path, pairs, capsys):
    detect(path, pairs=pairs)
    if pairs == "all":
        jobs.summarise(path, SummaryOptions("change"))
        assert min(shares_right(xr.open_zarr(path)).values()) > 0.95
        return
    line = failure(capsys, "summarise", path, "--of", "change")
    assert "change: no change map from 2023-03-" in line
    assert "with pairs 'consecutive'" in line
    detect(path, pairs="consecutive")
    assert main(["summarise", str(path), "--of", "change"]) == 0
    assert min(shares_right(xr.open_zarr(path)).values()) > 0.95


def test_a_networks_maps_by_policy(path, tmp_path, capsys):
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    predict = ("predict", str(path), "--model", str(model), "--device", "cpu", "--threshold", "0.45")
    for command in (
        predict,
        ("detect", str(path), "--method", "pretrained"),
        ("detect", str(path), "--method", "log-ratio"),
    ):
        assert failure(capsys, *command, "--pairs", "step=2") == (
            "error: --pairs: unknown pairs 'step=2'. Use consecutive, reference, all, or BEFORE:AFTER,... such as "
            "2023-03-19:2023-03-31.\n"
        )
    assert main([*predict, "--pairs", "all"]) == 0
    capsys.readouterr()
    assert main(["summarise", str(path)]) == 0
    assert capsys.readouterr().err == (
        "change_probability: the scene holds it for all 5 pairs of consecutive dates\n"
        "a change from a probability of 0.45 on\n"
    )
    by_maps = open_scene(path).sarcd.summarise("change")
    stored = xr.open_zarr(path)
    for name in (*COUNTS, "persistence"):
        np.testing.assert_array_equal(stored[name], by_maps[name])


def test_refusals(path, detected, tmp_path, rng, capsys):
    pair = stored_scene(tmp_path / "pair.zarr", rng, (2, 40, 40))
    assert "time has 2 dates; a summary needs 3. Add images" in failure(capsys, "summarise", pair)
    assert "no 'change' in the scene. Run 'sarcd predict' or" in failure(capsys, "summarise", path, "--of", "change")
    assert "'slc' is not a change map" in failure(capsys, "summarise", path, "--of", "slc")
    assert "false_alarms is 0.0. Use a number above 0, below 0.5." in failure(
        capsys, "summarise", path, "--false-alarms", 0
    )
    assert "--memory" in failure(capsys, "summarise", path, "--memory", 0.01, "--of", "omnibus")
    for words, line in (
        (("--of", "change", "--threshold", 0.4), "threshold: change is already thresholded. Leave it out"),
        (("--of", "change_score"), "threshold: the threshold of 'change_score' is unknown. Give one"),
        (("--of", "change", "--no-persistence", "--looks", 20), "looks: without persistence no dates are compared"),
        (("--of", "change", "--name", "a b"), "is not a variable of a scene"),
    ):
        assert line in failure(capsys, "summarise", detected, *words)
    assert main(["summarise", str(detected), "--of", "change_score", "--threshold", "4"]) == 0
    capsys.readouterr()
    assert "--overwrite" in failure(capsys, "summarise", detected, "--of", "omnibus")


def test_detected_images(tmp_path, images, capsys):
    scene = stack_scene(abs(images), "amplitude")
    found = scene.sarcd.summarise("omnibus", looks=25)
    shares = shares_right(found)
    assert min(share for (kind, _), share in shares.items() if kind != "twice") > 0.95, shares
    with pytest.raises(sarcd.errors.OptionError, match="looks of amplitude images"):
        scene.sarcd.summarise()


def test_a_map_made_otherwise_is_another_summary(detected):
    path = detected
    jobs.summarise(path)
    jobs.detect(path, DetectOptions("log-ratio"), overwrite=True)
    with pytest.raises(MismatchError, match="made_by"):
        jobs.summarise(path)
    jobs.summarise(path, overwrite=True)
    jobs.summarise(path, SummaryOptions("omnibus"), overwrite=True)
    jobs.summarise(path, SummaryOptions("change", persistence=False), overwrite=True)
    stale = {variable["name"] for variable in scene_info(path)["variables"] if variable["stale"]}
    assert stale == {"persistence", "omnibus_score"}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # the scene has no georeference
def test_info_and_export(path, tmp_path, capsys):
    jobs.summarise(path, SummaryOptions("omnibus"))
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"first_change +int16 +complete +- +12/12", out)
    assert "made by summarise" in out
    for name, nodata in (("first_change", -1), ("change_count", 255), ("persistence", np.nan)):
        assert main(["export", str(path), str(tmp_path / f"{name}.tif"), "--variable", name]) == 0
        with rasterio.open(tmp_path / f"{name}.tif") as file:
            np.testing.assert_array_equal(file.read(1), xr.open_zarr(path)[name])
            np.testing.assert_equal(file.nodata, nodata)
            assert "2023-04-12" in file.tags()["dates"]
    capsys.readouterr()
    (path / "last_change" / "c" / "0" / "1").unlink()
    assert "last_change/c/0/1: chunk cannot be read (absent)" in failure(
        capsys, "export", path, tmp_path / "x.tif", "--variable", "last_change"
    )


def test_later_dates_make_it_stale(tmp_path, rng, capsys):
    days = ("20230319", "20230331", "20230412", "20230424")
    files = [write_raster(tmp_path / f"{day}.tif", slc(rng), **UTM) for day in days]
    path = tmp_path / "scene.zarr"
    ingest(files[:3], path, IngestOptions(chunk=16))
    jobs.summarise(path)
    append(files[3:], path)
    stale = {variable["name"] for variable in scene_info(path)["variables"] if variable["stale"]}
    assert stale == {*COUNTS, "persistence", "omnibus_score"}
    line = failure(capsys, "summarise", path, "--of", "omnibus")
    assert "dates 3, now 4" in line
    assert "--overwrite" in line
    jobs.summarise(path, overwrite=True)
    assert len(xr.open_zarr(path).first_change.attrs["dates"]) == 4
    assert not any(variable["stale"] for variable in scene_info(path)["variables"])


def test_damaged_images_are_named(path, capsys):
    (path / "slc" / "c" / "3" / "0" / "2").unlink()
    line = failure(capsys, "summarise", path, "--of", "omnibus")
    assert line.startswith("error: slc/c/3/0/2: chunk cannot be read (absent)")
    assert "change_count" not in SceneStore(path).published()


def test_sharded_noise_has_few_false_alarms(tmp_path):
    calm = random_slc(np.random.default_rng(5), (5, 96, 96), coherence=0.0)
    path = stored_scene(tmp_path / "calm.zarr", None, calm.shape, chunk=16, shard=48, slc=calm)
    jobs.summarise(path, SummaryOptions("omnibus", false_alarms=0.05))
    stored = xr.open_zarr(path)
    assert float((stored.change_count > 0).mean()) < 0.08
    assert stored.change_count.encoding["shards"] == (48, 48)
