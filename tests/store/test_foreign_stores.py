"""Stores written or modified by other software: each works or gives a clear error, and none is made unreadable."""

import shutil

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr
from pyproj import CRS

import sarcd  # noqa: F401  registers .sarcd
from sarcd import estimation, jobs
from sarcd.config import DetectOptions, IngestOptions
from sarcd.errors import SarcdError, SceneError
from sarcd.geography.georeference import of_scene
from sarcd.ingestion.append import append
from sarcd.simulation import sites
from sarcd.store.coordinates import encode_dates
from sarcd.store.create import write_scene
from sarcd.store.info import scene_info
from sarcd.store.openable import take
from sarcd.store.scene import SceneStore, open_scene
from tests.factories.scenes import dates, memory_scene, random_slc, stored_scene

SHAPE = (3, 70, 60)

# warnings of xarray and rasterio about their own output
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata", "ignore:Dataset has no geotransform")


@pytest.fixture
def foreign(tmp_path, rng):
    """Write a store as xarray does: days since the first date, one chunk for all dates, no list of pairs."""
    path = tmp_path / "foreign.zarr"
    memory_scene(rng, SHAPE).to_zarr(path)
    return path


def image(path, rng, shape=SHAPE[1:]):
    values = random_slc(rng, (2, *shape))[0]
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "count": 1, "dtype": "complex64"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(values, 1)
    return values


def names_of(path):
    return sorted(str(name) for name in xr.open_zarr(path).variables)


def test_info_reads_the_stores_own_units(foreign):
    info = scene_info(foreign)
    assert info["dates"] == ["2023-03-19", "2023-03-31", "2023-04-12"]
    assert [variable["state"] for variable in info["variables"]] == ["complete"]


def test_coherence_into_a_foreign_store(foreign):
    before = xr.open_zarr(foreign).load()
    wanted = estimation.coherence(before)
    jobs.coherence(foreign)
    opened = xr.open_zarr(foreign)
    np.testing.assert_array_equal(opened["coherence"], wanted)
    np.testing.assert_array_equal(opened["before"], wanted["before"])
    xr.testing.assert_identical(opened[["slc"]].drop_vars(["before", "after"], errors="ignore").load(), before[["slc"]])
    assert opened["coherence"].chunks[0] == (1, 1)  # instead of the images' three dates per chunk
    again = jobs.coherence(foreign)
    assert again.computed == 0


@pytest.mark.parametrize("method", ["ratio-test", "log-ratio"])
def test_detect_in_a_foreign_store(foreign, method):
    options = DetectOptions(method)
    wanted = xr.open_zarr(foreign).load().sarcd.detect(method=options)
    jobs.detect(foreign, options)
    np.testing.assert_array_equal(xr.open_zarr(foreign)["change"], wanted["change"])


@pytest.mark.parametrize("date", ["2023-04-24", "2023-04-24T05:58:00.25"])
@pytest.mark.parametrize("also", ["nothing", "coherence"])
def test_a_later_date_in_the_stores_own_units_or_in_finer_ones(foreign, tmp_path, rng, date, also):
    if also == "coherence":
        jobs.coherence(foreign)
    old = xr.open_zarr(foreign).load()
    values = image(tmp_path / "later.tif", rng)
    report = append([tmp_path / "later.tif"], foreign, IngestOptions(dates=(date,)))
    opened = xr.open_zarr(foreign)
    times = opened["time"].values.astype("datetime64[us]")
    assert list(times) == [*dates(3), np.datetime64(date, "us")]
    np.testing.assert_array_equal(opened["slc"][:3], old["slc"])
    np.testing.assert_array_equal(opened["slc"][3], values)
    assert report.pairs == opened.sizes["pair"]
    assert opened["after"].values.astype("datetime64[us]")[-1] == np.datetime64(date, "us")
    jobs.coherence(foreign)
    wanted = estimation.coherence(open_scene(foreign)[["slc"]])
    np.testing.assert_array_equal(xr.open_zarr(foreign)["coherence"], wanted)


