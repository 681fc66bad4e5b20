"""Regions as tasks: started in order, small to send, and not written after an interrupt."""

import pickle
import signal
import threading

import numpy as np
import pytest

from sarcd.engine.run import run_regions
from sarcd.engine.tasks import Opened, RegionTask
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore
from tests.factories.scenes import stored_scene


@pytest.fixture
def staging(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 80, 80), chunk=16)
    with stage(SceneStore(path), ["coherence"], [0], MadeBy("coherence", {})) as staging:
        yield staging


@pytest.fixture
def restored_sigint():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Recorded:
    """Computes zeros and records the requested regions."""

    def __init__(self):
        self.seen = []

    def __call__(self, region):
        self.seen.append(region)
        return {"coherence": np.zeros((16, 16), "float32")}


class Interrupted(Recorded):
    """Interrupts the main thread, as Ctrl-C does, while it computes its fourth region."""

    def __init__(self):
        super().__init__()
        self.released = threading.Event()
        self.thread = None

    def __call__(self, region):
        values = super().__call__(region)
        if len(self.seen) == 4:
            self.thread = threading.current_thread()
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            assert self.released.wait(60)
        return values


def test_regions_start_in_their_order(staging):
    # In any other order, chunks shared by neighbours have left the reader's cache when they are needed again.
    regions = staging.missing()
    compute = Recorded()
    run_regions(staging, regions, compute, description="", workers=1)
    assert compute.seen == regions
    assert staging.missing() == []


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system sends no signal to a thread")
def test_an_interrupt_keeps_what_is_finished_and_starts_nothing_more(staging, restored_sigint):
    compute = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        run_regions(staging, staging.missing(), compute, description="", workers=1)
    assert len(staging.missing()) == 25 - 3
    compute.released.set()  # the running region finishes after the job has released its locks
    compute.thread.join(60)
    assert len(staging.missing()) == 25 - 3
    assert len(compute.seen) == 4


def test_a_stopped_task_writes_nothing(staging):
    task = RegionTask(staging, Recorded())
    task.stop()
    task(staging.missing()[0])
    assert len(staging.missing()) == 25


def test_only_the_recipe_travels():
    opened = Opened(dict, {"large": 1})
    assert opened() == {"large": 1}
    there = pickle.loads(pickle.dumps(opened))
    assert there() == {}
    assert there() is there()


def test_a_staging_opens_its_store_where_it_arrives(staging, monkeypatch, tmp_path):
    sent = pickle.dumps(staging)
    assert len(sent) < 500
    monkeypatch.chdir(tmp_path.root)
    there = pickle.loads(sent)
    there.write(there.missing()[0], {"coherence": np.ones((16, 16), "float32")})
    assert len(staging.missing()) == 24
