"""Public names of sarcd and its jobs, which stay functions whatever else is imported."""

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import sarcd
from sarcd import jobs
from sarcd.config import CoherenceOptions, DetectOptions, PredictOptions, SummaryOptions, Window
from sarcd.errors import OptionError
from sarcd_cli.main import COMMANDS
from tests.factories.scenes import stored_scene
from tests.processes import tree

VERBS = (
    "coherence",
    "detect",
    "evaluate",
    "export",
    "ingest",
    "open_scene",
    "plot",
    "predict",
    "pseudo_label",
    "report",
    "simulate",
    "statistics",
    "summarise",
    "train",
)
JOBS = ("coherence", "detect", "predict", "pseudo_label", "self_train", "statistics", "summarise")


def test_public_names():
    assert sorted(sarcd.__all__) == sorted([*VERBS, "SceneAccessor", "__version__", "jobs"])
    assert sorted(jobs.__all__) == sorted([*JOBS, "JobResult", "Progress", "cluster", "silent"])


def test_verbs_are_functions_after_every_module_is_imported():
    program = """
import importlib, json, pkgutil, sarcd
for module in pkgutil.walk_packages(sarcd.__path__, "sarcd."):
    importlib.import_module(module.name)
import sarcd.jobs
kinds = {name: type(getattr(sarcd, name)).__name__ for name in sarcd.__all__}
print(json.dumps([kinds, {name: type(getattr(sarcd.jobs, name)).__name__ for name in sarcd.jobs.__all__}]))
"""
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    front, of_jobs = json.loads(out)
    assert {front[verb] for verb in VERBS} == {"function"}
    assert {of_jobs[verb] for verb in JOBS} == {"function"}


def test_the_table_of_verbs_names_every_form():
    text = (Path(__file__).resolve().parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("## The front door")[1].split("\n## ")[0].splitlines() if line.startswith("| ")]
    cells = [set(re.findall(r"`([^`]+)`", row)) for row in rows[2:]]
    named = set().union(*cells)
    methods = {name for name in vars(sarcd.SceneAccessor) if not name.startswith("_")}
    assert {f"sarcd.{verb}" for verb in VERBS} == {name for name in named if re.fullmatch(r"sarcd\.\w+", name)}
    assert {f".{name}" for name in set(VERBS) & methods} == {name for name in named if name.startswith(".")}
    assert {f"sarcd.jobs.{name}" for name in set(VERBS) & set(JOBS)} == {name for name in named if ".jobs." in name}
    commands = {name.split()[1] for name in named if name.startswith("sarcd ")}
    assert commands == {name for name in COMMANDS if name.replace("-", "_") in VERBS}


@pytest.mark.parametrize(
    ("verb", "kind", "settings"),
    [
        ("coherence", CoherenceOptions, {"window": 3, "estimator": "gaussian"}),
        ("detect", DetectOptions, {"method": "log-ratio", "min_pixels": 4}),
        ("summarise", SummaryOptions, {"of": "omnibus", "false_alarms": 0.01}),
    ],
)
def test_jobs_take_options_by_keyword(tmp_path, verb, kind, settings):
    paths = [stored_scene(tmp_path / f"{name}.zarr", np.random.default_rng(1), (3, 32, 32), chunk=16) for name in "ab"]
    job = getattr(jobs, verb)
    job(paths[0], **settings)
    result = job(paths[1], kind(**settings))
    assert tree(paths[0]) == tree(paths[1])
    assert job(paths[0], kind(**settings)).computed == 0
    with pytest.raises(OptionError, match="no option 'windw'"):
        job(paths[1], windw=3)
    assert result.computed > 0


@pytest.mark.parametrize(
    ("verb", "kind"), [("coherence", CoherenceOptions), ("predict", PredictOptions), ("summarise", SummaryOptions)]
)
def test_functions_and_jobs_share_their_scientific_options(verb, kind):
    defaults = {item.name: item.default for item in fields(kind)}
    parameters = inspect.signature(getattr(sarcd, verb)).parameters
    shared = {name: one.default for name, one in parameters.items() if name in defaults}
    assert len(shared) > 2
    for name, default in shared.items():
        assert default == defaults[name] or Window.of(default) == defaults[name]


@pytest.mark.parametrize(
    "verb", ["coherence", "detect", "predict", "summarise", "statistics", "evaluate", "plot", "export"]
)
def test_function_and_method_take_the_same_options(verb):
    function = list(inspect.signature(getattr(sarcd, verb)).parameters.values())[1:]
    method = list(inspect.signature(getattr(sarcd.SceneAccessor, verb)).parameters.values())[1:]
    assert [(one.name, one.default, one.kind) for one in method] == [
        (one.name, one.default, one.kind) for one in function
    ]
