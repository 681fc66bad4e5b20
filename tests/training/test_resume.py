"""A training run stopped at any time resumes and ends with the same bytes."""

import json
import math
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from sarcd.config import AugmentOptions, CoherenceOptions, TrainOptions, Window
from sarcd.errors import TrainingError
from sarcd.networks import create_model
from sarcd.training import trainer as training
from sarcd.training.checkpoint import FILE, TrainState, begun_before
from sarcd.training.trainer import train
from tests.factories.labelled_scenes import toy_scene
from tests.processes import forked

OPTIONS = TrainOptions(
    network={"widths": (4, 8)},
    coherence=CoherenceOptions(window=Window(5, 5)),
    patch=32,
    batch=4,
    epochs=5,
    device="cpu",
    checkpoint_seconds=0,
    augment=AugmentOptions(speckle=0.5, gain=0.5, cut_mix=0.5, scale_per="pixel"),
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    return toy_scene(folder / "learn.zarr"), toy_scene(folder / "judge.zarr", seed=1, gain=3.0)


def stopping_after(steps):
    """A progress callback that simulates Ctrl-C during training."""

    @contextmanager
    def progress(description, total):
        left = [steps]

        def advance(count):
            left[0] -= count
            if description == "train" and left[0] < 0:
                raise KeyboardInterrupt

        yield advance

    return progress


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"checkpoint": "best"},
        {"schedule": "one-cycle", "precision": "bfloat16"},
        {"precision": "float16"},
        {"model": "siamese-unet", "network": {"dropout": 0.5}, "patch": 32},
        {"cache": "none", "sampling": "weighted", "workers": 0, "shuffle": 3},
    ],
    ids=lambda change: "-".join(map(str, change.values()))[:40] or "plain",
)
def test_ends_with_the_bytes_of_an_undisturbed_run(tmp_path, scenes, change):
    options = replace(OPTIONS, **change)
    learn, validate = scenes
    whole = train(options, [learn], [validate], tmp_path / "whole" / "m.safetensors")
    output = tmp_path / "torn" / "m.safetensors"
    for steps in (2, 9, 3):  # in the first epoch, in a later one, and soon again
        with pytest.raises(KeyboardInterrupt):
            train(options, [learn], [validate], output, progress=stopping_after(steps))
        assert not output.exists()
    torn = train(options, [learn], [validate], output)
    assert torn.path.read_bytes() == whole.path.read_bytes()
    logs = [
        [json.loads(line) for line in (result.run / "log.jsonl").read_text().splitlines()] for result in (whole, torn)
    ]
    assert logs[0] == logs[1]
    assert not (torn.run / FILE).exists()
    assert (torn.run / "log.png").stat().st_size > 1000


def test_each_epoch_has_random_numbers_of_its_own_also_after_a_stop(tmp_path, scenes, monkeypatch):
    """Applies to dropout and augmentation, whose generators are reseeded in every epoch."""

    def seeds(output, steps=None):
        seen = []

        def note(x, target, channels, options, generator, **more):
            seen.append((generator.initial_seed(), torch.initial_seed()))
            return x, target

        monkeypatch.setattr(training, "augment", note)
        if steps is None:
            result = train(OPTIONS, [scenes[0]], [], output)
            return seen, result
        with pytest.raises(KeyboardInterrupt):
            train(OPTIONS, [scenes[0]], [], output, progress=stopping_after(steps))
        return seen, None

    whole, result = seeds(tmp_path / "whole.safetensors")
    batches = len(whole) // OPTIONS.epochs
    assert batches == math.ceil(result.patches / OPTIONS.batch) > 1
    for kind in zip(*whole, strict=True):
        assert [len(set(kind[start : start + batches])) for start in range(0, len(kind), batches)] == [1] * 5
        assert len(set(kind)) == OPTIONS.epochs
    assert not {first for first, _ in whole} & {second for _, second in whole}
    seeds(tmp_path / "torn.safetensors", steps=2 * batches + 1)  # in the third epoch
    assert seeds(tmp_path / "torn.safetensors")[0] == whole[2 * batches :]


