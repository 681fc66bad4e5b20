"""Every estimator as an operation: lazy equals eager for any chunking, a part equals the whole, and metadata."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from sarcd import config, estimation
from sarcd.config import ESTIMATORS, CoherenceOptions, Window
from sarcd.engine.lazy import stack
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.coherence_layers import coherence_with, magnitude
from sarcd.estimation.looks import calibrate
from tests.estimation.test_coherence import cuts
from tests.factories.scenes import memory_scene, stored_scene
from tests.factories.speckle import noise_pair
from tests.truth import scene_of

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)


def ramped(shape=(61, 83), *, holes=0.1, seed=7):
    """Make speckle with holes and with fringes that differ between the two halves."""
    rng = np.random.default_rng(seed)
    before, after = noise_pair(rng, shape, 0.6, oversampling=1.2, ramp=(0.1, 0.5))
    after[:, shape[1] // 2 :] *= np.exp(0.8j * np.arange(shape[0]))[:, None].astype("complex64")
    before[rng.random(shape) < holes] = np.nan
    return scene_of(before, after)


@every_estimator
@pytest.mark.parametrize("debias", [False, True])
@settings(max_examples=6)
@given(y=cuts(61), x=cuts(83), window=st.sampled_from([Window(3, 3), Window(5, 9), Window(7, 1)]))
def test_lazy_equals_eager_for_any_chunking(estimator, debias, y, x, window):
    scene = ramped()
    options = {"window": window, "estimator": estimator}
    eager = estimation.coherence(scene, debias=debias, **options)
    lazy = estimation.coherence(scene.chunk(time=1, y=y, x=x), debias=debias, **options)
    assert lazy.chunks == ((1,), y, x)
    np.testing.assert_allclose(lazy.values, eager.values, atol=2e-4 if debias else 1e-5)
    if not debias:
        phase = estimation.coherence_phase(scene.chunk(time=1, y=y, x=x), **options)
        expected = estimation.coherence_phase(scene, **options)
        np.testing.assert_array_equal(np.isnan(phase), np.isnan(eager))
        np.testing.assert_allclose(phase.values, expected.values, atol=1e-5)


@every_estimator
@pytest.mark.parametrize("debias", [False, True])
def test_a_part_with_its_halo_is_the_whole_there(estimator, debias):
    scene = ramped((150, 140))
    options = CoherenceOptions(window=Window(5, 3), estimator=estimator, debias=debias)
    whole = coherence_with(scene, options).values[0]
    calibration = calibrate(scene, options, [(0, 1)])
    halo_y, halo_x = options.halo
    looks, ramp = calibration.looks, calibration.ramp(scene, 0, 1)
    for y, x in itertools.product((40, 77), (30, 50)):
        images = scene.slc.values[:, y - halo_y : y + 20 + halo_y, x - halo_x : x + 30 + halo_x]
        found = magnitude(*images, options, looks, ramp, y - halo_y)[halo_y:-halo_y, halo_x : halo_x + 30]
        np.testing.assert_array_equal(found, whole[y : y + 20, x : x + 30])


@every_estimator
def test_in_range_and_undefined_alike(estimator):
    scene = ramped(holes=0.45)
    plain = estimation.coherence(scene, estimator=estimator, window=3)
    unbiased = estimation.coherence(scene, estimator=estimator, window=3, debias=True)
    phase = estimation.coherence_phase(scene, estimator=estimator, window=3)
    for found in (plain, unbiased):
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
    assert (abs(phase) <= np.float32(np.pi)).sum() == phase.notnull().sum()
    missing = plain.isnull()
    assert 0.05 < missing.mean() < 0.9
    np.testing.assert_array_equal(unbiased.isnull(), missing)
    np.testing.assert_array_equal(phase.isnull(), missing)
    assert (unbiased <= plain + 1e-6).sum() == plain.notnull().sum()


@every_estimator
def test_never_above_one(estimator, rng):
    image, _ = noise_pair(rng, (40, 50), 0.0)
    for gain in (1, 1.7, 3.3j, 0.1, 1 + 1j):
        found = estimation.coherence(scene_of(image, np.complex64(gain) * image), estimator=estimator)
        assert 0.9999 < found.min() <= found.max() <= 1


def test_nothing_computes_until_asked(tmp_path, rng, raise_if_dask_computes):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    with raise_if_dask_computes():
        scene = xr.open_zarr(path)
        lazy = {name: scene.sarcd.coherence(estimator=name, debias=True) for name in ESTIMATORS}
        phase = scene.sarcd.coherence_phase(estimator="fringe")
        features = scene.sarcd.features(coherence=CoherenceOptions(estimator="adaptive", debias=True))
    assert "effective_looks" not in lazy["boxcar"].attrs
    whole = scene.compute()
    for name in ESTIMATORS:
        expected = estimation.coherence(whole, estimator=name, debias=True)
        assert 20 < expected.attrs["effective_looks"] <= 25 or name == "gaussian"
        np.testing.assert_allclose(lazy[name], expected, atol=1e-5)
    np.testing.assert_allclose(phase, estimation.coherence_phase(whole, estimator="fringe"), atol=1e-5)
    np.testing.assert_allclose(
        features[0, 2], estimation.coherence(whole, estimator="adaptive", debias=True)[0], atol=1e-5
    )


def test_phase_is_that_of_the_interferogram(rng):
    y, x = np.indices((40, 50))
    fringes = (0.3 * x - 0.2 * y).astype("float32")
    scene = scene_of(np.ones((40, 50), "complex64"), np.exp(-1j * fringes).astype("complex64"))
    for estimator in ESTIMATORS:
        found = estimation.coherence_phase(scene, estimator=estimator)
        assert (found.attrs["units"], found.dtype) == ("radian", np.float32)
        error = np.angle(np.exp(1j * (found.values[0] - fringes)))
        assert np.abs(error[3:-3, 3:-3]).max() < 2e-3
    half_turn = scene_of(np.ones((9, 9), "complex64"), np.full((9, 9), -1 - 1e-9j, "complex64"))
    assert (estimation.coherence_phase(half_turn) > 0).all()
    assert (estimation.coherence_phase(half_turn.assign(slc=half_turn.slc.conj())) > 0).all()


def test_looks_are_those_of_the_first_two_dates_whatever_follows(rng):
    scene = memory_scene(rng, (3, 60, 70))
    later = scene.copy(deep=True)
    later.slc[2] = 1
    assert estimation.effective_looks(later) == estimation.effective_looks(scene)
    assert scene.sarcd.effective_looks(7) == estimation.effective_looks(scene, 7)
    assert estimation.effective_looks(scene, 7, estimator="gaussian") < estimation.effective_looks(scene, 7)


def test_a_scene_without_valid_pixels(rng):
    scene = memory_scene(rng)
    scene.slc[:] = np.nan
    assert estimation.coherence(scene).isnull().all()
    assert estimation.coherence(scene, estimator="fringe").isnull().all()
    for options in ({"debias": True}, {"estimator": "adaptive"}):
        with pytest.raises(SceneError, match="looks are unknown"):
            estimation.coherence(scene, **options)
        with pytest.raises(SceneError, match="looks are unknown"):
            estimation.coherence(scene.chunk(time=1), **options).compute()
    with pytest.raises(SceneError, match="looks are unknown"):
        estimation.effective_looks(scene)


def test_options_made_before_there_was_a_choice_are_those_of_today():
    old = {"window": {"y": 5, "x": 5}, "estimator": "boxcar", "min_valid": 0.5}
    assert config.from_dict(CoherenceOptions, old) == CoherenceOptions()
    assert config.to_dict(CoherenceOptions()) == old
    new = CoherenceOptions(window=Window(7, 3), estimator="adaptive", debias=True)
    assert config.from_dict(CoherenceOptions, config.to_dict(new)) == new
    assert config.to_dict(new) != config.to_dict(CoherenceOptions(window=Window(7, 3), estimator="adaptive"))


def test_stored_coherence_with_another_estimator_is_not_used(rng):
    scene = memory_scene(rng)
    plain = estimation.coherence(scene)
    stored = scene.assign(coherence=plain.copy(data=stack([np.full(plain.shape[1:], 0.25, "float32")])))
    assert (estimation.features(stored, coherence=CoherenceOptions())[0, 2] == 0.25).all()
    for options in (CoherenceOptions(debias=True), CoherenceOptions(estimator="fringe")):
        assert (estimation.features(stored, coherence=options)[0, 2] != 0.25).any()


def test_bad_estimator(rng):
    with pytest.raises(OptionError, match="Use boxcar, gaussian, fringe or adaptive"):
        estimation.coherence(memory_scene(rng), estimator="magic")
