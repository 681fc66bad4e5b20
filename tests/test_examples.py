"""Every example runs, with warnings as errors."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

FOLDER = Path(__file__).resolve().parents[1] / "examples"
EXAMPLES = sorted([*FOLDER.glob("*.py"), *(path.parent for path in FOLDER.glob("*/__main__.py"))])

QUICK = {
    "study": ["--trial", "--seeds", "1", "--tables", "5,6,prediction"],
    "floods": ["floods-data", "--epochs", "1"],
    "model": ["--trial"],
}
"""Arguments that shorten the long examples."""


def write_floods(folder):
    """Make two events of two pairs each, in the layout of the real data set; darker ground is flooded."""
    rng = np.random.default_rng(0)
    for event in ("EAST", "WEST"):
        for number in (3, 12):
            mask = np.zeros((256, 256), "uint8")
            mask[40:140, 60:200] = 255
            before = rng.normal(150, 15, mask.shape)
            images = {"BEFORE": before, "AFTER": before - 60 * (mask > 0) + rng.normal(0, 5, mask.shape), "MASK": mask}
            for kind, stem in (("BEFORE", "imbefore"), ("AFTER", "imafter"), ("MASK", "gt")):
                path = folder / event / "Sentinel1" / kind / f"{stem}_{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = images[kind].clip(0, 255).astype("uint8")
                with rasterio.open(path, "w", driver="PNG", height=256, width=256, count=1, dtype="uint8") as file:
                    file.write(pixels, 1)


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example, tmp_path):
    if example.stem == "floods":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            write_floods(tmp_path / "floods-data")
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
