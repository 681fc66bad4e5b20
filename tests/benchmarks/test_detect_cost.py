"""Cost of `sarcd detect` on large scenes: seconds per million pixels, and peak memory; takes several minutes.

SARCD_BENCH_SIDE reduces the scene size; a 20,000 x 20,000 scene takes 6 GB of disk in pytest's temporary folder.
"""

import os

import pytest

from tests.benchmarks.measure import run_measured, table
from tests.benchmarks.test_statistics import store_noise

pytestmark = pytest.mark.benchmark
SIDE = int(os.environ.get("SARCD_BENCH_SIDE", "20000"))
SMALL = min(SIDE, 3072)
GIB = 2

METHODS = {
    "ratio-test": (SIDE, ["--method", "ratio-test"]),
    "log-ratio": (SIDE, ["--method", "log-ratio"]),
    "log-ratio, pca_kmeans": (SIDE, ["--method", "log-ratio", "--decision", "pca_kmeans"]),
    "network (auto-label-free)": (SMALL, ["--method", "auto-label-free"]),
}


def test_detect_cost(tmp_path):
    scenes = {side: str(store_noise(tmp_path / f"{side}.zarr", side)) for side in {SIDE, SMALL}}
    rows, peaks = [], []
    for number, (name, (side, arguments)) in enumerate(METHODS.items()):
        given = ["detect", scenes[side], *arguments, "--name", f"way{number}", "--memory", str(GIB)]
        taken, peak, code = run_measured(given)
        assert code == 0
        peaks.append(peak)
        rows.append((name, f"{side} x {side}", f"{taken:.0f}", f"{1e6 * taken / side**2:.2f}", f"{peak:.2f}"))
    table("sarcd detect --memory 2, noise of two dates", ["method", "pixels", "s", "s a Mpx", "peak, GiB"], rows)
    assert max(peaks) < GIB
