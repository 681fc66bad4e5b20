"""Blocks with halos: reassembling them, and as tasks that take only thin edges from their neighbours."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter

from sarcd.engine.framed import Framed
from sarcd.engine.lazy import window_map
from tests.estimation.test_coherence import cuts


@given(top=st.integers(0, 3), bottom=st.integers(4, 7), left=st.integers(0, 4), right=st.integers(5, 9))
def test_a_framed_part_is_put_together_as_it_was(top, bottom, left, right):
    image = np.arange(63).reshape(7, 9)
    framed = Framed(
        image[top:bottom, left:right],
        above=image[:top] if top else None,
        below=image[bottom:] if bottom < 7 else None,
        left=image[top:bottom, :left] if left else None,
        right=image[top:bottom, right:] if right < 9 else None,
    )
    np.testing.assert_array_equal(framed.whole(), image)
    np.testing.assert_array_equal(framed.whole()[framed.inside], framed.centre)


def test_a_part_without_surroundings_is_not_copied():
    part = np.ones((2, 3))
    assert Framed(part).whole() is part


@given(y=cuts(11), x=cuts(13), reach=st.tuples(st.integers(0, 12), st.integers(0, 14)))
def test_windows_see_the_same_for_any_chunking(y, x, reach):
    image = xr.DataArray(np.random.default_rng(0).random((11, 13)), dims=("y", "x"))

    def largest(values, rank):
        size = [2 * length + 1 for length in reach]
        return maximum_filter(values, size=size, mode="constant", cval=-1.0) + rank

    options = {"halo": reach, "dtype": float, "measured": {"rank": 2}}
    lazy = window_map(largest, [image.chunk(y=y, x=x)], **options)
    assert lazy.chunks == (y, x)
    np.testing.assert_array_equal(lazy.compute(), window_map(largest, [image], **options))


def test_what_is_measured_later_arrives_with_its_name():
    from dask.delayed import delayed

    image = xr.DataArray(np.zeros((4, 6)), dims=("y", "x")).chunk(x=3)
    measured = {"one": 1, "looks": delayed(40), "both": [delayed(100), 100]}
    found = window_map(
        lambda values, one, looks, both: values + one + looks + sum(both),
        [image],
        halo=(0, 1),
        dtype=float,
        measured=measured,
    )
    np.testing.assert_array_equal(found, np.full((4, 6), 241.0))


@pytest.fixture
def tasks():
    """Tasks by layer for a 5 x 3 window over 3 x 3 chunks of two images."""
    images = [xr.DataArray(np.full((24, 30), i), dims=("y", "x")).chunk(y=8, x=10) for i in range(2)]
    lazy = window_map(lambda a, b: a + b, images, halo=(2, 1), dtype=int)
    return lazy, {name: dict(layer) for name, layer in lazy.dask.layers.items()}


def test_four_edges_a_chunk_travel_and_nothing_is_put_together_by_a_task_of_its_own(tasks):
    lazy, layers = tasks
    sizes = sorted(len(layer) for name, layer in layers.items() if name.startswith(("edges", "framed")))
    assert sizes == [9, 24, 24]  # 6 seams along each axis, and their crossings
    edges = _edges(lazy, layers)
    assert {array.shape for array in edges} == {(8, 1), (2, 11), (2, 12)}
    assert all(array.base is None for array in edges)  # a view would keep a whole chunk in memory


def _edges(lazy, layers):
    from dask.threaded import get

    keys = [key for name, layer in layers.items() if name.startswith("edges") for key in layer]
    return get(dict(lazy.dask), keys)


def test_a_chunk_takes_of_its_neighbours_only_edges(tasks):
    _, layers = tasks
    (framed,) = (name for name in layers if name.startswith("framed"))
    for (_, i, j), (_, images, _, _) in layers[framed].items():
        for chunk, *around in images:
            assert chunk[-2:] == (i, j)
            assert all(key[0].startswith("edges") for key in around if key is not None)


def test_the_same_edges_serve_every_pair_of_an_image():
    stack = xr.DataArray(np.zeros((3, 24, 30)), dims=("time", "y", "x")).chunk(time=1, y=8, x=10)
    pairs = [window_map(np.add, [stack[i], stack[i + 1]], halo=(2, 1), dtype=float) for i in range(2)]
    of_edges = [{name for name in pair.dask.layers if name.startswith("edges")} for pair in pairs]
    assert len(of_edges[0] & of_edges[1]) == 1
