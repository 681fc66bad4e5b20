"""Stored prediction: exact for any tile size, resumable, and equal to the lazy dataset."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from sarcd import estimation, jobs
from sarcd.attributes import parameters_of
from sarcd.config import ESTIMATORS, CoherenceOptions, PredictOptions, Window
from sarcd.errors import MismatchError, ModelError, OptionError, SceneError
from sarcd.store.scene import SceneStore, open_scene
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene
from tests.tolerance import PROBABILITY

SHAPE = (2, 150, 181)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return random_model_file(tmp_path_factory.mktemp("model") / "m.safetensors", widths=(4, 8, 12))


@pytest.fixture
def path(tmp_path, rng):
    return stored_scene(tmp_path / "scene.zarr", rng, SHAPE, chunk=48, holes=0.002)


def test_any_tile_gives_the_same_map_as_one_pass(path, model):
    maps = {}
    for tiles in (24, 50, 96, "whole"):
        result = jobs.predict(path, model, PredictOptions(tiles=tiles), name=f"t{tiles}")
        maps[tiles] = open_scene(path)[f"change_probability_t{tiles}"].values
        assert 0 < result.kept_share <= 1
    assert np.nanstd(maps["whole"]) > 0.1
    for found in maps.values():
        np.testing.assert_allclose(found, maps["whole"], atol=PROBABILITY)
    features = estimation.features(open_scene(path))
    np.testing.assert_array_equal(np.isnan(maps["whole"]), np.isnan(features).any("feature"))


def test_equals_the_lazy_dataset(path, model, raise_if_dask_computes):
    jobs.predict(path, model, PredictOptions(tiles=48))
    scene = open_scene(path)
    with raise_if_dask_computes():
        lazy = xr.open_zarr(path).sarcd.predict(model=model, tiles=64)
    np.testing.assert_allclose(lazy.change_probability, scene.change_probability, atol=PROBABILITY)
    agree = (lazy.change.values == scene.change.values).mean()
    assert agree > 0.9999
    assert set(np.unique(scene.change)) == {0, 1, 255}
    in_memory = scene.compute().sarcd.predict(model=model)
    np.testing.assert_allclose(in_memory.change_probability, scene.change_probability, atol=PROBABILITY)


@pytest.mark.parametrize(
    "coherence",
    [CoherenceOptions(estimator=estimator, debias=estimator != "gaussian") for estimator in ESTIMATORS],
    ids=ESTIMATORS,
)
def test_every_estimator_is_computed_from_parts_as_from_the_whole(path, tmp_path, coherence):
    model = random_model_file(tmp_path / "m.safetensors", coherence=coherence, widths=(4, 8))
    for tiles in (24, "whole"):
        jobs.predict(path, model, PredictOptions(tiles=tiles), name=f"t{tiles}")
    jobs.coherence(path, coherence)
    jobs.predict(path, model, PredictOptions(tiles=24), name="stored")
    scene = open_scene(path)
    for suffix in ("twhole", "stored"):
        np.testing.assert_allclose(
            scene[f"change_probability_{suffix}"], scene.change_probability_t24, atol=PROBABILITY
        )


def test_stored_coherence_is_used_if_it_fits(path, model, tmp_path):
    notes = []
    jobs.predict(path, model, name="computed", note=notes.append)
    assert any("coherence (5 x 5 boxcar) is computed" in text for text in notes)
    assert any("statistics computed" in text for text in notes)
    jobs.coherence(path)
    notes.clear()
    jobs.predict(path, model, name="stored", note=notes.append)
    assert not any("coherence" in text or "statistics" in text for text in notes)
    scene = open_scene(path)
    np.testing.assert_allclose(scene.change_probability_stored, scene.change_probability_computed, atol=PROBABILITY)
    other = random_model_file(
        tmp_path / "other.safetensors", coherence=CoherenceOptions(window=Window(9, 9)), widths=(4, 8)
    )
    jobs.predict(path, other, name="other", note=notes.append)
    assert any("9 x 9" in text for text in notes)


def test_a_run_begun_is_obeyed_and_other_settings_are_refused(path, model):
    jobs.predict(path, model, PredictOptions(tiles=64, threshold=0.4))
    again = jobs.predict(path, model, PredictOptions(threshold=0.4))
    assert (again.computed, again.tile) == (0, 64)
    with pytest.raises(MismatchError, match=r"tile 64, now 32"):
        jobs.predict(path, model, PredictOptions(tiles=32, threshold=0.4))
    with pytest.raises(MismatchError, match=r"threshold 0.4, now 0.5"):
        jobs.predict(path, model)
    assert jobs.predict(path, model, PredictOptions(tiles=32), overwrite=True).computed > 0


def test_a_partly_done_run_goes_on_to_the_same_bytes(path, model, tmp_path):
    jobs.predict(path, model, PredictOptions(tiles=32))
    reference = {name: (path / name).rglob("*") for name in ("change_probability", "change")}
    reference = {file: file.read_bytes() for files in reference.values() for file in files if file.is_file()}
    store = SceneStore(path)
    for name in ("change_probability", "change"):
        store.set_attrs(name, {"sarcd_complete": [False]})
    from sarcd.store.scene import publish

    publish(store, remove=["change_probability", "change"])
    for key in ("c/0/1/2", "c/0/3/3"):
        (path / "change_probability" / key).unlink()
    (path / "change" / "c/0/0/0").unlink()
    result = jobs.predict(path, model)
    assert result.computed == 3
    assert {file: file.read_bytes() for file in reference} == reference


def test_detected_images_with_a_model_of_two_channels(tmp_path, rng, model):
    from sarcd.store.create import NewScene, SceneLayout
    from tests.factories.scenes import dates

    amplitude = rng.rayleigh(size=(2, 60, 70)).astype("float32")
    layout = SceneLayout(dates(2), np.arange(60), np.arange(70), images="amplitude")
    with NewScene(tmp_path / "detected.zarr", layout) as store:
        store.array("amplitude")[...] = amplitude
    two = random_model_file(tmp_path / "two.safetensors", channels=("before", "after"), widths=(4, 8))
    jobs.predict(tmp_path / "detected.zarr", two)
    assert np.isfinite(open_scene(tmp_path / "detected.zarr").change_probability).all()
    with pytest.raises(SceneError, match="--no-coherence"):
        jobs.predict(tmp_path / "detected.zarr", model)


def test_statistics_policies(path, model):
    with pytest.raises(ModelError, match="keeps no statistics"):
        jobs.predict(path, model, PredictOptions(statistics="model"))
    scene = open_scene(path)
    given = scene.sarcd.predict(model=model, statistics=(0.5, 0.2)).change_probability
    own = scene.sarcd.predict(model=model).change_probability
    assert float(abs(given - own).max()) > 0.01


def test_bad_options(path, model, tmp_path):
    with pytest.raises(ModelError):
        jobs.predict(path, tmp_path / "absent.safetensors")
    with pytest.raises(OptionError, match="device"):
        jobs.predict(path, model, PredictOptions(device="abacus"))
    with pytest.raises(OptionError, match="threshold"):
        PredictOptions(threshold=1.5)
    assert "change" not in xr.open_zarr(path)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_a_compiled_network_gives_the_same_map(path, model):
    options = PredictOptions(tiles=48, batch=2)
    jobs.predict(path, model, options)
    jobs.predict(path, model, replace(options, compiled=True), name="compiled")
    scene = open_scene(path)
    np.testing.assert_allclose(scene.change_probability_compiled, scene.change_probability, atol=PROBABILITY)
    assert parameters_of(scene.change_probability_compiled)["compiled"] is True


def test_reduced_precision_is_another_result_and_says_how_far_off(path, model):
    jobs.predict(path, model)
    exact = open_scene(path).change_probability.values
    with pytest.raises(MismatchError, match="dtype float32, now bfloat16"):
        jobs.predict(path, model, PredictOptions(precision="bfloat16"))
    notes = []
    jobs.predict(path, model, PredictOptions(precision="bfloat16"), name="half", note=notes.append)
    found = open_scene(path).change_probability_half
    assert parameters_of(found)["dtype"] == "bfloat16"
    moved = np.nanmax(np.abs(found.values - exact))
    assert 0 < moved < 0.1
    assert any("bfloat16 moves the probabilities" in text for text in notes)
