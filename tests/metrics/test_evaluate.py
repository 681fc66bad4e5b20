"""Evaluation of scenes: per pair, pooled, lazy equals eager, and invalid input."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcd.errors import OptionError, SceneError
from sarcd.metrics import evaluate
from tests.factories.results_with_labels import scene_of

SCORES = ["f1", "precision", "recall", "iou", "kappa", "overall_accuracy"]


@pytest.fixture
def scene():
    """Make three pairs: one mixed, one without change, one without labels."""
    label = np.array([[[1, 1, 1, 0], [0, 0, 0, 255]], [[0, 0, 0, 0], [0, 0, 255, 255]], np.full((2, 4), 255)], np.uint8)
    change = np.array([[[1, 1, 0, 1], [0, 0, 255, 1]], [[0, 0, 0, 0], [0, 0, 1, 1]], np.ones((2, 4))], np.uint8)
    return scene_of(label, change=change)


def test_by_hand(scene):
    result = evaluate(scene)
    assert result["over"].values.tolist() == [
        "pooled", "2023-03-07/2023-03-19", "2023-03-19/2023-03-31", "2023-03-31/2023-04-12",
    ]  # fmt: skip
    assert result["tp"].values.tolist() == [2, 2, 0, 0]
    assert result["fp"].values.tolist() == [1, 1, 0, 0]
    assert result["fn"].values.tolist() == [1, 1, 0, 0]
    assert result["tn"].values.tolist() == [8, 2, 6, 0]
    assert result["labelled_pixels"].values.tolist() == [13, 7, 6, 0]
    assert result["masked_pixels"].values.tolist() == [1, 1, 0, 0]
    np.testing.assert_allclose(result["f1"], [2 / 3, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(result["precision"], [2 / 3, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(result["recall"], [2 / 3, 2 / 3, 1, np.nan])
    np.testing.assert_allclose(result["iou"], [0.5, 0.5, 1, np.nan])
    np.testing.assert_allclose(result["overall_accuracy"], [10 / 12, 4 / 6, 1, np.nan])
    # pe of the pooled pairs: (3 * 3 + 9 * 9) / 144; of the first pair: (3 * 3 + 3 * 3) / 36
    np.testing.assert_allclose(result["kappa"], [(10 / 12 - 90 / 144) / (1 - 90 / 144), 1 / 3, 1, np.nan])
    assert result.attrs == {"variable": "change", "truth": "label"}
    assert {result[name].dtype for name in ("tp", "labelled_pixels", "masked_pixels")} == {np.dtype("int64")}


def test_a_probability_has_a_default_threshold_and_another_score_needs_one():
    label = np.array([[[1, 1, 0, 0]]], np.uint8)
    probability = np.array([[[0.5, 0.4, 0.6, np.nan]]], np.float32)
    scene = scene_of(label, change_probability=probability, change_score=probability)
    result = evaluate(scene, variable="change_probability")
    assert result.attrs["threshold"] == 0.5
    assert [int(result[name][1]) for name in ("tp", "fp", "fn", "tn", "masked_pixels")] == [1, 1, 1, 0, 1]
    assert int(evaluate(scene, variable="change_probability", threshold=0.61)["fp"][0]) == 0
    assert int(evaluate(scene, variable="change_score", threshold=0.1)["tp"][0]) == 2
    with pytest.raises(OptionError, match="'change_score' needs a threshold"):
        evaluate(scene, variable="change_score")
    with pytest.raises(OptionError, match="invalid threshold nan"):
        evaluate(scene, variable="change_score", threshold=float("nan"))


def test_other_truth(scene):
    result = evaluate(scene.assign(pseudo_label=scene["change"]), truth="pseudo_label")
    assert float(result["f1"][0]) == 1
    assert int(result["masked_pixels"][0]) == 0


@pytest.mark.filterwarnings("ignore:.*no labelled pixel is:UserWarning")
@given(data=st.data(), shape=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
def test_lazy_equals_eager_for_any_chunking(data, shape):
    value = st.sampled_from([0, 1, 0, 1, 255])
    label = data.draw(hnp.arrays(np.uint8, shape, elements=value))
    label[0, 0, 0] = 1
    change = data.draw(hnp.arrays(np.uint8, shape, elements=value))
    change[0, 0, 0] = 0
    score = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    scene = scene_of(label, change=change, change_probability=score)

    def lazy(name):
        chunks = {dim: data.draw(st.integers(1, size)) for dim, size in zip(("pair", "y", "x"), shape, strict=True)}
        return scene[name].chunk(chunks)

    chunked = scene.assign({name: lazy(name) for name in scene.data_vars})
    half_lazy = scene.assign(label=lazy("label"))
    for variable in ("change", "change_probability"):
        eager = evaluate(scene, variable=variable)
        xr.testing.assert_identical(evaluate(chunked, variable=variable), eager)
        xr.testing.assert_identical(evaluate(half_lazy, variable=variable), eager)


def test_lazy_scene_is_computed_once(scene):
    import dask

    calls = []

    def counting(graph, keys, **options):
        calls.append(keys)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=counting):
        evaluate(scene.chunk({"y": 1, "x": 2}))
    assert len(calls) == 1


def test_caller_keeps_his_scene(scene):
    before = scene.copy(deep=True)
    evaluate(scene)
    xr.testing.assert_identical(scene, before)


def test_order_of_dims_does_not_matter(scene):
    xr.testing.assert_identical(evaluate(scene.transpose("x", "pair", "y")), evaluate(scene))


@pytest.mark.filterwarnings("ignore:.*no labelled pixel is:UserWarning")
def test_pairs_of_one_day_are_told_apart():
    dates = ["2023-03-19T05:00", "2023-03-19T17:00", "2023-03-19T17:30"]
    scene = scene_of(np.zeros((2, 1, 1), np.uint8), dates, change=np.zeros((2, 1, 1), np.uint8))
    assert evaluate(scene)["over"].values.tolist()[1:] == [
        "2023-03-19T05:00:00/2023-03-19T17:00:00",
        "2023-03-19T17:00:00/2023-03-19T17:30:00",
    ]
    dates = ["2023-03-19T05:00:00.1", "2023-03-19T05:00:00.2", "2023-03-19T05:00:00.3"]
    scene = scene_of(np.zeros((2, 1, 1), np.uint8), dates, change=np.zeros((2, 1, 1), np.uint8))
    assert len(set(evaluate(scene)["over"].values.tolist())) == 3


def test_pooled_is_the_sum_of_the_pairs(rng):
    label = rng.choice([0, 1, 255], (4, 20, 30)).astype(np.uint8)
    change = rng.choice([0, 1, 255], label.shape).astype(np.uint8)
    scene = scene_of(label, change=change)
    result = evaluate(scene)
    for name in ("tp", "fp", "fn", "tn", "labelled_pixels", "masked_pixels"):
        assert int(result[name][0]) == int(result[name][1:].sum())
    one = evaluate(scene.isel(pair=[2]))
    for name in SCORES:
        assert float(one[name][0]) == float(result[name][3])


def test_refuses_what_has_no_score(scene):
    with pytest.raises(SceneError, match="no 'change_probability' in the scene"):
        evaluate(scene, variable="change_probability")
    with pytest.raises(OptionError, match="takes no threshold"):
        evaluate(scene, threshold=0.5)
    with pytest.raises(SceneError, match="no pixel of 'label' is labelled"):
        evaluate(scene.isel(pair=[2]))
    with pytest.raises(SceneError, match="unknown at all 13 labelled pixels"):
        evaluate(scene.assign(change=xr.full_like(scene["change"], 255)))
    with pytest.raises(SceneError, match="'change' holds values other than 0, 1 and 255 in 2 pixels"):
        evaluate(scene.assign(change=_with_threes(scene)))
    with pytest.raises(SceneError, match="has dims"):
        evaluate(scene.assign(change=scene["change"].isel(pair=0, drop=True)))
    with pytest.raises(SceneError, match="'label' is float32"):
        evaluate(scene.assign(label=scene["label"].astype("float32")))
    with pytest.raises(SceneError, match="complex64"):
        evaluate(scene.assign(change=scene["change"].astype("complex64")))
    with pytest.raises(SceneError, match="'before' is missing"):
        evaluate(scene.drop_vars("before"))
    with pytest.raises(SceneError, match="is empty"):
        evaluate(scene.isel(pair=[]))


def _with_threes(scene):
    change = scene["change"].copy(deep=True)
    change[0, :, 0] = 3
    return change
