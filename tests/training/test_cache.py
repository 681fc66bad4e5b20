"""Patches on disk: the same bytes as those read, reused, and never incomplete."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from filelock import FileLock

from sarcd import jobs
from sarcd.config import CoherenceOptions, TrainOptions, Window
from sarcd.errors import TrainingError
from sarcd.store.scene import SceneStore
from sarcd.training import cache as module
from sarcd.training import patches as data
from sarcd.training.dataset import PatchDataset
from sarcd.training.datasets import prepare
from sarcd.training.patches import LabelledScene
from sarcd.training.sampler import in_batches, requests
from tests.factories.labelled_scenes import toy_scene

OPTIONS = TrainOptions(patch=16, coherence=CoherenceOptions(window=Window(5, 5)), batch=4, cache="disk")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Store toy scenes of several blocks, as real ones are."""
    monkeypatch.setattr(data, "_BLOCK", 48)


@pytest.fixture
def path(tmp_path):
    return toy_scene(tmp_path / "learn.zarr", side=96, squares=[(8, 8, 24), (50, 60, 20)], hole=np.s_[:20, 30:50])


@pytest.fixture
def read_patches(monkeypatch):
    """Record the number of patches read from the store."""
    calls, real = [], LabelledScene.read_patches
    monkeypatch.setattr(
        LabelledScene, "read_patches", lambda self, p, size: calls.append(len(p)) or real(self, p, size)
    )
    return calls


def ready(path, folder, **changes):
    return prepare(replace(OPTIONS, **changes), [path], [], folder=folder, draw_seed=0)


def read(patches):
    return patches[requests(0, in_batches(np.arange(len(patches)), len(patches)))[0]]


def test_same_bytes_wherever_they_are_kept(tmp_path, path):
    found = {cache: read(ready(path, tmp_path, cache=cache).training) for cache in ("none", "memory", "disk")}
    for x, target, numbers in found.values():
        assert x.numpy().tobytes() == found["none"][0].numpy().tobytes()
        assert target.numpy().tobytes() == found["none"][1].numpy().tobytes()
        assert numbers.tolist() == list(range(len(x)))


def test_used_again_while_nothing_has_changed(tmp_path, path, read_patches):
    jobs.statistics(path)  # otherwise statistics would change with the images and reveal the change
    count = len(ready(path, tmp_path).training)
    assert sum(read_patches) == count
    read(ready(path, tmp_path).training)
    assert sum(read_patches) == count
    about = json.loads(next(tmp_path.glob("cache/*/about.json")).read_text())
    assert about["scenes"][0]["scene"] == "learn.zarr"
    for changes in (
        {"use_coherence": False},
        {"coherence": CoherenceOptions(window=Window(3, 3))},
        {"sampling": "all"},
    ):
        before = sum(read_patches)
        ready(path, tmp_path, **changes)
        assert sum(read_patches) > before
    before = sum(read_patches)
    SceneStore(path).array("slc")[0, :4, :4] = 1
    ready(path, tmp_path)
    assert sum(read_patches) > before
    assert len(list(tmp_path.glob("cache/*/values.npy"))) == 5


def test_read_anew_when_labels_coherence_or_statistics_change(tmp_path, path, read_patches):
    """The same patches are used each time, but their contents differ."""
    jobs.statistics(path)
    options = {"sampling": "all", "coherence": CoherenceOptions(window=Window(3, 3))}
    first = ready(path, tmp_path, **options).training
    reads = [sum(read_patches)]

    def again(**more):
        found = ready(path, tmp_path, **options, **more).training
        assert found.patches == first.patches
        reads.append(sum(read_patches))
        return [values.numpy() for values in read(found)]

    x, target, _ = again()
    SceneStore(path).array("label")[0, 90:, 90:] = 1
    assert (again()[1] != target).any()
    jobs.coherence(path, options["coherence"])
    np.testing.assert_allclose(again()[0], x, atol=5e-7)  # stored and computed coherence are the same
    SceneStore(path).array("coherence")[0, 90:, 90:] = 0.125
    assert (again()[0][-1, 2, -6:, -6:] == 0.125).all()
    assert [after - before for before, after in itertools.pairwise(reads)] == [0, *[len(first)] * 3]


