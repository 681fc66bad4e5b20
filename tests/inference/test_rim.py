"""The rim of holes: brute force, any part of an image, and which holes have no rim."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.inference.kernels import HOLE, near_holes, rim_halo


def brute(valid, reach):
    """Return all squares of invalid pixels that fit in the mirrored image, and everything within reach of them."""
    height, width = valid.shape
    hole = np.pad(~valid, HOLE - 1, mode="symmetric")
    out = np.zeros(valid.shape, bool)
    for y in range(hole.shape[0] - HOLE + 1):
        for x in range(hole.shape[1] - HOLE + 1):
            if hole[y : y + HOLE, x : x + HOLE].all():
                top, left = y - HOLE + 1, x - HOLE + 1
                for part_y in range(max(top, 0), min(top + HOLE, height)):
                    for part_x in range(max(left, 0), min(left + HOLE, width)):
                        out[
                            max(part_y - reach[0], 0) : part_y + reach[0] + 1,
                            max(part_x - reach[1], 0) : part_x + reach[1] + 1,
                        ] = True
    return out


def holes(seed, shape=(40, 44)):
    rng = np.random.default_rng(seed)
    valid = rng.random(shape) > 0.1
    for _ in range(3):
        y, x = rng.integers(-4, shape[0]), rng.integers(-4, shape[1])
        valid[max(y, 0) : y + rng.integers(3, 9), max(x, 0) : x + rng.integers(3, 9)] = False
    return valid


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("reach", [(0, 0), (3, 1)])
def test_brute_force(seed, reach):
    valid = holes(seed)
    np.testing.assert_array_equal(near_holes(valid, reach), brute(valid, reach))


@given(seed=st.integers(0, 50), y=st.integers(0, 39), x=st.integers(0, 43), size=st.integers(1, 20))
def test_a_part_with_its_halo_is_exact(seed, y, x, size):
    valid, reach = holes(seed), (3, 2)
    (halo_y, halo_x), whole = rim_halo(reach), near_holes(valid, reach)
    top, left = max(y - halo_y, 0), max(x - halo_x, 0)
    part = near_holes(valid[top : y + size + halo_y, left : x + size + halo_x], reach)
    found = part[y - top : y - top + size, x - left : x - left + size]
    np.testing.assert_array_equal(found, whole[y : y + size, x : x + size])


def test_dead_pixels_and_narrow_gaps_have_no_rim():
    valid = np.ones((30, 30), bool)
    valid[15, 15] = valid[0, 0] = valid[20:24] = False
    valid[:2, :] = False  # along the border a strip counts twice
    assert not near_holes(valid, (5, 5)).any()
    valid[:3, :] = False
    np.testing.assert_array_equal(near_holes(valid, (5, 5)).any(1), np.arange(30) < 8)