def test_a_failed_append_leaves_dates_and_images_as_they_were(foreign, tmp_path, rng):
    old = xr.open_zarr(foreign).load()
    image(tmp_path / "later.tif", rng)
    whole = (tmp_path / "later.tif").read_bytes()
    (tmp_path / "later.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SarcdError):
        append([tmp_path / "later.tif"], foreign, IngestOptions(dates=("2023-04-24T05:58:00.25",)))
    xr.testing.assert_identical(xr.open_zarr(foreign).load(), old)
    assert SceneStore(foreign).array("time").shape == (3,)


@pytest.mark.parametrize(
    ("units", "dtype", "date", "number"),
    [
        ("days since 1970-01-01", "int64", "2023-03-19", 19435),
        ("days since 1970-01-01", "float64", "2023-03-19T12:00", 19435.5),
        ("hours since 2023-03-19 06:00:00", "int32", "2023-03-19T09:00", 3),
        ("seconds since 1970-01-01", "int64", "1970-01-01T00:01", 60),
        ("days since 1970-01-01", "int64", "2023-03-19T12:00", None),
        ("seconds since 1970-01-01", "int16", "2023-03-19", None),
    ],
)
def test_dates_in_other_units(units, dtype, date, number):
    found = encode_dates(np.array([date], "datetime64[us]"), np.dtype(dtype), {"units": units})
    assert (found is None) if number is None else (found[0] == number and found.dtype == dtype)


def test_a_calendar_that_the_world_does_not_have(foreign):
    group = zarr.open_group(foreign)
    group["time"].attrs["calendar"] = "360_day"
    zarr.consolidate_metadata(foreign)
    with pytest.raises(SceneError, match=r"calendar|should be datetime64"):
        jobs.coherence(foreign)


def test_without_a_list_of_what_is_finished(tmp_path, rng):
    path = tmp_path / "plain.zarr"
    scene = memory_scene(rng, SHAPE)
    scene.to_zarr(path, consolidated=False)
    assert len(scene_info(path)["dates"]) == 3
    jobs.statistics(path)
    jobs.coherence(path)
    opened = xr.open_zarr(path)
    np.testing.assert_array_equal(opened["slc"], scene["slc"])
    np.testing.assert_array_equal(opened["coherence"], estimation.coherence(scene))


def test_format_2(tmp_path, rng):
    path, scene = tmp_path / "old.zarr", memory_scene(rng, SHAPE)
    scene.to_zarr(path, zarr_format=2)
    np.testing.assert_array_equal(xr.open_zarr(path).sarcd.coherence(), estimation.coherence(scene))
    with pytest.raises(SceneError, match=r"Zarr format 2.*write_scene"):
        jobs.coherence(path)
    write_scene(xr.open_zarr(path), tmp_path / "new.zarr")
    jobs.coherence(tmp_path / "new.zarr")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "new.zarr")["coherence"], estimation.coherence(scene))


def test_zipped(tmp_path, rng):
    stored_scene(tmp_path / "s.zarr", rng)
    packed = shutil.make_archive(str(tmp_path / "s.zarr"), "zip", tmp_path / "s.zarr")
    with pytest.raises(SceneError, match=r"zip file.*Unpack"):
        open_scene(packed)
    (tmp_path / "file.zarr").write_text("no scene")
    with pytest.raises(SceneError, match="is a file"):
        open_scene(tmp_path / "file.zarr")


def cut(path, target):
    xr.open_zarr(path).isel(x=slice(0, 32)).to_zarr(target)


def rechunk(path, target):
    scene = xr.open_zarr(path).load()
    for variable in scene.variables.values():
        variable.encoding.clear()
    scene.chunk(time=2, pair=2, y=50, x=60).to_zarr(target)


def copy(path, target):
    xr.open_zarr(path).to_zarr(target)


