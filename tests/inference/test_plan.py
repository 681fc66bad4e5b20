"""Prediction plans: contents, continuity with earlier runs, refusals, and equal records by both executions."""

import pickle

import numpy as np
import pytest
import xarray as xr

from sarcd import estimation, jobs
from sarcd.attributes import parameters_of
from sarcd.config import PredictOptions
from sarcd.errors import OptionError, SceneError
from sarcd.inference.plan import Place, Survey, build_plan, region_task
from tests.factories.networks import random_model_file
from tests.factories.scenes import memory_scene, stored_scene

CPU = Place("cpu", 0, "cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [random_model_file(folder / f"u{seed}.safetensors", widths=(4, 8), seed=seed) for seed in (1, 2)]


@pytest.fixture
def scene(rng):
    return memory_scene(rng)


def planned(model, scene, options=None, begun=None, *, place=CPU, **survey):
    survey = {"statistics": (1.0, 0.5), "forward_bytes": 2**29, **survey}
    found = Survey(scene, [(0, 1)], [0], **survey)
    return build_plan(model, options or PredictOptions(), scene, place, lambda *_: found, begun)


def test_a_task_travels_without_networks_and_predicts_the_same_there(models, scene):
    plan, loaded = planned(models, scene, PredictOptions(swap=True))
    task = region_task(plan, loaded)
    sent = pickle.dumps(task)
    assert len(sent) < 3000  # each of the files is 20 kB
    region = slice(10, 40), slice(0, 60)
    values = estimation.features(scene, statistics=(1.0, 0.5)).values[(0, slice(None), *plan.window(region))]
    for here, there in zip(task(values, region), pickle.loads(sent)(values, region), strict=True):
        assert here.shape == (30, 60)
        np.testing.assert_array_equal(here, there)


def test_an_earlier_run_is_followed_where_a_choice_is_left_open(models, scene):
    begun = {"tile": 32, "batch": 3, "adapt_batchnorm": {"pairs": [5]}}
    plan, _ = planned(models[0], scene, PredictOptions(adapt_batchnorm=True), begun)
    assert (plan.members[0].tiling.tile, plan.members[0].batch, plan.sampled) == (32, 3, (5,))
    assert plan.parameters["adapt_batchnorm"] == {"pairs": [5]}
    plan, _ = planned(models[0], scene, PredictOptions(tiles=16, batch=2, adapt_batchnorm=True))
    assert (plan.members[0].tiling.tile, plan.members[0].batch, plan.sampled) == (16, 2, (0,))
    plan, _ = planned(models, scene, begun=begun)  # an earlier run of one network does not apply to two
    assert [member.batch for member in plan.members] == [16, 16]


def test_coherence_follows_an_earlier_run_as_far_as_it_is_there(models, scene):
    stored = scene.assign(coherence=estimation.coherence(scene))
    for given, begun, expected in (
        (scene, {}, "computed"),
        (stored, {}, "store"),
        (stored, {"coherence_from": "computed"}, "computed"),
        (scene, {"coherence_from": "store"}, "computed"),
    ):
        plan, _ = planned(models[0], given, begun=begun)
        assert plan.coherence_from == plan.parameters["coherence_from"] == expected


def test_batches_of_blended_tiles_take_their_share_of_memory_and_exact_ones_all(models, scene, tmp_path):
    blended = random_model_file(
        tmp_path / "t.safetensors", name="tinycd", backbone="b0", training={"options": {"patch": 32}}
    )
    for model, fewer in ((blended, True), (models[0], False)):
        one = planned(model, scene, PredictOptions(batch=1))[0].forward_bytes
        budget = 2**26 + 10 * (one - 2**26)  # ten tiles, in addition to the fixed memory of any pass
        all_of_it, half = (planned(model, scene, forward_bytes=budget, blended_share=share)[0] for share in (1.0, 0.5))
        batches = all_of_it.members[0].batch, half.members[0].batch
        assert batches[0] == 10
        assert (batches[1] < 10) == fewer
        assert all_of_it.members[0].tiling == half.members[0].tiling


def test_what_is_known_is_told_before_the_scene_is_read(models, scene):
    told = []

    def survey(loaded, known):
        told.append((loaded.path, known))
        raise SceneError("was read")

    with pytest.raises(SceneError, match="was read"):
        build_plan(models[0], PredictOptions(flips=True, threshold=0.3), scene, CPU, survey)
    (path, known), *more = told
    assert path == str(models[0])
    assert not more
    assert [known[name] for name in ("dtype", "threshold", "compiled", "swap", "flips")] == [
        "float32", 0.3, None, None, True
    ]  # fmt: skip
    with pytest.raises(OptionError, match="no spread"):
        build_plan(models[0], PredictOptions(uncertainty=True), scene, CPU, survey)
    with pytest.raises(SceneError, match="amplitude images do not have"):
        build_plan(models[0], PredictOptions(), scene.rename(slc="amplitude"), CPU, survey)
    assert len(told) == 1


def test_both_executions_record_the_same(tmp_path, rng, models):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    options = {"tiles": 32, "swap": True, "flips": True, "threshold": 0.4}
    jobs.predict(path, models, PredictOptions(**options))
    scene = xr.open_zarr(path)
    stored, lazy = (
        parameters_of(one.change) for one in (scene, scene.sarcd.predict(model=[str(one) for one in models], **options))
    )
    shared = ["model", "tile", "threshold", "swap", "flips", "rim"]
    assert [name for name in stored if name in shared] == shared
    assert list(lazy)[:6] == shared
    assert {name: lazy[name] for name in shared} == {name: stored[name] for name in shared}
