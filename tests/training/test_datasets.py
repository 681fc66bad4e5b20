"""Training and validation sets: sampling, held-out areas, pseudo-labels, and invalid input."""

from dataclasses import replace

import numpy as np
import pytest

from sarcd import jobs
from sarcd.config import CoherenceOptions, TrainOptions, Window
from sarcd.errors import OptionError, SceneError, TrainingError
from sarcd.store.scene import SceneStore, open_scene
from sarcd.training.datasets import prepare
from sarcd.training.sampler import in_batches, requests
from tests.factories.labelled_scenes import add_pseudo_labels, store_toy, toy_images, toy_scene

OPTIONS = TrainOptions(patch=16, coherence=CoherenceOptions(window=Window(5, 5)), batch=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return toy_scene(tmp_path_factory.mktemp("toys") / "learn.zarr")


def ready(scenes, validation=(), *, seed=0, notes=None, **changes):
    pseudo = changes.pop("pseudo", ())
    folder = changes.pop("folder", None)
    note = (lambda text: None) if notes is None else notes.append
    options = replace(OPTIONS, **changes)
    return prepare(options, scenes, validation, pseudo=pseudo, folder=folder, draw_seed=seed, note=note)


def read(patches):
    return patches[requests(0, in_batches(np.arange(len(patches)), len(patches)))[0]]


def test_draws(path):
    balanced, everything, weighted = (ready([path], sampling=draw) for draw in ("balanced", "all", "weighted"))
    assert len(balanced.training) == balanced.training.per_epoch == 2 * balanced.changed
    assert len(everything.training) == everything.training.per_epoch == 64
    assert len(weighted.training) == 64
    assert weighted.training.per_epoch == len(balanced.training)
    weights = weighted.training.weights
    label = open_scene(path)["label"].values[0]
    share = np.array([label[p.y : p.y + 16, p.x : p.x + 16].mean() for p in weighted.training.patches])
    np.testing.assert_allclose(weights, share + share.mean())
    assert everything.share == pytest.approx(share.mean())
    assert weighted.share == pytest.approx((weights * share).sum() / weights.sum())
    assert len({data.digest for data in (balanced, everything, weighted)}) == 3
    assert ready([path]).digest == balanced.digest
    assert ready([path], seed=1).digest != balanced.digest


def test_labels_of_one_class_are_told(tmp_path, path):
    notes, (slc, label) = [], toy_images(np.random.default_rng(0), (64, 64), squares=[(0, 0, 16)])
    changed = store_toy(tmp_path / "changed.zarr", slc, np.where(label == 1, 1, 255).astype("uint8"))
    steady = store_toy(tmp_path / "steady.zarr", slc, 0 * label)
    ready([path, changed], [steady], notes=notes)
    told = [note for note in notes if "no labelled pixel" in note]
    assert [note.split(":")[0] for note in told] == ["changed.zarr", "steady.zarr"]
    assert 'is "no change". Label ground without change as 0 too' in told[0]
    assert "is change. Recall" in told[1]


def test_what_is_mostly_unlabelled_is_drawn_last(tmp_path):
    slc, label = toy_images(np.random.default_rng(0), (64, 64), squares=[(0, 0, 16)])
    label[0, 16:, :] = 255
    label[0, 16:20, :] = 0  # a quarter of each cell of the second row
    few = ready([store_toy(tmp_path / "a.zarr", slc, label)], seed=3)
    assert {p.y for p in few.training.patches} == {0}
    label[0, :16, 16:] = 1
    many = ready([store_toy(tmp_path / "b.zarr", slc, label)], seed=3)
    assert sorted(p.y for p in many.training.patches) == [0] * 4 + [16] * 4


def test_held_out_ground_is_never_read_to_learn(tmp_path):
    """Training features keep the same bytes whatever the validation cells contain."""
    slc, label = toy_images(
        np.random.default_rng(0), (160, 160), squares=[(8 * i, 40 * (i % 4), 12) for i in range(18)]
    )
    label[0, :30, :50] = 255
    path = store_toy(tmp_path / "a.zarr", slc, label)
    jobs.statistics(path)
    notes = []
    first = ready([path], val_fraction=0.25, sampling="all", notes=notes)
    assert any("held out: " in text and "beside them are left out" in text for text in notes)
    judged = np.zeros((160, 160), bool)
    for patch in first.validation.patches:
        judged[patch.y : patch.y + 16, patch.x : patch.x + 16] = True
    assert 0.15 < judged.sum() / (label[0] != 255).sum() < 0.35
    before = read(first.training)
    array = SceneStore(path).array("slc")
    array[...] = np.where(judged, 1e6j, slc)
    second = ready([path], val_fraction=0.25, sampling="all")
    assert second.training.patches == first.training.patches
    after = read(second.training)
    np.testing.assert_array_equal(before[0], after[0])
    np.testing.assert_array_equal(before[1], after[1])
    assert second.digest != first.digest


def test_scenes_of_one_place_share_what_is_held_out(tmp_path, path):
    corners = {"one": (0, 0), "twin": (0, 0), "half": (192, 0)}
    one, twin, half = (
        toy_scene(tmp_path / f"{name}.zarr", seed=i, corner=corner) for i, (name, corner) in enumerate(corners.items())
    )
    data = ready([one, twin, path], val_fraction=0.3, sampling="all")
    places = [{(p.y, p.x) for p in data.validation.patches if p.scene == i} for i in range(3)]
    assert places[0] == places[1] != places[2]
    learnt = {(p.y, p.x) for p in data.training.patches if p.scene < 2}
    assert not learnt & places[0]
    with pytest.raises(TrainingError, match="another grid"):
        ready([one, half], val_fraction=0.3)
    for other in (twin, half):
        with pytest.raises(TrainingError, match=r"covers ground of .*one.zarr.*--val-fraction"):
            ready([one], [other])
    assert len(ready([one], [path]).validation) == 64


def pseudo_scene(path, chosen, *, label=255, **options):
    """Make a scene with labels of one value, and pseudo-labels in a rectangle."""
    slc, truth = toy_images(np.random.default_rng(5), (64, 64), squares=[(8, 8, 20)])
    stored = store_toy(path, slc, np.full_like(truth, label), **options)
    add_pseudo_labels(stored, np.where(chosen, truth, 255).astype("uint8"))
    return stored


def rectangle(y, x):
    chosen = np.zeros((1, 64, 64), bool)
    chosen[0, :y, :x] = True
    return chosen


def test_pseudo_labels_are_learnt_from(tmp_path, path):
    other = pseudo_scene(tmp_path / "other.zarr", rectangle(40, 20))
    data = ready([path], pseudo=[other], sampling="weighted")
    guessed = [p for p in data.training.patches if p.scene == 1]
    assert {(p.y, p.x) for p in guessed} == {(y, x) for y in (0, 16, 32) for x in (0, 16)}
    assert data.pseudo_patches == len(guessed) == 6
    assert data.training.per_epoch == ready([path]).training.per_epoch + 6
    assert (data.pseudo, data.scenes, data.transductive) == (("other.zarr",), ("learn.zarr",), ())
    _, target, _ = read(data.training)
    expected = open_scene(other)["pseudo_label"].values[0]
    for row, patch in enumerate(data.training.patches):
        if patch.scene == 1:
            np.testing.assert_array_equal(target[row], expected[patch.y : patch.y + 16, patch.x : patch.x + 16])
    with pytest.raises(SceneError, match="pseudo_label"):
        ready([path], pseudo=[path])


def test_transductive_learning_is_declared(tmp_path, path):
    other = pseudo_scene(tmp_path / "other.zarr", rectangle(64, 64), label=0)
    data = ready([path], [other], pseudo=[other])
    assert data.transductive == ("other.zarr",)
    assert data.pseudo_patches == 16
    assert {scene.truth for scene in data.validation.scenes} == {"label"}
    assert [scene.truth for scene in data.training.scenes] == ["label", "pseudo_label"]


def test_labels_of_a_person_win(tmp_path):
    slc, label = toy_images(np.random.default_rng(5), (64, 64), squares=[(8, 8, 10)])
    label[0, :, 20:] = 255
    path = store_toy(tmp_path / "a.zarr", slc, label)
    add_pseudo_labels(path, np.zeros((1, 64, 64), "uint8"))
    notes = []
    data = ready([path], pseudo=[path], notes=notes)
    assert {p.x for p in data.training.patches if p.scene == 1} == {32, 48}
    assert any("8 patches of pseudo-labels are left out" in text for text in notes)


def test_pseudo_labels_keep_off_held_out_ground(tmp_path):
    slc, label = toy_images(np.random.default_rng(5), (64, 64), squares=[(4 * i, 8 * (i % 8), 4) for i in range(16)])
    label = np.concatenate([label, 255 + 0 * label])
    path = store_toy(tmp_path / "a.zarr", np.concatenate([slc, slc[:1]]), label)
    add_pseudo_labels(path, np.where(label == 255, 0, 255).astype("uint8"))
    data = ready([path], pseudo=[path], val_fraction=0.2, use_coherence=False)
    judged = {(p.y, p.x) for p in data.validation.patches}
    guessed = {(p.y, p.x) for p in data.training.patches if p.scene == 1}
    assert len(judged) == 3
    assert len(guessed) == 13
    assert not judged & guessed


def test_kept_where_it_fits(tmp_path, path):
    needed = ready([path], cache="none").training.nbytes
    found = {
        (cache, memory): ready([path], cache=cache, memory_bytes=memory, folder=tmp_path / "m.run")
        for cache, memory in (("auto", 2 * needed), ("auto", needed - 1), ("none", 2 * needed), ("disk", 2 * needed))
    }
    assert [data.cache for data in found.values()] == ["memory", "disk", "none", "disk"]
    assert [data.order for data in found.values()] == ["random", "random", "chunks", "random"]
    assert len(list((tmp_path / "m.run/cache").glob("*/values.npy"))) == 1  # the second run used the cache of the first
    assert ready([path], memory_bytes=0).cache == "none"  # no directory
    with pytest.raises(TrainingError, match="memory_bytes"):
        ready([path], cache="memory", memory_bytes=needed - 1)
    with pytest.raises(OptionError, match="cache_dir"):
        ready([path], cache="disk")
    data = found["auto", 2 * needed]
    data.close()
    assert data.training.cache == "none"


def test_refusals(tmp_path, path):
    with pytest.raises(TrainingError, match="twice"):
        ready([path], [path + "/"])
    empty = store_toy(tmp_path / "b.zarr", *map(np.copy, blank()))
    with pytest.raises(TrainingError, match="no labelled pixel"):
        ready([path], [empty])


def blank():
    slc, label = toy_images(np.random.default_rng(0), (32, 32), squares=[])
    return slc, np.full_like(label, 255)
