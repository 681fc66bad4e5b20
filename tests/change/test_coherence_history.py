"""Scene coherence against its history: choice of earlier pairs, lazy equals eager, and invalid input."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from sarcd import estimation
from sarcd.change.coherence_history import coherence_loss, never_coherent
from sarcd.change.coherence_past import earlier_pairs, histories, known_looks
from sarcd.change.kernels import coherence_history as kernels
from sarcd.config import Window
from sarcd.errors import OptionError, SceneError
from tests.estimation.test_coherence import cuts
from tests.factories.scenes import memory_scene
from tests.factories.speckle import noise


@settings(max_examples=4)
@given(y=cuts(15), x=cuts(17))
def test_lazy_equals_eager_for_any_chunking(y, x):
    scene = memory_scene(np.random.default_rng(7), (3, 15, 17), holes=0.1)
    chunked = scene.chunk(time=1, y=y, x=x)
    lazy = coherence_loss(chunked, window=5, scale="z")
    assert lazy.chunks == ((1,) * 2, y, x)
    np.testing.assert_allclose(lazy, coherence_loss(scene, window=5, scale="z"), atol=1e-4)
    np.testing.assert_array_equal(never_coherent(chunked, window=5), never_coherent(scene, window=5))


def test_the_past_of_a_pair_are_the_steps_up_to_its_first_date(rng):
    scene = memory_scene(rng, (4, 20, 22))
    steps = estimation.coherence(scene, window=7, pairs="consecutive").values
    found = coherence_loss(scene)
    assert found[0].isnull().all()
    times, looks = scene.time.values, known_looks(scene, Window(7, 7))
    past = earlier_pairs(times, [(1, 2), (2, 3), (1, 3)])
    assert past == [[(0, 1)], [(0, 1), (1, 2)], [(0, 1)]]
    second, third, jump = (
        one.scales for one in histories(scene, [(1, 2), (2, 3), (1, 3)], Window(7, 7), 0.5, looks, past)
    )
    np.testing.assert_allclose([*second, *third, *jump], 1, atol=0.1)
    np.testing.assert_array_equal(found[1], kernels.coherence_loss(steps[1], steps[0], scales=second))
    np.testing.assert_array_equal(found[2], kernels.coherence_loss(steps[2], steps[0], steps[1], scales=third))
    across = coherence_loss(scene, pairs=[(times[1], times[3])])
    long = estimation.coherence(scene, window=7, pairs=[(times[1], times[3])]).values[0]
    np.testing.assert_array_equal(across[0], kernels.coherence_loss(long, steps[0], scales=jump))
    shuffled = scene.isel(time=[2, 0, 3, 1])
    again = coherence_loss(shuffled, pairs=[(times[2], times[3])])
    np.testing.assert_array_equal(again[0], found[2])
    never = never_coherent(scene)
    assert (never[0] == 255).all()
    assert (never[1:] == 0).mean() > 0.95


def test_a_loss_is_found_on_vegetation_where_coherence_alone_is_low(rng):
    shared = noise(rng, (120, 120))
    vegetation = np.where(np.arange(120) < 60, 0.7, 0.95)
    images = np.stack([vegetation * shared + np.sqrt(1 - vegetation**2) * noise(rng, (120, 120)) for _ in range(4)])
    images[3, 20:50, :] = noise(rng, (30, 120))  # changed in both halves
    images[3, 70:100, 70:110] *= np.exp(1j * 0.5)  # a phase shift is not a loss
    scene = memory_scene(rng, (4, 120, 120)).copy(data={"slc": images.astype("complex64")})
    last = coherence_loss(scene, scale="z")[2].values
    changed = np.zeros((120, 120), bool)
    changed[23:47] = True
    stable = np.zeros((120, 120), bool)
    stable[54:116] = True
    half = np.arange(120) < 57
    assert (last[changed & half] > 1.645).mean() > 0.9
    assert (last[stable & half] > 1.645).mean() < 0.12
    assert (last[changed & (np.arange(120) > 63)] > 1.645).mean() > 0.99


def test_nothing_computes_until_asked(rng, raise_if_dask_computes):
    scene = memory_scene(rng, (3, 40, 40)).chunk(y=16, x=16)
    with raise_if_dask_computes():
        assert coherence_loss(scene, scale="z").chunks is not None
        assert never_coherent(scene).chunks is not None


def test_what_is_refused(rng):
    scene = memory_scene(rng)
    with pytest.raises(SceneError, match="at least three dates are needed"):
        coherence_loss(scene)
    three = memory_scene(rng, (3, 20, 20))
    with pytest.raises(OptionError, match="Use fisher or z"):
        coherence_loss(three, scale="magic")
    with pytest.raises(OptionError, match="expected a fraction"):
        never_coherent(three, false_alarm=2)
    with pytest.raises(SceneError, match="no phase"):
        coherence_loss(xr.Dataset({"amplitude": abs(three.slc).astype("float32")}, coords=three.coords))
