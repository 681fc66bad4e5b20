"""Uncertainty stored with label-free maps."""

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs, schema
from sarcd.config import DetectOptions
from sarcd.detection.uncertainty import OF_DECISION, OF_EITHER, wrong
from sarcd.errors import OptionError
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.detection.test_label_free import CHANGED, SHAPE, images
from tests.factories.scenes import stored_scene


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return stored_scene(tmp_path_factory.mktemp("doubt") / "scene.zarr", None, SHAPE, chunk=32, slc=images())


@pytest.mark.parametrize("method", ["network", "log-ratio", "ratio-test", "coherence-network"])
def test_the_store_holds_what_the_lazy_dataset_does(path, method):
    options = DetectOptions(method, uncertainty=True, min_pixels=5)
    lazy = open_scene(path).sarcd.detect(method=options)
    plain = open_scene(path).sarcd.detect(method=DetectOptions(method, min_pixels=5))
    result = jobs.detect(path, options, name=method)
    stored, name = xr.open_zarr(path), f"uncertainty_{method}"
    assert name in result.variables
    np.testing.assert_array_equal(stored[name], lazy.uncertainty)
    assert stored[name].attrs["long_name"] == lazy.uncertainty.attrs["long_name"]
    told = lazy.uncertainty.attrs["long_name"]
    assert told == {"network": schema.variable("uncertainty").long_name, "coherence-network": OF_EITHER}.get(
        method, OF_DECISION
    )
    xr.testing.assert_equal(plain.change, lazy.change)
    assert plain.change.attrs == lazy.change.attrs
    uncertainty = lazy.uncertainty.values
    np.testing.assert_array_equal(np.isnan(uncertainty), lazy.change == 255)
    assert np.nanmin(uncertainty) >= 0
    assert np.nanmax(uncertainty) <= (0.5 if method == "network" else 1)
    inside = uncertainty[1, CHANGED[1].start + 6 : CHANGED[1].stop - 6, CHANGED[2].start + 6 : CHANGED[2].stop - 6]
    rim = uncertainty[1, CHANGED[1].start - 3 : CHANGED[1].start + 3, CHANGED[2]]
    assert inside.mean() < min(0.02, rim.mean() / 2)


def test_may_be_added_to_a_map_that_is_there(path):
    jobs.detect(path, DetectOptions("ratio-test"), name="later")
    added = jobs.detect(path, DetectOptions("ratio-test", uncertainty=True), name="later")
    assert added.computed > 0
    assert "uncertainty_later" in xr.open_zarr(path)


def test_refused_where_it_would_be_made_up():
    with pytest.raises(OptionError, match=r"uncertainty: pca_kmeans .* kittler"):
        DetectOptions("mean-ratio", uncertainty=True)
    with pytest.raises(OptionError, match="otsu"):
        DetectOptions("log-ratio", decision="otsu", uncertainty=True)
    assert DetectOptions("mean-ratio", decision="kittler", uncertainty=True).uncertainty


def test_nothing_changed_so_that_what_is_flagged_is_surely_wrong(tmp_path):
    slc = images()
    slc[CHANGED] = slc[(1, *CHANGED[1:])]
    scene = open_scene(stored_scene(tmp_path / "calm.zarr", None, SHAPE, chunk=32, slc=slc))
    found = scene.sarcd.detect(method=DetectOptions("ratio-test", false_alarms=0.05), uncertainty=True)
    np.testing.assert_array_equal(found.uncertainty == 1, found.change == 1)


def test_wrong_by_hand():
    change = xr.DataArray(np.array([[[1, 0, 255, 1]]], np.uint8), dims=("pair", "y", "x"))
    probability = change.copy(data=np.array([[[0.9, 0.3, 0.5, np.nan]]], np.float32))
    np.testing.assert_allclose(wrong(change, probability)[0, 0], [0.1, 0.3, np.nan, np.nan], atol=1e-7)


def test_command(path):
    assert main(["detect", str(path), "--method", "log-ratio", "--uncertainty", "--name", "cli"]) == 0
    assert xr.open_zarr(path)["uncertainty_cli"].attrs["long_name"] == OF_DECISION
    assert main(["detect", str(path), "--method", "mean-ratio", "--uncertainty", "--name", "no"]) == 1
