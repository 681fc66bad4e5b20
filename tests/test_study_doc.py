"""Figures quoted from the study match the run that docs/study.md prints."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
FIGURE = re.compile(r"\d\.\d+ ± \d\.\d+")


@pytest.mark.parametrize("name", ["prediction.md", "training.md"])
def test_quoted_figures_are_those_of_the_study(name):
    printed = set(FIGURE.findall((DOCS / "study.md").read_text(encoding="utf-8")))
    quoted = FIGURE.findall((DOCS / name).read_text(encoding="utf-8"))
    assert len(quoted) >= 8
    assert set(quoted) <= printed
