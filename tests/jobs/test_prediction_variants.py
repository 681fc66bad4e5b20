"""Stored prediction with blended tiles, ensembles, test-time augmentation and AdaBN."""

import json
import pickle

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.attributes import parameters_of
from sarcd.config import PredictOptions
from sarcd.engine.tasks import RegionTask
from sarcd.errors import MismatchError, ModelError, OptionError
from sarcd.store.scene import SceneStore, open_scene, publish
from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.scenes import random_slc, stored_scene
from tests.tolerance import PROBABILITY, PROBABILITY_GLOBAL

SHAPE = (2, 100, 131)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def exact(folder):
    return [random_model_file(folder / f"u{seed}.safetensors", widths=(4, 8), seed=seed) for seed in (1, 2)]


@pytest.fixture(scope="module", params=["tinycd", "changerex"])
def blended(request, folder):
    options = {"backbone": "b0"} if request.param == "tinycd" else {}
    training = {"options": {"patch": 64}}
    return random_model_file(folder / f"{request.param}.safetensors", name=request.param, training=training, **options)


@pytest.fixture
def path(tmp_path, rng):
    return stored_scene(tmp_path / "scene.zarr", rng, SHAPE, chunk=48, holes=0.002)


def probability(path, suffix=""):
    return open_scene(path)["change_probability" + suffix]


def stored_bytes(path, names):
    return {file: file.read_bytes() for name in names for file in (path / name).rglob("*") if file.is_file()}


def test_blended_tiles_are_told_recorded_and_do_not_depend_on_memory_or_batch(path, blended, tmp_path, rng):
    notes = []
    result = jobs.predict(path, blended, note=notes.append)
    name = blended.stem
    assert f"{name} cannot be tiled exactly: tiles of 64 overlap by half and are blended" in notes
    assert result.tile == 64
    assert 0 < result.kept_share < 0.3
    reference = probability(path)
    assert np.nanstd(reference) > 0.05
    assert parameters_of(reference)["tiling"] == "blended"
    other = stored_scene(tmp_path / "other.zarr", np.random.default_rng(20231206), SHAPE, chunk=100, holes=0.002)
    jobs.predict(other, blended, PredictOptions(batch=1, memory_bytes=2**33))
    np.testing.assert_allclose(probability(other), reference, atol=PROBABILITY_GLOBAL)
    whole = jobs.predict(path, blended, PredictOptions(tiles="whole"), name="whole")
    assert whole.tile == (144 if name == "tinycd" else 160)
    assert np.nanmax(np.abs(probability(path, "_whole") - reference)) > 1e-3


def test_exact_results_are_recorded_as_ever(path, exact):
    notes = []
    jobs.predict(path, exact[0], PredictOptions(tiles=48), note=notes.append)
    parameters = parameters_of(probability(path))
    names = "model tile batch dtype threshold statistics device threads coherence rim coherence_from"
    assert list(parameters) == names.split()
    assert not any("blended" in text for text in notes)


def test_a_blended_run_goes_on_to_the_same_bytes(path, blended):
    names = ["change_probability", "change"]
    jobs.predict(path, blended, PredictOptions(tiles=32))
    reference = stored_bytes(path, names)
    store = SceneStore(path)
    for name in names:
        store.set_attrs(name, {"sarcd_complete": [False]})
    publish(store, remove=names)
    (path / "change_probability/c/0/1/2").unlink()
    (path / "change/c/0/0/0").unlink()
    result = jobs.predict(path, blended)  # tile and batch are those of the stopped run
    assert result.tile == 32
    assert result.computed > 0
    assert stored_bytes(path, names) == reference


def test_equals_the_lazy_dataset(path, folder, exact, raise_if_dask_computes):
    options = {"swap": True, "adapt_batchnorm": True, "uncertainty": True}
    blended = random_model_file(folder / "b0.safetensors", name="tinycd", backbone="b0")
    models = [blended, exact[0]]
    jobs.predict(path, models, PredictOptions(**options))
    with raise_if_dask_computes():
        lazy = xr.open_zarr(path).sarcd.predict(model=models, **options)
    scene = open_scene(path)
    for name in ("change_probability", "uncertainty"):
        np.testing.assert_allclose(lazy[name], scene[name], atol=PROBABILITY_GLOBAL)
        assert lazy[name].attrs["units"] == "1"
    assert parameters_of(lazy.change_probability)["tiling"] == ["blended", "exact"]
    assert (lazy.change.values == scene.change.values).mean() > 0.999


def test_an_ensemble_is_the_mean_of_its_members(path, exact):
    for number, model in enumerate(exact):
        jobs.predict(path, model, name=f"m{number}")
    jobs.predict(path, exact, PredictOptions(uncertainty=True, threshold=0.45))
    scene = open_scene(path)
    each = np.stack([scene[f"change_probability_m{number}"] for number in range(2)])
    np.testing.assert_allclose(scene.change_probability, each.mean(axis=0), atol=PROBABILITY)
    np.testing.assert_allclose(scene.uncertainty, np.abs(each[0] - each[1]) / 2, atol=PROBABILITY)
    assert scene.uncertainty.attrs["long_name"] == "spread of the probability among variants"
    parameters = parameters_of(scene.change_probability)
    assert len(parameters["model"]) == len(parameters["tile"]) == len(parameters["batch"]) == 2
    valid = scene.change.values != 255
    np.testing.assert_array_equal(scene.change.values[valid] == 1, scene.change_probability.values[valid] >= 0.45)
    again = jobs.predict(path, exact, PredictOptions(threshold=0.45))
    assert again.computed == 0
    with pytest.raises(MismatchError, match="model"):
        jobs.predict(path, exact[::-1], PredictOptions(threshold=0.45))


