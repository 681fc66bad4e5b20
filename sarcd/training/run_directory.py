"""The folder beside a model file: filled configuration, log of the epochs and its picture, state to resume from."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sarcd import config
from sarcd.config import TrainOptions
from sarcd.errors import TrainingError
from sarcd.training.checkpoint import FILE

Json = dict[str, Any]

CACHE = "cache"
"""Patches that a run keeps on disk for itself."""

_CONFIG, _LOG, _PICTURE = "config.toml", "log.jsonl", "log.png"


class RunFolder:
    """Folder of one training.

    Parameters
    ----------
    path : Path
        Where it is, or will be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, options: TrainOptions, *, resumed_at: int = 0) -> None:
        """Write the configuration, and cut the log to the epochs that are done.

        Raises
        ------
        TrainingError
            If the folder cannot be written.
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
            raise TrainingError(f"cannot be written ({error.strerror})", where=str(self.path)) from error

    def records(self) -> list[Json]:
        """Return the records of the log; a line that a kill cut short is left out."""
        records = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / _LOG).read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    records.append(json.loads(line))
        return records

    @contextlib.contextmanager
    def log(self, resumed_at: int, *, writing: bool = True) -> Iterator[Log]:
        """Give a log that goes on after so many epochs; its picture is drawn at the end, whatever that is."""
        log = Log(self.path, resumed_at, writing=writing)
        try:
            yield log
        finally:
            log.close()
            if writing:
                draw(self.records(), self.path / _PICTURE)

    def finish(self) -> None:
        """Remove the state, which nothing goes on from any more, and the patches kept for this run alone."""
        (self.path / FILE).unlink(missing_ok=True)
        shutil.rmtree(self.path / CACHE, ignore_errors=True)


class Log:
    """Writes records to the log, and to TensorBoard where that is installed.

    Parameters
    ----------
    run : Path
        Folder of the run.
    resumed_at : int
        Epochs that are done.
    writing : bool
        False for one that writes nothing: of several processes one writes.
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
        """Let go of the files."""
        if self._board is not None:
            self._board.close()


def draw(records: list[Json], path: Path) -> None:
    """Draw loss and validation scores over the epochs as a PNG; nothing where there is nothing to draw."""
    if not records:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    judged = [{"epoch": record["epoch"], **record["scores"]} for record in records if record.get("scores")]
    figure = Figure(figsize=(8, 5.6 if judged else 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if judged else 1, 1, sharex=True, squeeze=False)[:, 0]
    panels[0].set(ylabel="loss")
    _curve(panels[0], records, "loss", "training", "tab:blue")
    _curve(panels[0], judged, "cross_entropy", "validation (cross-entropy)", "tab:orange")
    if judged:
        panels[1].set(ylabel="validation score", ylim=(0, 1))
        for name, colour in (("f1", "tab:green"), ("precision", "tab:purple"), ("recall", "tab:brown")):
            _curve(panels[1], judged, name, "F1" if name == "f1" else name, colour)
    panels[0].set_ylim(bottom=0)
    panels[-1].set_xlabel("epoch")
    for panel in panels:
        panel.grid(alpha=0.3)
        panel.legend(frameon=False, ncols=3)
    figure.savefig(path, dpi=120)


def _curve(panel: Any, records: list[Json], name: str, label: str, colour: str) -> None:
    known = [(record["epoch"], record[name]) for record in records if record.get(name) is not None]
    if known:
        # A dot a value where there are few: one alone would make no line.
        panel.plot(*zip(*known, strict=True), color=colour, label=label, marker="o" if len(known) < 20 else None, ms=3)
