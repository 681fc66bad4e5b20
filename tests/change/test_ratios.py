"""Difference images of scenes: lazy equals eager bit for bit, floors of 8-bit images, and invalid input."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcd import estimation
from sarcd.attributes import parameters_of
from sarcd.change.kernels import ratios
from sarcd.change.ratios import gauss_log_ratio, log_ratio, mean_ratio, neighbourhood_ratio
from sarcd.change.speckle_filters import lee, refined_lee
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.looks import intensity_looks
from tests.estimation.test_coherence import cuts
from tests.factories.scenes import dates, memory_scene

DIFFERENCES = (log_ratio, gauss_log_ratio, mean_ratio, neighbourhood_ratio)
each = pytest.mark.parametrize("difference", DIFFERENCES)


def detected_scene(rng, shape=(2, 40, 50), *, holes=0.0):
    """Make a scene of 8-bit amplitudes including zeros, as float32."""
    images = np.clip(rng.gamma(1, 20, shape), 0, 255).astype("uint8").astype("float32")
    images[rng.random(shape) < holes] = np.nan
    return xr.Dataset(
        {"amplitude": (("time", "y", "x"), images)},
        coords={"time": dates(shape[0]), "y": np.arange(shape[1]), "x": np.arange(shape[2])},
    )


@settings(max_examples=4)
@given(y=cuts(23), x=cuts(31), window=st.sampled_from([3, 5, 9]), holes=st.sampled_from([0.0, 0.3]))
def test_lazy_equals_eager_for_any_chunking(y, x, window, holes):
    scene = detected_scene(np.random.default_rng(5), (2, 23, 31), holes=holes)
    chunked = scene.chunk(time=1, y=y, x=x)
    for difference in DIFFERENCES:
        lazy = difference(chunked, window=window)
        assert lazy.chunks == ((1,), y, x)
        np.testing.assert_array_equal(lazy, difference(scene, window=window))
    for filtered in (lambda of: lee(of, window=window, looks=2), lambda of: refined_lee(of, looks=2)):
        np.testing.assert_array_equal(filtered(chunked).amplitude, filtered(scene).amplitude)


@each
def test_equals_the_kernel_and_names_its_result(difference, rng):
    scene = memory_scene(rng, (3, 20, 22))
    found = difference(scene, window=3, pairs="all")
    kernel = getattr(ratios, difference.__name__)
    expected = [kernel(scene.slc.values[i], scene.slc.values[j], (3, 3)) for i, j in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_array_equal(found, np.stack(expected))
    assert (found.name, found.dtype) == (difference.__name__, np.float32)
    assert parameters_of(found) == {"window": {"y": 3, "x": 3}, "domain": "power", "floor": 0.0}


@each
def test_nothing_computes_until_asked_and_the_caller_is_left_alone(difference, rng, raise_if_dask_computes):
    scene = detected_scene(rng).chunk(y=16, x=16)
    before = scene.copy(deep=True)
    with raise_if_dask_computes():
        assert difference(scene).chunks is not None
        assert lee(scene).amplitude.chunks is not None
    assert scene.identical(before)


def test_dark_pixels_of_8_bit_images_are_one_step_from_dark(rng):
    scene = detected_scene(rng)
    assert (scene.amplitude == 0).any()
    found = log_ratio(scene, window=1)
    assert parameters_of(found)["floor"] == 1.0
    assert parameters_of(found)["domain"] == "amplitude"
    before, after = scene.amplitude.values.astype(float) + 1
    np.testing.assert_allclose(found[0], np.abs(np.log(after / before)), rtol=1e-6)
    assert found.notnull().all()
    lazy = log_ratio(scene.chunk(y=7), window=1)
    assert parameters_of(lazy)["floor"] == "smallest"
    assert np.isnan(log_ratio(scene, window=1, floor=0)).any()
    scene.amplitude[:] = 0
    assert log_ratio(scene).isnull().all()


def test_signed(rng):
    scene = memory_scene(rng)
    signed = log_ratio(scene, signed=True)
    np.testing.assert_array_equal(abs(signed), log_ratio(scene))
    assert parameters_of(signed)["signed"] is True


@each
def test_bad_options(difference, rng):
    scene = memory_scene(rng)
    with pytest.raises(OptionError, match="odd"):
        difference(scene, window=4)
    with pytest.raises(OptionError, match="Use power or amplitude"):
        difference(scene, domain="decibel")
    with pytest.raises(OptionError, match="0 or more"):
        difference(scene, floor=-1)
    with pytest.raises(SceneError, match="change needs 2"):
        difference(scene.isel(time=[0]))


def test_filtered_scenes_are_scenes(rng):
    scene = memory_scene(rng, (2, 60, 70), coherence=0)
    filtered = lee(scene, looks=1)
    assert "slc" not in filtered
    assert parameters_of(filtered.amplitude)["looks"] == [1.0, 1.0]
    plain, quiet = (log_ratio(one, window=1, signed=True, domain="power").std() for one in (scene, filtered))
    assert quiet < 0.5 * plain
    assert estimation.normalize(filtered).dims == ("time", "y", "x")
    np.testing.assert_array_equal(refined_lee(scene.chunk(y=17, x=23)).amplitude, refined_lee(scene).amplitude)
    found = refined_lee(scene)
    assert 0.7 < parameters_of(found.amplitude)["looks"][0] < 1.4
    with pytest.raises(OptionError, match="above 0"):
        lee(scene, looks=0)


def test_looks_of_each_date(rng):
    powers = np.stack([rng.gamma(looks, 1 / looks, (120, 130)) for looks in (1, 6)])
    scene = detected_scene(rng, (2, 120, 130)).copy(data={"amplitude": np.sqrt(powers).astype("float32")})
    found = intensity_looks(scene)
    np.testing.assert_allclose(found, [1, 6], rtol=0.15)
    np.testing.assert_array_equal(intensity_looks(scene.chunk(y=31, x=17)), found)
    with pytest.raises(OptionError, match="3 or more"):
        intensity_looks(scene, window=1)
    scene.amplitude[0] = 4
    with pytest.raises(SceneError, match="Give the looks"):
        intensity_looks(scene)
