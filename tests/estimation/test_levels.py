"""Calibration levels of dates: measured, matched, and reported."""

import numpy as np
import pytest

from sarcd import change
from sarcd.attributes import fitted_of, parameters_of
from sarcd.config import DetectOptions
from sarcd.detection import detect
from sarcd.errors import OptionError
from sarcd.estimation.levels import largest_jump_db, level_ratios_now
from tests.factories.scenes import memory_scene
from tests.said import logged, nothing_logged


def brighter(scene, decibels, date=1):
    """Return a scene in which the image of one date has a different gain."""
    images = scene.slc.values.copy()
    images[date] *= np.float32(10 ** (decibels / 20))
    return scene.copy(data={"slc": images})


@pytest.mark.parametrize("decibels", [-6.0, 0.0, 3.0, 20.0])
def test_the_median_ratio_is_the_gain_under_speckle(rng, decibels):
    scene = brighter(memory_scene(rng, (2, 256, 256)), decibels)
    ratio = level_ratios_now(scene, [(0, 1)])[0]
    # sd of the median of 65,536 ratios at coherence 0.7: 0.04 dB
    assert 20 * np.log10(ratio) == pytest.approx(decibels, abs=0.2)
    assert level_ratios_now(scene.chunk(y=50), [(0, 1)]) == [ratio]
    assert largest_jump_db(scene) == pytest.approx(abs(decibels), abs=0.2)


def test_holes_take_no_part(rng):
    scene = brighter(memory_scene(rng, (2, 60, 60)), 6.0)
    expected = level_ratios_now(scene.isel(y=slice(20, 60)), [(0, 1)])
    scene.slc.values[0, :10] = np.nan
    scene.slc.values[1, 10:20] = 0
    assert level_ratios_now(scene, [(0, 1)]) == expected
    scene.slc.values[0] = np.nan
    assert level_ratios_now(scene, [(0, 1)]) == [1.0]


@pytest.mark.parametrize(
    "operation", [change.log_ratio, change.gauss_log_ratio, change.mean_ratio, change.neighbourhood_ratio]
)
def test_matched_differences_do_not_know_of_a_gain(rng, operation):
    scene = memory_scene(rng, (3, 50, 60), holes=0.05)
    louder = brighter(scene, 6.0)
    plain, matched = operation(scene), operation(louder, match_gain=True)
    np.testing.assert_allclose(matched, operation(scene, match_gain=True), atol=2e-5)
    assert float(abs(operation(louder) - plain).median()) > 10 * float(abs(matched - plain).median())
    np.testing.assert_allclose(operation(louder.chunk(y=20), match_gain=True), matched, atol=1e-6)
    assert parameters_of(matched) == parameters_of(plain) | {"match_gain": True}


def test_matched_tests_keep_their_rate(rng):
    """For unchanged speckle 6 dB apart the ratio test flags half; after gain matching it has its nominal rate again."""
    scene = brighter(memory_scene(rng, (2, 200, 200), coherence=0.0), 6.0)
    told = {"false_alarms": 0.01, "looks": 25.0}
    assert float(change.ratio_test(scene, coherence="none", **told).change.mean()) > 0.9
    matched = change.ratio_test(scene, coherence="none", match_gain=True, **told)
    assert float(matched.change.mean()) == pytest.approx(0.01, abs=0.006)
    assert parameters_of(matched.change)["match_gain"] is True
    combined = [
        change.combined_test(one, expected=0.5, match_gain=True, **told).change_score
        for one in (scene, brighter(scene, -6.0))
    ]
    np.testing.assert_allclose(*combined, atol=1e-3)


@pytest.mark.parametrize("gains", [(1.0, 2.0), (0.0,), (float("nan"),)])
def test_gains_that_do_not_fit(rng, gains):
    with pytest.raises(OptionError, match="each of 1 pairs"):
        change.log_ratio(memory_scene(rng), match_gain=gains)


@pytest.mark.parametrize("method", ["log-ratio", "ratio-test"])
def test_detect_says_it_and_matches(rng, method):
    scene = memory_scene(rng, (2, 80, 80))
    louder = brighter(scene, -6.0)
    with logged(r"2023-03-31 is [56]\.\d dB darker than 2023-03-19 .*--match-gain.* --gain"):
        detect(louder, method=method)
    with nothing_logged():
        found = detect(louder, method=DetectOptions(method, match_gain=True))
    same = detect(scene, method=DetectOptions(method, match_gain=True))
    np.testing.assert_array_equal(found.change, same.change)
    assert parameters_of(found.change)["match_gain"] is True
    gain = level_ratios_now(louder, [(0, 1)])[0]
    assert fitted_of(found.change)[0]["gain"] == gain
    assert "match_gain" not in parameters_of(detect(scene, method=method).change)


def test_methods_that_do_not_compare_levels():
    with pytest.raises(OptionError, match="coherence-test does not look at it"):
        DetectOptions("coherence-test", match_gain=True)
