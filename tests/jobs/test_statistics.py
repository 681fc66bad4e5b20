"""Amplitude statistics kept in the store."""

import numpy as np
import pytest
import xarray as xr

from sarcd.attributes import decode
from sarcd.errors import CorruptChunkError, StatisticsError
from sarcd.io.store import SceneStore
from sarcd.jobs import write_statistics
from sarcd.ops.statistics import ATTRIBUTE
from tests.scenes import random_slc, stored_scene


def test_kept_with_their_dates_and_frozen(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, holes=0.1)
    statistics, computed = write_statistics(path)
    assert computed
    amplitude = np.abs(xr.open_zarr(path).slc.values)
    assert statistics.median[0] == np.nanmedian(amplitude.astype("float64"))
    kept = decode(xr.open_zarr(path).attrs[ATTRIBUTE])
    assert kept["dates"] == ["2023-03-19T00:00:00.000000", "2023-03-31T00:00:00.000000"]
    assert kept["median"] == list(statistics.median)
    SceneStore(path).array("slc")[0] = random_slc(rng, (1, 50, 60))[0] * 2
    assert write_statistics(path) == (statistics, False)
    renewed, computed = write_statistics(path, refresh=True)
    assert computed
    assert renewed != statistics


def test_what_depended_on_the_old_ones_is_marked_stale(tmp_path, rng):
    from sarcd.config import PredictOptions
    from sarcd.jobs import write_prediction
    from tests.networks import random_model_file

    path = stored_scene(tmp_path / "scene.zarr", rng)
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    write_prediction(path, model, PredictOptions(device="cpu"))
    SceneStore(path).array("slc")[...] = random_slc(rng, (2, 50, 60)) * 3
    write_statistics(path, refresh=True)
    scene = xr.open_zarr(path)
    assert "renewed" in scene.change_probability.attrs["sarcd_stale"]
    assert "renewed" in scene.change.attrs["sarcd_stale"]


def test_bad_images(tmp_path, rng):
    flat = stored_scene(tmp_path / "flat.zarr", None, (2, 20, 20), slc=np.full((2, 20, 20), 2, "complex64"))
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        write_statistics(flat)
    assert ATTRIBUTE not in xr.open_zarr(flat).attrs
    path = stored_scene(tmp_path / "scene.zarr", rng)
    (path / "slc" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(CorruptChunkError, match=r"slc/c/0/0/0.*absent"):
        write_statistics(path)
