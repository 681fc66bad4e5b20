"""Cleaning is exact across chunks: lazy results equal the kernel on the whole map for any chunking."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcd.attributes import parameters_of
from sarcd.change.kernels import postprocessing
from sarcd.change.postprocessing import closing, opening, remove_small_holes, remove_small_objects
from sarcd.errors import OptionError
from tests.estimation.test_coherence import cuts


def change_map(rng, shape=(1, 24, 29), share=0.5):
    """Make a map with objects and holes of all sizes, and some unlabelled areas."""
    values = (rng.random(shape) < share).astype(np.uint8)
    values[rng.random(shape) < 0.05] = 255
    return xr.DataArray(values, dims=("pair", "y", "x"), name="change", attrs={"sarcd_operation": "decide"})


@settings(max_examples=10)
@given(
    y=cuts(24),
    x=cuts(29),
    size=st.integers(1, 12),
    share=st.sampled_from([0.2, 0.4, 0.6, 0.8]),
    seed=st.integers(0, 99),
)
def test_lazy_equals_eager_for_any_chunking(y, x, size, share, seed):
    change = change_map(np.random.default_rng(seed), share=share)
    lazy = change.chunk(pair=1, y=y, x=x)
    whole = change.values[0]
    expected = [
        (remove_small_objects(lazy, min_pixels=size), postprocessing.remove_small_objects(whole, size)),
        (remove_small_holes(lazy, max_pixels=size), postprocessing.remove_small_holes(whole, size)),
        (opening(lazy, radius=1 + size % 3), postprocessing.opened(whole, 1 + size % 3)),
        (closing(lazy, radius=1 + size % 3), postprocessing.closed(whole, 1 + size % 3)),
    ]
    for found, wanted in expected:
        assert found.chunks == lazy.chunks
        np.testing.assert_array_equal(found[0], wanted)


def test_a_line_as_long_as_the_halo_is_kept():
    change = np.zeros((1, 9, 40), np.uint8)
    change[0, 4, 10:22] = 1
    lazy = xr.DataArray(change, dims=("pair", "y", "x")).chunk(pair=1, y=3, x=4)
    np.testing.assert_array_equal(remove_small_objects(lazy, min_pixels=12), change)
    assert not remove_small_objects(lazy, min_pixels=13).any()


def test_steps_are_told_in_their_order(rng, raise_if_dask_computes):
    change = change_map(rng).chunk(y=7)
    with raise_if_dask_computes():
        found = closing(remove_small_objects(change, min_pixels=4), radius=2)
    assert found.attrs["sarcd_operation"] == "decide"
    assert parameters_of(found)["cleaned"] == [{"drop_small": 4}, {"closing": 2}]
    assert "sarcd_parameters" not in change.attrs
    assert (found.name, found.dtype) == ("change", np.uint8)


def test_bad_options(rng):
    change = change_map(rng)
    for clean in (
        lambda: remove_small_objects(change, min_pixels=0),
        lambda: remove_small_holes(change, max_pixels=0),
        lambda: opening(change, radius=0),
        lambda: closing(change, radius=1.5),
    ):
        with pytest.raises(OptionError, match="whole number of at least 1"):
            clean()
