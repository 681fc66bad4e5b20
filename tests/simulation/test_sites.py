from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from sarcd import schema
from sarcd.errors import OptionError, StoreError
from sarcd.metrics.kernels.scores import best_threshold
from sarcd.simulation.sites import SITES, simulate, varied, write_site

NAMES = tuple(SITES)


def boxcar_coherence(z1, z2, window):
    def mean(a):
        return ndimage.uniform_filter(a, window)

    cross = z1 * z2.conj()
    return np.hypot(mean(cross.real), mean(cross.imag)) / np.sqrt(mean(np.abs(z1) ** 2) * mean(np.abs(z2) ** 2))


@pytest.fixture(scope="module", params=NAMES)
def scene(request):
    return simulate(request.param, truth=True)


def test_a_site_is_a_scene(scene):
    assert schema.validate(scene) is scene
    assert scene["slc"].dims == ("time", "y", "x")
    assert scene["slc"].shape == (2, 1024, 1024)
    assert scene["label"].shape == scene["true_coherence"].shape == (1, 1024, 1024)
    assert scene["mask"].dims == ("y", "x")
    assert scene["time"].dtype.kind == "M"
    assert scene["y"].dtype == scene["x"].dtype == np.float64
    azimuth, slant = scene.attrs["spacing_m"]
    assert scene["y"].values[0] == azimuth / 2
    assert scene["x"].values[0] == slant / 2
    assert slant / azimuth == pytest.approx(np.sin(np.deg2rad(scene.attrs["incidence_deg"])))
    assert scene["spatial_ref"].dtype == np.int64
    assert scene["spatial_ref"].attrs == {}
    assert scene.attrs["sarcd_schema"] == 1
    assert scene.attrs["simulated"] == "true"
    assert scene["slc"].attrs["grid_mapping"] == "spatial_ref"
    assert scene["mask"].attrs["flag_masks"] == [1, 2]
    assert scene["after"].values[0] - scene["before"].values[0] == np.timedelta64(11, "D")


def test_thresholds_on_one_quantity_fail(scene):
    z1, z2 = scene["slc"].values
    label = scene["label"].values[0]
    for window in (5, 7):
        assert best_threshold(label, 1 - boxcar_coherence(z1, z2, window))[1] < 0.55
        before, after = (ndimage.uniform_filter(np.abs(z) ** 2, window) for z in (z1, z2))
        assert best_threshold(label, np.abs(np.log(after / before)))[1] < 0.35
    # Even true coherence does not separate change from vegetation, water and busy roads.
    assert best_threshold(label, 1 - scene["true_coherence"].values[0])[1] < 0.85


def test_the_class_map_would_make_coherence_enough(scene):
    """Use an oracle that knows the class of each pixel and the probability of change at each coherence."""
    label = scene["label"].values[0]
    judged = label != schema.NO_LABEL
    coherence = boxcar_coherence(*scene["slc"].values, 13)
    place = 50 * scene["land_cover"].values.astype(int) + np.minimum(50 * coherence, 49).astype(int)
    counts = [np.bincount(place[judged & (label == value)], minlength=600) for value in (0, 1)]
    likely = (counts[1] / np.maximum(counts[0] + counts[1], 1))[place]
    assert best_threshold(label, likely)[1] > 0.7


def test_changes_are_few_large_and_low_coherence_is_not(scene):
    label, coherence = scene["label"].values[0], scene["true_coherence"].values[0]
    changed = label == 1
    assert 0.004 < changed.mean() < 0.05
    assert ((coherence < 0.25) & (label == 0)).mean() > 2 * changed.mean()
    # Masked pixels within an object belong to it.
    objects = np.bincount(ndimage.label(label > 0)[0][changed])
    assert np.sum(objects[objects > 144]) > 0.95 * changed.sum()
    patches = changed.reshape(4, 256, 4, 256).any(axis=(1, 3))
    assert 2 <= patches.sum() <= 8
    assert (label == schema.NO_LABEL).mean() < 0.12


def test_sites_differ():
    small = {name: simulate(name, size=256, truth=True) for name in NAMES}
    medians = [float(np.median(np.abs(scene["slc"]))) for scene in small.values()]
    assert 20 * np.log10(max(medians) / min(medians)) > 5
    assert [small[name].attrs["orbit"] for name in NAMES] == ["ascending", "descending", "ascending"]
    assert len({scene.attrs["incidence_deg"] for scene in small.values()}) == 3


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = simulate("A", size=96, seed=3), simulate("A", size=96, seed=3), simulate("A", size=96, seed=4)
    assert first.identical(again)
    assert first["slc"].values.tobytes() == again["slc"].values.tobytes()
    assert first["slc"].values.tobytes() != other["slc"].values.tobytes()


