"""The networks of the study: what is learnt where, by which file, and judged how."""

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
"""Learnt from, and judged on."""

TEST = "C"


@dataclass(frozen=True)
class Scale:
    """How large the study is."""

    sizes: dict[str, tuple[int, int]]  # of a site, (y, x) in pixels
    dates: dict[str, int]
    epochs: dict[str, int]  # by the site that is learnt from
    again: dict[str, int]  # of the network that learns from pseudo-labels too
    one_fold: dict[str, int] = field(default_factory=dict)  # epochs of tables that have one fold alone
    options: dict[str, Any] = field(default_factory=dict)  # other than in the configuration files


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
    """Where the study is, and how large."""

    folder: Path
    scale: Scale

    def open(self) -> None:
        """Make the folder, or refuse one that holds a study of other settings: what is there is taken as it is."""
        rows = {path.stem: to_dict(read_toml(path, TrainOptions)) for path in sorted(CONFIGS.glob("*.toml"))}
        text = json.dumps({"scale": asdict(self.scale), "rows": rows}, default=str, indent=1)
        kept = self.folder / "settings.json"
        if kept.exists() and kept.read_text() != text:
            raise SystemExit(f"{self.folder}: holds a study of another scale or configuration: name another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(text)

    def scene(self, name: str) -> Path:
        """Return where a site is, or one of its kind to fit temperatures on (``A-val``)."""
        return self.folder / f"{name}.zarr"

    def make(self, name: str) -> None:
        """Simulate a site, with the statistics and the coherence of its images."""
        path, kind = self.scene(name), name[0]
        if not path.exists():
            if name.endswith("-val"):
                size, dates, seed = (min(1024, *self.scale.sizes[kind]),) * 2, 2, 1
            else:
                size, dates, seed = self.scale.sizes[kind], self.scale.dates[kind], 0
            sites.write_site(path, kind, size=size, dates=dates, seed=seed)
        jobs.statistics(path, per_date=False)  # as the figures that are published were made, whatever the levels
        jobs.coherence(path, read_toml(CONFIGS / "coherence.toml", TrainOptions).coherence)


@dataclass(frozen=True)
class Run:
    """A network of a row, a fold and a seed, with its scores."""

    study: Study
    row: str
    learn: str
    seed: int
    table: str = ""  # that it learns for alone, if that has one fold

    @property
    def name(self) -> str:
        """Row, site that is learnt from, and seed."""
        return f"{self.row}-{self.learn}-{self.seed}" + f"-{self.table}" * bool(self.table)

    @property
    def model(self) -> Path:
        """Where the network is."""
        return self.study.folder / f"{self.name}.safetensors"

    @property
    def judged(self) -> str:
        """The site that is not learnt from."""
        return dict(FOLDS)[self.learn]

    def kept(self, variant: str) -> Path:
        """Return where the scores are."""
        return self.model.with_suffix(f".{variant}.json")

    @cached_property
    def options(self) -> TrainOptions:
        """What is learnt how: the row's file, and what the scale has otherwise."""
        scale = self.study.scale
        epochs = (scale.again if self.row == "pseudo-labels" else scale.epochs)[self.learn]
        epochs = scale.one_fold.get(self.table, epochs)
        options = read_toml(CONFIGS / f"{self.row}.toml", TrainOptions)
        return replace(options, **scale.options, epochs=epochs, score_every=epochs, seed=self.seed)

    def train(self) -> dict[str, Any]:
        """Train, or go on, and return the facts of the model file."""
        if not self.model.exists():
            scene, validation = self.study.scene(self.learn), self.study.scene(f"{self.learn}-val")
            pseudo: dict[str, Any] = {}
            if self.row == "pseudo-labels":
                pseudo = {"pseudo": [self.study.scene(self.judged)], "pseudo_name": self._label()}
            train(self.options, [scene], [validation], self.model, **pseudo)
        from sarcd.models.file import load_model

        return dict(load_model(self.model).card.training)

    def _label(self) -> str:
        """Let the augmented network of this seed label the site that is judged."""
        teacher, suffix = replace(self, row="augmentation"), f"{self.learn}{self.seed}"
        scenes = [self.study.scene(self.judged)]
        try:
            return pseudo_label(scenes, teacher.model, self.options.pseudo, name=suffix).variable
        except MismatchError:  # of another training
            return pseudo_label(scenes, teacher.model, self.options.pseudo, name=suffix, overwrite=True).variable

    def scores(self, variant: str = "plain") -> dict[str, Any]:
        """Return F1 and others on the site that is judged and, but for tables of one fold, on C; kept in a file."""
        path = self.kept(variant)
        if not path.exists():
            facts = self.train()
            found: dict[str, Any] = {key: facts[key] for key in ("patches", "changed_patches", "pseudo_patches")}
            temperature = facts["calibration"]["temperature"]
            for site in (self.judged,) if self.table else (self.judged, TEST):
                found[site] = _judge(self.study, [self.model], site, self._variant(variant), temperature)
            path.write_text(json.dumps(found))
        return dict(json.loads(path.read_text()))

    def _variant(self, name: str) -> dict[str, Any]:
        if name == "training-statistics":
            return {"statistics": AmplitudeStatistics.stored(open_scene(self.study.scene(self.learn)))}
        return {"plain": {}, "adapt": {"adapt_batchnorm": True}, "swap": {"swap": True}, "flips": {"flips": True}}[name]


def _judge(
    study: Study, models: list[Path], site: str, variant: dict[str, Any], temperature: float
) -> dict[str, float]:
    """Map a whole site, and score the map."""
    scene = open_scene(study.scene(site))
    probability = scene.sarcd.predict(model=models, **variant)["change_probability"].persist()  # it is looked at twice
    judged = scene[["label", "before", "after"]].assign(change_probability=probability)
    table = evaluate(judged, variable="change_probability").sel(over="pooled")
    names = {"f1": "f1", "precision": "precision", "recall": "recall", "ap": "average_precision"}
    scores = {key: float(table[name]) for key, name in names.items()}
    scores["ece"] = float(table["expected_calibration_error"])
    if variant:  # calibration is looked at of the plain map alone
        return scores
    if temperature != 1:  # what the network gave before it was divided by the temperature
        sure = probability.clip(1e-7, 1 - 1e-7)  # of 0 and 1 there is no logit
        logit = temperature * np.log(sure / (1 - sure))
        judged["change_probability"] = (1 / (1 + np.exp(-logit))).astype("float32").assign_attrs(probability.attrs)
        table = evaluate(judged, variable="change_probability").sel(over="pooled")
    scores["ece_raw"] = float(table["expected_calibration_error"])
    return scores


def together(runs: list[Run]) -> dict[str, Any]:
    """Return the scores of one map by the networks of all seeds, by site; kept in a file."""
    first = runs[0]
    path = first.study.folder / f"{first.row}-{first.learn}-all-{len(runs)}.json"
    if not path.exists():
        models = [run.model for run in runs]
        path.write_text(json.dumps({site: _judge(first.study, models, site, {}, 1) for site in (first.judged, TEST)}))
    return dict(json.loads(path.read_text()))


def _end_with_parent() -> None:
    """End this process when the one that began it is killed: else it would go on beside the next run."""
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
    """Train and judge what is not there yet, several runs at a time with one thread each."""
    tasks = [task for task in tasks if not task[0].kept(task[1]).exists()]
    for wave in (
        [task for task in tasks if task[1] == "plain" and task[0].row != "pseudo-labels"],
        [task for task in tasks if task[1] == "plain" and task[0].row == "pseudo-labels"],  # their teachers are above
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
