"""Training reduces the loss, is reproducible bit for bit, and saves everything needed to use the model."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from sarcd import jobs
from sarcd.config import CoherenceOptions, TrainOptions, Window, read_toml
from sarcd.errors import OptionError, SarcdError, SceneError, TrainingError
from sarcd.models.file import load_model
from sarcd.store.scene import open_scene
from sarcd.training import loop
from sarcd.training.trainer import train
from tests.factories.labelled_scenes import store_toy, toy_images, toy_scene

SHORT = TrainOptions(
    network={"widths": (4, 8)},
    coherence=CoherenceOptions(window=Window(5, 5)),
    patch=32,
    batch=4,
    epochs=2,
    device="cpu",
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
    learn, validate = scenes
    options = replace(SHORT, epochs=30, learning_rate=1e-2, schedule="one-cycle")
    result = train(options, [learn], [validate], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log] == list(range(1, 31))
    assert log[-1]["loss"] < 0.5 * log[0]["loss"]
    assert result.scores["f1"] > 0.8
    assert result.scores["f1"] == log[-1]["scores"]["f1"]  # a temperature moves no pixel across 0.5
    assert result.scores["calibration_error"] == pytest.approx(result.calibration["error_after"], rel=0.01)
    assert result.calibration["error_after"] <= result.calibration["error_before"]
    jobs.predict(validate, result.path)
    scene = open_scene(validate)
    mapped = float(scene.sarcd.evaluate()["f1"].sel(over="pooled"))
    assert mapped > 0.8


def test_patches_kept_for_one_run_go_with_its_end(tmp_path, scenes):
    own = train(replace(SHORT, epochs=1, cache="disk"), [scenes[0]], [scenes[1]], tmp_path / "own.safetensors")
    assert not list(own.run.rglob("*.npy"))
    options = replace(SHORT, epochs=1, cache="disk", cache_dir=str(tmp_path / "shared"))
    train(options, [scenes[0]], [scenes[1]], tmp_path / "other.safetensors")
    assert len(list((tmp_path / "shared").rglob("*.npy"))) == 4


def test_same_seed_same_bytes(tmp_path, scenes):
    files = [train(SHORT, [scenes[0]], [], tmp_path / f"{name}.safetensors").path.read_bytes() for name in "ab"]
    assert files[0] == files[1]
    other = train(replace(SHORT, seed=1), [scenes[0]], [], tmp_path / "c.safetensors")
    assert other.path.read_bytes() != files[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_patches_read_from_disk_train_as_those_in_memory(tmp_path, scenes, workers):
    notes = []
    kept = train(SHORT, [scenes[0]], [], tmp_path / "kept.safetensors")
    options = replace(SHORT, cache="none", order="random", workers=workers)
    read = train(options, [scenes[0]], [], tmp_path / "read.safetensors", note=notes.append)
    first, second = (load_model(result.path).network.state_dict() for result in (kept, read))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any("read again" in text for text in notes)


def test_the_callers_random_numbers_stay_his_own(tmp_path, scenes):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(replace(SHORT, epochs=1), [scenes[0]], [], tmp_path / "m.safetensors")
    assert torch.equal(torch.rand(3), expected)


def test_reduced_precision_trains_on_any_device(tmp_path, scenes):
    options = replace(SHORT, epochs=3, learning_rate=1e-2)
    exact = train(options, [scenes[0]], [], tmp_path / "a.safetensors")
    rough = train(replace(options, precision="bfloat16"), [scenes[0]], [], tmp_path / "b.safetensors")
    assert rough.loss != exact.loss
    assert rough.loss == pytest.approx(exact.loss, rel=0.05)
    weights = load_model(rough.path).network.state_dict()
    assert {value.dtype for value in weights.values()} == {torch.float32, torch.int64}


def amplitudes(*paths):
    found = np.concatenate([np.abs(open_scene(path)["slc"].values).ravel() for path in paths])
    return found[~np.isnan(found)]


@pytest.mark.parametrize("count", [1, 2])
def test_statistics_of_the_training_set(tmp_path, scenes, count):
    """Pooled over scenes of different size, they equal NumPy's over all pixels and normalise every scene."""
    learn = [toy_scene(tmp_path / "large.zarr", seed=5, side=160, gain=2.0, chunk=48), scenes[1]][:count]
    result = train(replace(SHORT, epochs=1, statistics="model"), learn, [], tmp_path / "m.safetensors")
    card = load_model(result.path).card
    assert card.statistics_policy == "model"
    values = amplitudes(*learn).astype(float)
    median = np.median(values)
    assert card.statistics.median == (median,)
    deviations = np.abs(values - median).astype("float32")
    assert card.statistics.mad == (np.median(deviations.astype(float)),)
    own = train(replace(SHORT, epochs=1), learn, [], tmp_path / "own.safetensors")
    assert (own.loss == result.loss) == (count == 1)


def test_statistics_kept_with_the_scene_are_used(tmp_path):
    scene = toy_scene(tmp_path / "a.zarr")
    jobs.statistics(scene)
    notes = []
    train(replace(SHORT, epochs=1), [scene], [], tmp_path / "m.safetensors", note=notes.append)
    assert not any("statistics" in text for text in notes)


def test_patches_come_from_every_scene(tmp_path, scenes):
    one = train(replace(SHORT, epochs=1), [scenes[0]], [], tmp_path / "one.safetensors")
    two = train(replace(SHORT, epochs=1), list(scenes), [], tmp_path / "two.safetensors")
    other = train(replace(SHORT, epochs=1), [scenes[1]], [scenes[0]], tmp_path / "other.safetensors")
    assert two.changed_patches == one.changed_patches + other.changed_patches
    assert other.validation_patches == 16


