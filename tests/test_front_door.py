"""The names that sarcd and its jobs offer, which stay functions whatever else is imported."""

import json
import subprocess
import sys

import sarcd
from sarcd import jobs

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
    assert sorted(set(sarcd.__all__)) == sorted([*VERBS, "SceneAccessor", "__version__", "jobs"])
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
