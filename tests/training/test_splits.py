"""Held-out areas: close to the requested fraction, the same for all dates, and never read for training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.errors import TrainingError
from sarcd.store.reader import SceneReader
from sarcd.training.patches import PatchIndex
from sarcd.training.splits import Ground, hold_out, places_of
from tests.factories.labelled_scenes import toy_scene


def random_index(rng, size, pairs, rows, columns, labelled=0.8):
    counts = rng.integers(1, size**2 + 1, (pairs, rows, columns)) * (rng.random((pairs, rows, columns)) < labelled)
    return PatchIndex(size, counts, rng.binomial(counts, 0.1) * (rng.random(counts.shape) < 0.3))


def pixels(cells, size, halo=(0, 0)):
    """Return the pixels of the cells with everything read around them, by brute force."""
    rows, columns = cells.shape
    found = np.zeros((rows * size, columns * size), bool)
    for row, column in np.argwhere(cells):
        y, x = row * size, column * size
        found[max(y - halo[0], 0) : y + size + halo[0], max(x - halo[1], 0) : x + size + halo[1]] = True
    return found


@given(
    st.integers(0, 999),
    st.sampled_from([8, 32, 256]),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.floats(0.05, 0.9),
    st.tuples(st.integers(0, 20), st.integers(0, 20)),
)
def test_nothing_that_is_read_to_learn_is_judged(seed, size, shape, share, halo):
    rng = np.random.default_rng(seed)
    indices = [random_index(rng, size, pairs, *shape) for pairs in (1, 3)]
    if (indices[0].labelled.any(axis=0) | indices[1].labelled.any(axis=0)).sum() < 2:
        return
    split = hold_out(indices, [0, 0], share, halo=halo, seed=seed)
    np.testing.assert_array_equal(split.validation[0], split.validation[1])
    assert split.validation[0].any()
    for training, validation in zip(split.training, split.validation, strict=True):
        if size * max(shape) < 1000:
            assert not (pixels(training, size, halo) & pixels(validation, size)).any()
        assert not (training & validation).any()
    # no cell is excluded unnecessarily: without a halo all are used
    if halo == (0, 0):
        np.testing.assert_array_equal(split.training[0], ~split.validation[0])


def test_shares_of_ground_and_change():
    rng = np.random.default_rng(0)
    indices = [random_index(rng, 256, 3, 40, 30), random_index(rng, 256, 2, 20, 50)]
    for share in (0.1, 0.2, 0.5):
        split = hold_out(indices, [0, 1], share, halo=(2, 2), seed=0)
        changed = [index.changed.sum(axis=0) for index in indices]
        found = sum(change[cells].sum() for change, cells in zip(changed, split.validation, strict=True))
        assert found / sum(change.sum() for change in changed) == pytest.approx(split.changed)
        assert split.changed == pytest.approx(share, abs=0.02)
        assert split.ground == pytest.approx(share, abs=0.02)


def test_rare_changes_are_shared_out():
    """Twelve changed cells of different size: a single random split would hold out 0.2 of them, plus or minus 0.1."""
    rng = np.random.default_rng(0)
    for seed in range(5):
        changed = np.zeros((1, 40, 40), int)
        changed.ravel()[rng.permutation(1600)[:12]] = rng.integers(100, 5000, 12)
        index = PatchIndex(256, np.full((1, 40, 40), 256**2), changed)
        split = hold_out([index], [0], 0.2, halo=(2, 2), seed=seed)
        assert split.changed == pytest.approx(0.2, abs=0.03)
        assert split.ground == pytest.approx(0.2, abs=0.03)


def test_drawn_by_seed():
    index = random_index(np.random.default_rng(0), 256, 1, 40, 30)
    draws = [hold_out([index], [0], 0.2, halo=(2, 2), seed=seed).validation[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_too_little_ground():
    index = PatchIndex(32, np.array([[[9, 0]]]), np.zeros((1, 1, 2), int))
    with pytest.raises(TrainingError, match="--patch"):
        hold_out([index], [0], 0.5, halo=(0, 0), seed=0)


@pytest.fixture(scope="module")
def grounds(tmp_path_factory):
    """Scenes of 64 pixels of 3 m: one, its twin, its neighbour, one half overlapping, and two without georeference."""
    folder = tmp_path_factory.mktemp("grounds")
    corners = {"one": (0, 0), "twin": (0, 0), "next": (192, 0), "half": (96, 0), "nowhere": None, "unknown": None}
    return {
        name: Ground.of(SceneReader(toy_scene(folder / f"{name}.zarr", seed=i, side=64, corner=corner, squares=[])))
        for i, (name, corner) in enumerate(corners.items())
    }


def test_same_ground(grounds):
    one = grounds["one"]
    assert [name for name, other in grounds.items() if one.same_grid(other)] == ["one", "twin"]
    assert [name for name, other in grounds.items() if one.overlaps(other)] == ["one", "twin", "half"]
    assert [name for name, other in grounds.items() if grounds["nowhere"].overlaps(other)] == ["nowhere"]


def test_places(grounds):
    names = ["one", "nowhere", "twin", "next", "unknown"]
    assert places_of([grounds[name] for name in names]) == [0, 1, 0, 2, 3]
    with pytest.raises(TrainingError, match=r"half.zarr: shows ground of .*one.zarr in another grid"):
        places_of([grounds[name] for name in ("one", "half")])
