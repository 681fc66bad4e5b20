"""The networks of the study: how they are trained and evaluated."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import jobs
from sarcd.config import TrainOptions, read_toml, to_dict
from sarcd.errors import MismatchError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.jobs.stored_pseudo_labels import pseudo_label
from sarcd.metrics import evaluate
from sarcd.simulation import sites
from sarcd.store.scene import open_scene
from sarcd.training.trainer import train

CONFIGS = Path(__file__).with_name("configs")
FOLDS = (("A", "B"), ("B", "A"))
"""Training site and evaluation site."""

TEST = "C"


@dataclass(frozen=True)
class Scale:
    """Sizes, epochs and options of the study."""

    sizes: dict[str, tuple[int, int]]  # of a site, (y, x) in pixels
    dates: dict[str, int]
    epochs: dict[str, int]  # by training site
    again: dict[str, int]  # of networks with pseudo-labels, by training site
    one_fold: dict[str, int] = field(default_factory=dict)  # epochs of tables with one fold
    options: dict[str, Any] = field(default_factory=dict)  # instead of those in the configuration files


SCALES = {
    "cpu": Scale(
        sizes={"A": (2048, 3584), "B": (2048, 2048), "C": (2048, 2048)},
        dates={"A": 4, "B": 3, "C": 3},
        epochs={"A": 20, "B": 50},
        again={"A": 15, "B": 30},
        one_fold={"A1": 75, "A2": 75},
    ),
    "paper": Scale(
        sizes={"A": (5352, 9356), "B": (5099, 4939), "C": (6040, 6312)},
        dates={"A": 4, "B": 3, "C": 5},
        epochs={"A": 300, "B": 400},
        again={"A": 100, "B": 200},
        options={
            "patch": 256,
            "batch": 64,
            "learning_rate": 1e-3,
            "schedule": "step",
            "precision": "float16",
            "network": {},
        },
    ),
}


@dataclass(frozen=True)
class Study:
    """Directory and scale of the study."""

    folder: Path
    scale: Scale

    def open(self) -> None:
        """Make the directory, or refuse one with a study of other settings, whose results would be reused."""
        rows = {path.stem: to_dict(read_toml(path, TrainOptions)) for path in sorted(CONFIGS.glob("*.toml"))}
        text = json.dumps({"scale": asdict(self.scale), "rows": rows}, default=str, indent=1)
        kept = self.folder / "settings.json"
        if kept.exists() and kept.read_text() != text:
            raise SystemExit(f"{self.folder} contains a study with another configuration. Choose another directory.")
        self.folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(text)

    def scene(self, name: str) -> Path:
        """Return the path of a site, or of one of its kind for temperature scaling (``A-val``)."""
        return self.folder / f"{name}.zarr"

    def make(self, name: str) -> None:
        """Simulate a site, and compute the statistics and coherence of its images."""
        path, kind = self.scene(name), name[0]
        if not path.exists():
            if name.endswith("-val"):
                size, dates, seed = (min(1024, *self.scale.sizes[kind]),) * 2, 2, 1
            else:
                size, dates, seed = self.scale.sizes[kind], self.scale.dates[kind], 0
            sites.write_site(path, kind, size=size, dates=dates, seed=seed)
        jobs.statistics(path, per_date=False)  # as for the published figures, for any levels
        jobs.coherence(path, read_toml(CONFIGS / "coherence.toml", TrainOptions).coherence)


@dataclass(frozen=True)
class Run:
    """A network of one row, fold and seed, with its scores."""

    study: Study
    row: str
    trained_on: str
    seed: int
    table: str = ""  # only for tables with one fold

    @property
    def name(self) -> str:
        """Row, training site and seed."""
        return f"{self.row}-{self.trained_on}-{self.seed}" + f"-{self.table}" * bool(self.table)

    @property
    def model(self) -> Path:
        """Path of the model file."""
        return self.study.folder / f"{self.name}.safetensors"

    @property
    def evaluated_on(self) -> str:
        """The evaluation site."""
        return dict(FOLDS)[self.trained_on]

    def kept(self, variant: str) -> Path:
        """Return the path of the scores."""
        return self.model.with_suffix(f".{variant}.json")

    @cached_property
    def options(self) -> TrainOptions:
        """Training options: those of the row's file, with those of the scale."""
        scale = self.study.scale
        epochs = (scale.again if self.row == "pseudo-labels" else scale.epochs)[self.trained_on]
        epochs = scale.one_fold.get(self.table, epochs)
        options = read_toml(CONFIGS / f"{self.row}.toml", TrainOptions)
        return replace(options, **scale.options, epochs=epochs, score_every=epochs, seed=self.seed)

    def train(self) -> dict[str, Any]:
        """Train or resume, and return the training metadata of the model file."""
        if not self.model.exists():
            scene, validation = self.study.scene(self.trained_on), self.study.scene(f"{self.trained_on}-val")
            pseudo: dict[str, Any] = {}
            if self.row == "pseudo-labels":
                pseudo = {"pseudo": [self.study.scene(self.evaluated_on)], "pseudo_name": self._label()}
            train(self.options, [scene], [validation], self.model, **pseudo)
        from sarcd.models.file import load_model

        return dict(load_model(self.model).card.training)

    def _label(self) -> str:
        """Make pseudo-labels of the evaluation site with the augmented network of this seed."""
        teacher, suffix = replace(self, row="augmentation"), f"{self.trained_on}{self.seed}"
        scenes = [self.study.scene(self.evaluated_on)]
        try:
            return pseudo_label(scenes, teacher.model, self.options.pseudo, name=suffix).variable
        except MismatchError:  # from another training
            return pseudo_label(scenes, teacher.model, self.options.pseudo, name=suffix, overwrite=True).variable

    def scores(self, variant: str = "plain") -> dict[str, Any]:
        """Return the scores on the evaluation site and, except for tables of one fold, on C; cached in a file."""
        path = self.kept(variant)
        if not path.exists():
            facts = self.train()
            found: dict[str, Any] = {key: facts[key] for key in ("patches", "changed_patches", "pseudo_patches")}
            temperature = facts["calibration"]["temperature"]
            for site in (self.evaluated_on,) if self.table else (self.evaluated_on, TEST):
                found[site] = _evaluate(self.study, [self.model], site, self._variant(variant), temperature)
            path.write_text(json.dumps(found))
        return dict(json.loads(path.read_text()))

    def _variant(self, name: str) -> dict[str, Any]:
        if name == "training-statistics":
            return {"statistics": AmplitudeStatistics.stored(open_scene(self.study.scene(self.trained_on)))}
        return {"plain": {}, "adapt": {"adapt_batchnorm": True}, "swap": {"swap": True}, "flips": {"flips": True}}[name]