def test_normalised_otherwise_they_are_read_anew(tmp_path, path, read_patches):
    other = toy_scene(tmp_path / "other.zarr", seed=2, side=48, squares=[(8, 8, 20)], gain=5.0)

    def means(statistics):
        options = replace(OPTIONS, statistics=statistics)
        found = prepare(options, [path, other], [], folder=tmp_path, draw_seed=0).training
        return read(found)[0][:, :2].mean(dim=(1, 2, 3)).numpy(), found.patches

    (own, patches), (together, same) = means("scene"), means("model")
    assert patches == same
    assert sum(read_patches) == 2 * len(patches)
    dim = np.array([patch.scene == 0 for patch in patches])
    assert (together[dim] < own[dim] - 0.01).all()
    assert (together[~dim] > own[~dim] + 0.01).all()


def test_folder_that_runs_share(tmp_path, path, read_patches):
    for run in "ab":
        found = ready(path, tmp_path / run, cache_dir=str(tmp_path / "shared"))
        found.close()
    assert sum(read_patches) == len(found.training)
    assert len(list((tmp_path / "shared").glob("*/values.npy"))) == 1


@pytest.mark.parametrize("at", [0, 1, 2])
def test_stopped_while_it_is_filled(tmp_path, path, monkeypatch, at):
    real = PatchDataset.read_all

    def stop(self, advance):
        for i, part in enumerate(real(self, advance)):
            if i == at:
                raise KeyboardInterrupt
            yield part

    with monkeypatch.context() as patch:
        patch.setattr(PatchDataset, "read_all", stop)
        patch.setattr(shutil, "rmtree", lambda *arguments, **options: None)  # as if killed
        with pytest.raises(KeyboardInterrupt):
            ready(path, tmp_path)
    (partial,) = tmp_path.glob("cache/*.partial")
    held = shutil.copytree(partial, partial.with_name("held.partial"))  # of another run that is still active
    other = shutil.copytree(partial, partial.with_name("other.partial"))  # of another killed run
    with FileLock(tmp_path / "cache/held.lock"):
        x, _, _ = read(ready(path, tmp_path).training)
    assert not partial.exists()
    assert not other.exists()
    assert held.exists()
    expected, _, _ = read(ready(path, tmp_path, cache="memory").training)
    assert x.numpy().tobytes() == expected.numpy().tobytes()


@pytest.mark.parametrize("harm", ["about.json", "values.npy", "targets.npy", "short", "foreign"])
def test_damaged_files_are_made_anew(tmp_path, path, harm):
    expected, _, _ = read(ready(path, tmp_path).training)
    (folder,) = (place.parent for place in tmp_path.glob("cache/*/about.json"))
    if harm == "short":
        whole = (folder / "values.npy").read_bytes()
        (folder / "values.npy").write_bytes(whole[: len(whole) // 2])
    elif harm == "foreign":
        np.save(folder / "values.npy", np.zeros((2, 3)))
    else:
        (folder / harm).unlink()
    x, _, _ = read(ready(path, tmp_path).training)
    assert x.numpy().tobytes() == expected.numpy().tobytes()


def test_disk_without_room(tmp_path, path, monkeypatch):
    needed = ready(path, None, cache="none").training.nbytes
    notes = []
    for free, expected in ((2 * needed, "disk"), (2 * needed - 2, "none")):
        monkeypatch.setattr(module, "disk_free", lambda place, free=free: free)
        options = replace(OPTIONS, cache="auto", memory_bytes=0)
        found = prepare(options, [path], [], folder=tmp_path / expected, draw_seed=0, note=notes.append)
        assert found.cache == expected
    assert any("half of the free disk" in note for note in notes)
    monkeypatch.setattr(module, "disk_free", lambda place: needed - 1)
    with pytest.raises(TrainingError, match=r"patches take .* GiB, and .* are free[.] .*--cache"):
        ready(path, tmp_path / "full")


def test_disk_that_fills_up_meanwhile(tmp_path, path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "sync_folder", full)
    with pytest.raises(TrainingError, match=r"cache: patches cannot be kept there \(no space left on device\)"):
        ready(path, tmp_path)
    assert not list(tmp_path.glob("cache/*.partial"))


def test_no_objects_are_unpickled(tmp_path, path):
    ready(path, tmp_path)
    (place,) = tmp_path.glob("cache/*/values.npy")
    np.save(place, np.array([{}], dtype=object), allow_pickle=True)
    assert ready(path, tmp_path).cache == "disk"  # rebuilt
    assert np.load(place).dtype == np.float32
