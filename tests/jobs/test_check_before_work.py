"""Invalid requests are refused before anything is computed or written; what remains can be finished or removed."""

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.config import CoherenceOptions, DetectOptions, IngestOptions, PredictOptions, SummaryOptions, Window
from sarcd.errors import MismatchError, OptionError, SceneError, StoreError
from sarcd.ingestion.scene import ingest
from sarcd.jobs import stored_coherence as coherence_job
from sarcd.jobs import stored_detection as detect_job
from sarcd.jobs import stored_prediction as prediction_job
from sarcd.simulation import sites
from sarcd.store.info import scene_info
from sarcd.store.results import remove
from sarcd.store.scene import SceneStore
from sarcd_cli.main import main
from tests.factories.rasters import write_raster
from tests.said import logged


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "s.zarr"
    sites.write_site(path, "A", size=64, dates=3)
    return path


def contents(path):
    store = SceneStore(path)
    return store.members(), store.attrs, store.published()


def forbid_reading(monkeypatch):
    """Fail if a job reads the scene from now on."""

    def fail(*_arguments, **_options):
        pytest.fail("the scene was read before the refusal")

    for module in (detect_job, coherence_job, prediction_job):
        for name in ("fit", "calibrate", "normalising_statistics"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, fail)


def test_predict_after_detect(scene, monkeypatch):
    jobs.detect(scene, DetectOptions("ratio-test"))
    before = contents(scene)
    forbid_reading(monkeypatch)
    with pytest.raises(MismatchError, match=r"change.*made by detect.*--name"):
        jobs.predict(scene)
    assert contents(scene) == before


def test_detect_again_with_other_settings(scene, monkeypatch):
    jobs.detect(scene, DetectOptions("ratio-test"))
    before = contents(scene)
    forbid_reading(monkeypatch)
    for options in (DetectOptions("ratio-test", window=Window.of(7)), DetectOptions("log-ratio"), DetectOptions()):
        with pytest.raises(MismatchError, match="other settings"):
            jobs.detect(scene, options)
    assert contents(scene) == before


def test_a_name_that_is_none(scene, monkeypatch):
    forbid_reading(monkeypatch)
    with pytest.raises(SceneError, match="not a variable"):
        jobs.detect(scene, DetectOptions("ratio-test"), name="a b")


def test_pairs_are_not_added_for_a_refusal(scene, monkeypatch):
    jobs.detect(scene, DetectOptions("ratio-test"))
    before = contents(scene)
    forbid_reading(monkeypatch)
    with pytest.raises(MismatchError):
        jobs.predict(scene, pairs="all")
    with pytest.raises(MismatchError):
        jobs.detect(scene, DetectOptions("log-ratio"), pairs="all")
    assert contents(scene) == before


def test_predict_with_another_threshold_reads_nothing(scene, monkeypatch):
    jobs.predict(scene)
    before = contents(scene)
    monkeypatch.setattr(prediction_job, "normalising_statistics", lambda *_a, **_k: pytest.fail("was read"))
    for options in (PredictOptions(threshold=0.9), PredictOptions(swap=True), PredictOptions(precision="bfloat16")):
        with pytest.raises(MismatchError, match="other settings"):
            jobs.predict(scene, options=options)
    assert contents(scene) == before


def test_coherence_and_summary(scene, monkeypatch):
    jobs.coherence(scene)
    jobs.summarise(scene, SummaryOptions(of="omnibus", persistence=False))
    before = contents(scene)
    forbid_reading(monkeypatch)
    with pytest.raises(MismatchError, match="debias"):
        jobs.coherence(scene, CoherenceOptions(debias=True))
    with pytest.raises(MismatchError, match="of"):
        jobs.summarise(scene, SummaryOptions(of="label", persistence=False))
    assert contents(scene) == before


def stopped(path, monkeypatch):
    """Leave a prediction that was stopped before its first region was written."""
    with monkeypatch.context() as patched:
        patched.setattr(prediction_job, "run_regions", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            jobs.predict(path)


def _interrupt(*_arguments, **_options):
    raise KeyboardInterrupt


def state_of(path, name):
    return {variable["name"]: variable["state"] for variable in scene_info(path)["variables"]}.get(name)


def test_what_was_begun_is_finished_by_the_same_command_or_removed(scene, monkeypatch, capsys):
    stopped(scene, monkeypatch)
    assert state_of(scene, "change_probability") == "unfinished"
    assert main(["info", str(scene)]) == 0
    told = capsys.readouterr().out
    assert "'sarcd predict' with the same settings finishes it" in told
    assert "'sarcd remove SCENE change_probability' removes it" in told
    assert main(["remove", str(scene), "change_probability", "change"]) == 0
    assert state_of(scene, "change_probability") is None
    stopped(scene, monkeypatch)
    jobs.predict(scene)
    assert state_of(scene, "change_probability") == "complete"


def test_remove_takes_results_alone(scene):
    jobs.coherence(scene)
    before = xr.open_zarr(scene)[["slc", "label"]].load()
    with pytest.raises(StoreError, match="is not a result"):
        remove(scene, ["coherence", "label"])
    with pytest.raises(StoreError, match="is not a result"):
        remove(scene, ["slc"])
    with pytest.raises(SceneError, match=r"no 'change'.*results of the scene are: coherence"):
        remove(scene, ["change"])
    assert "coherence" in xr.open_zarr(scene)
    assert remove(scene, ["coherence"]) == ["coherence"]
    assert "coherence" not in xr.open_zarr(scene)
    assert not (scene / "coherence").exists()
    xr.testing.assert_identical(xr.open_zarr(scene)[["slc", "label"]].load(), before)


@pytest.mark.parametrize("method", ["coherence-test", "combined-test", "coherence-loss", "coherence-network"])
def test_coherence_over_one_pixel(scene, method):
    with pytest.raises(OptionError, match=r"over one pixel is always 1[.] Use 3 or more"):
        DetectOptions(method, window=Window.of(1))
    assert main(["detect", str(scene), "--method", "ratio-test", "--window", "1", "--looks", "1"]) == 0


def test_one_image_for_two_dates_is_told(tmp_path):
    image = write_raster(tmp_path / "a.tif", np.ones((40, 50), "complex64"))
    (tmp_path / "link.tif").symlink_to(image)
    for number, other in enumerate((image, tmp_path / "link.tif")):
        options = IngestOptions(dates=("2023-03-19", "2023-03-31"))
        with logged("for two dates; compared with itself"):
            ingest([image, other], tmp_path / f"{number}.zarr", options)


def test_labels_are_not_judged_by_themselves(scene):
    with pytest.raises(OptionError, match="evaluated against itself"):
        xr.open_zarr(scene).sarcd.evaluate(variable="label")