def _evaluate(
    study: Study, models: list[Path], site: str, variant: dict[str, Any], temperature: float
) -> dict[str, float]:
    """Map a whole site and evaluate the map."""
    scene = open_scene(study.scene(site))
    probability = scene.sarcd.predict(model=models, **variant)["change_probability"].persist()  # used twice
    mapped = scene[["label", "before", "after"]].assign(change_probability=probability)
    table = evaluate(mapped, variable="change_probability").sel(over="pooled")
    names = {"f1": "f1", "precision": "precision", "recall": "recall", "ap": "average_precision"}
    scores = {key: float(table[name]) for key, name in names.items()}
    scores["ece"] = float(table["expected_calibration_error"])
    if variant:  # calibration is evaluated for the plain map only
        return scores
    if temperature != 1:  # undo the temperature scaling
        clipped = probability.clip(1e-7, 1 - 1e-7)  # 0 and 1 have no logit
        logit = temperature * np.log(clipped / (1 - clipped))
        mapped["change_probability"] = (1 / (1 + np.exp(-logit))).astype("float32").assign_attrs(probability.attrs)
        table = evaluate(mapped, variable="change_probability").sel(over="pooled")
    scores["ece_raw"] = float(table["expected_calibration_error"])
    return scores


def together(runs: list[Run]) -> dict[str, Any]:
    """Return the scores of the ensemble of all seeds, by site; cached in a file."""
    first = runs[0]
    path = first.study.folder / f"{first.row}-{first.trained_on}-all-{len(runs)}.json"
    if not path.exists():
        models = [run.model for run in runs]
        sites = (first.evaluated_on, TEST)
        path.write_text(json.dumps({site: _evaluate(first.study, models, site, {}, 1) for site in sites}))
    return dict(json.loads(path.read_text()))


def _end_with_parent() -> None:
    """Exit when the parent process is killed, so that this process does not run beside the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _measure(task: tuple[Run, str]) -> None:
    run, variant = task
    run.scores(variant)


def measure(tasks: Iterable[tuple[Run, str]], jobs: int) -> None:
    """Train and evaluate what is missing, several runs at a time with one thread each."""
    tasks = [task for task in tasks if not task[0].kept(task[1]).exists()]
    for wave in (
        [task for task in tasks if task[1] == "plain" and task[0].row != "pseudo-labels"],
        [task for task in tasks if task[1] == "plain" and task[0].row == "pseudo-labels"],  # after their teachers
        [task for task in tasks if task[1] != "plain"],
    ):
        if jobs == 1:
            for task in wave:
                _measure(task)
            continue
        os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
            for _ in pool.map(_measure, wave):
                print(".", end="", file=sys.stderr, flush=True)
