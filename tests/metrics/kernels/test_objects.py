"""Objects cut into blocks and joined again, compared with labelling the whole and evaluating one object at a time."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from sarcd.metrics.kernels.objects import OBJECT_COUNTS, Rules, block_objects, join_objects, object_counts

CORNERS = np.ones((3, 3), bool)


def brute_counts(changed, predicted, evaluated, rules):
    """Return the counts, computed object by object."""
    real, count_real = ndimage.label(changed, CORNERS)
    reported, count_reported = ndimage.label(predicted, CORNERS)
    least = rules.min_pixels
    large = {k for k in range(1, count_real + 1) if np.sum((real == k) & evaluated) >= least}
    kept = {k for k in range(1, count_reported + 1) if np.sum((reported == k) & evaluated) >= least}
    on_map = np.isin(reported, list(kept))
    found = dict.fromkeys(OBJECT_COUNTS, 0)
    for k in large:
        own = (real == k) & evaluated
        covered = np.sum(own & on_map)
        found["detected" if covered >= 1 and covered >= rules.min_overlap * own.sum() else "missed"] += 1
    for k in kept:
        touched = set(real[(reported == k) & evaluated].tolist()) - {0}
        if touched & large:
            found["confirmed"] += 1
        elif not touched:
            found["false"] += 1
    return list(found.values())


def cut(arrays, rows, columns, rules):
    """Return the objects of each block of a grid, given by its cuts."""
    shape = arrays[0].shape
    ys, xs = ([0, *cuts, size] for cuts, size in zip((rows, columns), shape, strict=True))
    return [
        block_objects(*(array[y0:y1, x0:x1] for array in arrays), rules, origin=(y0, x0))
        for y0, y1 in itertools.pairwise(ys)
        for x0, x1 in itertools.pairwise(xs)
    ]


def cuts(size):
    return st.lists(st.integers(1, size - 1), unique=True, max_size=6).map(sorted) if size > 1 else st.just([])


@given(
    data=st.data(),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    least=st.integers(1, 6),
    overlap=st.sampled_from([0, 0.3, 0.5, 1]),
    density=st.sampled_from([0.15, 0.35, 0.5]),
    seed=st.integers(0, 2**32),
)
def test_blocks_of_any_grid_equal_the_whole(data, shape, least, overlap, density, seed):
    rng = np.random.default_rng(seed)  # hypothesis rarely draws pixels that form objects worth joining
    changed, predicted = rng.random(shape) < density, rng.random(shape) < density
    predicted |= changed & (rng.random(shape) < 0.4)
    evaluated = rng.random(shape) < 0.9
    rules = Rules(least, overlap)
    expected = brute_counts(changed, predicted, evaluated, rules)
    blocks = cut((changed, predicted, evaluated), data.draw(cuts(shape[0])), data.draw(cuts(shape[1])), rules)
    assert join_objects(blocks, rules).tolist() == expected
    assert join_objects(data.draw(st.permutations(blocks)), rules).tolist() == expected


@given(hnp.arrays(bool, (9, 9)), hnp.arrays(bool, (9, 9)))
def test_drawn_maps_in_blocks_of_one_pixel(changed, predicted):
    every = range(1, 9)
    evaluated = np.ones((9, 9), bool)
    blocks = cut((changed, predicted, evaluated), every, every, Rules())
    assert join_objects(blocks, Rules()).tolist() == brute_counts(changed, predicted, evaluated, Rules())


def test_by_hand():
    picture = [
        "RR..C...",  # R reference, C detected, B both; lower case: not evaluated
        "RB..C..R",
        "......r.",  # touches by a corner and joins the objects on both sides
        ".c..CRR.",
    ]
    letters = np.array([list(row) for row in picture])
    changed, predicted = np.isin(letters, list("RrB")), np.isin(letters, list("CcB"))
    evaluated = np.char.isupper(letters) | (letters == ".")
    for rows, columns in (([], []), ([2], [4]), ([1, 2, 3], [1, 6, 7])):
        rules = Rules()
        blocks = cut((changed, predicted, evaluated), rows, columns, rules)
        # The unevaluated detection counts nowhere; the one at the bottom only touches.
        assert join_objects(blocks, rules).tolist() == [1, 1, 1, 2]
        assert join_objects(cut((changed, predicted, evaluated), rows, columns, Rules(2)), Rules(2)).tolist() == [
            0,
            2,
            0,
            1,
        ]
        half = Rules(1, 0.5)
        assert join_objects(cut((changed, predicted, evaluated), rows, columns, half), half).tolist() == [0, 2, 1, 2]


def test_four_blocks_meet_at_a_corner():
    diagonal = np.eye(4, dtype=bool)
    for where in (diagonal, diagonal[::-1]):
        blocks = cut((where, where, np.ones((4, 4), bool)), [2], [2], Rules(4))
        assert join_objects(blocks, Rules(4)).tolist() == [1, 0, 1, 0]


def test_claims_on_too_small_an_object_are_neither_confirmed_nor_false():
    assert object_counts([2], [5], [[1, 1, 2]], Rules(3)).tolist() == [0, 0, 0, 0]
    assert object_counts([5], [2], [[1, 1, 2]], Rules(3)).tolist() == [0, 1, 0, 0]
    assert object_counts([], [5], [], Rules(3)).tolist() == [0, 0, 0, 1]
    assert object_counts([0], [0], [], Rules(0)).tolist() == [0, 0, 0, 0]


def test_overlap_is_that_of_all_claims_together():
    shared = [[1, 1, 2], [1, 2, 2]]
    assert object_counts([8], [4, 4], shared, Rules(1, 0.5)).tolist() == [1, 0, 2, 0]
    assert object_counts([8], [4, 4], shared, Rules(1, 0.51)).tolist() == [0, 1, 2, 0]


@given(seed=st.integers(0, 2**32))
def test_turning_and_mirroring_change_nothing(seed):
    rng = np.random.default_rng(seed)
    layers = [rng.random((12, 9)) < share for share in (0.3, 0.4, 0.9)]
    expected = join_objects([block_objects(*layers, Rules(2))], Rules(2)).tolist()
    for moved in ([layer.T for layer in layers], [layer[::-1] for layer in layers]):
        blocks = cut([np.ascontiguousarray(layer) for layer in moved], [4], [5], Rules(2))
        assert join_objects(blocks, Rules(2)).tolist() == expected


def test_a_block_of_noise_keeps_only_what_reaches_its_sides(rng):
    noise = rng.random((300, 300)) < 0.15
    block = block_objects(noise, np.roll(noise, 1, 0), np.ones(noise.shape, bool), Rules())
    assert block.closed.sum() > 5000
    assert len(block.real.sizes) < 400
    assert all(line.base is None for line in block.real.sides.values())  # a view would keep the whole block in memory


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_empty_and_narrow_blocks(shape):
    nothing, everything = np.zeros(shape, bool), np.ones(shape, bool)
    assert join_objects([block_objects(nothing, nothing, everything, Rules())], Rules()).tolist() == [0, 0, 0, 0]
    assert join_objects([block_objects(everything, nothing, everything, Rules())], Rules()).tolist() == [0, 1, 0, 0]
    assert join_objects([block_objects(everything, everything, nothing, Rules())], Rules()).tolist() == [0, 0, 0, 0]