@pytest.mark.parametrize("change", [copy, cut, rechunk])
def test_copies_that_xarray_wrote(tmp_path, rng, change):
    images = random_slc(rng, SHAPE)
    images[:, :32, :32] = np.nan + 1j * np.nan  # an empty chunk, which xarray does not write
    path = stored_scene(tmp_path / "s.zarr", rng, SHAPE, slc=images)
    jobs.coherence(path)
    target = tmp_path / "copy.zarr"
    change(path, target)
    whole = xr.open_zarr(target).load()
    assert all(variable["state"] == "complete" for variable in scene_info(target)["variables"])
    assert jobs.coherence(target).computed == 0
    jobs.detect(target, DetectOptions("ratio-test"))
    wanted = whole.sarcd.detect(method="ratio-test")
    opened = xr.open_zarr(target)
    np.testing.assert_array_equal(opened["change"], wanted["change"])
    np.testing.assert_array_equal(opened["slc"], whole["slc"])


def test_a_date_that_xarray_appended(tmp_path, rng):
    path = stored_scene(tmp_path / "s.zarr", rng, SHAPE)
    later = memory_scene(rng, (1, *SHAPE[1:])).assign_coords(time=dates(4)[3:])
    later.to_zarr(path, append_dim="time")
    before = xr.open_zarr(path).load()
    assert scene_info(path)["dates"][-1] == "2023-04-24"
    jobs.coherence(path, pairs="consecutive")
    opened = xr.open_zarr(path)
    np.testing.assert_array_equal(opened["coherence"], estimation.coherence(before, pairs="consecutive"))
    np.testing.assert_array_equal(opened["slc"], before["slc"])


def test_zeros_where_others_have_no_data(tmp_path, rng):
    scene = memory_scene(rng, SHAPE)
    scene["slc"][1, :, :20] = 0
    path = tmp_path / "zeros.zarr"
    scene.to_zarr(path)
    jobs.coherence(path)
    stored = xr.open_zarr(path)["coherence"]
    hidden = scene.assign(slc=scene["slc"].where(scene["slc"] != 0, np.nan + 1j * np.nan).astype("complex64"))
    np.testing.assert_array_equal(stored, estimation.coherence(hidden))
    assert np.isnan(stored[:, :, :15]).all()


@pytest.mark.parametrize(
    "encoding", [{"scale_factor": 0.01, "dtype": "int16", "_FillValue": -1}, {"_FillValue": -9999.0}]
)
def test_numbers_that_only_xarray_decodes(tmp_path, rng, encoding):
    scene = memory_scene(rng, SHAPE)
    detected = scene.drop_vars("slc").assign(amplitude=abs(scene["slc"]).astype("float32"))
    path = tmp_path / "encoded.zarr"
    detected.to_zarr(path, encoding={"amplitude": encoding})
    with pytest.raises(SceneError, match=r"encoded.*write_scene"):
        jobs.detect(path, DetectOptions("log-ratio"))
    write_scene(xr.open_zarr(path), tmp_path / "new.zarr")
    jobs.detect(tmp_path / "new.zarr", DetectOptions("log-ratio"))
    wanted = xr.open_zarr(path).load().sarcd.detect(method="log-ratio")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "new.zarr")["change"], wanted["change"])


def test_pairs_whose_dates_were_cut_away(tmp_path, rng):
    path = stored_scene(tmp_path / "s.zarr", rng, SHAPE)
    xr.open_zarr(path).isel(time=slice(0, 2)).to_zarr(tmp_path / "cut.zarr")
    with pytest.raises(SceneError, match="2023-04-12, which is not in 'time'"):
        jobs.coherence(tmp_path / "cut.zarr")
    write_scene(xr.open_zarr(tmp_path / "cut.zarr"), tmp_path / "new.zarr")
    assert jobs.coherence(tmp_path / "new.zarr").pairs == 1


def test_a_new_store_of_a_scene_keeps_its_mask(tmp_path):
    scene = sites.simulate("A", size=64)
    scene["mask"][:8] = 3
    write_scene(scene.transpose("x", "y", "time", "pair"), tmp_path / "new.zarr", chunk=40)
    opened = open_scene(tmp_path / "new.zarr")
    for name in ("slc", "label", "mask"):
        np.testing.assert_array_equal(opened[name], scene[name])
    assert opened["mask"].attrs["flag_meanings"] == scene["mask"].attrs["flag_meanings"]


