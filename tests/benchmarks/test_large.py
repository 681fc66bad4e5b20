"""Statistics, coherence and prediction of a 24,000 x 24,000 pair within 2 GiB; takes about ten minutes.

SARCD_BENCH_SIDE reduces the size; the scene takes 9 GB of disk in pytest's temporary folder.
"""

import os

import numpy as np
import pytest
import torch
from dask.callbacks import Callback

from sarcd import jobs
from sarcd.config import CoherenceOptions
from sarcd.models.file import ModelCard, save_model
from sarcd.networks import create_model
from sarcd.store.scene import open_scene
from tests.benchmarks.measure import run_measured, table
from tests.benchmarks.test_statistics import store_noise
from tests.factories.scenes import stored_scene

pytestmark = pytest.mark.benchmark
SIDE = int(os.environ.get("SARCD_BENCH_SIDE", "24000"))
GIB = 2


def save_random_model(path):
    torch.manual_seed(0)
    network = create_model("unet-small", in_channels=3)
    options = {"widths": list(network.widths)}
    save_model(path, network, ModelCard("unet-small", options, ("before", "after", "coherence"), CoherenceOptions()))


def tasks_of_statistics(folder):
    """Build the tasks of one pass over a scene with this number of chunks; the graph does not depend on chunk size."""
    chunks = -(-SIDE // 1024)
    path = stored_scene(folder / "tiny.zarr", np.random.default_rng(0), (2, 8 * chunks, 8 * chunks), chunk=8)
    sizes = []
    with Callback(start_state=lambda graph, _state: sizes.append(len(graph))):
        jobs.statistics(path)
    return max(sizes)


def test_large(tmp_path):
    scene, model = str(store_noise(tmp_path / "scene.zarr", SIDE)), tmp_path / "m.safetensors"
    save_random_model(model)
    commands = {
        "sarcd statistics": ["statistics", scene],
        "sarcd coherence": ["coherence", scene],
        "sarcd predict, unet-small": ["predict", scene, "--model", str(model)],
    }
    regions = (-(-SIDE // 1024)) ** 2
    tasks = {"sarcd statistics": tasks_of_statistics(tmp_path)}
    rows, peaks = [], []
    for name, arguments in commands.items():
        taken, peak, code = run_measured([*arguments, "--memory", str(GIB)])
        assert code == 0
        peaks.append(peak)
        rows.append((name, f"{peak:.2f}", f"{taken:.0f}", f"{SIDE**2 / 1e6 / taken:.2f}", tasks.get(name, regions)))
    header = ["command", "peak memory, GiB", "seconds", "Mpx/s", "tasks"]
    table(f"A pair of {SIDE} x {SIDE} complex64 with --memory {GIB}", header, rows)
    lazy = open_scene(scene).drop_vars(["coherence", "change_probability", "change"])
    graphs = {
        "scene.sarcd.coherence()": lazy.sarcd.coherence().data,
        "scene.sarcd.detect()": lazy.sarcd.predict(model=model).change_probability.data,
    }
    rows = [(name, len(dict(array.dask))) for name, array in graphs.items()]
    table("Graphs of the lazy operations on the same scene", ["operation", "tasks"], rows)
    assert max(peaks) < GIB
