import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.sites import SITES, site

NAMES = tuple(SITES)


def best_f1(score, label):
    """F1 of the best of 400 thresholds."""
    truth = label.ravel() == 1
    thresholds = np.quantile(score, np.linspace(0, 1, 400))
    found = np.searchsorted(np.sort(score.ravel()), thresholds)
    missed = np.searchsorted(np.sort(score.ravel()[truth]), thresholds)
    hits = truth.sum() - missed
    return float(np.max(2 * hits / (score.size - found + truth.sum())))


def boxcar_coherence(z1, z2, window):
    def mean(a):
        return ndimage.uniform_filter(a, window)

    cross = z1 * z2.conj()
    return np.hypot(mean(cross.real), mean(cross.imag)) / np.sqrt(mean(np.abs(z1) ** 2) * mean(np.abs(z2) ** 2))


@pytest.fixture(scope="module", params=NAMES)
def scene(request):
    return site(request.param, truth=True)


def test_a_site_is_a_scene(scene):
    assert schema.validate(scene) is scene
    assert scene["slc"].dims == ("time", "y", "x")
    assert scene["slc"].shape == (2, 1024, 1024)
    assert scene["label"].shape == (1, 1024, 1024)
    assert scene["time"].dtype.kind == "M"
    assert scene["y"].dtype == scene["x"].dtype == np.float64
    assert scene["y"].values[0] == scene.attrs["spacing_m"][0] / 2
    assert scene["spatial_ref"].dtype == np.int64
    assert scene["spatial_ref"].attrs == {}
    assert scene.attrs["sarcd_schema"] == 1
    assert scene.attrs["simulated"] == "true"
    assert scene["slc"].attrs["grid_mapping"] == "spatial_ref"
    assert scene["after"].values[0] - scene["before"].values[0] == np.timedelta64(11, "D")


def test_thresholds_on_one_quantity_fail(scene):
    z1, z2 = scene["slc"].values
    label = scene["label"].values[0]
    for window in (5, 9):
        assert best_f1(1 - boxcar_coherence(z1, z2, window), label) < 0.55
        before, after = (ndimage.uniform_filter(np.abs(z) ** 2, window) for z in (z1, z2))
        assert best_f1(np.abs(np.log(after / before)), label) < 0.35
    # Even the truth about coherence does not separate change from vegetation and water.
    assert best_f1(1 - scene["true_coherence"].values[0], label) < 0.75


def test_changes_are_few_and_low_coherence_is_not(scene):
    label, coherence = scene["label"].values[0], scene["true_coherence"].values[0]
    assert 0.02 < label.mean() < 0.06
    assert ((coherence < 0.2) & (label == 0)).mean() > 2 * label.mean()
    assert scene["pseudo_change"].dtype == np.uint8
    assert scene["land_cover"].dims == ("y", "x")


def test_sites_differ():
    small = {name: site(name, size=256, truth=True) for name in NAMES}
    medians = [float(np.median(np.abs(scene["slc"]))) for scene in small.values()]
    assert 20 * np.log10(max(medians) / min(medians)) > 5
    assert [small[name].attrs["orbit"] for name in NAMES] == ["ascending", "descending", "ascending"]
    covers = [scene["land_cover"].values for scene in small.values()]
    assert (covers[0] != covers[1]).mean() > 0.2
    varied = [
        np.bincount(site(name, size=512, truth=True)["land_cover"].values.ravel(), minlength=12) for name in NAMES
    ]
    evenness = [-np.sum(np.where(n > 0, n / n.sum() * np.log(np.maximum(n, 1) / n.sum()), 0)) for n in varied]
    assert np.argmax(evenness) == NAMES.index("B")


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = site("A", size=96, seed=3), site("A", size=96, seed=3), site("A", size=96, seed=4)
    assert first.identical(again)
    assert first["slc"].values.tobytes() == again["slc"].values.tobytes()
    assert first["slc"].values.tobytes() != other["slc"].values.tobytes()


def test_sizes_dates_and_intervals():
    scene = site("C", size=(70, 131), dates=4, interval_days=(4, 7, 4.5))
    assert scene["slc"].shape == (4, 70, 131)
    assert scene["label"].shape == (3, 70, 131)
    steps = np.diff(scene["time"].values) / np.timedelta64(1, "h")
    np.testing.assert_allclose(steps, [96, 168, 108])
    np.testing.assert_array_equal(scene["before"].values, scene["time"].values[:-1])
    np.testing.assert_array_equal(scene["after"].values, scene["time"].values[1:])
    assert set(scene.data_vars) == {"slc", "label"}
    for label in scene["label"].values:
        assert label.any()


def test_longer_intervals_leave_less_coherence():
    short, long = (site("A", size=128, interval_days=days, truth=True)["true_coherence"].values for days in (4, 33))
    assert short.mean() > long.mean() + 0.05


def test_pixels_without_data_are_nan_and_unlabelled():
    scene = site("B", size=128, invalid=True)
    gone = np.isnan(scene["slc"].values[0])
    assert gone.any()
    assert (scene["label"].values[0][gone] == schema.NO_LABEL).all()


def test_a_site_survives_zarr(tmp_path):
    scene = site("A", size=64, truth=True)
    scene.to_zarr(tmp_path / "site.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "site.zarr", consolidated=False)
    np.testing.assert_array_equal(back["slc"].values, scene["slc"].values)
    assert back.attrs["spacing_m"] == scene.attrs["spacing_m"]


@pytest.mark.parametrize(
    ("wrong", "where"),
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
def test_unusable_requests_are_refused(wrong, where):
    with pytest.raises(OptionError) as caught:
        site(**wrong)
    assert caught.value.where == where
    assert caught.value.mend
