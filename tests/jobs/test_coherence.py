"""Coherence stored in the scene."""

import numpy as np
import pytest
import xarray as xr

from sarcd import config, estimation, jobs
from sarcd.attributes import parameters_of
from sarcd.config import ESTIMATORS, CoherenceOptions, Window
from sarcd.engine.run import in_bands
from sarcd.errors import CorruptChunkError, MismatchError, SceneError
from sarcd.store.regions import Region
from sarcd.store.scene import SceneStore, open_scene, publish
from tests.factories.scenes import stored_scene


@pytest.mark.parametrize("chunk", [16, 33, 1024])
@pytest.mark.parametrize("window", [Window(5, 5), Window(1, 41), Window(1, 5), Window(35, 3)])
def test_equals_the_lazy_operation(tmp_path, rng, chunk, window):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 70, 100), chunk=chunk, holes=0.1)
    result = jobs.coherence(path, CoherenceOptions(window=window))
    assert result.computed == -(-70 // chunk) * -(-100 // chunk)
    scene = open_scene(path)
    np.testing.assert_allclose(scene.coherence, estimation.coherence(scene, window=window), atol=1e-5)
    assert parameters_of(scene.coherence)["window"] == {"y": window.y, "x": window.x}


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_equals_the_lazy_operation_and_records_its_looks(tmp_path, rng, estimator, debias):
    path = stored_scene(tmp_path / "scene.zarr", rng, (3, 90, 100), chunk=32, holes=0.1)
    options = CoherenceOptions(window=Window(5, 3), estimator=estimator, debias=debias)
    result = jobs.coherence(path, options, phase=True)
    assert result.variables == ("coherence", "coherence_phase")
    scene = xr.open_zarr(path)
    wanted = {"window": options.window, "estimator": estimator}
    np.testing.assert_allclose(scene.coherence, estimation.coherence(scene, debias=debias, **wanted), atol=1e-5)
    np.testing.assert_allclose(scene.coherence_phase, estimation.coherence_phase(scene, **wanted), atol=1e-5)
    looks = estimation.effective_looks(scene, options.window, estimator=estimator)
    for variable in (scene.coherence, scene.coherence_phase):
        assert variable.attrs["effective_looks"] == looks
        assert parameters_of(variable) == config.to_dict(options)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_partly_done_run_goes_on_to_the_same_bytes(tmp_path, rng, estimator):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 90, 100), chunk=32, holes=0.1)
    options = CoherenceOptions(estimator=estimator, debias=True)
    jobs.coherence(path, options, phase=True)
    files = [file for name in ("coherence", "coherence_phase") for file in (path / name).rglob("*") if file.is_file()]
    reference = {file: file.read_bytes() for file in files}
    store = SceneStore(path)
    for name in ("coherence", "coherence_phase"):
        store.set_attrs(name, {"sarcd_complete": [False]})
    publish(store, remove=["coherence", "coherence_phase"])
    (path / "coherence" / "c/0/1/2").unlink()
    (path / "coherence_phase" / "c/0/2/0").unlink()
    assert jobs.coherence(path, options, phase=True).computed == 2
    assert {file: file.read_bytes() for file in files} == reference


def test_phase_is_added_to_a_coherence_that_is_there(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    jobs.coherence(path, name="coherence_small")
    before = open_scene(path).coherence_small.values
    result = jobs.coherence(path, name="coherence_small", phase=True)
    assert (result.variables, result.computed) == (("coherence_small", "coherence_phase_small"), 4)
    scene = open_scene(path)
    np.testing.assert_array_equal(scene.coherence_small, before)
    np.testing.assert_array_equal(scene.coherence_phase_small.isnull(), scene.coherence_small.isnull())
    assert jobs.coherence(path, name="coherence_small", phase=True).computed == 0
    with pytest.raises(SceneError, match="not the name of a coherence"):
        jobs.coherence(path, name="coherence_phase")


def test_a_result_older_than_an_option_is_the_same_at_its_default(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    jobs.coherence(path)
    old = {"window": {"y": 5, "x": 5}, "estimator": "boxcar", "min_valid": 0.5}
    assert parameters_of(SceneStore(path).array("coherence").attrs) == old
    assert jobs.coherence(path).computed == 0
    with pytest.raises(MismatchError, match="debias None, now True"):
        jobs.coherence(path, CoherenceOptions(debias=True))


def test_no_valid_pixels(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, slc=np.full((2, 40, 40), np.nan, "complex64"), shape=(2, 40, 40))
    jobs.coherence(path)
    assert "effective_looks" not in open_scene(path).coherence.attrs
    with pytest.raises(SceneError, match="looks are unknown"):
        jobs.coherence(path, CoherenceOptions(debias=True), name="coherence_debiased")
    assert "coherence_debiased" not in open_scene(path)


def test_done_twice_is_nothing_to_do(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    assert jobs.coherence(path).computed == 4
    again = jobs.coherence(path)
    assert (again.computed, again.kept) == (0, 4)
    with pytest.raises(MismatchError, match="--overwrite"):
        jobs.coherence(path, CoherenceOptions(window=Window(7, 7)))
    assert jobs.coherence(path, CoherenceOptions(window=Window(7, 7)), overwrite=True).computed == 4
    beside = jobs.coherence(path, name="coherence_small")
    assert beside.variables == ("coherence_small",)
    assert {"coherence", "coherence_small"} <= set(xr.open_zarr(path))


def test_further_pairs(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (3, 40, 40))
    assert jobs.coherence(path).computed == 2 * 4
    result = jobs.coherence(path, pairs="all")
    assert (result.pairs, result.computed, result.kept) == (3, 4, 8)
    scene = open_scene(path)
    np.testing.assert_allclose(scene.coherence, estimation.coherence(scene, pairs=None), atol=1e-5)
    np.testing.assert_array_equal(scene.before.values[2], scene.time.values[0])
    np.testing.assert_array_equal(scene.after.values[2], scene.time.values[2])


def test_corrupt_input_is_named_and_nothing_is_published(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 120, 120))
    chunk = path / "slc" / "c" / "0" / "3" / "3"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-3])
    with pytest.raises(CorruptChunkError, match="slc/c/0/3/3"):
        jobs.coherence(path)
    assert "coherence" not in xr.open_zarr(path)
    chunk.write_bytes(whole)
    assert jobs.coherence(path).kept > 0


def test_one_date_or_no_phase(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (1, 40, 40))
    with pytest.raises(SceneError, match="change needs 2"):
        jobs.coherence(path)


def test_bands_keep_every_region_once():
    regions = [
        Region(0, slice(y, y + 1024), slice(x, x + 1024)) for y in range(0, 8192, 1024) for x in range(0, 40960, 1024)
    ]
    ordered = in_bands(regions, (1024, 1024), 2**28)
    assert sorted(map(repr, ordered)) == sorted(map(repr, regions))
    # 2^28 bytes hold three rows of five chunks of two dates: bands of three, plus one on either side
    assert [(region.y.start // 1024, region.x.start // 1024) for region in ordered[:5]] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    ]