def test_the_uncertainty_may_come_later(path, exact):
    options = PredictOptions(swap=True, threshold=0.5)
    jobs.predict(path, exact[0], options)
    before = stored_bytes(path, ["change_probability", "change"])
    jobs.predict(path, exact[0], PredictOptions(swap=True, threshold=0.5, uncertainty=True))
    assert stored_bytes(path, ["change_probability", "change"]) == before
    spread = open_scene(path).uncertainty.values
    assert 0 < np.nanmax(spread) <= 0.5


def test_a_pair_reversed_gives_the_same_map_to_the_last_bit(tmp_path, rng, exact, blended):
    images = random_slc(rng, SHAPE, holes=0.002)
    orders = images, images[::-1]
    paths = [stored_scene(tmp_path / f"{n}.zarr", rng, SHAPE, chunk=48, slc=slc) for n, slc in enumerate(orders)]
    for path in paths:
        jobs.predict(path, [*exact, blended], PredictOptions(swap=True, flips=True))
        jobs.predict(path, exact[0], name="one")
    np.testing.assert_array_equal(*map(probability, paths))
    one = [probability(path, "_one") for path in paths]
    assert np.nanmax(np.abs(one[0] - one[1])) > 0.01


def test_adapting_is_another_result_with_the_same_bytes_on_resume(tmp_path, exact):
    path = stored_scene(tmp_path / "three.zarr", np.random.default_rng(3), (3, *SHAPE[1:]), chunk=48)
    jobs.predict(path, exact[0], name="as_learnt")
    names = ["change_probability", "change"]
    dates = [str(time)[:10] for time in open_scene(path)["time"].values]
    jobs.predict(path, exact[0], PredictOptions(adapt_batchnorm=True), pairs=f"{dates[0]}:{dates[1]}")
    first = probability(path)
    assert parameters_of(first)["adapt_batchnorm"] == {"pairs": [0]}
    assert np.nanmax(np.abs(first[0] - probability(path, "_as_learnt")[0])) > 0.01
    with pytest.raises(MismatchError, match="adapt_batchnorm"):
        jobs.predict(path, exact[0])
    # further pairs continue with the sample of the first
    jobs.predict(path, exact[0], PredictOptions(adapt_batchnorm=True))
    np.testing.assert_array_equal(probability(path)[0], first[0])
    reference = stored_bytes(path, names)
    store = SceneStore(path)
    for name in names:
        store.set_attrs(name, {"sarcd_complete": [True, False]})
    publish(store, remove=names)
    (path / "change_probability/c/1/0/0").unlink()
    assert jobs.predict(path, exact[0], PredictOptions(adapt_batchnorm=True)).computed == 1
    assert stored_bytes(path, names) == reference


def test_what_does_not_go_together_is_refused(path, exact, folder, tmp_path):
    from sarcd.config import CoherenceOptions, Window

    two = random_model_file(folder / "two.safetensors", channels=("before", "after"), widths=(4,))
    with pytest.raises(ModelError, match=r"two.safetensors: channels is not that of .*u1.safetensors"):
        jobs.predict(path, [exact[0], two])
    nine = CoherenceOptions(window=Window(9, 9))
    other = random_model_file(folder / "nine.safetensors", coherence=nine, widths=(4,))
    with pytest.raises(ModelError, match="coherence is not that of"):
        jobs.predict(path, [exact[0], other])
    with pytest.raises(ModelError, match="is given twice"):
        jobs.predict(path, [exact[0], exact[0]])
    with pytest.raises(ModelError, match="no model is named"):
        jobs.predict(path, [])
    with pytest.raises(OptionError, match=r"has no spread[.] Name several models, or add swap or flips"):
        jobs.predict(path, exact[0], PredictOptions(uncertainty=True))
    with pytest.raises(OptionError, match="has no spread"):
        open_scene(path).sarcd.predict(model=exact[0], uncertainty=True)
    assert "change" not in xr.open_zarr(path)


def test_the_command_takes_several_models_and_variants(path, exact, capsys):
    words = [
        "predict",
        str(path),
        "--model",
        str(exact[0]),
        "--model",
        str(exact[1]),
        "--swap",
        "--flips",
        "--adapt-batchnorm",
    ]
    assert main([*words, "--uncertainty", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["variables"] == ["change_probability", "change", "uncertainty"]
    parameters = parameters_of(probability(path))
    assert [parameters[name] for name in ("swap", "flips")] == [True, True]
    assert main(["info", str(path)]) == 0
    assert "swap=True, flips=True, adapt_batchnorm=(pairs=[0])" in capsys.readouterr().out


def test_what_is_sent_to_workers_is_small_but_for_statistics(path, exact, blended, monkeypatch):
    from sarcd.jobs import stored_prediction as prediction

    sizes = []
    run = prediction.run_regions

    def weighed(staging, regions, compute, **options):
        task = RegionTask(staging, compute)
        run(staging, regions, compute, **options)
        sizes.append(len(pickle.dumps(task)))
        remote = pickle.loads(pickle.dumps(compute))
        region = regions[0]
        for here, there in zip(compute.predict(region), remote.predict(region), strict=True):
            np.testing.assert_array_equal(here, there)

    monkeypatch.setattr(prediction, "run_regions", weighed)
    jobs.predict(path, [*exact, blended])
    jobs.predict(path, exact[0], PredictOptions(adapt_batchnorm=True), name="adapted")
    assert sizes[0] < 5000
    assert sizes[1] < 20000