def test_dates_are_consecutive_pairs():
    scene = simulate("C", size=(96, 160), dates=4, interval_days=(4, 7, 11))
    assert scene["slc"].shape == (4, 96, 160)
    np.testing.assert_array_equal(scene["before"].values, scene["time"].values[:-1])
    np.testing.assert_array_equal(scene["after"].values, scene["time"].values[1:])
    np.testing.assert_array_equal(np.diff(scene["time"].values) / np.timedelta64(1, "D"), [4, 7, 11])
    assert set(scene.data_vars) == {"slc", "label", "mask"}
    for label in scene["label"].values:
        assert (label == 1).any()


def test_longer_intervals_leave_less_coherence():
    short, long = (simulate("A", size=128, interval_days=days, truth=True)["true_coherence"].values for days in (4, 33))
    assert short.mean() > 1.05 * long.mean()


def test_without_changes_pseudo_changes_remain():
    scene = simulate(replace(SITES["B"], changes=(0, 0)), size=700, truth=True)
    assert not (scene["label"] == 1).any()
    assert (scene["pseudo_change"].values > 0).mean() > 0.02
    assert (scene["true_coherence"].values < 0.25).mean() > 0.05


@pytest.mark.parametrize("seed", range(4))
def test_varied_sites_are_sites(seed):
    scene = simulate(varied(seed), size=128, seed=seed)
    assert np.isfinite(scene["slc"].values).all()
    assert (scene["label"] == 1).any()


def test_pixels_without_data_are_nan_and_unlabelled():
    scene = simulate("B", size=128, invalid=True, truth=True)
    gone = np.isnan(scene["slc"].values[0])
    assert 0.01 < gone.mean() < 0.15
    assert ndimage.label(gone)[1] == 2  # a border and a hole
    np.testing.assert_array_equal(np.isnan(scene["slc"].values[1]), gone)
    assert (scene["label"].values[0][gone] == schema.NO_LABEL).all()
    np.testing.assert_array_equal(np.isnan(scene["true_coherence"].values[0]), gone)


def test_a_streamed_site_has_the_same_bytes(tmp_path, monkeypatch):
    wanted = simulate("C", size=(150, 200), seed=2, dates=3, truth=True)
    monkeypatch.setattr(schema, "CHUNK", 64)
    fractions = write_site(tmp_path / "site.zarr", "C", size=(150, 200), seed=2, dates=3)
    stored = xr.open_zarr(tmp_path / "site.zarr")
    assert set(stored.data_vars) == {"slc", "label", "mask", "true_coherence"}
    for name, array in stored.data_vars.items():
        assert array.dims == wanted[name].dims
        np.testing.assert_array_equal(array.values, wanted[name].values, err_msg=str(name))
        assert array.attrs["long_name"] == wanted[name].attrs["long_name"]
    for name in ("time", "y", "x", "before", "after"):
        np.testing.assert_array_equal(stored[name].values, wanted[name].values)
    assert stored.attrs["spacing_m"] == wanted.attrs["spacing_m"]
    label = wanted["label"].values
    assert fractions["changed_fraction"] == pytest.approx((label == 1).sum() / (label != 255).sum())
    assert fractions["masked_fraction"] == pytest.approx((label == 255).mean())
    schema.validate(stored)
    with pytest.raises(StoreError, match="already exists"):
        write_site(tmp_path / "site.zarr", "C", size=64)


def test_a_site_survives_zarr(tmp_path):
    scene = simulate("A", size=64, truth=True)
    scene.to_zarr(tmp_path / "site.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "site.zarr", consolidated=False)
    np.testing.assert_array_equal(back["slc"].values, scene["slc"].values)
    assert back.attrs["spacing_m"] == scene.attrs["spacing_m"]


@pytest.mark.parametrize(
    ("wrong", "option"),
    [
        ({"name": "D"}, "site"),
        ({"size": 32}, "size"),
        ({"size": (64, 64, 64)}, "size"),
        ({"size": 100.5}, "size"),
        ({"size": 64, "dates": 1}, "dates"),
        ({"size": 64, "dates": 3, "interval_days": (11,)}, "interval_days"),
        ({"size": 64, "interval_days": 0}, "interval_days"),
    ],
)
def test_unusable_requests_are_refused(wrong, option, tmp_path):
    for make in (simulate, lambda **given: write_site(tmp_path / "site.zarr", **given)):
        with pytest.raises(OptionError) as caught:
            make(**wrong)
        assert caught.value.option == option
        assert caught.value.hint
    assert not list(tmp_path.iterdir())
