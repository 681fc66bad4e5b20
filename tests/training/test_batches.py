"""Batches of an epoch: independent of cache and reader, and distributed among ranks."""

import itertools
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from sarcd import jobs
from sarcd.config import CoherenceOptions, TrainOptions, Window
from sarcd.store.scene import open_scene
from sarcd.training import patches as data
from sarcd.training.batches import Batches, seed_of
from sarcd.training.datasets import prepare
from sarcd.training.patches import LabelledScene
from tests.factories.labelled_scenes import add_pseudo_labels, toy_scene

CPU = torch.device("cpu")
OPTIONS = TrainOptions(patch=16, coherence=CoherenceOptions(window=Window(5, 5)), batch=6, sampling="all", shuffle=20)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Store toy scenes of several blocks, as real ones are."""
    monkeypatch.setattr(data, "_BLOCK", 48)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return toy_scene(tmp_path_factory.mktemp("toys") / "learn.zarr", side=160, chunk=48, hole=np.s_[:10, 20:60])


def batches(path, *, shuffle=True, folder=None, pseudo=(), **changes):
    options = replace(OPTIONS, **changes)
    found = prepare(options, [path], [], pseudo=pseudo, folder=folder, draw_seed=0)
    return Batches(found.training, options, CPU, shuffle=shuffle)


def collect(found, number=1, **processes):
    return [tuple(part.clone() for part in batch) for batch in found.epoch(number, **processes)]


def assert_same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def numbers_of(found):
    return np.concatenate([numbers.numpy() for _, _, numbers in found])


@pytest.mark.parametrize("order", ["random", "chunks"])
def test_same_wherever_patches_are_kept(tmp_path, path, order):
    kept = {cache: batches(path, order=order, cache=cache, folder=tmp_path) for cache in ("memory", "disk", "none")}
    first = collect(kept["memory"])
    assert sorted(numbers_of(first)) == list(range(100))
    assert len(first) == len(kept["memory"]) == 17
    for found in kept.values():
        assert_same(collect(found), first)
    other = collect(kept["none"], 2)
    assert (numbers_of(other) != numbers_of(first)).any()
    assert_same(collect(kept["none"], 1), first)  # also after another epoch
    x, target, numbers = first[0]
    assert x.shape == (6, 3, 16, 16)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert (x.dtype, target.dtype, numbers.dtype) == (torch.float32, torch.uint8, torch.int64)


@pytest.mark.parametrize("order", [pytest.param("random", marks=pytest.mark.slow), "chunks"])
def test_same_from_worker_processes(path, order):
    read = batches(path, order=order, cache="none", workers=2)
    kept = batches(path, order=order, cache="memory", workers=2)
    for number in (1, 2):
        assert_same(collect(read, number), collect(kept, number))
    next(read.epoch(3))  # abandoned
    assert_same(collect(read, 4), collect(kept, 4))


def test_read_ahead_by_threads_is_the_same(path, monkeypatch):
    """Blocks arrive in any order; the first ones needed are the slowest."""
    expected = [collect(batches(path, order="chunks", sampling="weighted", cache="none"), number) for number in (1, 2)]
    real = LabelledScene.read_patches

    def slow_at_first(self, patches, size):
        time.sleep(0.02 if next(turns) % 3 == 0 else 0)
        return real(self, patches, size)

    turns = itertools.count()
    monkeypatch.setattr(LabelledScene, "read_patches", slow_at_first)
    torch.set_num_threads(3)
    try:
        found = batches(path, order="chunks", sampling="weighted", cache="none")
        assert_same(collect(found, 1), expected[0])
        broken_off = found.epoch(3)
        next(broken_off)
        broken_off.close()
        assert_same(collect(found, 2), expected[1])
        assert not found._patches._coming
        assert not found._patches._waiting
        kept = batches(path, order="chunks", sampling="weighted", cache="memory")
        assert_same(collect(kept, 1), expected[0])
        found._patches.close()
    finally:
        torch.set_num_threads(1)


def test_the_random_order_does_not_know_of_workers(path):
    orders = [batches(path, order="random", cache="none", workers=count)._batches(4) for count in (0, 1, 5)]
    for other in orders[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(orders[0], other, strict=True))


def test_every_chunk_is_read_once(path, monkeypatch):
    from sarcd.store.reader import SceneReader

    found = batches(path, order="chunks", cache="none", use_coherence=False, patch=24, shuffle=8)
    decoded, real = [], SceneReader._decode
    monkeypatch.setattr(SceneReader, "_decode", lambda self, key: decoded.append(key) or real(self, key))
    for scene in found._patches.scenes:
        scene.release()
    collect(found)
    images = [key for key in decoded if key[0] == "slc"]
    assert len(set(images)) == 2 * 9
    assert len(images) == len(set(images))


def test_ranks_together_have_the_batches_of_one(path):
    found = batches(path, cache="memory")
    whole = collect(found)
    assert len(whole[-1][2]) == 4
    processes = [collect(found, rank=rank, world=5) for rank in range(5)]
    assert {len(rows) for rows in processes} == {len(whole)}
    for batch, *parts in zip(whole, *processes, strict=True):
        for rank, part in enumerate(parts):
            if rank < len(batch[2]):
                assert all(torch.equal(a, b[rank::5]) for a, b in zip(part, batch, strict=True))
            else:
                assert part[2].tolist() == batch[2][:1].tolist()
                assert (part[1] == 255).all()


def test_ranks_in_chunk_order(path):
    found = batches(path, cache="none", order="chunks")
    whole = collect(found)
    for rank in range(2):
        part = collect(found, rank=rank, world=2)
        assert_same(part, [tuple(rows[rank::2] for rows in batch) for batch in whole])


@pytest.mark.parametrize("order", ["random", "chunks"])
def test_weighted_draw(path, order, tmp_path):
    plain, found = batches(path, sampling="balanced"), batches(path, sampling="weighted", order=order, cache="none")
    assert len(found) == len(plain)
    weights, counts = found._patches.weights, np.zeros(100)
    orders = [np.concatenate(found._batches(number)) for number in range(1, 401)]
    for drawn in orders:
        assert len(set(drawn.tolist())) == len(drawn) == found._patches.per_epoch
        counts[drawn] += 1
    # patches of equal weight are equally likely, and changed ones are sampled more often
    low = weights == weights.min()
    assert counts[~low].min() > counts[low].mean()
    assert np.ptp(counts[low]) < 400 * 0.25
    np.testing.assert_array_equal(np.concatenate(found._batches(7)), orders[6])
    next(found.epoch(1))
    collect(found, 2)
    assert not found._patches._waiting  # an abandoned epoch leaves nothing behind


def test_pseudo_labels_are_in_every_epoch(tmp_path):
    other = toy_scene(tmp_path / "other.zarr", side=32, squares=[])
    learn = toy_scene(tmp_path / "learn.zarr", side=96, squares=[(8, 8, 24)])
    add_pseudo_labels(other, np.zeros((1, 32, 32), "uint8"))
    found = batches(learn, sampling="weighted", pseudo=[other])
    guessed = {i for i, patch in enumerate(found._patches.patches) if patch.scene == 1}
    assert len(guessed) == 4
    assert all(guessed <= set(np.concatenate(found._batches(number)).tolist()) for number in range(1, 30))


def test_judged_by_a_persons_labels_where_a_model_labelled_too(tmp_path):
    other = toy_scene(tmp_path / "other.zarr", side=32, squares=[(8, 8, 10)])
    learn = toy_scene(tmp_path / "learn.zarr", side=96, squares=[(8, 8, 24)])
    guessed = np.full((1, 32, 32), 255, "uint8")
    guessed[0, :16, :16] = 0
    add_pseudo_labels(other, guessed)
    found = prepare(OPTIONS, [learn], [other], pseudo=[other], draw_seed=0)
    assert (len(found.validation), found.pseudo_patches) == (4, 1)
    order = Batches(found.validation, OPTIONS, CPU, shuffle=False)
    judged = np.concatenate([target for _, target, _ in collect(order, 0)])
    assert set(np.unique(judged)) == {0, 1}
    assert (judged == 1).sum() == 100


def test_order_of_validation(path):
    for cache in ("memory", "none"):
        found = batches(path, cache=cache, shuffle=False)
        assert sorted(numbers_of(collect(found, 0))) == list(range(100))
    assert numbers_of(collect(batches(path, cache="memory", shuffle=False), 0)).tolist() == list(range(100))


def test_what_normalised_a_patch(tmp_path):
    path = toy_scene(tmp_path / "a.zarr", side=32)
    found = batches(path)
    amplitude = np.abs(open_scene(path)["slc"].values).astype(float)
    median = np.median(amplitude)
    mad = np.median(np.abs(amplitude - median).astype("float32"))
    ratio = found._patches.brightness(torch.tensor([0, 2]))
    assert (ratio.shape, ratio.dtype) == ((2, 2), torch.float32)
    np.testing.assert_allclose(ratio, np.full((2, 2), median / mad), rtol=1e-6)


def test_seeds_of_uses_and_epochs_differ():
    assert len({seed_of(seed, use, epoch) for seed in (0, 1) for use in range(5) for epoch in range(5)}) == 50


def test_stored_coherence_is_read(tmp_path):
    """Stored values arrive unchanged, because no arithmetic is applied to them."""
    from sarcd.store.scene import SceneStore

    path = toy_scene(tmp_path / "a.zarr", side=64)
    jobs.coherence(path, OPTIONS.coherence)
    array = SceneStore(path).array("coherence")
    array[0, :32] = 0.125
    x, _, numbers = collect(batches(path, batch=64, cache="none"))[0]
    top = numbers < 8
    assert (x[top, 2] == 0.125).all()
    assert (x[~top, 2] != 0.125).any()