def test_detected_images_train_without_coherence(tmp_path):
    rng = np.random.default_rng(0)
    slc, label = toy_images(rng, (64, 64), squares=[(8, 8, 20)])
    scene = store_toy(tmp_path / "a.zarr", np.abs(slc), label, images="amplitude")
    with pytest.raises(SceneError, match="--no-coherence"):
        train(SHORT, [scene], [], tmp_path / "m.safetensors")
    result = train(replace(SHORT, use_coherence=False), [scene], [], tmp_path / "m.safetensors")
    card = load_model(result.path).card
    assert card.channels == ("before", "after")
    assert card.coherence is None


def test_scores_only_where_asked(tmp_path, scenes):
    result = train(replace(SHORT, epochs=5, score_every=2), [scenes[0]], [scenes[1]], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in log if "scores" in record] == [2, 4, 5]


def test_what_cannot_be_judged_takes_no_part(tmp_path):
    """Trained weights are identical bit for bit, whatever the labels in a hole."""
    rng = np.random.default_rng(3)
    slc, label = toy_images(rng, (128, 128), squares=[(8, 8, 24), (80, 24, 24)])
    slc[0, 20:40, 60:80] = np.nan + 1j * np.nan
    results = []
    for value in (0, 1, 255):
        label[0, 22:38, 62:78] = value
        scene = store_toy(tmp_path / f"{value}.zarr", slc, label)
        path = train(SHORT, [scene], [], tmp_path / f"{value}.safetensors").path
        results.append(load_model(path).network.state_dict())
    for other in results[1:]:
        assert all(torch.equal(other[name], value) for name, value in results[0].items())


def test_first_claim_is_the_share_of_change(tmp_path, scenes):
    """The loss of the first batch is close to the entropy of the fraction of change, not ln 2."""
    result = train(replace(SHORT, epochs=1), [scenes[0]], [], tmp_path / "m.safetensors")
    assert result.loss < 0.9 * math.log(2)


def test_model_file_and_run_tell_all(tmp_path, scenes):
    result = train(SHORT, list(scenes), [], tmp_path / "m.safetensors")
    loaded = load_model(result.path)
    assert loaded.card.channels == ("before", "after", "coherence")
    assert loaded.card.coherence == SHORT.coherence
    assert loaded.card.statistics_policy == "scene"
    assert loaded.card.training["scenes"] == ["learn.zarr", "judge.zarr"]
    # batch norm has processed every batch in training mode
    steps = SHORT.epochs * math.ceil(result.patches / SHORT.batch)
    assert loaded.network.state_dict()["encoder.0.1.num_batches_tracked"] == steps
    written = read_toml(result.run / "config.toml", TrainOptions)
    assert (written.micro_batch, written.order, written.cache) == (4, "random", "memory")
    assert replace(written, network=SHORT.network, micro_batch=0, order="auto", cache="auto") == SHORT
    assert written.network == {"widths": (4, 8), "bottleneck": 0, "convolutions": 2}
    two = train(replace(SHORT, use_coherence=False), [scenes[0]], [], tmp_path / "two.safetensors")
    assert load_model(two.path).card.channels == ("before", "after")


def test_rate_falls_where_told(tmp_path, scenes):
    result = train(replace(SHORT, epochs=4, lr_milestone=0.5), [scenes[0]], [], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    np.testing.assert_allclose([record["learning_rate"] for record in log], [1e-3, 1e-3, 1e-4, 1e-4])


def test_best_epoch_is_kept_if_asked(tmp_path, scenes):
    options = replace(SHORT, epochs=5, learning_rate=2e-2, checkpoint="best")
    result = train(options, [scenes[0]], [scenes[1]], tmp_path / "m.safetensors")
    log = [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()]
    best = max(record["scores"]["f1"] for record in log)
    assert result.scores["f1"] == best
    assert result.epoch == next(record["epoch"] for record in log if record["scores"]["f1"] == best)


def test_bad_requests(tmp_path, scenes):
    learn, validate = scenes
    model = tmp_path / "m.safetensors"
    cases = [
        (replace(SHORT, patch=30), [learn], [], "multiple of 4"),
        (replace(SHORT, checkpoint="best"), [learn], [], "--val"),
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
        train(SHORT, [learn], [validate], tmp_path / "m.pt")
    model.write_bytes(b"precious")
    with pytest.raises(TrainingError, match="--overwrite"):
        train(SHORT, [learn], [], model)
    assert model.read_bytes() == b"precious"


def test_loss_that_is_not_finite_names_its_batch(tmp_path, scenes, monkeypatch):
    monkeypatch.setattr(loop, "total_loss", lambda logits, target, options: logits.sum() * math.nan)
    with pytest.raises(TrainingError, match=r"loss is nan in epoch 1, at .*learn\.zarr"):
        train(SHORT, [scenes[0]], [], tmp_path / "m.safetensors")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_a_compiled_network_trains_as_any_other(tmp_path, scenes):
    torch._dynamo.reset()  # clear what other tests compiled
    options = replace(SHORT, epochs=1, learning_rate=1e-2)
    plain = train(options, [scenes[0]], [], tmp_path / "a.safetensors")
    compiled = train(replace(options, compiled=True), [scenes[0]], [], tmp_path / "b.safetensors")
    assert compiled.loss == pytest.approx(plain.loss, rel=0.01)
    assert load_model(compiled.path).network.state_dict().keys() == load_model(plain.path).network.state_dict().keys()
