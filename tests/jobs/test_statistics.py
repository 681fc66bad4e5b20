"""Amplitude statistics stored in the scene."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.attributes import decode
from sarcd.config import PredictOptions
from sarcd.errors import CorruptChunkError, StatisticsError
from sarcd.estimation.amplitudes import ATTRIBUTE
from sarcd.ingestion.append import append
from sarcd.store.scene import SceneStore
from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.rasters import write_raster
from tests.factories.scenes import random_slc, stored_scene


def test_kept_with_their_dates_and_frozen(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, holes=0.1)
    statistics, computed = jobs.statistics(path)
    assert computed
    amplitude = np.abs(xr.open_zarr(path).slc.values)
    assert statistics.median[0] == np.nanmedian(amplitude.astype("float64"))
    kept = decode(xr.open_zarr(path).attrs[ATTRIBUTE])
    assert kept["dates"] == ["2023-03-19T00:00:00.000000", "2023-03-31T00:00:00.000000"]
    assert kept["median"] == list(statistics.median)
    SceneStore(path).array("slc")[0] = random_slc(rng, (1, 50, 60))[0] * 2
    assert jobs.statistics(path) == (statistics, False)
    renewed, computed = jobs.statistics(path, refresh=True)
    assert computed
    assert renewed != statistics


def test_what_depended_on_the_old_ones_is_marked_stale(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    jobs.predict(path, model, PredictOptions(device="cpu"))
    SceneStore(path).array("slc")[...] = random_slc(rng, (2, 50, 60)) * 3
    jobs.statistics(path, refresh=True)
    scene = xr.open_zarr(path)
    assert "renewed" in scene.change_probability.attrs["sarcd_stale"]
    assert "renewed" in scene.change.attrs["sarcd_stale"]


def test_bad_images(tmp_path, rng):
    flat = stored_scene(tmp_path / "flat.zarr", None, (2, 20, 20), slc=np.full((2, 20, 20), 2, "complex64"))
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        jobs.statistics(flat)
    assert ATTRIBUTE not in xr.open_zarr(flat).attrs
    path = stored_scene(tmp_path / "scene.zarr", rng)
    (path / "slc" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(CorruptChunkError, match=r"slc/c/0/0/0.*absent"):
        jobs.statistics(path)


def louder_scene(path, rng, dates, decibels=6.0):
    images = random_slc(rng, (dates, 50, 60))
    images[1] *= np.float32(10 ** (decibels / 20))
    return stored_scene(path, rng, (dates, 50, 60), slc=images), images


def test_per_date_where_the_levels_differ_and_explicit_choices_win(tmp_path, rng):
    path, _ = louder_scene(tmp_path / "scene.zarr", rng, 2)
    statistics, _ = jobs.statistics(path)
    assert statistics.per_date
    assert jobs.statistics(path) == (statistics, False)
    assert decode(xr.open_zarr(path).attrs[ATTRIBUTE])["per_date"] is True
    pooled, computed = jobs.statistics(path, per_date=False)
    assert (pooled.per_date, computed) == (False, True)
    assert jobs.statistics(path) == (pooled, False)


def test_the_command_says_it_and_what_was_left_out(tmp_path, rng, capsys):
    path, _ = louder_scene(tmp_path / "scene.zarr", rng, 2)
    array = SceneStore(path).array("slc")
    array[1, :, :15] = np.nan + 1j * np.nan
    capsys.readouterr()
    assert main(["statistics", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "differ by 6." in err or "differ by 5." in err
    assert "one median and MAD a date are kept; --pooled --refresh keeps the other" in err
    told = json.loads(out)
    assert told["invalid"] == [0.0, 0.25]
    assert told["per_date"] is True
    assert told["median"] == told["level"]
    assert main(["statistics", str(path), "--pooled"]) == 0
    out, err = capsys.readouterr()
    assert "one median and MAD for all dates are kept" in err
    assert "0 %, 25 %" in out


def appended(path, image):
    """Append a date to a scene."""
    folder = path.parent
    file = write_raster(folder / "20230412.tif", image)
    append([file], path)


@pytest.mark.filterwarnings("ignore:the median amplitudes of")
def test_prediction_goes_on_after_a_date_was_appended(tmp_path, rng):
    """Earlier pairs are kept, and the new one equals that of a scene with all three dates."""
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    path, images = louder_scene(tmp_path / "scene.zarr", rng, 3)
    grown = stored_scene(tmp_path / "grown.zarr", rng, (2, 50, 60), slc=images[:2])
    told = []
    jobs.predict(grown, model, PredictOptions(device="cpu"), note=told.append)
    assert any("of each date, since their medians differ by" in text for text in told)
    appended(grown, images[2])
    told.clear()
    result = jobs.predict(grown, model, PredictOptions(device="cpu"), note=told.append)
    assert "amplitude statistics of dates that were appended are computed and kept" in told
    assert result.kept == 2 * 2  # regions of the first pair
    jobs.predict(path, model, PredictOptions(device="cpu"))
    both = [xr.open_zarr(one).change_probability.values for one in (grown, path)]
    np.testing.assert_array_equal(*both)
    assert "sarcd_stale" not in xr.open_zarr(grown).change_probability.attrs
    jobs.statistics(grown, refresh=True)
    assert "sarcd_stale" not in xr.open_zarr(grown).change_probability.attrs


@pytest.mark.filterwarnings("ignore:the median amplitudes of")
def test_pooled_statistics_that_a_new_date_does_not_fit(tmp_path, rng):
    model = random_model_file(tmp_path / "m.safetensors", widths=(4, 8))
    images = random_slc(rng, (3, 50, 60))
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 50, 60), slc=images[:2])
    assert not jobs.statistics(path)[0].per_date
    appended(path, 2 * images[2])
    told = []
    jobs.predict(path, model, PredictOptions(device="cpu"), note=told.append)
    assert any("dates differ by" in text and "'sarcd statistics --per-date --refresh'" in text for text in told)
