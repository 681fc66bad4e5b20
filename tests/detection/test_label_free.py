"""Label-free change detection: the stored result equals the lazy dataset and records how it was made."""

from dataclasses import fields, replace

import numpy as np
import pytest
import xarray as xr

import sarcd  # noqa: F401  registers .sarcd
from sarcd import jobs
from sarcd.attributes import fitted_of, parameters_of
from sarcd.config import DetectOptions, Window
from sarcd.config.detection import DECISIONS, METHODS
from sarcd.detection.label_free import fit
from sarcd.engine import tasks as _task
from sarcd.errors import MismatchError, OptionError, SceneError
from sarcd.store.scene import open_scene
from sarcd_cli.detect import command
from sarcd_cli.main import main
from tests.factories.scenes import stored_scene

SHAPE = (3, 70, 90)
CHANGED = (2, slice(20, 50), slice(30, 60))


def images(seed=0, *, complex_=True):
    """Make coherent speckle; on the last date a square is 12 dB brighter with new speckle."""
    rng = np.random.default_rng(seed)
    common, own = (rng.normal(size=(2, *SHAPE)).view() for _ in range(2))
    steady = (common[0, :1] + 1j * common[1, :1]) / np.sqrt(2)
    noise = (own[0] + 1j * own[1]) / np.sqrt(2)
    slc = np.sqrt(0.8) * steady + np.sqrt(0.2) * noise
    slc[CHANGED] = 4 * noise[CHANGED]
    slc[:, :4, :7] = np.nan
    return slc.astype("complex64")


@pytest.fixture
def path(tmp_path):
    return stored_scene(tmp_path / "scene.zarr", None, SHAPE, chunk=32, slc=images())


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("auto", "pretrained", "auto-label-free")])
def test_the_store_holds_what_the_lazy_dataset_does(path, method):
    options = DetectOptions(method, opening=1, min_pixels=5, max_hole=4)
    eager = open_scene(path).load().sarcd.detect(method=options)
    lazy = open_scene(path).sarcd.detect(method=options)
    result = jobs.detect(path, options, name="x")
    stored = xr.open_zarr(path)
    assert set(result.variables) == {f"{name}_x" for name in lazy.data_vars}
    for name in lazy.data_vars:
        np.testing.assert_array_equal(stored[f"{name}_x"], lazy[name])
        np.testing.assert_allclose(eager[name], lazy[name], rtol=1e-4, atol=1e-5)
        assert parameters_of(stored[f"{name}_x"]) == parameters_of(lazy[name])
    change = stored.change_x.values
    assert (change[:, :2, :5] == 255).all()
    assert (change[1][CHANGED[1:]] == 1).mean() > 0.5
    away = change[1, :, 70:]
    assert (away == 1).mean() < 0.05


def test_auto_says_what_it_chose_and_why(path, tmp_path, rng):
    notes = []
    jobs.detect(path, DetectOptions("auto-label-free"), note=notes.append)
    stored = xr.open_zarr(path)
    assert parameters_of(stored.change)["method"] == "coherence-network"
    assert f"coherence-network: {stored.change.attrs['why']}" in notes
    pair = stored_scene(tmp_path / "pair.zarr", rng, (2, 40, 40))
    assert fit(open_scene(pair)).options.method == "network"
    assert fit(open_scene(pair), DetectOptions(false_alarms=0.01)).options.method == "ratio-test"
    assert fit(open_scene(pair), DetectOptions(window=Window(7, 7))).options.method == "ratio-test"


