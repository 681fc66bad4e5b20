"""Lazy coherence equals the kernel for any chunking and computes nothing early."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from sarcd import estimation
from sarcd.attributes import parameters_of
from sarcd.config import Window
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.kernels.boxcar import boxcar
from tests.factories.scenes import memory_scene, stored_scene


def cuts(size):
    """Draw chunk sizes along an axis: any composition of its length."""
    return st.lists(st.integers(1, size), min_size=1, max_size=6).map(lambda parts: _compose(parts, size))


def _compose(parts, size):
    out = []
    for part in parts:
        if sum(out) + part >= size:
            break
        out.append(part)
    return (*out, size - sum(out))


@given(
    y=cuts(23),
    x=cuts(31),
    window=st.sampled_from([Window(3, 3), Window(5, 9), Window(21, 1), Window(1, 41), Window(7, 7)]),
    holes=st.sampled_from([0.0, 0.3]),
)
def test_lazy_equals_eager_for_any_chunking(y, x, window, holes):
    scene = memory_scene(np.random.default_rng(7), (2, 23, 31), holes=holes)
    eager = estimation.coherence(scene, window=window)
    lazy = estimation.coherence(scene.chunk(time=1, y=y, x=x), window=window)
    assert lazy.chunks == ((1,), y, x)
    np.testing.assert_array_equal(lazy.values, eager.values)


def test_equals_the_kernel_and_names_its_result(rng):
    scene = memory_scene(rng, (3, 20, 22))
    found = estimation.coherence(scene, window=Window(y=7, x=5), pairs="all")
    assert found.dims == ("pair", "y", "x")
    assert found.dtype == np.float32
    expected = [boxcar(scene.slc.values[i], scene.slc.values[j], (7, 5)) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_array_equal(found, np.stack(expected))
    np.testing.assert_array_equal(found.before, scene.time.values[[0, 0, 1]])
    assert parameters_of(found)["window"] == {"y": 7, "x": 5}


def test_nothing_computes_until_asked(tmp_path, rng, raise_if_dask_computes):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    with raise_if_dask_computes():
        scene = xr.open_zarr(path)
        lazy = scene.sarcd.coherence(window=7)
        features = scene.sarcd.features()
    assert lazy.chunks is not None
    assert features.chunks is not None
    np.testing.assert_allclose(lazy, estimation.coherence(scene.compute(), window=7), atol=1e-5)


def test_caller_is_left_alone(rng):
    scene = memory_scene(rng)
    before = scene.copy(deep=True)
    estimation.coherence(scene)
    assert scene.identical(before)


def test_bad_input(rng):
    scene = memory_scene(rng)
    with pytest.raises(OptionError, match="odd"):
        estimation.coherence(scene, window=4)
    with pytest.raises(OptionError, match="always 1"):
        estimation.coherence(scene, window=1)
    with pytest.raises(OptionError, match="boxcar"):
        estimation.coherence(scene, estimator="magic")
    with pytest.raises(SceneError, match="change needs 2"):
        estimation.coherence(scene.isel(time=[0]))
    with pytest.raises(SceneError, match="no phase"):
        estimation.coherence(abs(scene).rename(slc="amplitude").astype("float32"))
