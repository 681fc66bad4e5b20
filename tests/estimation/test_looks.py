"""Looks of a scene with a varying Doppler centroid, and the tests and bias correction that depend on them."""

import numpy as np
import pytest

from sarcd import change, estimation
from sarcd.simulation.core.speckle import speckle
from tests.factories.speckle import noise_pair
from tests.factories.stacks import stack_scene
from tests.truth import scene_of

CHIRP = np.exp(1j * np.pi * np.arange(600) ** 2 / 150)[:, None]


def moving(truth, *, seed=1, side=600):
    """Make two dates of a TOPS burst that was not deramped: the centroid crosses the spectrum in 150 rows."""
    rng = np.random.default_rng(seed)
    first, second = (speckle(rng, (side, side), oversampling=(1.4, 1.2)) for _ in range(2))
    pair = first, truth * first + np.sqrt(1 - truth**2) * second
    return [scene_of(*((image * turn).astype("complex64") for image in pair)) for turn in (1, CHIRP[:side])]


@pytest.mark.parametrize("window", [5, 9])
def test_looks_do_not_depend_on_a_centroid_that_moves(window):
    still, ramped = moving(0.5, side=300)
    expected = estimation.effective_looks(still, window)
    assert estimation.effective_looks(ramped, window) == pytest.approx(expected, rel=0.01)
    across = ramped.transpose("time", "x", "y").rename(x="y", y="x")
    assert estimation.effective_looks(across, window) == pytest.approx(expected, rel=0.01)


def test_false_alarms_where_the_centroid_moves():
    """With non-overlapping windows: within 20 % at 5 %, 35 % at 1 %, which is three standard errors."""
    alike, lost = moving(0.8, side=500)[1], moving(0.0, seed=2, side=500)[1]
    for rate, bound in ((0.05, 0.2), (0.01, 0.35)):
        score = change.no_correlation_test(lost).values
        for flagged in (
            change.ratio_test(alike, false_alarms=rate).change.values == 1,
            change.ratio_test(lost, false_alarms=rate, coherence="none").change.values == 1,
            change.coherence_test(alike, expected=0.8, false_alarms=rate).change.values == 1,
            score >= -np.log10(rate),
        ):
            assert flagged[0, 7:-7:6, 7:-7:6].mean() / rate == pytest.approx(1, abs=bound)


def test_the_bias_is_removed_where_the_centroid_moves():
    still, ramped = (estimation.coherence(scene, debias=True).values.mean() for scene in moving(0.0, side=400))
    assert ramped == pytest.approx(still, abs=0.002)


@pytest.mark.parametrize("dates", [3, 10])
@pytest.mark.parametrize("oversampling", [None, 1.2])
def test_omnibus_has_its_rate_on_oversampled_speckle(oversampling, dates):
    """At 1 % the error with overlapping windows is 7 %; for ten dates, the looks of two dates would give 1.4 %."""
    rng = np.random.default_rng(dates)
    images = np.stack([noise_pair(rng, (560, 560), 0.0, oversampling=oversampling)[0] for _ in range(dates)])
    found = change.omnibus_test(stack_scene(images), false_alarms=0.01)
    assert (found.omnibus_score.values >= 2).mean() / 0.01 == pytest.approx(1, abs=0.2)
    assert (found.change.values == 1).any(0).mean() / 0.01 == pytest.approx(0.95, abs=0.25)


def test_looks_that_are_told_hold_for_any_number_of_dates():
    rng = np.random.default_rng(5)
    scene = stack_scene(np.stack([noise_pair(rng, (30, 30), 0.0)[0] for _ in range(4)]))
    told = change.omnibus_test(scene, looks=25)
    assert "effective_looks" in told.omnibus_score.attrs
    measured = change.omnibus_test(scene)
    np.testing.assert_allclose(told.omnibus_score, measured.omnibus_score, rtol=0.05, atol=0.02)
