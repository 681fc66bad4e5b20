"""Areas that touch the image border, compared with labelling of the whole image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from sarcd.ingestion.nodata import EdgeAreas


def grid(shape, tall, wide):
    return [
        (slice(y, min(y + tall, shape[0])), slice(x, min(x + wide, shape[1])))
        for y in range(0, shape[0], tall)
        for x in range(0, shape[1], wide)
    ]


def by_windows(passable, counted, tall, wide):
    areas, windows = EdgeAreas(passable.shape[1], passable.shape[0]), grid(passable.shape, tall, wide)
    for window in windows:
        areas.add(window, passable[window], counted[window])
    count, found = areas.close(), np.zeros(passable.shape, bool)
    for i, window in enumerate(windows):
        found[window] = areas.connected(i, passable[window])
        assert areas.reaches(i) == found[window].any()
    return count, found


def by_whole(passable):
    """Flood-fill from a frame around the image."""
    labels, _ = ndimage.label(np.pad(passable, 1, constant_values=True))
    return (labels == labels[0, 0])[1:-1, 1:-1]


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    tall=st.integers(1, 12),
    wide=st.integers(1, 12),
    share=st.sampled_from([0.0, 0.3, 0.5, 0.6, 0.7, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_windows_find_what_the_whole_finds(shape, tall, wide, share, seed):
    rng = np.random.default_rng(seed)
    passable = rng.random(shape) < share
    counted = passable & (rng.random(shape) < 0.7)
    count, found = by_windows(passable, counted, tall, wide)
    np.testing.assert_array_equal(found, by_whole(passable))
    assert count == (found & counted).sum()


@pytest.mark.parametrize("wide", [1, 2, 3, 20])
def test_a_spiral_that_reaches_the_edge_only_at_its_far_end(wide):
    """The last window added decides for the first."""
    mask = np.zeros((9, 9), bool)
    mask[1, 1:8] = mask[1:8, 7] = mask[7, 3:8] = mask[3:8, 3] = True
    assert not by_windows(mask, mask, 3, wide)[1].any()
    mask[8, 5] = True
    count, found = by_windows(mask, mask, 3, wide)
    assert count == mask.sum()
    np.testing.assert_array_equal(found, mask)


def test_corners_do_not_connect():
    mask = np.eye(4, dtype=bool)
    assert by_windows(mask, mask, 2, 2)[0] == 2
