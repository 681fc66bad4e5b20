"""Run time of commands at the shell: whole processes on a small scene, relative to their imports.

Caches are warm: the kernels were compiled by an earlier run, as for any use after the first.
"""

import subprocess
import sys

import pytest

from sarcd.simulation import sites
from sarcd.store.create import write_scene
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
SIDE = 512

# Allows for the spread of process times. On top of xarray a command imports zarr (half of xarray's import time) and
# dask, and for computing also dask.array and numba (twice xarray's).
BOUNDS = {
    "info": ("import xarray", 2.5),
    "statistics": ("import xarray", 6.5),
    "coherence": ("import xarray", 6.0),
    "predict": ("import torch", 3.0),
    "detect": ("import torch", 3.0),
}


def process(*words):
    def run():
        subprocess.run([sys.executable, *words], check=True, capture_output=True)

    return run


def sarcd(*words):
    return process("-m", "sarcd_cli.main", *words)


def test_shell(tmp_path):
    path = str(tmp_path / "scene.zarr")
    write_scene(sites.simulate("B", size=SIDE), path)
    times = compare(
        {
            "import xarray": process("-c", "import xarray"),
            "import torch": process("-c", "import torch"),
            "info": sarcd("info", path),
            "statistics": sarcd("statistics", path, "--refresh"),
            "coherence": sarcd("coherence", path, "--overwrite"),
            "predict": sarcd("predict", path, "--overwrite", "--device", "cpu"),
            "detect": sarcd("detect", path, "--overwrite", "--device", "cpu", "--name", "detected"),
        }
    )
    rows = []
    for name, (yardstick, _) in BOUNDS.items():
        pairs = zip(times[name], times[yardstick], strict=True)
        over = sorted(mine - other for mine, other in pairs)[len(times[name]) // 2]
        rows.append((name, yardstick, f"{min(times[name]):.1f}", f"{over:.1f}", f"{ratio(times, name, yardstick):.2f}"))
    table(
        f"Commands on two images of {SIDE} x {SIDE}, kernels compiled before",
        ["sarcd", "yardstick", "seconds, the quickest", "seconds over the yardstick's", "time over the yardstick's"],
        rows,
    )
    for name, (yardstick, bound) in BOUNDS.items():
        assert ratio(times, name, yardstick) < bound, name