def test_resumes_and_refuses_other_settings(path, monkeypatch):
    whole = jobs.detect(path, DetectOptions("log-ratio"), name="whole")
    calls = []
    real = _task.RegionTask.__call__

    def stop(task, region):
        calls.append(region)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(task, region)

    with monkeypatch.context() as patch:
        patch.setattr(_task.RegionTask, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            jobs.detect(path, DetectOptions("log-ratio"))
    assert "change" not in xr.open_zarr(path)
    with pytest.raises(MismatchError, match="window"):
        jobs.detect(path, DetectOptions("log-ratio", window=Window(7, 7)))
    again = jobs.detect(path, DetectOptions("log-ratio"))
    assert again.kept > 0
    assert again.computed + again.kept == whole.computed
    stored = xr.open_zarr(path)
    np.testing.assert_array_equal(stored.change, stored.change_whole)
    np.testing.assert_array_equal(stored.change_score, stored.change_score_whole)


@pytest.mark.parametrize("method", ["log-ratio", "coherence-loss", "coherence-network", "ratio-test"])
def test_pairs_that_are_mapped_later_leave_the_earlier_ones_alone(path, method):
    options = DetectOptions(method, uncertainty=method == "ratio-test")
    later = open_scene(path).time.values[1:]
    jobs.detect(path, options, pairs=":".join(str(date)[:10] for date in later))
    alone = xr.open_zarr(path).change[1].values
    assert jobs.detect(path, options).kept > 0
    if options.uncertainty:
        groups = [fact["groups"] for fact in fitted_of(xr.open_zarr(path).uncertainty)]
        assert len(groups) == 2
    stored, whole = xr.open_zarr(path).change, open_scene(path).sarcd.detect(method=options).change
    np.testing.assert_array_equal(stored[1], alone)
    if method != "coherence-loss":  # whose rule is fitted once, to the first pair, for all pairs
        np.testing.assert_array_equal(stored, whole)
        assert fitted_of(stored) == fitted_of(whole)


def test_what_was_fitted_is_not_fitted_again(path, monkeypatch):
    jobs.detect(path, DetectOptions("log-ratio"))
    monkeypatch.setattr("sarcd.change.thresholding._count_band", None)  # reads the scene to fit a rule
    assert jobs.detect(path, DetectOptions("log-ratio")).computed == 0
    with pytest.raises(TypeError):
        jobs.detect(path, DetectOptions("log-ratio"), overwrite=True)


def test_memory_is_reckoned_for_whole_shards(tmp_path, rng, monkeypatch):
    from sarcd.jobs import stored_detection as job

    asked = []

    def share_out(*given, region_bytes, **options):
        asked.append(region_bytes)
        return real(*given, region_bytes=region_bytes, **options)

    real = job.share_out
    monkeypatch.setattr(job, "share_out", share_out)
    path = stored_scene(tmp_path / "shards.zarr", rng, (2, 128, 128), chunk=32, shard=64)
    jobs.detect(path, DetectOptions("log-ratio"))
    chunk, region = asked
    assert region == 4 * chunk


def test_nothing_changed_is_nearly_empty(tmp_path):
    slc = images()
    slc[CHANGED] = slc[(1, *CHANGED[1:])]
    path = stored_scene(tmp_path / "calm.zarr", None, SHAPE, chunk=32, slc=slc)
    for method in ("ratio-test", "coherence-test", "combined-test"):
        found = open_scene(path).sarcd.detect(method=method).change
        assert (found == 1).mean() < 0.005, method


def test_a_rate_of_false_alarms_is_heeded(path):
    few, many = (
        (open_scene(path).sarcd.detect(method=DetectOptions("ratio-test", false_alarms=rate)).change == 1).sum()
        for rate in (1e-6, 0.2)
    )
    assert few < many / 1.5


def test_cleaning_drops_specks(path):
    plain = open_scene(path).sarcd.detect(method=DetectOptions("ratio-test", false_alarms=0.05))
    clean = open_scene(path).sarcd.detect(method=DetectOptions("ratio-test", false_alarms=0.05, min_pixels=200))
    np.testing.assert_array_equal(plain.change_score, clean.change_score)
    assert 0 < (clean.change == 1).sum() < (plain.change == 1).sum()


def test_refusals(path, tmp_path, rng):
    scene = open_scene(path)
    with pytest.raises(OptionError, match="min_pixels: pretrained does not look at it"):
        scene.sarcd.detect(method=DetectOptions("pretrained", min_pixels=4))
    with pytest.raises(OptionError, match="device: cpu applies to the pretrained network only"):
        scene.sarcd.detect(method="log-ratio", device="cpu")
    with pytest.raises(OptionError, match="device: cpu applies to the pretrained network only"):
        jobs.detect(path, DetectOptions("log-ratio"), device="cpu")
    with pytest.raises(OptionError, match="method"):
        scene.sarcd.detect(method="magic")
    pair = open_scene(stored_scene(tmp_path / "pair.zarr", rng, (2, 40, 40)))
    with pytest.raises(SceneError, match="--expected"):
        pair.sarcd.detect(method="combined-test")
    assert "undecidable" in pair.sarcd.detect(method=DetectOptions("combined-test", expected=0.5))
    detected = xr.Dataset({"amplitude": np.abs(pair.slc)}, coords=pair.coords)
    with pytest.raises(OptionError, match="looks"):
        detected.sarcd.detect(method="ratio-test")
    assert "change" in detected.sarcd.detect(method=DetectOptions("ratio-test", looks=20))
    with pytest.raises(SceneError, match="slc"):
        detected.sarcd.detect(method=DetectOptions("combined-test", expected=0.5, looks=20))


@pytest.mark.parametrize(
    "field",
    [
        {"false_alarms": 0},
        {"false_alarms": 0.5},
        {"looks": 0},
        {"expected": 1},
        {"min_pixels": 0},
        {"opening": -1},
        {"rounds": -1},
        {"window": 4},
        {"decision": "dice"},
    ],
)
def test_options_are_checked(field):
    with pytest.raises(OptionError):
        replace(DetectOptions(), **field)


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("network", {"window": 7}),
        ("network", {"false_alarms": 0.01}),
        ("log-ratio", {"looks": 4.0}),
        ("log-ratio", {"rounds": 1}),
        ("ratio-test", {"decision": "otsu"}),
        ("ratio-test", {"seed": 1}),
    ],
)
def test_an_option_that_the_method_does_not_look_at_is_refused(method, field):
    with pytest.raises(OptionError, match=rf"^{next(iter(field))}: {method} does not look at it"):
        DetectOptions(method, **field)


def test_command_and_options_know_the_same_methods():
    choices = {option.name: option.type.choices for option in command.params if hasattr(option.type, "choices")}
    assert tuple(choices["method"]) == METHODS
    assert tuple(choices["decision"]) == DECISIONS
    names = {option.name for option in command.params}
    assert {item.name for item in fields(DetectOptions)} <= names


def test_command(path, capsys):
    assert main(["detect", str(path), "--method", "log-ratio", "--decision", "otsu", "--window", "7x5"]) == 0
    assert "change_score, change" in capsys.readouterr().out
    parameters = parameters_of(xr.open_zarr(path).change)
    assert (parameters["decision"], parameters["window"]) == ("otsu", {"y": 7, "x": 5})
    assert main(["detect", str(path), "--method", "log-ratio"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["detect", str(path), "--looks", "0"]) == 1