def new_train_state(seed):
    torch.manual_seed(seed)
    network = create_model("unet", 2, widths=(2, 3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=20)
    return TrainState(network, optimizer, schedule, torch.amp.GradScaler("cpu", enabled=True))


def take_steps(train_state, count):
    for _ in range(count):
        train_state.optimizer.zero_grad()
        train_state.network(torch.rand(2, 2, 8, 8)).square().mean().backward()
        train_state.optimizer.step()
        train_state.schedule.step()


def test_a_learner_comes_back_whole(tmp_path):
    train_state = new_train_state(0)
    take_steps(train_state, 3)
    train_state.epoch, train_state.record = 1, {"epoch": 1, "scores": {"f1": 0.5}}
    train_state.keep_best(train_state.record)
    take_steps(train_state, 4)
    train_state.epoch, train_state.record = 2, {"epoch": 2, "scores": {"f1": 0.25}}
    train_state.scaler.load_state_dict({**train_state.scaler.state_dict(), "scale": 24.0, "_growth_tracker": 5})
    train_state.save(tmp_path, {"world": 1})
    other = new_train_state(1)
    take_steps(other, 1)
    other.load(tmp_path)
    assert (other.epoch, other.record, other.best) == (2, train_state.record, {"epoch": 1, "scores": {"f1": 0.5}})
    assert other.scaler.state_dict() == train_state.scaler.state_dict()
    assert other.schedule.get_last_lr() == train_state.schedule.get_last_lr()
    assert begun_before(tmp_path) == {"world": 1}
    assert not torch.equal(train_state.best_weights["head.weight"], train_state.network.head.weight)
    kept = train_state.best_weights, other.best_weights
    for one, two in (kept, (train_state.network.state_dict(), other.network.state_dict())):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)
    for each in (train_state, other):
        torch.manual_seed(2)
        take_steps(each, 5)  # identical from here on, because moments and learning rates were restored
    assert other.schedule.get_last_lr() == train_state.schedule.get_last_lr()
    for name, value in train_state.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])


def test_other_settings_or_labels_do_not_go_on(tmp_path, scenes):
    output = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, [scenes[0]], [], output, progress=stopping_after(8))
    with pytest.raises(
        TrainingError, match=r"a run with learning_rate 0.001, now 0.1 was stopped here[.] Give the same"
    ):
        train(replace(OPTIONS, learning_rate=0.1), [scenes[0]], [], output)
    with pytest.raises(TrainingError, match="other scenes or labels"):
        train(OPTIONS, [scenes[1]], [], output)
    anew = train(replace(OPTIONS, learning_rate=0.1, epochs=1), [scenes[0]], [], output, overwrite=True)
    assert anew.epoch == 1


def test_a_damaged_state_is_said(tmp_path, scenes):
    output = tmp_path / "m.safetensors"
    with pytest.raises(KeyboardInterrupt):
        train(OPTIONS, [scenes[0]], [], output, progress=stopping_after(8))
    state = tmp_path / "m.run" / FILE
    data = state.read_bytes()
    for damage in (data[:100], b"", data[: len(data) // 2]):
        state.write_bytes(damage)
        with pytest.raises(TrainingError, match="--overwrite to start again"):
            train(OPTIONS, [scenes[0]], [], output)


@pytest.mark.slow
def test_killed_processes(tmp_path, scenes):
    """Use real processes, killed without warning at any point."""
    settings = ["patch=32", "batch=4", "epochs=30", "checkpoint_seconds=0", "network.widths=[4, 8]", "device=cpu"]

    def start(output):
        flags = [part for setting in settings for part in ("--set", setting)]
        return forked("train", scenes[0], "--val", scenes[1], "-o", output, *flags)

    def finish(output):
        process = start(output)
        process.join()
        assert process.exitcode == 0

    finish(tmp_path / "whole.safetensors")
    output, run = tmp_path / "torn.safetensors", tmp_path / "torn.run"
    for lines in (2, 9, 17):
        process = start(output)
        log = run / "log.jsonl"
        deadline = time.monotonic() + 120
        while not log.exists() or len(log.read_text().splitlines()) < lines:
            assert process.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.join()
    finish(output)
    assert output.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
