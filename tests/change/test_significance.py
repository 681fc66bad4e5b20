"""Lazy tests of change: equal to the kernels for any chunking, lazy, and undecidable where they have no power."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from sarcd import change, estimation, schema
from sarcd.change.kernels.significance.coherence import coherence_cdf, coherent_ratio_p, ratio_p
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.simulation import sites
from tests.factories.cuts import cuts
from tests.factories.scenes import memory_scene, stored_scene
from tests.factories.speckle import noise_pair
from tests.factories.stacks import speckle_stack, stack_scene

TESTS = {
    "ratio": lambda scene: change.ratio_test(scene, window=3),
    "plain": lambda scene: change.ratio_test(scene, window=3, coherence="none"),
    "coherence": lambda scene: change.coherence_test(scene, window=3, expected=0.7),
    "history": lambda scene: change.coherence_test(scene, window=3, expected="history"),
    "combined": lambda scene: change.combined_test(scene, window=3, expected="history"),
    "correlation": lambda scene: change.no_correlation_test(scene, window=3).to_dataset(),
    "omnibus": lambda scene: change.omnibus_test(scene, window=3),
    "summary": lambda scene: change.summarise(scene, change.ratio_test(scene, window=3, coherence="none").change),
    "summary of omnibus": lambda scene: change.summarise(scene, "omnibus", window=3),
}
SCENE = memory_scene(np.random.default_rng(7), (4, 19, 23), holes=0.05)
EAGER = {name: test(SCENE) for name, test in TESTS.items()}


@pytest.mark.parametrize("name", TESTS)
@settings(max_examples=2)
@given(y=cuts(19), x=cuts(23))
def test_lazy_equals_eager_for_any_chunking(name, y, x):
    lazy = TESTS[name](SCENE.chunk(time=1, y=y, x=x))
    for key, expected in EAGER[name].items():
        assert lazy[key].chunks is not None
        assert lazy[key].chunks[-2:] == (y, x)
        assert (lazy[key].dtype, lazy[key].dims) == (expected.dtype, expected.dims)
        found = lazy[key].compute(scheduler="synchronous")
        if expected.dtype == np.float32:
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        else:
            assert (found.values != expected.values).mean() < 2e-3  # scores may be within rounding of the threshold


@pytest.mark.parametrize("name", TESTS)
def test_results_are_those_of_the_schema(name):
    for key, array in EAGER[name].items():
        if key == "correlation_score":
            continue
        wanted = schema.variable(key)
        assert (array.dims, str(array.dtype)) == (wanted.dims, wanted.dtype)
        assert array.attrs["sarcd_operation"]
        assert array.attrs["long_name"]
    schema.validate(SCENE.assign(EAGER[name].drop_vars("correlation_score", errors="ignore")))


def test_nothing_computes_until_asked(tmp_path, rng, raise_if_dask_computes):
    path = stored_scene(tmp_path / "scene.zarr", rng, (4, 50, 60))
    with raise_if_dask_computes():
        lazy = {name: test(xr.open_zarr(path)) for name, test in TESTS.items()}
    assert float(lazy["ratio"].change.max()) <= 255


def test_scores_are_those_of_the_kernels(rng):
    scene = memory_scene(rng, (2, 20, 22))
    before, after = scene.slc.values
    g = boxcar(before, after, (5, 5)).astype(float)[2:-2, 2:-2]
    total = [np.lib.stride_tricks.sliding_window_view(abs(image) ** 2, (5, 5)).sum((2, 3)) for image in (before, after)]
    ratio = total[1] / total[0]
    for coherence, p in (
        ("auto", coherent_ratio_p(ratio, 25, g)),
        ("none", ratio_p(ratio, 25)),
        (0.5, ratio_p(ratio, 25, 0.5)),
    ):
        found = change.ratio_test(scene, coherence=coherence, looks=25)
        np.testing.assert_allclose(found.change_score[0, 2:-2, 2:-2], -np.log10(p), rtol=2e-3)
        np.testing.assert_array_equal(found.change[0, 2:-2, 2:-2], p <= 0.01)
    lost = change.coherence_test(scene, expected=0.8, looks=25)
    np.testing.assert_allclose(
        lost.change_score[0, 2:-2, 2:-2], -np.log10(coherence_cdf(g, 0.8, 25.0)), rtol=2e-3, atol=1e-5
    )


def test_coherence_told_as_an_array(rng):
    scene = memory_scene(rng, (2, 20, 22))
    told = xr.full_like(estimation.coherence(scene), 0.6)
    for data in (told, told.isel(pair=0), told.chunk(y=7)):
        np.testing.assert_allclose(
            change.ratio_test(scene, coherence=data).change_score,
            change.ratio_test(scene, coherence=0.6).change_score,
            rtol=1e-5,
        )
    np.testing.assert_allclose(
        change.combined_test(scene, expected=told).change_score,
        change.combined_test(scene, expected=0.6).change_score,
        rtol=1e-4,
    )
    with pytest.raises(OptionError, match="does not match"):
        change.ratio_test(scene, coherence=told.isel(y=slice(5)))


def test_rates_on_oversampled_speckle():
    """Separate windows of 1.2 times oversampled speckle, looks from the scene: within 20 % at 5 %, 30 % at 1 %."""
    before, after = noise_pair(np.random.default_rng(4), (700, 700), 0.7, oversampling=1.2)
    scene = stack_scene(np.stack([before, after]))
    for rate, bound in ((0.05, 0.2), (0.01, 0.3)):
        for found in (
            change.ratio_test(scene, false_alarms=rate),
            change.coherence_test(scene, expected=0.7, false_alarms=rate),
            change.combined_test(scene, expected=0.7, false_alarms=rate),
        ):
            separate = found.change.values[0, 7:-7:7, 7:-7:7]
            assert (separate == 1).mean() / rate == pytest.approx(1, abs=bound)


def test_windows_cut_by_holes_keep_the_rate():
    """White speckle with a third of the pixels missing: the looks of each pixel follow the valid pixels."""
    images = speckle_stack(np.random.default_rng(6), (2, 800, 800), 0.0)
    images[:, np.random.default_rng(8).random((800, 800)) < 0.33] = np.nan
    scene = stack_scene(images)
    for found in (
        change.ratio_test(scene, false_alarms=0.05, looks=25, coherence="none"),
        change.ratio_test(scene, false_alarms=0.05, looks=25),
        change.omnibus_test(scene, false_alarms=0.05, looks=25),
    ):
        separate = found.change.values[0, ::5, ::5]
        assert (separate == 1).sum() / (separate < 255).sum() == pytest.approx(0.05, abs=0.006)


def test_undecidable_ground_is_called_so(rng):
    parts = [speckle_stack(rng, (4, 60, 60), 0.0), speckle_stack(rng, (4, 60, 60), 0.9, breaks=(3,))]
    parts.append(speckle_stack(rng, (4, 60, 90), 0.9))
    scene = stack_scene(np.concatenate(parts, 2))
    found = change.coherence_test(scene, expected="history")
    never, stable = found.isel(x=slice(2, 58)), found.isel(x=slice(62, 118))
    assert (found.undecidable[0] == 1).all()
    assert (found.change[0] == 255).all()
    assert float((never.undecidable[1:] == 1).mean()) > 0.99
    assert float((stable.undecidable[1:] == 0).mean()) > 0.95
    assert float((stable.change[1] == 1).mean()) < 0.01
    assert float((stable.change[2] == 1).mean()) > 0.95
    assert float((found.change[2].isel(x=slice(122, None)) == 1).mean()) < 0.01
    all_lost = change.coherence_test(scene.isel(x=slice(0, 120)), expected="history")  # indistinguishable from snow
    assert float((all_lost.undecidable[2] == 1).mean()) > 0.99
    both = change.combined_test(scene, expected="history")
    assert set(np.unique(both.change)) <= {0, 1}
    brightness = change.ratio_test(scene)
    np.testing.assert_array_equal(both.change[0], brightness.change[0])


def test_summary_of_a_simulated_stack_knows_the_times(rng):
    """Make two patches side by side: new ground from date 2 on, and a another brighter on date 3 only."""
    calm, broken = speckle_stack(rng, (6, 40, 40), 0.85), speckle_stack(rng, (6, 40, 40), 0.85, breaks=(2,))
    wet = speckle_stack(rng, (6, 40, 40), 0.85)
    wet[3] *= np.float32(10 ** (6 / 20))
    scene = stack_scene(np.concatenate([calm, broken, wet], 2))
    changed = change.combined_test(scene, expected=0.85, false_alarms=1e-4).change
    found = change.summarise(scene, changed)
    calm, broken, wet = (found.isel(y=slice(3, 37), x=slice(40 * i + 3, 40 * i + 37)) for i in range(3))
    assert float((calm.change_count > 0).mean()) < 0.01
    assert float((broken.change_count == 1).mean()) > 0.97
    assert float((broken.first_change == 2).mean()) > 0.97
    assert float(broken.persistence.mean()) > 0.97
    assert float((wet.change_count == 2).mean()) > 0.97
    assert float(((wet.first_change == 3) & (wet.last_change == 4)).mean()) > 0.97
    assert float(wet.persistence.mean()) < 0.05
    assert found.first_change.attrs["dates"] == [str(date) for date in scene.time.values]


def test_summary_of_a_networks_probabilities(rng):
    scene = sites.simulate("A", size=64, dates=3)
    probability = estimation.coherence(scene)
    probability[0, 0, 0] = np.nan
    scene["change_probability"] = probability.rename("change_probability")
    found = change.summarise(scene, threshold=0.8, persistence=False)
    np.testing.assert_array_equal(found.change_count, (probability >= 0.8).sum("pair"))
    assert "persistence" not in found
    # pairs in a different order, and more than the consecutive ones
    more = estimation.coherence(scene, pairs="all").isel(pair=[2, 1, 0])
    more[2, 0, 0] = np.nan
    np.testing.assert_array_equal(
        change.summarise(scene, more, threshold=0.8, persistence=False).change_count, found.change_count
    )
    with pytest.raises(OptionError, match="consecutive"):
        change.summarise(scene, more.isel(pair=[0, 1]))
    with pytest.raises(SceneError, match="no 'change_probability'"):
        change.summarise(scene.drop_vars("change_probability"), "change_probability")


def test_dates_out_of_order_are_put_in_order(rng):
    stack = speckle_stack(rng, (4, 20, 20), 0.9, breaks=(2,))
    scene = stack_scene(stack)
    other = scene.isel(time=[2, 0, 3, 1])
    for test in (
        lambda s: change.omnibus_test(s, looks=25),
        lambda s: change.coherence_test(s, expected="history", looks=25),
        lambda s: change.summarise(s, change.ratio_test(s, looks=25).change, looks=25),
    ):
        one, two = test(scene), test(other)
        for key in one.data_vars:
            np.testing.assert_allclose(one[key], two[key], rtol=1e-5)


def test_detected_images(rng):
    scene = stack_scene(abs(speckle_stack(rng, (3, 20, 20), 0.0)), "amplitude")
    assert set(np.unique(change.ratio_test(scene, looks=25).change)) <= {0, 1}
    assert change.omnibus_test(scene, looks=25).omnibus_score.dims == ("y", "x")
    with pytest.raises(OptionError, match="looks of amplitude images"):
        change.ratio_test(scene)
    with pytest.raises(OptionError, match="no coherence"):
        change.ratio_test(scene, looks=25, coherence="estimated")
    with pytest.raises(SceneError, match="no phase"):
        change.coherence_test(scene, expected=0.7, looks=25)


def test_bad_input(rng):
    scene = memory_scene(rng)
    for options in ({"false_alarms": 0}, {"false_alarms": 0.7}, {"min_valid": 0}, {"looks": -1}, {"coherence": 1.0}):
        with pytest.raises(OptionError):
            change.ratio_test(scene, **options)
    with pytest.raises(OptionError, match="always 1"):
        change.coherence_test(scene, expected=0.7, window=1)
    with pytest.raises(OptionError, match="expected"):
        change.coherence_test(scene, expected="past")
    with pytest.raises(OptionError, match="sample or berger"):
        change.coherence_test(scene, expected=0.7, kind="other")
    with pytest.raises(SceneError, match="needs 3"):
        change.coherence_test(scene, expected="history")


def test_caller_is_left_alone(rng):
    scene = memory_scene(rng, (3, 20, 20))
    before = scene.copy(deep=True)
    for test in TESTS.values():
        test(scene)
    assert scene.identical(before)


@pytest.mark.parametrize("name", TESTS)
@pytest.mark.parametrize("y", [(10, 9), (7, 7, 5)])
def test_scores_have_the_same_bytes_wherever_the_scene_is_cut(name, y):
    found = TESTS[name](SCENE.chunk(time=1, y=y, x=23))
    for key, expected in EAGER[name].items():
        np.testing.assert_array_equal(found[key].compute(scheduler="synchronous"), expected)
