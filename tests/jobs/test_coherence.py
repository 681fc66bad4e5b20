"""Coherence kept in the store."""

import numpy as np
import pytest
import xarray as xr

from sarcd import ops
from sarcd.config import CoherenceOptions, Window
from sarcd.errors import CorruptChunkError, MismatchError, SceneError
from sarcd.io.regions import Region
from sarcd.io.store import open_scene
from sarcd.jobs import write_coherence
from sarcd.jobs._run import in_bands
from tests.scenes import stored_scene


@pytest.mark.parametrize("chunk", [16, 33, 1024])
@pytest.mark.parametrize("window", [Window(5, 5), Window(1, 41), Window(35, 3)])
def test_equals_the_lazy_operation(tmp_path, rng, chunk, window):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 70, 100), chunk=chunk, holes=0.1)
    result = write_coherence(path, CoherenceOptions(window=window))
    assert result.computed == -(-70 // chunk) * -(-100 // chunk)
    scene = open_scene(path)
    np.testing.assert_allclose(scene.coherence, ops.coherence(scene, window=window), atol=1e-5)
    assert scene.coherence.attrs["sarcd_parameters"]["window"] == {"y": window.y, "x": window.x}


def test_done_twice_is_nothing_to_do(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    assert write_coherence(path).computed == 4
    again = write_coherence(path)
    assert (again.computed, again.kept) == (0, 4)
    with pytest.raises(MismatchError, match="--overwrite"):
        write_coherence(path, CoherenceOptions(window=Window(7, 7)))
    assert write_coherence(path, CoherenceOptions(window=Window(7, 7)), overwrite=True).computed == 4
    beside = write_coherence(path, name="coherence_small")
    assert beside.variables == ("coherence_small",)
    assert {"coherence", "coherence_small"} <= set(xr.open_zarr(path))


def test_further_pairs(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (3, 40, 40))
    assert write_coherence(path).computed == 2 * 4
    result = write_coherence(path, pairs="all")
    assert (result.pairs, result.computed, result.kept) == (3, 4, 8)
    scene = open_scene(path)
    np.testing.assert_allclose(scene.coherence, ops.coherence(scene, pairs=None), atol=1e-5)
    np.testing.assert_array_equal(scene.before.values[2], scene.time.values[0])
    np.testing.assert_array_equal(scene.after.values[2], scene.time.values[2])


def test_corrupt_input_is_named_and_nothing_is_published(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 120, 120))
    chunk = path / "slc" / "c" / "0" / "3" / "3"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-3])
    with pytest.raises(CorruptChunkError, match="slc/c/0/3/3"):
        write_coherence(path)
    assert "coherence" not in xr.open_zarr(path)
    chunk.write_bytes(whole)
    assert write_coherence(path).kept > 0


def test_one_date_or_no_phase(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (1, 40, 40))
    with pytest.raises(SceneError, match="change needs 2"):
        write_coherence(path)


def test_bands_keep_every_region_once():
    regions = [
        Region(0, slice(y, y + 1024), slice(x, x + 1024)) for y in range(0, 8192, 1024) for x in range(0, 40960, 1024)
    ]
    ordered = in_bands(regions, (1024, 1024), 2**28)
    assert sorted(map(repr, ordered)) == sorted(map(repr, regions))
    # 2^28 bytes hold three rows of five chunks of two dates: bands of three, and one more on either side
    assert [(region.y.start // 1024, region.x.start // 1024) for region in ordered[:5]] == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    ]
