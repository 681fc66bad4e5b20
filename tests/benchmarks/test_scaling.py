"""The same jobs on threads of one process and on a cluster on the same cores; what a task costs a cluster."""

import pickle
import statistics
from pathlib import Path

import numpy as np
import pytest

from sarcd import jobs
from sarcd.config import PredictOptions
from sarcd.io.create import NewScene, SceneLayout
from sarcd.io.regions import MadeBy, stage
from sarcd.io.store import SceneStore
from sarcd.jobs._run import run_regions
from sarcd.jobs._task import RegionTask
from tests.benchmarks.measure import compare, ratio, seconds, table
from tests.networks import random_model_file
from tests.processes import local_cluster
from tests.scenes import dates

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
        "coherence": lambda: jobs.write_coherence(path, overwrite=True),
        "stats": lambda: jobs.write_statistics(path, refresh=True),
        "predict": lambda: jobs.write_prediction(path, model, PredictOptions(tiles=1024, batch=1), overwrite=True),
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


class Zeros:
    """Nothing to compute: what is left is what a region costs a cluster."""

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
