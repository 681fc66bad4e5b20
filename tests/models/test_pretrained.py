"""The pretrained model: small, used by default where it applies, and better than thresholds on an unseen mine."""

import json
import shutil

import numpy as np
import pytest

from sarcd import detect, estimation, jobs, predict
from sarcd.attributes import parameters_of
from sarcd.errors import SceneError
from sarcd.metrics import evaluate
from sarcd.metrics.kernels.scores import best_threshold
from sarcd.models.file import load_model
from sarcd.models.pretrained import MINES
from sarcd.simulation import sites
from sarcd.store.create import write_scene
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.tolerance import PROBABILITY


@pytest.fixture(scope="module")
def mine():
    """An unseen mine, in memory."""
    return sites.simulate("A", size=512, seed=7)


@pytest.fixture
def stored(tmp_path, mine):
    path = tmp_path / "mine.zarr"
    write_scene(mine, path)
    return path


def test_its_file_is_small_and_says_what_it_saw():
    loaded = load_model(MINES)
    assert MINES.stat().st_size < 5_000_000
    assert loaded.card.channels == ("before", "after", "coherence")
    assert loaded.card.statistics_policy == "scene"
    assert not loaded.card.training["transductive"]
    assert loaded.card.training["calibration"]["temperature"] > 0


def test_it_is_what_complex_images_are_given(mine):
    tile = mine.isel(y=slice(0, 128), x=slice(0, 128))
    found, named = detect(tile), predict(tile, model=MINES)
    assert parameters_of(found.change_probability)["model"] == load_model(MINES).digest
    np.testing.assert_array_equal(found.change_probability, named.change_probability)


def test_detected_images_and_named_methods_do_without(mine):
    tile = mine.isel(y=slice(0, 128), x=slice(0, 128))
    amplitude = abs(tile[["slc"]].rename(slc="amplitude")).assign_attrs(tile.attrs)
    assert "change_score" in detect(amplitude)
    assert "change_score" in detect(tile, method="auto-label-free")


def test_the_command_takes_it_by_default(stored, capsys):
    assert main(["predict", str(stored), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["variables"] == ["change_probability", "change"]
    assert "the pretrained one maps the changes" in captured.err
    kept = parameters_of(open_scene(stored).change_probability)
    assert kept["model"] == load_model(MINES).digest
    assert main(["predict", str(stored), "--model", str(MINES), "--json"]) == 0  # the same, given its path
    assert json.loads(capsys.readouterr().out)["regions_computed"] == 0


def test_the_store_holds_what_detect_gives(stored):
    jobs.predict(stored)
    scene = open_scene(stored)
    lazy = scene[["slc"]].sarcd.detect()
    np.testing.assert_allclose(scene.change_probability, lazy.change_probability, atol=PROBABILITY)


def test_it_wants_phase(tmp_path, mine):
    path = tmp_path / "detected.zarr"
    write_scene(abs(mine[["slc"]].rename(slc="amplitude")).assign_attrs(mine.attrs), path)
    with pytest.raises(SceneError, match="sarcd detect"):
        jobs.predict(path)


def test_no_model_is_not_the_default(stored):
    assert main(["predict", str(stored), "--model", str(stored.with_name("absent.safetensors"))]) == 1
    assert "change_probability" not in open_scene(stored)


def test_it_finds_what_thresholds_do_not(mine):
    found = mine.assign(detect(mine))
    network = float(evaluate(found).f1.sel(over="pooled"))
    threshold = best_threshold(mine.label.values, -estimation.coherence(mine).values)[1]
    assert network > max(0.6, 1.5 * float(threshold))


def test_it_is_not_taken_in_by_weather():
    calm = sites.simulate(sites.varied(40_000, no_change=True), size=512, seed=40_000)
    assert float((detect(calm).change == 1).mean()) < 0.002


def test_a_damaged_file_is_told(tmp_path, mine, monkeypatch):
    broken = tmp_path / "mines.safetensors"
    shutil.copy(MINES, broken)
    broken.write_bytes(broken.read_bytes()[:1000])
    monkeypatch.setattr("sarcd.detection.MINES", broken)
    with pytest.raises(Exception, match=r"mines\.safetensors"):
        detect(mine)
