"""Every example runs, with warnings as errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

QUICK = {"table5": ["--seeds", "1", "--size", "256", "--epochs", "2"]}
"""Arguments that make the long ones short."""

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        [sys.executable, str(example), *QUICK.get(example.stem, [])],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout
