"""The same jobs on threads of one process and on a cluster on the same cores; overhead of a task on a cluster."""

import pickle
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

from sarcd import jobs
from sarcd.config import PredictOptions
from sarcd.engine.cluster import in_runs
from sarcd.engine.run import run_regions
from sarcd.engine.tasks import RegionTask
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.reader import SceneReader
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore
from tests.benchmarks.measure import compare, ratio, run_measured, seconds, table
from tests.factories.networks import random_model_file
from tests.factories.scenes import dates, stored_scene
from tests.processes import local_cluster

pytestmark = [pytest.mark.benchmark, pytest.mark.distributed]
SIDE, WORKERS = 6144, 2


def noise_scene(path, side, chunk):
    rng = np.random.default_rng(0)
    with NewScene(path, SceneLayout(dates(2), np.arange(side), np.arange(side), chunk=chunk)) as store:
        for date in range(2):
            for y in range(0, side, chunk):
                rows = rng.standard_normal((chunk, side, 2), np.float32)
                store.array("slc")[date, y : y + chunk] = rows.view(np.complex64)[..., 0]
    return path


@pytest.fixture(scope="module")
def scheduler():
    with local_cluster(n_workers=WORKERS, threads_per_worker=1) as running:
        yield running.scheduler_address


def test_jobs(tmp_path, scheduler):
    path = noise_scene(tmp_path / "scene.zarr", SIDE, 1024)
    model = random_model_file(tmp_path / "m.safetensors", widths=(8, 16, 32))
    runs = {
        "coherence": lambda: jobs.coherence(path, overwrite=True),
        "statistics": lambda: jobs.statistics(path, refresh=True),
        "predict": lambda: jobs.predict(path, model, PredictOptions(tiles=1024, batch=1), overwrite=True),
    }
    rows = []
    for name, run in runs.items():

        def on_cluster(run=run):
            with jobs.cluster(scheduler):
                run()

        times = compare({"threads": run, "cluster": on_cluster}, rounds=3)
        rows.append(
            (
                name,
                f"{statistics.median(times['threads']):.1f}",
                f"{statistics.median(times['cluster']):.1f}",
                f"{ratio(times, 'cluster', 'threads'):.2f}",
            )
        )
    table(
        f"Two images of {SIDE} x {SIDE}: threads of one process, and {WORKERS} workers of a thread on the same cores",
        ["job", "threads, s", "cluster, s", "cluster / threads"],
        rows,
    )
    assert all(float(row[3]) < 5 for row in rows)


class Zeros:
    """With nothing to compute, the cluster's overhead per region remains."""

    def __call__(self, region):
        return {"coherence": np.zeros((region.y.stop - region.y.start, region.x.stop - region.x.start), "float32")}


def test_cost_of_a_task(tmp_path, scheduler):
    path = noise_scene(Path(tmp_path / "scene.zarr"), 1024, 32)
    rows = []
    for where in ("threads", "cluster"):
        with (
            jobs.cluster(scheduler if where == "cluster" else None),
            stage(SceneStore(path), ["coherence"], [0], MadeBy("coherence", {}), overwrite=True) as staging,
        ):
            regions = staging.missing()
            took = seconds(lambda: run_regions(staging, regions, Zeros(), description=""))  # noqa: B023
            sent = len(pickle.dumps(RegionTask(staging, Zeros())))
        rows.append((where, len(regions), f"{1000 * took / len(regions):.2f}", sent))
    table("Regions of 32 x 32 zeros", ["", "regions", "ms a region", "bytes sent once a worker"], rows)
    assert all(row[3] < 10_000 for row in rows)
    assert float(rows[1][2]) < 50 * float(rows[0][2])


def core_seconds_a_region(tmp_path, path, monkeypatch):
    """Measure single-core seconds for decoding a chunk and for computing a region: coherence, and a small network."""
    monkeypatch.setattr("sarcd.jobs.stored_coherence._MOST_WORKERS", 1)
    monkeypatch.setattr("sarcd.jobs.stored_prediction._MOST_WORKERS", 1)
    model = random_model_file(tmp_path / "m.safetensors", widths=(8, 16, 32))
    options = PredictOptions(tiles=1024, batch=1)
    regions = (SIDE // 1024) ** 2
    reader = SceneReader(path, cache_bytes=0)
    chunks = [slice(x, x + 1024) for x in range(0, SIDE, 1024)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = compare(
            {
                "decode": lambda: [reader.pair_images((0, 1), slice(0, 1024), chunk) for chunk in chunks],
                "coherence": lambda: jobs.coherence(path, overwrite=True),
                "predict": lambda: jobs.predict(path, model, options, overwrite=True),
            },
            rounds=3,
        )
    finally:
        torch.set_num_threads(threads)
    taken = {name: statistics.median(values) for name, values in times.items()}
    decode = taken["decode"] / (2 * len(chunks))
    return decode, *(taken[name] / regions - 2 * decode for name in ("coherence", "predict"))


def test_what_a_cluster_would_do(tmp_path, monkeypatch):
    """Extrapolate from one core: a run of n consecutive regions reads 3 (n + 2) chunks of each date."""
    path = noise_scene(tmp_path / "scene.zarr", SIDE, 1024)
    decode, coherence, predict = core_seconds_a_region(tmp_path, path, monkeypatch)
    stored = SceneStore(path).stored_bytes("slc") / (2 * (SIDE // 1024) ** 2)
    start, _, _ = run_measured(["coherence", str(stored_scene(tmp_path / "tiny.zarr", np.random.default_rng(0)))])
    costs = [
        ("a chunk of 1024 x 1024 complex64 decoded", f"{decode:.3f}"),
        ("coherence of a region besides", f"{coherence:.3f}"),
        ("a network of 8, 16, 32 channels on a region besides", f"{predict:.2f}"),
        ("a command on a tiny scene", f"{start:.1f}"),
    ]
    table("What one core takes", ["", "seconds"], costs)
    pair, rows = 24**2, []
    for threads in (2, 8, 32, 128):
        run = len(in_runs(range(pair), threads)[0])
        chunks = 2 * 3 * (run + 2) / run
        region = chunks * decode + coherence
        network = pair * (chunks * decode + coherence + predict) / threads
        rate = threads * chunks * stored / region / 1e9
        rows.append((threads, run, f"{region:.2f}", f"{pair * region / threads:.0f}", f"{network:.0f}", f"{rate:.1f}"))
    header = ["threads", "regions a run", "coherence, s a region", "coherence, s a pair", "small U-Net, s a pair"]
    table("Estimated for a pair of 24,000 x 24,000", [*header, "read from storage, GB/s"], rows)
    assert float(rows[-1][3]) < float(rows[0][3]) / 16
