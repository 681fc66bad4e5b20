"""Run directory: configuration, log and plot of the epochs, and the checkpoint from which a run resumes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sarcd import config
from sarcd.attributes import Json
from sarcd.config import TrainOptions
from sarcd.config.renamed import current_training
from sarcd.errors import TrainingError
from sarcd.networks import Network
from sarcd.store.storage import write_atomic

FILE = "state.safetensors"
_KEY = "sarcd"


class TrainState:
    """Mutable state of training: network, optimiser, schedule, loss scaler, and the best weights so far.

    Parameters
    ----------
    network : Network
        Network, on its device.
    optimizer : torch.optim.Optimizer
        Optimiser of the network's parameters.
    schedule : torch.optim.lr_scheduler.LRScheduler
        Learning-rate schedule, stepped after every batch.
    scaler : torch.amp.GradScaler
        Gradient scaler, enabled for float16.
    average : float
        Decay of the exponential moving average (EMA) of the weights, in [0, 1); 0 disables it.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        scaler: torch.amp.GradScaler,
        *,
        average: float = 0.0,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.schedule = schedule
        self.scaler = scaler
        self._averaged = _average_of(network, average) if average else None
        self.epoch = 0
        self.record: Json = {}
        self.best: Json | None = None
        self.best_weights: dict[str, Tensor] = {}

    def update_average(self) -> None:
        """Update the moving average with the current weights, if averaging is enabled."""
        if self._averaged is not None:
            self._averaged.update_parameters(self.network)

    def use_average(self) -> None:
        """Replace the network's weights by their moving average, if averaging is enabled."""
        if self._averaged is not None:
            self.network.load_state_dict(self._averaged.module.state_dict())

    def keep_best(self, record: Json) -> None:
        """Store the current weights as the best, with the record of their epoch."""
        self.best = record
        self.best_weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def save(self, run: Path, begun: Json) -> None:
        """Write a checkpoint after an epoch.

        Parameters
        ----------
        run : Path
            Run directory.
        begun : dict
            JSON values that a run must have in common with this one to resume from the checkpoint.
        """
        optimizer = self.optimizer.state_dict()
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        if self._averaged is not None:
            tensors |= {f"average.{name}": value for name, value in self._averaged.state_dict().items()}
        for index, moments in optimizer["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        plain = {
            "begun": begun,
            "epoch": self.epoch,
            "record": self.record,
            "best": self.best,
            "groups": optimizer["param_groups"],
            "schedule": {"last_epoch": self.schedule.last_epoch, "_last_lr": self.schedule.get_last_lr()},
            "scaler": self.scaler.state_dict(),
        }
        # Clone each tensor: safetensors rejects tensors that share memory, and some may be views.
        data = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        write_atomic(run / FILE, safetensors.torch.save(data, metadata={_KEY: json.dumps(plain)}))

    def load(self, run: Path) -> None:
        """Load a checkpoint written by `save`.

        Raises
        ------
        TrainingError
            If the checkpoint is damaged.
        """
        plain, tensors = _read(run / FILE)
        try:
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith("optimizer."):
                    _, index, moment = name.split(".", 2)
                    moments.setdefault(int(index), {})[moment] = value
            self.network.load_state_dict(_part(tensors, "network."))
            if self._averaged is not None:
                self._averaged.load_state_dict(_part(tensors, "average."))
            self.optimizer.load_state_dict({"state": moments, "param_groups": plain["groups"]})
            self.schedule.load_state_dict(plain["schedule"])
            self.scaler.load_state_dict(plain["scaler"])
            device = next(self.network.parameters()).device
            self.best_weights = {name: value.to(device) for name, value in _part(tensors, "best.").items()}
            self.epoch, self.record, self.best = plain["epoch"], plain["record"], plain["best"]
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise _damaged(run / FILE) from error


