"""Jobs on a cluster of two processes: the same results, each region once, even if a worker fails."""

import os
import pickle
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import sarcd
from sarcd import jobs
from sarcd.attributes import parameters_of
from sarcd.config import PredictOptions
from sarcd.engine import cluster as _cluster
from sarcd.engine.run import run_regions
from sarcd.engine.tasks import Opened, RegionTask
from sarcd.errors import ClusterError, CorruptChunkError, ModelError
from sarcd.inference.plan import Place, Survey, build_plan, open_networks
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore, open_scene
from sarcd_cli.main import main
from tests import processes
from tests.factories.networks import random_model_file
from tests.factories.scenes import memory_scene, stored_scene
from tests.tolerance import PROBABILITY

pytestmark = [pytest.mark.distributed, pytest.mark.slow]


@pytest.fixture(scope="module")
def local_cluster():
    with processes.local_cluster(n_workers=2, threads_per_worker=2, resources={"GPU": 1}) as running:
        yield running


@pytest.fixture
def client(local_cluster):
    from distributed import Client

    with Client(local_cluster) as active:
        active.wait_for_workers(2, timeout=60)
        yield active


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(0)
    return stored_scene(tmp_path_factory.mktemp("cluster") / "source.zarr", rng, (3, 150, 181), chunk=48, holes=0.002)


@pytest.fixture
def scenes(tmp_path, source):
    return [shutil.copytree(source, tmp_path / f"{name}.zarr") for name in ("here", "there")]


def test_same_bytes(scenes, local_cluster, capsys):
    here, there = scenes
    tests = ["detect", "--method", "combined-test", "--name", "test"]
    ratio = ["detect", "--method", "log-ratio", "--min-pixels", "4"]
    for words in (["coherence", "--window", "7"], ["statistics"], tests, ratio):
        printed = []
        for scene, where in ((here, []), (there, ["--scheduler", local_cluster.scheduler_address])):
            assert main([words[0], str(scene), *words[1:], *where]) == 0
            printed.append(capsys.readouterr())
        assert printed[0] == printed[1]
        assert printed[0].err == ""
        assert processes.tree(here) == processes.tree(there)


def test_predictions_agree(scenes, local_cluster, tmp_path):
    here, there = scenes
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    options = PredictOptions(tiles=48)
    with jobs.cluster(local_cluster.scheduler_address):
        result = jobs.predict(there, model, options)
    assert (result.computed, result.kept) == (2 * 4 * 4, 0)
    assert parameters_of(open_scene(there).change)["threads"] == 2  # those of a worker, not of the client process
    jobs.predict(here, model, options)
    for name, tolerance in (("change_probability", PROBABILITY), ("change", 0)):
        found, expected = open_scene(there)[name], open_scene(here)[name]
        np.testing.assert_allclose(found, expected, atol=tolerance)
    assert open_scene(here).attrs["amplitude_statistics"] == open_scene(there).attrs["amplitude_statistics"]


class Logged:
    """Computes zeros after a delay and logs place and time, and each opening."""

    def __init__(self, log, seconds=0.0):
        self.log = log
        self.seconds = seconds
        self.opened = Opened(partial(wrote, log, "opened"))

    def __call__(self, region):
        self.opened()
        start = time.time()
        time.sleep(self.seconds)
        wrote(self.log, "region", start, time.time())
        return {"coherence": np.zeros((region.y.stop - region.y.start, region.x.stop - region.x.start), "float32")}


def wrote(log, *what):
    with Path(log).open("a") as file:
        print(os.getpid(), *what, file=file)
    return True


def logged(log, what):
    lines = [line.split() for line in Path(log).read_text().splitlines()]
    return [(int(pid), *map(float, times)) for pid, kind, *times in lines if kind == what]


@pytest.fixture
def staging(tmp_path):
    path = stored_scene(tmp_path / "scene.zarr", np.random.default_rng(0), (2, 160, 160), chunk=16)
    with stage(SceneStore(path), ["coherence"], [0], MadeBy("coherence", {})) as staging:
        yield staging


def test_opened_once_a_worker_and_a_small_graph(staging, client, local_cluster, tmp_path):
    regions, most = staging.missing(), []

    class Watched:
        def __enter__(self):
            return lambda pixels: most.append(len(local_cluster.scheduler.tasks))

        def __exit__(self, *error): ...

    run_regions(
        staging, regions, Logged(tmp_path / "log", 0.005), description="", progress=lambda description, total: Watched()
    )
    done = logged(tmp_path / "log", "region")
    assert len(done) == len(regions) == 100
    assert staging.missing() == []
    opened = [pid for (pid,) in logged(tmp_path / "log", "opened")]
    assert sorted(opened) == sorted({pid for pid, *_ in done})  # once by each active worker
    assert len(opened) == 2
    assert max(most) <= 4 * _cluster._AHEAD + 4  # plus the recipe, and a task just being released


def test_a_gpu_has_one_task_at_a_time(staging, client, tmp_path):
    run_regions(staging, staging.missing()[:24], Logged(tmp_path / "log", 0.02), description="", device=True, workers=2)
    done = logged(tmp_path / "log", "region")
    assert len(done) == 24
    for worker in {pid for pid, *_ in done}:
        moments = [
            (moment, step) for pid, *span in done if pid == worker for moment, step in zip(span, (1, -1), strict=True)
        ]
        together = np.cumsum([step for _, step in sorted(moments)])
        assert together.max() == 2  # the threads of one task; a second one at the same time would make four


