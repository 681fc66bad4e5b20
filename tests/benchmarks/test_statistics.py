"""Median and MAD of a stored scene, relative to reading it the same number of times."""

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.store.create import NewScene, SceneLayout
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
SIDE, PASSES = 4096, 4


def store_noise(path, side=SIDE, dates=2):
    """Make a scene of white speckle; it is hardly compressible, so reading costs as much as with real images."""
    rng = np.random.default_rng(0)
    times = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")[:dates]
    with NewScene(path, SceneLayout(times, np.arange(side), np.arange(side))) as store:
        images = store.array("slc")
        for date in range(dates):
            for y in range(0, side, 1024):
                block = rng.standard_normal((1024, side, 2), np.float32).view(np.complex64)[..., 0]
                images[date, y : y + 1024] = block
    return path


def test_statistics(tmp_path):
    path = store_noise(tmp_path / "scene.zarr")

    def read():
        for _ in range(PASSES):
            blocks = xr.open_zarr(path).slc.data
            blocks.map_blocks(lambda block: np.zeros((1, 1, 1), "float32"), dtype="float32", chunks=(1, 1, 1)).compute()

    times = compare({"statistics": lambda: jobs.statistics(path, refresh=True), "reading": read})
    rows = [
        (name, f"{np.median(values):.2f}", f"{ratio(times, name, 'reading'):.2f}") for name, values in times.items()
    ]
    table(
        f"Exact median and MAD of two stored images of {SIDE} x {SIDE}, and reading them {PASSES} times",
        ["", "seconds", "time over reading's"],
        rows,
    )
    assert ratio(times, "statistics", "reading") < 2
