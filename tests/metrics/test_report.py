"""Scores beyond counts: for probabilities and objects, with intervals, over several sites."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from sarcd.errors import OptionError, SceneError
from sarcd.geography.georeference import Georeference
from sarcd.metrics import Bootstrap, ObjectRules, evaluate, report
from sarcd.metrics.kernels.scores import confusion_counts, scores
from tests.factories.results import ASKEW, DEGREES, UTM, control_points, scene_with_results
from tests.factories.results_with_labels import in_play, random_scene, scene_of
from tests.said import logged


def test_scores_of_a_probability(rng):
    scene = random_scene(rng)
    result = evaluate(scene, variable="change_probability", bins=10)
    probability, changed = in_play(scene)
    assert float(result["average_precision"][0]) == pytest.approx(
        average_precision_score(changed, probability), abs=1e-4
    )
    assert float(result["average_precision_error"][0]) < 1e-3
    assert float(result["brier"][0]) == pytest.approx(brier_score_loss(changed, probability), abs=1e-6)
    assert float(result["log_loss"][0]) == pytest.approx(log_loss(changed, probability.astype(float)), abs=1e-6)
    bin_of = np.minimum((probability * 10).astype(int), 9)
    gaps = [abs(np.sum(probability[bin_of == k]) - np.sum(changed[bin_of == k])) for k in range(10)]
    assert float(result["expected_calibration_error"][0]) == pytest.approx(sum(gaps) / len(changed), abs=1e-6)


def test_any_score_has_average_precision_and_nothing_that_needs_a_probability(rng):
    scene = random_scene(rng)
    result = evaluate(scene, variable="change_score", threshold=1.0)
    score, changed = in_play(scene, "change_score")
    assert float(result["average_precision"][0]) == pytest.approx(average_precision_score(changed, score), abs=1e-4)
    assert "brier" not in result
    assert "average_precision" not in evaluate(scene)


@pytest.mark.filterwarnings("ignore:.*no labelled pixel is:UserWarning")
def test_average_precision_is_unknown_without_change():
    label = np.zeros((1, 2, 2), np.uint8)
    result = evaluate(
        scene_of(label, change_probability=np.full((1, 2, 2), 0.2, np.float32)), variable="change_probability"
    )
    assert np.isnan([float(result["average_precision"][0]), float(result["average_precision_error"][0])]).all()
    assert float(result["f1"][0]) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "'label': no labelled pixel is change. Recall and average precision are undefined"),
        (1, "'label': no labelled pixel is \"no change\". False alarms cannot be counted"),
    ],
)
def test_labels_of_one_class_are_warned_of(rng, value, message):
    """Warns for a site that lacks a class, but not for a pair that lacks one if other pairs contain both."""
    fine = random_scene(rng)
    fine["label"][1] = value
    evaluate(fine)
    one_sided = fine.assign(label=xr.where(fine["label"] == 255, 255, value).astype("uint8"))
    with logged(message) as caught:
        report({"fine": fine, "odd": one_sided})
    assert [line.split(":")[0] for line in caught] == ["odd"]


def brute_objects(changed, predicted, evaluated, least):
    """Return detected, missed, confirmed and false objects, by labelling the whole."""
    from scipy import ndimage

    real, reported = (ndimage.label(where, np.ones((3, 3)))[0] for where in (changed, predicted))
    size = lambda numbers: np.bincount(numbers[evaluated], minlength=numbers.max() + 1)  # noqa: E731
    large = set(np.flatnonzero(size(real) >= least).tolist()) - {0}
    kept = set(np.flatnonzero(size(reported) >= least).tolist()) - {0}
    detected = {k for k in large if set(reported[evaluated & (real == k)].tolist()) & kept}
    touched = {k: set(real[evaluated & (reported == k)].tolist()) - {0} for k in kept}
    false = sum(not on for on in touched.values())
    return [len(detected), len(large - detected), sum(bool(on & large) for on in touched.values()), false]


@given(data=st.data(), seed=st.integers(0, 2**32), least=st.integers(1, 9))
def test_objects_intervals_and_curves_do_not_depend_on_chunks(data, seed, least):
    scene = random_scene(np.random.default_rng(seed), (2, 30, 26))
    options = {"objects": ObjectRules(min_pixels=least), "bootstrap": Bootstrap(resamples=20, patch=8)}
    chunks = {dim: data.draw(st.integers(5, size)) for dim, size in scene["label"].sizes.items() if dim != "pair"}
    for variable in ("change", "change_probability"):
        eager = report([scene], variable=variable, **options)
        lazy = report([scene.chunk({"pair": 1, **chunks})], variable=variable, **options)
        xr.testing.assert_identical(lazy.scores, eager.scores)
        if eager.curves is not None:
            xr.testing.assert_identical(lazy.curves, eager.curves)
        for pair in range(2):
            label, change = scene["label"].values[pair], scene["change"].values[pair]
            expected = brute_objects(label == 1, change == 1, (label != 255) & (change != 255), least)
            names = ("objects_detected", "objects_missed", "objects_confirmed", "objects_false")
            assert [int(eager.scores[name][pair + 1]) for name in names] == expected


def test_a_scene_without_chunks_is_read_in_windows(rng, monkeypatch):
    from sarcd.metrics import layers as _layers

    scene = random_scene(rng)
    options = {"variable": "change_probability", "objects": True, "bootstrap": Bootstrap(resamples=9, patch=16)}
    expected = evaluate(scene, **options)
    monkeypatch.setattr(_layers, "_WINDOW", 7)
    xr.testing.assert_identical(evaluate(scene, **options), expected)


def test_objects_by_hand():
    label = np.array([[[1, 1, 0, 0, 0, 255], [0, 0, 0, 1, 0, 255], [0, 0, 0, 0, 0, 0]]], np.uint8)
    change = np.array([[[1, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]]], np.uint8)
    scene = scene_of(label, change=change).assign_attrs(spacing_m=[100.0, 50.0], range_spacing="ground")
    result = evaluate(scene, objects=True).isel(over=0)
    # Detected: the left one. False: the corner at the left and, at the right, the labelled part of a detection.
    assert [int(result[f"objects_{name}"]) for name in ("detected", "missed", "confirmed", "false")] == [1, 1, 1, 2]
    assert [float(result[f"object_{name}"]) for name in ("precision", "recall")] == [1 / 3, 1 / 2]
    assert float(result["object_f1"]) == pytest.approx(0.4)
    assert float(result["false_objects_per_km2"]) == pytest.approx(2 / (13 * 0.005))
    assert result["false_objects_per_km2"].attrs["units"] == "km-2"
    strict = evaluate(scene, objects=ObjectRules(min_overlap=0.6)).isel(over=0)
    assert int(strict["objects_detected"]) == 0
    large = evaluate(scene, objects=ObjectRules(min_area_m2=5001)).isel(over=0)  # larger than one pixel
    assert [int(large[f"objects_{name}"]) for name in ("detected", "missed", "false")] == [0, 1, 0]
    unknown = evaluate(scene.drop_attrs(), objects=True).isel(over=0)
    assert np.isnan(float(unknown["false_objects_per_km2"]))


@pytest.mark.parametrize(
    ("georeference", "attrs", "area"),
    [
        (UTM, {}, 200.0),
        (ASKEW, {}, 400.0),
        (DEGREES, {}, 2e-4 * 1e-4 * 111_413.0 * 55_800.0),
        (control_points(), {"spacing_m": [4.0, 3.0]}, 2e-4 * 1e-4 * 111_413.0 * 55_800.0),
        (Georeference(), {"spacing_m": [4.0, 3.0], "incidence_deg": 30.0}, 24.0),
        (Georeference(), {"spacing_m": [4.0, 3.0], "incidence_deg": 30.0, "range_spacing": "ground"}, 12.0),
        (Georeference(), {}, None),
    ],
)
def test_area_of_a_pixel(rng, georeference, attrs, area):
    scene = scene_with_results(rng, georeference=georeference).assign_attrs(attrs)
    result = evaluate(scene, objects=True).isel(over=0)
    false, unchanged = int(result["objects_false"]), int(result["fp"] + result["tn"])
    expected = np.nan if area is None else false / (unchanged * area / 1e6)
    assert false > 0
    assert float(result["false_objects_per_km2"]) == pytest.approx(expected, rel=2e-4, nan_ok=True)


def test_area_of_a_pixel_beside_coordinates_without_units(rng):
    scene = random_scene(rng).assign_coords(y=np.arange(40) * 2.5, x=np.arange(50) * 2.5)
    assert np.isnan(float(evaluate(scene, objects=True)["false_objects_per_km2"][0]))
    result = evaluate(scene.assign_attrs(spacing_m=[5.0, 4.0], range_spacing="ground"), objects=True).isel(over=0)
    unchanged = int(result["fp"] + result["tn"])
    assert float(result["false_objects_per_km2"]) == pytest.approx(int(result["objects_false"]) / (unchanged * 20e-6))


@pytest.mark.filterwarnings("ignore:.*no labelled pixel is:UserWarning")
def test_objects_where_there_is_nothing(rng):
    scene = random_scene(rng, (3, 20, 20))
    scene["label"][2] = 255
    nothing = scene.assign(label=scene["label"] * 0, change=scene["change"] * 0)
    result = evaluate(nothing, objects=True).isel(over=0)
    assert [float(result[f"object_{name}"]) for name in ("precision", "recall", "f1")] == [1, 1, 1]
    assert np.isnan(float(evaluate(scene, objects=True)["object_f1"][3]))  # a pair without labels


def test_intervals_are_those_of_brute_force(rng):
    scene = random_scene(rng)
    result = evaluate(scene, bootstrap=Bootstrap(resamples=100, patch=16, seed=3, level=0.8))
    label, change = scene["label"].values, scene["change"].values
    patches = []
    for pair in range(2):
        for y in range(0, 40, 16):
            for x in range(0, 50, 16):
                part = pair, slice(y, y + 16), slice(x, x + 16)
                patches.append(confusion_counts(label[part], change[part])[:4])
    patches, drawn = np.array(patches), np.random.default_rng(3)
    f1 = [float(scores(*patches[drawn.integers(0, 24, 24)].sum(axis=0))["f1"]) for _ in range(100)]
    assert int(result["patches"][0]) == 24
    ends = [float(result["f1_low"][0]), float(result["f1_high"][0])]
    assert ends == pytest.approx(np.quantile(f1, [0.1, 0.9]).tolist(), rel=1e-12)
    assert [int(result.attrs[name]) for name in ("resamples", "patch", "seed")] == [100, 16, 3]


def test_interval_of_average_precision_is_that_of_brute_force(rng):
    scene = random_scene(rng, (1, 64, 64))
    options = {"variable": "change_probability", "bootstrap": Bootstrap(resamples=60, patch=16, level=0.8)}
    result = evaluate(scene, **options)
    parts = [slice(start, start + 16) for start in range(0, 64, 16)]
    units = [in_play(scene.isel(y=y, x=x)) for y in parts for x in parts]
    drawn = np.random.default_rng(0)
    found = []
    for _ in range(60):
        picked = drawn.integers(0, 16, 16)
        score, changed = (np.concatenate([units[k][part] for k in picked]) for part in (0, 1))
        found.append(average_precision_score(changed, score))
    ends = [float(result["average_precision_low"][0]), float(result["average_precision_high"][0])]
    assert ends == pytest.approx(np.quantile(found, [0.1, 0.9]).tolist(), abs=5e-3)


def test_intervals_shrink_with_more_patches(rng):
    def width(scene):
        result = evaluate(scene, bootstrap=Bootstrap(resamples=200, patch=16))
        return float(result["recall_high"][0] - result["recall_low"][0])

    assert width(random_scene(rng, (1, 64, 64))) > 1.5 * width(random_scene(rng, (1, 256, 256)))


def test_several_sites(rng):
    one, other = random_scene(rng), random_scene(rng, (1, 30, 20))
    options = {"variable": "change_probability", "objects": True, "bootstrap": Bootstrap(resamples=30, patch=10)}
    result = report({"north": one, "south": other}, **options)
    assert result.scores["over"].values.tolist() == [
        "pooled",
        "north", "north 2023-03-07/2023-03-19", "north 2023-03-19/2023-03-31",
        "south", "south 2023-03-07/2023-03-19",
    ]  # fmt: skip
    assert result.scores["site"].values.tolist() == ["", *["north"] * 3, *["south"] * 2]
    assert result.scores["pair"].values.tolist()[1:3] == ["", "2023-03-07/2023-03-19"]
    for start, scene in ((1, one), (4, other)):
        alone = evaluate(scene, **options)
        for name in alone.data_vars:
            np.testing.assert_array_equal(result.scores[name][start : start + alone.sizes["over"]], alone[name])
    counts = ("tp", "fp", "fn", "tn", "masked_pixels", "objects_detected", "objects_false", "patches")
    for name in counts:
        assert int(result.scores[name][0]) == int(result.scores[name][[1, 4]].sum()), name
    both = [np.concatenate(parts) for parts in zip(in_play(one), in_play(other), strict=True)]
    assert float(result.scores["average_precision"][0]) == pytest.approx(
        average_precision_score(both[1], both[0]), abs=1e-4
    )
    assert int(result.curves["bin_pixels"][0].sum()) == len(both[0])
    nested = result.to_dict()
    assert [site["scene"] for site in nested["sites"]] == ["north", "south"]
    assert [len(site["pairs"]) for site in nested["sites"]] == [2, 1]
    assert nested["sites"][1]["pairs"][0]["f1"] == float(result.scores["f1"][5])
    assert len(nested["pooled"]["reliability"]) == 15
    assert nested["pooled"]["curve"][99]["recall"] == 1


def test_curve_gives_back_its_precision(rng):
    scene = random_scene(rng)
    curves = report([scene], variable="change_probability").curves
    for level in (9, 49, 99):
        threshold = float(curves["curve_threshold"][0, level])
        result = evaluate(scene, variable="change_probability", threshold=threshold).isel(over=0)
        assert float(result["precision"]) == float(curves["curve_precision"][0, level])
        assert float(result["recall"]) >= float(curves["recall_level"][level])


def test_everything_is_one_computation(rng):
    import dask

    calls = []

    def counting(graph, keys, **options):
        calls.append(keys)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=counting):
        evaluate(random_scene(rng).chunk({"y": 9, "x": 11}), variable="change_probability", objects=True, bootstrap=9)
    assert len(calls) == 1


def test_refuses_what_cannot_be_counted(rng):
    scene = random_scene(rng)
    above = scene.assign(change_probability=scene["change_probability"] + 1)
    with pytest.raises(SceneError, match="'change_probability' holds values below 0 or above 1 in"):
        evaluate(above, variable="change_probability")
    with pytest.raises(SceneError, match=r"pixel spacing is unknown, but a minimum area requires it[.] Ingest it with"):
        evaluate(scene, objects=ObjectRules(min_area_m2=100))
    with pytest.raises(OptionError, match="Put it in a list"):
        report(scene)
    with pytest.raises(OptionError, match="no scene"):
        report([])
    named = scene.rename(change="old").rename(change_probability="change")
    with pytest.raises(OptionError, match="the score 'change' needs a threshold"):
        report([scene, named])
    twice = scene.assign(change_probability=scene["change"])
    with pytest.raises(SceneError, match="a score in some scenes and a map in others"):
        report([scene, twice], variable="change_probability")
    for options, message in (
        ({"bootstrap": 0}, "invalid number of resamples 0"),
        ({"bins": 0}, "invalid number of bins 0"),
    ):
        with pytest.raises(OptionError, match=message):
            evaluate(scene, **options)
    for make, message in (
        (lambda: Bootstrap(patch=4), "invalid patch size 4. Use 8"),
        (lambda: Bootstrap(seed=-1), "invalid seed -1"),
        (lambda: Bootstrap(level=1), "invalid level 1"),
        (lambda: ObjectRules(min_pixels=0), "minimum size of 0 pixels"),
        (lambda: ObjectRules(min_area_m2=-1), "invalid minimum area of -1"),
        (lambda: ObjectRules(min_pixels=2, min_area_m2=5), "cannot be combined with min_pixels"),
        (lambda: ObjectRules(min_overlap=1.1), "invalid minimum overlap 1.1"),
    ):
        with pytest.raises(OptionError, match=message):
            make()