def _average_of(network: Network, decay: float) -> AveragedModel:
    """Return an exponential moving average of the weights and of the batch-norm statistics."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def begun_before(run: Path) -> Json | None:
    """Return the settings with which a run was started, or None if it has no checkpoint.

    Raises
    ------
    TrainingError
        If the checkpoint is damaged.
    """
    if not (run / FILE).exists():
        return None
    begun = _read(run / FILE)[0].get("begun")
    if not isinstance(begun, dict):
        raise _damaged(run / FILE)
    if isinstance(begun.get("options"), dict):
        begun["options"] = current_training(begun["options"])
    return begun


def _read(path: Path) -> tuple[Json, dict[str, Tensor]]:
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        plain = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
        return plain, safetensors.torch.load(data)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _damaged(path: Path) -> TrainingError:
    return TrainingError(
        "state of an earlier run cannot be read", source=str(path), hint="pass --overwrite to start again"
    )


CACHE = "cache"
"""Folder in the run directory with the cached patches of the run."""

_CONFIG, _LOG, _PICTURE = "config.toml", "log.jsonl", "log.png"


class RunFolder:
    """Run directory of a training run.

    Parameters
    ----------
    path : Path
        Path of the directory, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, options: TrainOptions, *, resumed_at: int = 0) -> None:
        """Write the configuration and truncate the log to the completed epochs.

        Parameters
        ----------
        options : TrainOptions
            Configuration to write.
        resumed_at : int
            Number of completed epochs; 0 starts a new run and removes an existing checkpoint.

        Raises
        ------
        TrainingError
            If the directory cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            done = [record for record in self.records() if record["epoch"] <= resumed_at] if resumed_at else []
            if not resumed_at:
                (self.path / FILE).unlink(missing_ok=True)
            config.write_toml(options, self.path / _CONFIG)
            lines = [json.dumps(record) + "\n" for record in done]
            (self.path / _LOG).write_text("".join(lines), encoding="utf-8")
        except OSError as error:
            raise TrainingError(f"cannot be written ({error.strerror})", source=str(self.path)) from error

    def records(self) -> list[Json]:
        """Return the records of the log, skipping lines that a killed run left truncated."""
        records = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / _LOG).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
        return records

    @contextlib.contextmanager
    def log(self, resumed_at: int, *, writing: bool = True) -> Iterator[Log]:
        """Open the log after `resumed_at` completed epochs; plot it on exit, also after an error."""
        log = Log(self.path, resumed_at, writing=writing)
        try:
            yield log
        finally:
            log.close()
            if writing:
                draw(self.records(), self.path / _PICTURE)

    def finish(self) -> None:
        """Remove the checkpoint, which is no longer needed, and the patches cached in the run directory."""
        (self.path / FILE).unlink(missing_ok=True)
        shutil.rmtree(self.path / CACHE, ignore_errors=True)


class Log:
    """Log of the epochs, which is also written to TensorBoard if that is installed.

    Parameters
    ----------
    run : Path
        Run directory.
    resumed_at : int
        Number of completed epochs.
    writing : bool
        Whether this process writes; only one of several processes does.
    """

    def __init__(self, run: Path, resumed_at: int, *, writing: bool = True) -> None:
        self._file = run / _LOG if writing else None
        self._board: Any = None
        if writing and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_at + 1)

    def write(self, record: Json) -> None:
        """Write the record of an epoch."""
        if self._file is None:
            return
        with self._file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        if self._board is not None:
            scores = record.get("scores") or {}
            scalars = {"loss": record["loss"], "learning_rate": record["learning_rate"]}
            scalars |= {f"validation/{name}": value for name, value in scores.items() if isinstance(value, float)}
            for name, value in scalars.items():
                self._board.add_scalar(name, value, record["epoch"])

    def close(self) -> None:
        """Close the files."""
        if self._board is not None:
            self._board.close()


def draw(records: list[Json], path: Path) -> None:
    """Plot loss and validation scores over the epochs as PNG; do nothing without records or without matplotlib."""
    if not records or importlib.util.find_spec("matplotlib") is None:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    validated = [{"epoch": record["epoch"], **record["scores"]} for record in records if record.get("scores")]
    figure = Figure(figsize=(8, 5.6 if validated else 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if validated else 1, 1, sharex=True, squeeze=False)[:, 0]
    panels[0].set(ylabel="loss")
    _curve(panels[0], records, "loss", "training", "tab:blue")
    _curve(panels[0], validated, "cross_entropy", "validation (cross-entropy)", "tab:orange")
    if validated:
        panels[1].set(ylabel="validation score", ylim=(0, 1))
        for name, colour in (("f1", "tab:green"), ("precision", "tab:purple"), ("recall", "tab:brown")):
            _curve(panels[1], validated, name, "F1" if name == "f1" else name, colour)
    panels[0].set_ylim(bottom=0)
    panels[-1].set_xlabel("epoch")
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, ncols=3)
    figure.savefig(path, dpi=120)


def _curve(panel: Any, records: list[Json], name: str, label: str, colour: str) -> None:
    known = [(record["epoch"], record[name]) for record in records if record.get(name) is not None]
    if known:
        # Add markers if there are few values: a single value would not draw a line.
        panel.plot(*zip(*known, strict=True), color=colour, label=label, marker="o" if len(known) < 20 else None, ms=3)
