"""The run directory: log, plot and TensorBoard files."""

import importlib.util
import json

import pytest

from sarcd.config import TrainOptions, read_toml
from sarcd.errors import TrainingError
from sarcd.training.checkpoint import RunFolder

RECORDS = [
    {"epoch": 1, "learning_rate": 1e-3, "loss": 0.7},
    {"epoch": 2, "learning_rate": 1e-3, "loss": 0.5, "scores": {"f1": 0.4, "precision": None, "tp": 3}},
    {"epoch": 3, "learning_rate": 1e-4, "loss": 0.4, "scores": {"f1": 0.6, "precision": 0.5, "tp": 4}},
]


def written(path, records, *, resumed_at=0):
    run = RunFolder(path)
    run.begin(TrainOptions(), resumed_at=resumed_at)
    with run.log(resumed_at) as log:
        for record in records:
            log.write(record)
    return run


def test_a_log_goes_on_after_the_epochs_that_count(tmp_path):
    run = written(tmp_path / "m.run", RECORDS)
    assert run.records() == RECORDS
    with (run.path / "log.jsonl").open("a") as log:
        log.write('{"epoch": 4, "lo')  # left by a kill
    assert run.records() == RECORDS
    written(run.path, RECORDS[1:2], resumed_at=1)
    assert run.records() == RECORDS[:2]
    written(run.path, RECORDS[:1])
    assert run.records() == RECORDS[:1]
    assert read_toml(run.path / "config.toml", TrainOptions) == TrainOptions()


def test_the_picture_is_drawn_whatever_ends_the_training(tmp_path):
    run = RunFolder(tmp_path / "m.run")
    run.begin(TrainOptions())

    def interrupted():
        with run.log(0) as log:
            log.write(RECORDS[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (run.path / "log.png").read_bytes().startswith(b"\x89PNG")


def test_a_process_that_does_not_write(tmp_path):
    run = RunFolder(tmp_path / "m.run")
    with run.log(0, writing=False) as log:
        log.write(RECORDS[0])
    assert not run.path.exists()


def test_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    run = written(tmp_path / "m.run", RECORDS)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    assert [(event.step, round(event.value, 5)) for event in events.Scalars("loss")] == [(1, 0.7), (2, 0.5), (3, 0.4)]
    assert [event.step for event in events.Scalars("validation/f1")] == [2, 3]
    assert [event.step for event in events.Scalars("validation/precision")] == [3]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    without = written(tmp_path / "other.run", RECORDS)
    assert not (without.path / "tensorboard").exists()
    assert [json.loads(line)["epoch"] for line in (without.path / "log.jsonl").read_text().splitlines()] == [1, 2, 3]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be written"):
        RunFolder(tmp_path / "file" / "m.run").begin(TrainOptions())
