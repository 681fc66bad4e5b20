"""Selection of patches on which a model is confident, by hand and by invariants."""

import numpy as np
import pytest

from sarcd.training.kernels import CellCounts, choose_cells, count_cells


def test_counts_by_hand():
    probability = np.full((4, 6), 0.5, "float32")
    probability[0:2, 0:2] = [[0.86, 0.85], [0.14, np.nan]]  # 0.85 is not above 0.85
    probability[2:4, 4:6] = 0.02
    either = count_cells(probability, 2, confidence=0.85, either=True)
    assert either.confident.tolist() == [[2, 0, 0], [0, 0, 4]]
    assert either.changed.tolist() == [[2, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(either.certainty[0, 0], (0.86 + 0.85 + 0.86) / 3, rtol=1e-6)
    literal = count_cells(probability, 2, confidence=0.85, either=False)
    assert literal.confident.tolist() == [[1, 0, 0], [0, 0, 0]]


def test_the_printed_reading_keeps_only_patches_that_changed_all_over():
    rng = np.random.default_rng(0)
    unchanged, mixed, changed = rng.uniform(0, 0.1, (3, 8, 8))
    mixed[:, :4], changed[:] = 0.99, 0.97
    probability = np.hstack([unchanged, mixed, changed]).astype("float32")
    for either, expected in ((True, [True, True, True]), (False, [False, False, True])):
        counts = count_cells(probability, 8, confidence=0.85, either=either)
        flat = CellCounts(counts.confident.ravel(), counts.changed.ravel(), counts.certainty.ravel())
        chosen = choose_cells(flat, 64, min_confident=0.9, max_cells=10, stratified=True, seed=0)
        assert chosen.tolist() == expected


def counts_of(confident, changed, certainty=None):
    confident, changed = np.asarray(confident), np.asarray(changed)
    return CellCounts(confident, changed, np.ones(len(confident)) if certainty is None else np.asarray(certainty))


def test_a_patch_must_exceed_the_share():
    counts = counts_of([90, 91, 100], [0, 0, 0])
    assert choose_cells(counts, 100, min_confident=0.9, max_cells=9, stratified=True, seed=0).tolist() == [
        False,
        True,
        True,
    ]


def test_cap_and_strata():
    rng = np.random.default_rng(1)
    changed, certainty = rng.random(200) < 0.2, rng.random(200)
    counts = counts_of(np.full(200, 100), np.where(changed, 7, 0), certainty)
    chosen = choose_cells(counts, 100, min_confident=0.9, max_cells=40, stratified=True, seed=0)
    assert chosen.sum() == 40
    assert (chosen & changed).sum() == 20
    assert set(np.flatnonzero(chosen & changed)) == set(np.flatnonzero(changed)[np.argsort(-certainty[changed])[:20]])
    # Patches of one kind make up for a lack of the other.
    few = counts_of(np.full(200, 100), np.where(np.arange(200) < 3, 7, 0), certainty)
    chosen = choose_cells(few, 100, min_confident=0.9, max_cells=40, stratified=True, seed=0)
    assert (chosen.sum(), chosen[:3].sum()) == (40, 3)
    many = counts_of(np.full(200, 100), np.where(np.arange(200) < 195, 7, 0), certainty)
    chosen = choose_cells(many, 100, min_confident=0.9, max_cells=40, stratified=True, seed=0)
    assert (chosen.sum(), chosen[195:].sum()) == (40, 5)


@pytest.mark.parametrize("stratified", [True, False])
def test_seed_decides(stratified):
    counts = counts_of(np.full(100, 100), np.where(np.arange(100) % 5 == 0, 7, 0))
    masks = [
        choose_cells(counts, 100, min_confident=0.9, max_cells=30, stratified=stratified, seed=s) for s in (0, 0, 1)
    ]
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[0], masks[2])
    assert all(mask.sum() == 30 for mask in masks)


def test_a_random_choice_knows_nothing_of_change_or_certainty():
    """60 of 300: about 6 of the 30 with change, hypergeometric, and not the most confident ones."""
    changed, certainty = np.arange(300) % 10 == 0, np.linspace(0.5, 1, 300)
    counts = counts_of(np.full(300, 100), np.where(changed, 7, 0), certainty)
    masks = [
        choose_cells(counts, 100, min_confident=0.9, max_cells=60, stratified=False, seed=seed) for seed in range(50)
    ]
    drawn = [(mask & changed).sum() for mask in masks]
    assert np.mean(drawn) == pytest.approx(6, abs=4 * 2.1 / np.sqrt(50))
    assert np.mean([certainty[mask].mean() for mask in masks]) == pytest.approx(0.75, abs=0.01)
