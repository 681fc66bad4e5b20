"""Overviews against brute force over blocks, for any chunking."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from sarcd import schema
from sarcd.figures.view import in_chunks, overview, reduction_for


def brute(values, factor, kind):
    """Compute the overview block by block, as the docstring defines it."""
    rows, columns = (-(-size // step) for size, step in zip(values.shape, factor, strict=True))
    out = np.full((rows, columns), 255 if kind == "map" else np.nan)
    for i in range(rows):
        for j in range(columns):
            block = values[i * factor[0] : (i + 1) * factor[0], j * factor[1] : (j + 1) * factor[1]].ravel()
            if kind == "map":
                out[i, j] = 1 if 1 in block else 0 if (block != 255).any() else 255
                continue
            valid = block[np.isfinite(block)]
            if valid.size:
                mean = np.mean(np.abs(valid) ** 2) if kind == "image" else np.mean(valid)
                out[i, j] = np.sqrt(mean) if kind == "image" else mean
    return out


def layer(values, name):
    return xr.DataArray(values, dims=("y", "x"), name=name)


def test_power_is_averaged_not_amplitude():
    image = np.array([[3.0, 1.0, 2.0], [1.0, np.nan, 2.0]], np.float32)
    found = overview(layer(image, "amplitude"), (2, 2)).compute()
    np.testing.assert_allclose(found, [[np.sqrt(11 / 3), 2.0]], rtol=1e-6)


def test_a_single_changed_pixel_survives():
    change = np.zeros((64, 64), np.uint8)
    change[17, 41] = 1
    assert overview(layer(change, "change"), (16, 16)).compute().tolist()[1] == [0, 0, 1, 0]


@given(st.data())
def test_any_chunking_equals_brute_force(data):
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    factor = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    kind, name = data.draw(
        st.sampled_from([("image", "slc"), ("image", "amplitude"), ("mean", "coherence"), ("map", "change")])
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    if kind == "map":
        values = rng.choice([0, 0, 0, 1, 255], shape).astype(np.uint8)
    else:
        values = rng.normal(size=shape).astype(np.float32)
        values = (values + 1j * rng.normal(size=shape)).astype(np.complex64) if name == "slc" else values
        values[rng.random(shape) < 0.3] = np.nan
    array = layer(values, name)
    if data.draw(st.booleans()):
        array = array.chunk({dim: data.draw(st.integers(1, size)) for dim, size in array.sizes.items()})
    found = overview(array, factor).compute()
    assert found.dtype == (np.uint8 if kind == "map" else np.float32)
    np.testing.assert_allclose(found, brute(values, factor, kind), rtol=1e-4, atol=1e-6)


def test_lazy(raise_if_dask_computes):
    array = layer(np.zeros((100, 100), np.float32), "coherence").chunk({"y": 30, "x": 30})
    with raise_if_dask_computes():
        assert overview(array, (7, 3)).shape == (15, 34)


def test_large_arrays_are_cut_where_blocks_end():
    array = layer(np.zeros((3000, 5), np.float32), "coherence")
    assert max(in_chunks(array).chunksizes["y"]) == schema.CHUNK
    assert overview(array, (7, 1)).chunks[0][0] == 1024 // 7


@pytest.mark.parametrize(("shape", "expected"), [((10, 10), (1, 1)), ((901, 900), (2, 1)), ((9000, 1), (10, 1))])
def test_reduction(shape, expected):
    assert reduction_for(shape, 900) == expected