def test_a_killed_worker_costs_its_regions(staging, client, tmp_path):
    log = tmp_path / "log"
    victims = []

    class Killing:
        def __enter__(self):
            return self.advance

        def __exit__(self, *error): ...

        def advance(self, pixels):
            if not victims and len(logged(log, "region")) >= 20:
                victims.append(logged(log, "region")[0][0])
                os.kill(victims[0], signal.SIGKILL)

    run_regions(
        staging, staging.missing(), Logged(log, 0.01), description="", progress=lambda description, total: Killing()
    )
    assert victims
    assert staging.missing() == []
    # Repeated regions: the runs in progress on the worker, and those it had finished but not yet reported.
    run = max(map(len, _cluster.in_runs(range(100), 4)))
    assert 100 <= len(logged(log, "region")) <= 100 + 2 * _cluster._AHEAD * run


def test_a_fault_on_a_worker_is_named(scenes, client):
    chunk = scenes[0] / "slc" / "c" / "1" / "2" / "2"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    for job in (jobs.coherence, jobs.statistics):
        with pytest.raises(CorruptChunkError, match="slc/c/1/2/2"):
            job(scenes[0])


def test_what_is_sent_is_small(scenes, tmp_path, monkeypatch):
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    sizes = {}

    def weighed(staging, regions, compute, **options):
        task = RegionTask(staging, compute)
        before = len(pickle.dumps(task))
        run_regions(staging, regions, compute, **options)
        sizes[staging.names[0]] = before, len(pickle.dumps(task))

    monkeypatch.setattr("sarcd.jobs.stored_coherence.run_regions", weighed)
    monkeypatch.setattr("sarcd.jobs.stored_prediction.run_regions", weighed)
    jobs.predict(scenes[0], model)
    jobs.coherence(scenes[0])
    assert set(sizes) == {"coherence", "change_probability"}
    for before, after in sizes.values():
        assert before == after < 4000  # contains no cache and no network, however much has been computed with it


def test_no_cluster(scenes, monkeypatch, capsys):
    monkeypatch.setattr(_cluster, "_WAIT_SECONDS", 1)
    assert main(["coherence", str(scenes[0]), "--scheduler", "tcp://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err == (
        "error: tcp://127.0.0.1:9: no scheduler responds at this address. "
        "Start one with 'dask scheduler' and pass its address.\n"
    )
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main(["statistics", str(scenes[0]), "--scheduler", "tcp://127.0.0.1:9"]) == 1
    assert capsys.readouterr().err == (
        "error: tcp://127.0.0.1:9: a cluster needs dask.distributed, which is not installed. "
        "Install it with: pip install 'sarcd[cluster]'.\n"
    )


def test_no_workers(scenes, monkeypatch):
    from distributed import Client

    monkeypatch.setattr(_cluster, "_WAIT_SECONDS", 0.1)
    refused = pytest.raises(ClusterError, match=r"has no worker[.] Start one: dask worker tcp")
    with processes.local_cluster(n_workers=0) as empty, Client(empty), refused:
        jobs.coherence(scenes[0])


class Deadly:
    """Kills the worker that computes it."""

    def __call__(self, region):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_region_that_kills_every_worker_ends_the_job(staging, client, local_cluster, monkeypatch):
    monkeypatch.setattr(local_cluster.scheduler, "allowed_failures", 0)  # the default is three
    with pytest.raises(ClusterError, match="several workers died on the same region"):
        run_regions(staging, staging.missing()[:1], Deadly(), description="")
    assert len(staging.missing()) == 100


class Workers:
    """Mocks a client whose workers return given answers."""

    def __init__(self, answers):
        self.scheduler = SimpleNamespace(address="tcp://host:1")
        self.answers = answers

    def wait_for_workers(self, count, timeout): ...

    def run(self, function):
        if isinstance(self.answers, Exception):
            raise self.answers
        return dict(enumerate(self.answers))


@pytest.mark.parametrize(
    ("answers", "line"),
    [
        ([sarcd.__version__, "0.0.9"], f"workers have sarcd 0.0.9, this is {sarcd.__version__}"),
        (ModuleNotFoundError("No module named 'sarcd'", name="sarcd"), "sarcd is not installed on a worker"),
    ],
)
def test_workers_without_this_sarcd_are_refused(answers, line):
    with pytest.raises(ClusterError) as caught:
        _cluster.ask_worker(Workers(answers), dict, device=False)
    assert caught.value.error == line
    assert "install" in caught.value.hint


def test_another_model_on_a_worker_is_refused(tmp_path):
    """The model that a worker finds at the path must be the one that the job was planned with."""
    there = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    scene = memory_scene(np.random.default_rng(0))

    def survey(*_known):
        return Survey(scene, [(0, 1)], [0], "scene", forward_bytes=2**29)

    plan, _ = build_plan(there, PredictOptions(), scene, Place("cpu", 0, "cpu"), survey)
    assert open_networks(plan).passes == 1
    random_model_file(there, widths=(4, 8), seed=1)
    with pytest.raises(ModelError, match="another model on this worker"):
        open_networks(plan)
