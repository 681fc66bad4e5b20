"""Thresholds chosen on labelled scenes, compared with exhaustive search."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from sarcd.errors import OptionError, SceneError
from sarcd.metrics import ObjectRules, choose_threshold, evaluate
from sarcd.metrics import thresholds as _search
from sarcd.metrics.kernels.scores import best_threshold
from tests.factories.results_with_labels import in_play, random_scene, scene_of

SPACING = {"spacing_m": [20.0, 10.0], "range_spacing": "ground"}


def in_steps(scene):
    """Round probabilities to values that are lower edges of bins."""
    score = scene["change_probability"]
    return scene.assign(change_probability=(np.round(score * 512) / 512).clip(1 / 512, 511 / 512))


def every_threshold(scenes):
    """Return each distinct score with its precision and recall."""
    score, changed = (np.concatenate(parts) for parts in zip(*map(in_play, scenes), strict=True))
    thresholds = np.unique(score).astype(float)
    predicted = [score >= threshold for threshold in thresholds]
    precision = np.array([changed[claim].mean() for claim in predicted])
    recall = np.array([claim[changed].mean() for claim in predicted])
    return thresholds, precision, recall


def false_objects(scene, threshold, least):
    """Count false objects by labelling the whole."""
    count = 0
    for label, score in zip(scene["label"].values, scene["change_probability"].values, strict=True):
        numbers, total = ndimage.label(score >= threshold, np.ones((3, 3)))
        evaluated = (label != 255) & ~np.isnan(score)
        for k in range(1, total + 1):
            own = evaluated & (numbers == k)
            count += own.sum() >= least and not (label[own] == 1).any()
    return int(count)


@given(seed=st.integers(0, 2**32), wanted=st.sampled_from([0.1, 0.3, 0.6, 0.75]))
def test_precision_equals_trying_every_value(seed, wanted):
    rng = np.random.default_rng(seed)
    scenes = [in_steps(random_scene(rng, shape)) for shape in ((1, 30, 30), (2, 20, 30))]
    thresholds, precision, recall = every_threshold(scenes)
    enough = np.flatnonzero(precision >= wanted)
    if not len(enough):
        with pytest.raises(SceneError, match="the highest is"):
            choose_threshold(scenes, precision=wanted)
        return
    choice = choose_threshold(scenes, precision=wanted)
    place = enough[0]
    assert (choice.threshold, choice.precision) == (thresholds[place], pytest.approx(precision[place], rel=1e-12))
    assert choice.recall == pytest.approx(recall[place], rel=1e-12)
    assert choice.criterion == f"precision >= {wanted:g}"


def test_what_is_told_is_what_evaluate_finds(rng):
    scene = random_scene(rng).assign_attrs(SPACING)
    for criterion in ({"precision": 0.5}, {"best": "f1"}, {"false_alarms_per_km2": 500.0}):
        choice = choose_threshold([scene], min_pixels=3, **criterion)
        found = evaluate(
            scene, variable="change_probability", threshold=choice.threshold, objects=ObjectRules(min_pixels=3)
        ).isel(over=0)
        for name in ("precision", "recall", "f1", "false_objects_per_km2"):
            assert getattr(choice, name) == pytest.approx(float(found[name]), rel=1e-12), (criterion, name)
        assert choice.false_objects == int(found["objects_false"])


def test_best_f1_is_that_of_the_exact_search(rng):
    scene = random_scene(rng)
    _, best = best_threshold(scene["label"].values, scene["change_probability"].values)
    choice = choose_threshold([scene], best="f1")
    assert choice.f1 == pytest.approx(best, abs=1e-3)
    assert choice.f1 <= best
    assert np.isnan(choice.false_objects_per_km2)  # pixel size unknown


@given(seed=st.integers(0, 2**32), least=st.sampled_from([1, 4]), allowed=st.integers(0, 6))
def test_false_alarms_stay_under_the_number_from_the_threshold_upward(seed, least, allowed):
    scene = random_scene(np.random.default_rng(seed), (2, 40, 40)).assign_attrs(SPACING)
    score, changed = in_play(scene)
    wrong = np.sort(score[~changed])[::-1]
    km2 = len(wrong) * 200 / 1e6
    tried = {}
    count = _search.false_objects

    def noted(layers, thresholds, rules):
        found = count(layers, thresholds, rules)
        tried.update(zip(thresholds, found.tolist(), strict=True))
        return found

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_search, "false_objects", noted)
        try:
            choice = choose_threshold([scene], false_alarms_per_km2=allowed / km2, min_pixels=least)
        except SceneError as error:
            assert "no threshold keeps false objects" in str(error)  # noqa: PT017
            assert false_objects(scene, np.unique(score)[-1], least) > allowed
            return
    for threshold, found in tried.items():
        assert found == false_objects(scene, threshold, least)
    assert choice.false_objects == false_objects(scene, choice.threshold, least) <= allowed
    above = sorted(threshold for threshold in tried if threshold >= choice.threshold)
    assert all(tried[threshold] <= allowed for threshold in above)
    below = [threshold for threshold in tried if threshold < choice.threshold]
    if not below:  # no threshold exceeds the limit
        assert choice.threshold <= wrong.min() or not above
        return
    assert tried[max(below)] > allowed
    # Steps are narrow: false pixels grow by at most a quarter, finally by a hundredth, or by one or two pixels.
    steps = np.array([np.sum(wrong >= threshold) for threshold in (*above[::-1], max(below))])
    first = max((allowed + 1) * least - 1, 1)  # this few cannot form too many objects
    assert (np.diff([first, *steps]) <= 0.25 * np.array([first, *steps[:-1]]) + 2).all()
    assert steps[-1] - np.sum(wrong >= choice.threshold) <= max(0.01 * steps[-1], 2)


def test_the_search_comes_from_above():
    # Not monotonic: two false objects at 0.8 merge into one from 0.5 down. The lowest threshold with one would be 0.5.
    score = np.array([[[0.9, 0.5, 0.8, 0.1, 0.1, 0.95]]], np.float32)
    label = np.array([[[0, 0, 0, 0, 0, 1]]], np.uint8)
    scene = scene_of(label, change_probability=score).assign_attrs(spacing_m=[1000.0, 1000.0], range_spacing="ground")
    choice = choose_threshold([scene], false_alarms_per_km2=0.2)
    assert choice.threshold == pytest.approx(0.9, abs=1e-3)
    assert choice.false_objects == 1
    assert choose_threshold([scene], false_alarms_per_km2=0.4).threshold == pytest.approx(0.1, abs=1e-3)
    assert choose_threshold([scene], false_alarms_per_km2=0).threshold == pytest.approx(0.95, abs=1e-3)


def test_few_passes_over_the_scene(rng, monkeypatch):
    scene = random_scene(rng, (1, 200, 200)).assign_attrs(SPACING)
    passes = []
    count = _search.false_objects
    monkeypatch.setattr(_search, "false_objects", lambda *args: passes.append(args) or count(*args))
    choice = choose_threshold([scene], false_alarms_per_km2=10.0, min_pixels=2)
    assert choice.false_objects > 10
    assert len(passes) <= 6


def test_lazy_equals_eager(rng):
    scene = random_scene(rng).assign_attrs(SPACING)
    for criterion in ({"precision": 0.5}, {"best": "f1"}, {"false_alarms_per_km2": 500.0}):
        lazy = choose_threshold([scene.chunk({"pair": 1, "y": 13, "x": 17})], **criterion)
        assert lazy == choose_threshold({"site": scene}, **criterion) or "nan" in repr(lazy)


def test_a_threshold_of_a_probability_lies_between_0_and_1():
    label = np.array([[[1, 1, 0]]], np.uint8)
    scene = scene_of(label, change_probability=np.array([[[1.0, 0.5, 0.0]]], np.float32))
    assert choose_threshold([scene], precision=1).threshold == 0.5
    assert choose_threshold([scene], precision=0.5).threshold == 0.5  # 0 would flag everything and is not a threshold
    sure = scene.assign(change_probability=xr.ones_like(scene["change_probability"]))
    with pytest.raises(SceneError, match="no threshold between 0 and 1 separates the probabilities"):
        choose_threshold([sure], best="f1")


def test_another_score_has_thresholds_in_its_own_units():
    label = np.array([[[1, 1, 0]]], np.uint8)
    scene = scene_of(label, change_score=np.array([[[4.0, -2.0, -8.0]]], np.float32))
    assert choose_threshold([scene], precision=1, variable="change_score").threshold == pytest.approx(-2, rel=1e-3)


def test_refuses(rng):
    scene = random_scene(rng)
    for options, message in (
        ({}, "0 criteria for one threshold"),
        ({"precision": 0.5, "best": "f1"}, "2 criteria for one threshold"),
        ({"precision": 0}, "invalid precision 0"),
        ({"precision": float("nan")}, "invalid precision nan"),
        ({"false_alarms_per_km2": -1}, "false_alarms_per_km2: invalid rate -1"),
        ({"best": "kappa"}, "unknown criterion 'kappa'"),
        ({"best": "f1", "min_pixels": 0}, "minimum size of 0 pixels"),
        ({"best": "f1", "variable": "change"}, "'change' is not a score and has no threshold"),
    ):
        with pytest.raises(OptionError, match=message):
            choose_threshold([scene], **options)
    with pytest.raises(SceneError, match="pixel spacing is unknown, but a rate of false alarms per km2 requires it"):
        choose_threshold([scene], false_alarms_per_km2=1.0)
    with pytest.raises(SceneError, match="no labelled pixel is changed"):
        choose_threshold([scene.assign(label=scene["label"] * 0)], best="f1")
    with pytest.raises(
        SceneError, match=r"no threshold reaches a precision of 1: the highest is 0\.\d+, at 0\.\d+[.] Ask"
    ):
        choose_threshold(
            [scene.assign(label=xr.where(scene["change_probability"] > 0.9, 0, scene["label"]))], precision=1
        )
    worst = np.array([[[0.9, 0.1, 0.9, 0.1, 0.2]]], np.float32)
    poor = scene_of(np.array([[[0, 0, 0, 0, 1]]], np.uint8), change_probability=worst).assign_attrs(
        spacing_m=[1e3, 1e3], range_spacing="ground"
    )
    with pytest.raises(
        SceneError, match=r"no threshold keeps false objects at 0.1 per km2: the fewest are 0\.5, at 0\.899"
    ):
        choose_threshold([poor], false_alarms_per_km2=0.1)
