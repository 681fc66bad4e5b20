"""Selection of patches, and their features, which equal those of the whole scene."""

import numpy as np
import pytest

from sarcd import estimation, jobs
from sarcd.config import ESTIMATORS, CoherenceOptions, Window
from sarcd.errors import SceneError, TrainingError
from sarcd.estimation.amplitudes import compute_statistics
from sarcd.estimation.channels import WITH_COHERENCE, fill_holes
from sarcd.store.reader import SceneReader
from sarcd.store.scene import open_scene
from sarcd.training.patch_index import index_patches
from sarcd.training.patches import LabelledScene, Patch, balanced_patches, changed_share, every_patch, patch_grid
from tests.factories.labelled_scenes import store_toy, toy_images, toy_scene
from tests.factories.scenes import stored_scene


def test_counts_of_the_paper():
    """2160, 722 and 2208 patches of 256 x 256 follow from the sizes and pairs of the paper's three sites."""
    sites = {2160: ((5352, 9356), 3), 722: ((5099, 4939), 2), 2208: ((6040, 6312), 4)}
    for count, (shape, pairs) in sites.items():
        rows, columns = patch_grid(shape, 256)
        assert rows * columns * pairs == count


def test_index_counts_what_is_labelled_and_valid(tmp_path):
    rng = np.random.default_rng(0)
    slc, label = toy_images(rng, (100, 132), squares=[(10, 10, 20)])
    label[0, 64:, 64:] = 255
    slc[1, 0:8, 0:8] = np.nan + 1j * np.nan
    index = index_patches(SceneReader(store_toy(tmp_path / "a.zarr", slc, label, chunk=48)), 32)
    assert index.labelled.shape == (1, 3, 4)
    valid = np.isfinite(slc).all(axis=0) & (label[0] != 255)
    for i in range(3):
        for j in range(4):
            cell = np.s_[32 * i : 32 * i + 32, 32 * j : 32 * j + 32]
            assert index.labelled[0, i, j] == valid[cell].sum()
            assert index.changed[0, i, j] == (valid & (label[0] == 1))[cell].sum()


def test_balanced_draw(tmp_path):
    index = index_patches(
        SceneReader(toy_scene(tmp_path / "a.zarr", side=256, squares=[(8, 8, 20), (100, 40, 30)])), 32
    )
    drawn = balanced_patches([index], seed=0)
    changed = {(p.y, p.x) for p in drawn if index.changed[0, p.y // 32, p.x // 32]}
    assert len(changed) == (index.changed > 0).sum()
    assert len(drawn) == 2 * len(changed)
    assert len(set(drawn)) == len(drawn)
    assert drawn == balanced_patches([index], seed=0)
    assert drawn != balanced_patches([index], seed=1)
    assert len(every_patch([index])) == 64
    assert changed_share([index], every_patch([index])) == (20 * 20 + 30 * 30) / 256**2


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_features_of_a_patch_are_those_of_the_whole_scene(tmp_path, stored, estimator):
    options = CoherenceOptions(window=Window(y=7, x=5), estimator=estimator, debias=estimator != "boxcar")
    path = toy_scene(tmp_path / "a.zarr", hole=(slice(20, 40), slice(50, 60)), chunk=48)
    if stored:
        jobs.coherence(path, options)
    scene = open_scene(path)
    statistics = compute_statistics(scene)
    lazy = estimation.features(scene, coherence=options, statistics=statistics).values[0]
    whole = estimation.features(scene.load(), coherence=options, statistics=statistics).values[0]
    assert lazy.tobytes() == whole.tobytes()
    filled, valid = fill_holes(whole, WITH_COHERENCE)
    target = np.where(valid, scene.label.values[0], 255)
    reader = LabelledScene(path, WITH_COHERENCE, options, statistics)
    patches = [Patch(0, 0, y, x) for y in range(0, 128, 32) for x in range(0, 128, 32)]
    together = reader.read_patches(patches, 32)
    sparse = reader.read_patches([patches[0], patches[15]], 32)
    alone = [reader.read(0, slice(p.y, p.y + 32), slice(p.x, p.x + 32)) for p in patches]
    for patch, *found in zip(patches, together, alone, strict=True):
        part = slice(patch.y, patch.y + 32), slice(patch.x, patch.x + 32)
        for seen, judged in found:
            assert seen.tobytes() == np.ascontiguousarray(filled[(slice(None), *part)]).tobytes()
            np.testing.assert_array_equal(judged, target[part])
    for found, expected in zip(sparse, (alone[0], alone[15]), strict=True):
        assert found[0].tobytes() == expected[0].tobytes()


def test_nothing_to_learn_from(tmp_path, rng):
    calm = index_patches(SceneReader(toy_scene(tmp_path / "calm.zarr", squares=[])), 32)
    with pytest.raises(TrainingError, match="not one changed pixel"):
        balanced_patches([calm], seed=0)
    with pytest.raises(TrainingError, match="patch"):
        index_patches(SceneReader(toy_scene(tmp_path / "small.zarr", side=120)), 128)
    with pytest.raises(SceneError, match="--label"):
        index_patches(SceneReader(stored_scene(tmp_path / "bare.zarr", rng)), 32)


def test_foreign_label_values(tmp_path):
    slc, label = toy_images(np.random.default_rng(0), (64, 64), squares=[(8, 8, 20)])
    path = store_toy(tmp_path / "a.zarr", slc, 7 * label)
    with pytest.raises(SceneError, match="holds the value 7, should be 0, 1 or 255"):
        index_patches(SceneReader(path), 32)


def test_pairs_without_labels_are_passed_over(tmp_path):
    """Of three dates only the second pair is labelled."""
    slc, label = toy_images(np.random.default_rng(0), (64, 64), squares=[(8, 8, 20)])
    path = store_toy(tmp_path / "a.zarr", np.concatenate([slc[:1], slc]), np.concatenate([255 + 0 * label, label]))
    index = index_patches(SceneReader(path), 32)
    assert {patch.pair for patch in every_patch([index])} == {1}
    assert {patch.pair for patch in balanced_patches([index], seed=0)} == {1}
