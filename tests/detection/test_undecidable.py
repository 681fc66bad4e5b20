"""Undecidable areas are marked consistently by all label-free methods."""

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.attributes import fitted_of
from sarcd.config import DetectOptions
from sarcd.config.detection import METHODS
from sarcd.simulation import sites
from sarcd.store.scene import open_scene
from tests.detection.test_label_free import SHAPE, images

LAYOVER = slice(50, 60), slice(10, 30)
BY_COHERENCE = ("coherence-loss", "coherence-test", "combined-test", "coherence-network")
ELSEWHERE = ("combined-test", "coherence-network")  # another criterion decides where coherence cannot


def scene_of(slc, *, hidden=True):
    times = np.arange("2023-01-01", "2023-01-04", dtype="datetime64[D]").astype("datetime64[us]")
    scene = xr.Dataset({"slc": (("time", "y", "x"), slc)}, coords={"time": times})
    if not hidden:
        return scene
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[LAYOVER] = 1
    return scene.assign(mask=(("y", "x"), mask))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in ("auto", "pretrained", "auto-label-free")])
def test_layover_and_shadow_are_left_open_by_every_method(method):
    scene = scene_of(images())
    found = scene.sarcd.detect(method=method)
    plain = scene_of(images(), hidden=False).sarcd.detect(method=method)
    hidden = np.zeros(SHAPE[1:], bool)
    hidden[LAYOVER] = True
    assert (found.change.values[:, hidden] == 255).all()
    assert (found.undecidable.values[:, hidden] == 1).all()
    np.testing.assert_array_equal(found.change_score, plain.change_score)
    assert ("undecidable" in plain) == (method in BY_COHERENCE)
    outside = found.undecidable.values[:, ~hidden]
    if method in BY_COHERENCE:
        np.testing.assert_array_equal(outside, plain.undecidable.values[:, ~hidden])
    else:
        np.testing.assert_array_equal(outside == 255, found.change.values[:, ~hidden] == 255)
        assert not (outside == 1).any()


@pytest.mark.parametrize("method", BY_COHERENCE)
def test_ground_without_coherence(method):
    slc, rng = images(), np.random.default_rng(5)
    water = np.s_[:, 30:, 65:]
    slc[water] = (rng.normal(size=slc[water].shape) + 1j * rng.normal(size=slc[water].shape)) / np.sqrt(2)
    slc[2, 40:55, 70:85] *= 6
    found = scene_of(slc, hidden=False).sarcd.detect(
        method=DetectOptions(method, false_alarms=0.01) if method != "coherence-loss" else method
    )
    last, inner = found.undecidable.values[1], np.s_[36:64, 71:86]
    assert (last[inner] == 1).mean() > 0.85
    assert (last[12:48, 36:56] == 0).mean() > 0.95
    first = found.undecidable.values[0]
    assert set(np.unique(first)) == {1, 255}  # no earlier pairs yet
    np.testing.assert_array_equal(first == 255, found.undecidable.values[1] == 255)
    open_ = found.change.values[1][inner] == 255
    if method in ELSEWHERE:
        assert not open_.any()
        assert (found.change.values[1, 44:51, 74:81] == 1).all()  # intensity decides
    else:
        np.testing.assert_array_equal(open_, last[inner] == 1)


def test_coherence_decides_where_it_can_tell_and_the_network_elsewhere():
    slc, rng = images(), np.random.default_rng(5)
    water = np.s_[:, 30:, 65:]
    slc[water] = (rng.normal(size=slc[water].shape) + 1j * rng.normal(size=slc[water].shape)) / np.sqrt(2)
    slc[2, 40:55, 70:85] *= 6
    scene = scene_of(slc, hidden=False)
    rate = 0.01
    by_coherence = scene.sarcd.detect(method=DetectOptions("coherence-test", false_alarms=rate))
    predict = scene.sarcd.detect(method="network")
    both = scene.sarcd.detect(method=DetectOptions("coherence-network", false_alarms=rate))
    told = by_coherence.undecidable.values == 0
    assert 0.2 < told[1].mean() < 0.95
    for name in ("change", "change_score"):
        np.testing.assert_array_equal(both[name].values[told], by_coherence[name].values[told])
    np.testing.assert_array_equal(both.change.values[~told], predict.change.values[~told])
    decided = both.change.values != 255
    assert (both.change.values[~told & decided] == 1).any()
    # one threshold for both: score and map agree except for rounding
    above = both.change_score.values >= -np.log10(rate)
    assert (above[decided] == (both.change.values[decided] == 1)).mean() > 0.9999
    # within a pair, which has its own threshold, the score ranks pixels as the network's probability does
    for ours, theirs, of_network in zip(
        both.change_score.values, predict.change_score.values, ~told & decided, strict=True
    ):
        order = np.argsort(theirs[of_network], kind="stable")
        assert (np.diff(ours[of_network][order]) >= 0).all()


def test_hidden_ground_takes_no_part_in_the_fit_of_a_decision():
    scene = scene_of(images())
    bright = scene.copy(deep=True)
    bright.slc.values[(2, *LAYOVER)] *= 30
    one, two = (each.sarcd.detect(method="log-ratio").change for each in (scene, bright))
    thresholds = [fitted_of(each)[1]["rule"]["above"] for each in (one, two)]
    assert thresholds[0] == pytest.approx(thresholds[1], rel=0.1)


def test_a_simulated_site_is_judged_where_its_labels_are(tmp_path):
    path = tmp_path / "site.zarr"
    sites.write_site(path, "B", size=128, seed=3)
    jobs.detect(path, DetectOptions("auto-label-free"))
    stored = xr.open_zarr(path)
    hidden = stored.mask.values != 0
    assert hidden.any()
    np.testing.assert_array_equal(stored.undecidable.values[0] == 1, hidden)
    np.testing.assert_array_equal(stored.change.values[0] == 255, hidden)
    assert "undecidable" in open_scene(path).sarcd.detect(method="network")
