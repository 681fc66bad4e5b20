"""Training learns, repeats itself to the bit, and leaves all that is needed to use the model again."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sarcd.config import CoherenceOptions, TrainOptions, Window, read_toml
from sarcd.errors import OptionError, SarcdError, TrainingError
from sarcd.io.store import open_scene
from sarcd.jobs import write_prediction
from sarcd.learn import train as training
from sarcd.learn.train import train
from sarcd.model_file import load_model
from tests.learn.toys import toy_scene

SHORT = TrainOptions(
    widths=(4, 8), coherence=CoherenceOptions(window=Window(5, 5)), patch=32, batch=4, epochs=2, device="cpu"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    other = ((20, 30, 30), (70, 60, 24))
    return (
        toy_scene(folder / "learn.zarr", hole=(slice(0, 10), slice(0, 100))),
        toy_scene(folder / "judge.zarr", seed=1, squares=other, gain=3.0),
    )


def test_learns_and_maps_an_unseen_scene_of_other_calibration(tmp_path, scenes):
    learn, judge = scenes
    options = replace(SHORT, epochs=30, learning_rate=1e-2, schedule="one-cycle")
    result = train(options, [learn], [judge], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == list(range(1, 31))
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert result.scores["f1"] > 0.8
    assert result.scores == log[-1]["scores"]
    write_prediction(judge, result.path)
    scene = open_scene(judge)
    mapped = float(scene.sarcd.evaluate()["f1"].sel(over="pooled"))
    assert mapped > 0.8


def test_same_seed_same_bytes(tmp_path, scenes):
    files = [train(SHORT, [scenes[0]], [], tmp_path / f"{name}.safetensors").path.read_bytes() for name in "ab"]
    assert files[0] == files[1]
    other = train(replace(SHORT, seed=1), [scenes[0]], [], tmp_path / "c.safetensors")
    assert other.path.read_bytes() != files[0]


def test_patches_read_from_disk_train_as_those_in_memory(tmp_path, scenes):
    notes = []
    kept = train(SHORT, [scenes[0]], [], tmp_path / "kept.safetensors")
    read = train(replace(SHORT, memory_bytes=0), [scenes[0]], [], tmp_path / "read.safetensors", note=notes.append)
    first, second = (load_model(result.path).network.state_dict() for result in (kept, read))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert notes


def test_first_claim_is_the_share_of_change(tmp_path, scenes):
    """The loss of the first batch is near the entropy of that share, not ln 2."""
    result = train(replace(SHORT, epochs=1), [scenes[0]], [], tmp_path / "m.safetensors")
    assert result.loss < 0.9 * math.log(2)


def test_model_file_and_run_tell_all(tmp_path, scenes):
    result = train(SHORT, list(scenes), [], tmp_path / "m.safetensors")
    loaded = load_model(result.path)
    assert loaded.card.channels == ("before", "after", "coherence")
    assert loaded.card.coherence == SHORT.coherence
    assert loaded.card.statistics_policy == "scene"
    assert loaded.card.training["scenes"] == ["learn.zarr", "judge.zarr"]
    written = read_toml(result.run / "config.toml", TrainOptions)
    assert replace(written, bottleneck=None, convolutions=None) == SHORT
    assert (written.bottleneck, written.convolutions) == (0, 2)
    two = train(replace(SHORT, use_coherence=False), [scenes[0]], [], tmp_path / "two.safetensors")
    assert load_model(two.path).card.channels == ("before", "after")


def test_rate_falls_where_told(tmp_path, scenes):
    result = train(replace(SHORT, epochs=4, drop_at=0.5), [scenes[0]], [], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([record["learning_rate"] for record in log], [1e-3, 1e-3, 1e-4, 1e-4])


def test_best_epoch_is_kept_if_asked(tmp_path, scenes):
    options = replace(SHORT, epochs=5, learning_rate=2e-2, keep="best")
    result = train(options, [scenes[0]], [scenes[1]], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    best = max(record["scores"]["f1"] for record in log)
    assert result.scores["f1"] == best
    assert result.epoch == next(record["epoch"] for record in log if record["scores"]["f1"] == best)


def test_bad_requests(tmp_path, scenes):
    learn, judge = scenes
    model = tmp_path / "m.safetensors"
    cases = [
        (replace(SHORT, patch=30), [learn], [], "multiple of 4"),
        (replace(SHORT, keep="best"), [learn], [], "--val"),
        (SHORT, [learn], [learn], "twice|both"),
        (replace(SHORT, model="oracle"), [learn], [], "unknown network"),
        (replace(SHORT, device="abacus"), [learn], [], "device"),
        (SHORT, [tmp_path / "absent.zarr"], [], "no such scene"),
    ]
    for options, scenes_, validation, message in cases:
        with pytest.raises(SarcdError, match=message):
            train(options, scenes_, validation, model)
        assert not model.exists()
    with pytest.raises(OptionError, match="safetensors"):
        train(SHORT, [learn], [judge], tmp_path / "m.pt")
    model.write_bytes(b"precious")
    with pytest.raises(TrainingError, match="--overwrite"):
        train(SHORT, [learn], [], model)
    assert model.read_bytes() == b"precious"


def test_loss_that_is_not_finite_names_its_batch(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr(training, "binary_cross_entropy", lambda logits, target: logits.sum() * math.nan)
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, at .*learn\.zarr"):
        train(SHORT, [scenes[0]], [], tmp_path / "m.safetensors")