def test_unlabelled_stays_unlabelled(tmp_path, rng):
    """A fill value in the encoding turns labels into floats: NaN is unlabelled, and never "no change"."""
    scene = sites.simulate("A", size=64)[["slc", "label"]]
    scene["label"][:, :9] = 255
    scene.to_zarr(tmp_path / "old.zarr", encoding={"label": {"_FillValue": np.uint8(255)}})
    opened = xr.open_zarr(tmp_path / "old.zarr")
    assert opened["label"].dtype.kind == "f"
    with pytest.raises(SceneError, match="write_scene"):
        open_scene(tmp_path / "old.zarr")
    write_scene(opened, tmp_path / "new.zarr")
    np.testing.assert_array_equal(open_scene(tmp_path / "new.zarr")["label"], scene["label"])
    with pytest.raises(SceneError, match="holds 7"):
        write_scene(opened.assign(label=opened["label"].where(opened["label"] != 1, 7)), tmp_path / "odd.zarr")
    assert not (tmp_path / "odd.zarr").exists()


def test_what_is_opened_without_dask_is_not_read_by_the_check(foreign):
    opened = xr.open_zarr(foreign, chunks=None)
    assert take(opened)["slc"].chunks is not None
    np.testing.assert_array_equal(estimation.coherence(opened), estimation.coherence(xr.open_zarr(foreign)))
    assert not opened["slc"].variable._in_memory


def test_a_grid_mapping_of_another_name_is_kept(tmp_path, rng):
    scene = memory_scene(rng, SHAPE).assign_coords(
        y=5_700_000.0 - 10 * np.arange(SHAPE[1]), x=500_000.0 + 10 * np.arange(SHAPE[2])
    )
    scene["crs"] = xr.DataArray(0, attrs=CRS.from_epsg(32631).to_cf())
    scene["slc"].attrs["grid_mapping"] = "crs"
    write_scene(scene, tmp_path / "new.zarr")
    found = of_scene(open_scene(tmp_path / "new.zarr"))
    assert found.crs.to_epsg() == 32631
    assert tuple(found.transform)[:6] == (10.0, 0.0, 499_995.0, 0.0, -10.0, 5_700_005.0)


@pytest.mark.filterwarnings("ignore:The data type")  # of zarr, about text and dates
@pytest.mark.parametrize("kind", ["text", "times", "uneven"])
def test_coordinates_that_place_nothing(tmp_path, rng, kind, caplog):
    scene = memory_scene(rng, SHAPE)
    rows = np.arange(SHAPE[1])
    values = {
        "text": np.array([f"row {row}" for row in rows]),
        "times": np.datetime64("2023-03-19T05:58", "us") + rows * np.timedelta64(2, "ms"),
        "uneven": rows**1.5,
    }
    scene.assign_coords(y=values[kind]).to_zarr(tmp_path / "s.zarr")
    told = scene_info(tmp_path / "s.zarr")["georeference"]["kind"]
    assert told == ("unknown" if kind == "uneven" else "none")
    if kind == "uneven":
        return
    with caplog.at_level("WARNING"):
        write_scene(xr.open_zarr(tmp_path / "s.zarr"), tmp_path / "new.zarr")
    assert "holds pixel numbers instead" in caplog.text
    np.testing.assert_array_equal(open_scene(tmp_path / "new.zarr")["y"], rows)


def test_a_refusal_does_not_log_what_is_not_done(tmp_path, rng, caplog):
    path = stored_scene(tmp_path / "s.zarr", rng, SHAPE)
    xr.open_zarr(path).isel(time=[0, 2]).to_zarr(tmp_path / "cut.zarr")
    with pytest.raises(SceneError, match="not in 'time'"):
        jobs.coherence(tmp_path / "cut.zarr")
    assert not caplog.records


def test_a_new_store_says_what_it_leaves_out(foreign, tmp_path, caplog):
    jobs.coherence(foreign)
    with caplog.at_level("INFO"):
        write_scene(open_scene(foreign), tmp_path / "new.zarr")
    assert "left out" in caplog.text
    assert "coherence" in caplog.text
