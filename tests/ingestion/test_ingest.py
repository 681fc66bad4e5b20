"""Ingesting rasters into a scene, completely or not at all."""

import errno
import itertools
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import shapely
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from sarcd.config import IngestOptions
from sarcd.errors import InputError, LockedError, OptionError, StoreError
from sarcd.geography.georeference import of_dataset, of_scene
from sarcd.ingestion import scene as module
from sarcd.ingestion.scene import ingest, windows
from sarcd.ingestion.sources import _label_pairs
from sarcd.store.chunks import expected_keys
from sarcd.store.scene import SceneStore, open_scene
from sarcd.store.storage import new_scene_lock
from tests.factories.rasters import UTM, ground_control_points, open_raster, slc, truncate, write_raster
from tests.factories.shapes import write_shapes
from tests.said import logged

DAYS = ("20230319", "20230331", "20230412")


@pytest.fixture
def images(tmp_path, rng):
    """Write three complex images named by date, out of order; also returns their pixels by date."""
    values = [slc(rng) for _ in DAYS]
    paths = [write_raster(tmp_path / f"{day}.tif", value, **UTM) for day, value in zip(DAYS, values, strict=True)]
    return [paths[1], paths[2], paths[0]], np.stack(values)


def left_behind(folder, *known):
    return sorted(path.name for path in folder.iterdir() if path.suffix not in {".tif", ".zarr", *known})


def test_scene_of_complex_images(tmp_path, images):
    paths, values = images
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(chunk=16))
    scene = xr.open_zarr(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(scene["slc"].values, values)
    np.testing.assert_array_equal(
        scene["time"].values, np.array(["2023-03-19", "2023-03-31", "2023-04-12"], "datetime64[ns]")
    )
    np.testing.assert_array_equal(scene["before"].values, scene["time"].values[:-1])
    assert scene["slc"].chunks == ((1, 1, 1), (16, 16, 8), (16, 16, 16, 2))
    assert scene["slc"].attrs["sources"] == [f"{day}.tif" for day in DAYS]
    assert report.sources == tuple(f"{day}.tif" for day in DAYS)
    assert report.dates[0] == "2023-03-19T00:00:00"
    assert (report.images, report.size, report.valid, report.pairs) == ("slc", (40, 50), (1.0, 1.0, 1.0), 2)
    assert left_behind(tmp_path) == []
    with open_raster(paths[0]) as dataset:
        assert of_scene(open_scene(tmp_path / "scene.zarr")) == of_dataset(dataset)


def test_plain_xarray_opens_it_silently_without_sarcd(tmp_path, images):
    ingest(images[0], tmp_path / "scene.zarr")
    code = f"""
        import sys, warnings
        warnings.simplefilter("error")
        import xarray as xr
        scene = xr.open_zarr({str(tmp_path / "scene.zarr")!r})
        assert scene["slc"].isel(time=1).values.shape == (40, 50)
        assert {{"spatial_ref", "before", "after"}} <= set(scene.coords)
        assert "sarcd" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=tmp_path)


@pytest.mark.parametrize("shard", [0, 32])
def test_every_chunk_is_written(tmp_path, rng, shard):
    values = np.stack([slc(rng, (70, 90)) for _ in DAYS[:2]])
    values[:, :32, :32] = 0  # a chunk without data is written too: a missing one would count as damage
    paths = [write_raster(tmp_path / f"{day}.tif", v) for day, v in zip(DAYS, values, strict=False)]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(chunk=16, shard=shard, memory_bytes=1))
    store = SceneStore(tmp_path / "scene.zarr")
    array = store.array("slc")
    assert (array.chunks, array.shards) == ((1, 16, 16), (1, 32, 32) if shard else None)
    assert store.keys("slc") == expected_keys(array)
    np.testing.assert_array_equal(array[...], np.where(values == 0, np.complex64(complex(np.nan, np.nan)), values))
    assert report.valid == (1 - 32 * 32 / (70 * 90),) * 2


@given(
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    chunk=st.integers(1, 20),
    per_shard=st.integers(0, 3),
    memory=st.integers(1, 60_000),
)
def test_windows_tile_the_image_in_whole_chunks_within_memory(shape, chunk, per_shard, memory):
    from sarcd.store.create import grid_of

    class Array:
        pass

    array = Array()
    array.shape = (1, *shape)
    array.chunks, array.shards = grid_of(array.shape, chunk, chunk * per_shard)
    step_y, step_x = (array.shards or array.chunks)[1:]
    seen = np.zeros(shape, int)
    for y, x in windows(array, 10, memory):
        seen[y, x] += 1
        assert y.start % step_y == x.start % step_x == 0
        assert y.stop % step_y == 0 or y.stop == shape[0]
        assert x.stop % step_x == 0 or x.stop == shape[1]
        assert (y.stop - y.start) * (x.stop - x.start) * 10 <= max(memory, step_y * step_x * 10)
    assert (seen == 1).all()


@pytest.mark.parametrize("memory", [1, 3000, 2**28])
def test_memory_does_not_change_the_scene(tmp_path, images, memory):
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(chunk=16, memory_bytes=memory))
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["slc"].values, images[1])


def test_detected_images(tmp_path, rng):
    values = rng.integers(0, 255, (2, 40, 50), "uint8")
    paths = [write_raster(tmp_path / f"{day}.tif", v) for day, v in zip(DAYS, values, strict=False)]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(kind="intensity"))
    scene = open_scene(tmp_path / "scene.zarr")
    assert report.images == "amplitude"
    assert "slc" not in scene
    np.testing.assert_allclose(scene["amplitude"].values, np.sqrt(values.astype("float64")), rtol=1e-6)
    assert scene["amplitude"].attrs["source_kinds"] == ["intensity", "intensity"]


def test_bands_of_one_file_by_image(tmp_path, rng):
    values = np.stack([slc(rng), slc(rng)])
    path = write_raster(tmp_path / "stack.tif", values)
    options = IngestOptions(bands=("2", "1"), dates=("2023-03-19", "2023-03-31"))
    ingest([path, path], tmp_path / "scene.zarr", options)
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["slc"].values, values[::-1])


@pytest.mark.parametrize("kind", ["utm", "gcps", "none", "flipped"])
def test_georeference_survives(tmp_path, rng, kind):
    profile = {
        "utm": UTM,
        "gcps": {"gcps": (ground_control_points((40, 50)), "EPSG:4326")},
        "none": {},
        "flipped": {"transform": Affine(1, 0, 0, 0, -1, 40)},
    }[kind]
    paths = [write_raster(tmp_path / f"{day}.tif", slc(rng), **profile) for day in DAYS[:2]]
    report = ingest(paths, tmp_path / "scene.zarr")
    with open_raster(paths[0]) as dataset:
        found = of_dataset(dataset)
    assert of_scene(xr.open_zarr(tmp_path / "scene.zarr")) == found
    assert report.georeference == found.kind == {"utm": "transform", "flipped": "transform"}.get(kind, kind)


def test_sensor_facts(tmp_path, rng):
    tags = {"CEOS_PIXEL_SPACING_METERS": "7.9", "CEOS_LINE_SPACING_METERS": "4.0"}
    paths = [write_raster(tmp_path / f"{day}.tif", slc(rng), tags=tags) for day in DAYS[:2]]
    ingest(paths, tmp_path / "a.zarr", IngestOptions(wavelength_m=0.0566, looks=1))
    assert open_scene(tmp_path / "a.zarr").attrs["spacing_m"] == [4.0, 7.9]
    assert open_scene(tmp_path / "a.zarr").attrs["wavelength_m"] == 0.0566
    ingest(paths, tmp_path / "b.zarr", IngestOptions(spacing_m=(1.0, 2.0)))
    assert open_scene(tmp_path / "b.zarr").attrs["spacing_m"] == [1.0, 2.0]
    assert "wavelength_m" not in open_scene(tmp_path / "b.zarr").attrs


# -- dates ----------------------------------------------------------------------------------------------------------


def test_dates_of_the_user_win(tmp_path, images):
    paths, values = images
    dates = ("2020-01-01T10:00:00", "2020-01-01T09:00:00", "2019-12-31")
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(dates=dates))
    assert report.dates == ("2019-12-31T00:00:00", "2020-01-01T09:00:00", "2020-01-01T10:00:00")
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["slc"].values, values[[0, 2, 1]])


def test_equal_dates(tmp_path, images):
    path = images[0][0]
    with pytest.raises(
        InputError, match=r"has the same date as .*20230331.tif, 2023-03-31[.] Pass --date once for each image"
    ):
        ingest([path, path], tmp_path / "scene.zarr")
    with pytest.raises(InputError, match="has the same date"):
        ingest([path, path], tmp_path / "scene.zarr", IngestOptions(dates=("2023-01-01", "2023-01-01")))
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("option", ["dates", "bands"])
def test_options_once_an_image(tmp_path, images, option):
    values = {"dates": ("2023-01-01", "2023-01-02"), "bands": ("1", "1")}[option]
    with pytest.raises(OptionError, match="is passed 2 times for 3 images"):
        ingest(images[0], tmp_path / "scene.zarr", IngestOptions(**{option: values}))


# -- refusals -------------------------------------------------------------------------------------------------------


def refused(tmp_path, paths, message, options=None, error=InputError):
    with pytest.raises(error, match=message) as caught:
        ingest(paths, tmp_path / "scene.zarr", options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "scene.zarr").exists()
    assert left_behind(tmp_path) == []
    return caught.value


def test_one_image_only(tmp_path, images):
    assert refused(tmp_path, images[0][:1], "1 image given, but change needs two").source == images[0][0]
    refused(tmp_path, [], "0 images given, but change needs two")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"shape": (40, 49)}, "has 40 x 49 pixels, but the first image has 40 x 50"),
        ({"transform": Affine(10, 0, 500_005, 0, -20, 5_800_000)}, "in grid .shifted by up to 0.5 pixels"),
        ({"crs": "EPSG:32632"}, "in CRS .EPSG:32632, not EPSG:32631"),
        ({"crs": None, "transform": None}, "in georeference .none, not transform"),
        ({"gcps": True}, "in georeference .gcps, not transform"),
        ({"dtype": "float32"}, "contains real numbers"),
    ],
)
def test_images_that_do_not_fit(tmp_path, images, rng, other, message):
    profile = {**UTM, **other}
    values = slc(rng, profile.pop("shape", (40, 50)))
    if profile.get("gcps"):
        profile = {"gcps": (ground_control_points((40, 50)), "EPSG:4326")}
    profile = {key: value for key, value in profile.items() if value is not None}
    if profile.get("dtype") == "float32":
        values = values.real
    path = write_raster(tmp_path / "20230501.tif", values, **profile)
    assert refused(tmp_path, [images[0][0], path], message).source == path


def test_a_crs_that_one_image_lacks(tmp_path, images, rng):
    bare = write_raster(tmp_path / "20230424.tif", slc(rng), transform=UTM["transform"])
    assert "gdal_edit.py -a_srs" in refused(tmp_path, [images[0][0], bare], "differs from the first image in CRS").hint


def test_ground_control_points_are_compared(tmp_path, rng):
    points = ground_control_points((40, 50))
    first = write_raster(tmp_path / f"{DAYS[0]}.tif", slc(rng), gcps=(points, "EPSG:4326"))
    points[1].x += 0.001
    second = write_raster(tmp_path / f"{DAYS[1]}.tif", slc(rng), gcps=(points, "EPSG:4326"))
    refused(tmp_path, [first, second], "differs from the first image in ground control points")


def test_mixed_kinds(tmp_path, images):
    detected = np.abs(images[1][0])
    real = write_raster(tmp_path / "20230501.tif", detected, **UTM)
    refused(tmp_path, [images[0][0], real], "contains real numbers")
    ingest([images[0][0], real], tmp_path / "scene.zarr", IngestOptions(kind="amplitude"))
    found = open_scene(tmp_path / "scene.zarr")["amplitude"].values
    np.testing.assert_allclose(found, [np.abs(images[1][1]), detected], rtol=1e-6)


def test_truncated_late(tmp_path, rng):
    values = slc(rng, (400, 300))
    paths = [write_raster(tmp_path / f"{day}.tif", values) for day in DAYS[:2]]
    truncate(tmp_path / f"{DAYS[1]}.tif", 0.9)
    error = refused(tmp_path, paths, "cannot be read", IngestOptions(chunk=64, memory_bytes=1))
    assert error.source == paths[1]


def test_image_without_a_valid_pixel(tmp_path, images):
    empty = write_raster(tmp_path / "20230501.tif", np.zeros((40, 50), "complex64"), **UTM)
    assert refused(tmp_path, [images[0][0], empty], "has no valid pixel").source == empty
    below = [write_raster(tmp_path / f"{day}.tif", np.full((40, 50), -12, "float32")) for day in DAYS[:2]]
    assert "--kind db" in refused(tmp_path, below, "has no valid pixel", IngestOptions(kind="intensity")).hint


def test_full_disk(tmp_path, images, monkeypatch):
    def fails(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_image", fails)
    refused(tmp_path, images[0], "No space", error=OSError)


def test_output_that_is_there(tmp_path, images):
    ingest(images[0][:2], tmp_path / "scene.zarr")
    with pytest.raises(StoreError, match=r"already exists[.] .*--overwrite"):
        ingest(images[0], tmp_path / "scene.zarr")
    assert open_scene(tmp_path / "scene.zarr").sizes["time"] == 2
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(overwrite=True))
    assert open_scene(tmp_path / "scene.zarr").sizes["time"] == 3


def test_failed_replacement_keeps_the_old_scene(tmp_path, images):
    ingest(images[0], tmp_path / "scene.zarr")
    empty = write_raster(tmp_path / "20230501.tif", np.zeros((40, 50), "complex64"), **UTM)
    with pytest.raises(InputError):
        ingest([images[0][0], empty], tmp_path / "scene.zarr", IngestOptions(overwrite=True))
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["slc"].values, images[1])


def test_only_scenes_are_replaced(tmp_path, images):
    import zarr

    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("dear diary")
    zarr.open_group(str(tmp_path / "foreign"), mode="w", zarr_format=3).create_array("a", data=np.ones(3))
    for name in ("folder", "file", "foreign"):
        with pytest.raises(StoreError, match="already exists and is not a scene"):
            ingest(images[0], tmp_path / name, IngestOptions(overwrite=True))
        assert (tmp_path / name).exists()


def test_two_at_once(tmp_path, images):
    with new_scene_lock(str(tmp_path / "scene.zarr")), pytest.raises(LockedError, match="is creating this scene"):
        ingest(images[0], tmp_path / "scene.zarr")
    ingest(images[0], tmp_path / "scene.zarr")


def test_folder_that_cannot_be_made(tmp_path, images):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be created"):
        ingest(images[0], tmp_path / "file" / "scene.zarr")


# -- labels ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def labels(tmp_path, rng):
    values = rng.choice(np.array([0, 1, 255], "uint8"), (2, 40, 50))
    return [write_raster(tmp_path / f"label{i}.tif", v, **UTM) for i, v in enumerate(values)], values


def test_labels_in_order(tmp_path, images, labels):
    report = ingest(images[0], tmp_path / "scene.zarr", IngestOptions(labels=tuple(labels[0]), chunk=16))
    scene = open_scene(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(scene["label"].values, labels[1])
    assert scene["label"].attrs["sarcd_complete"] == [True, True]
    assert scene["label"].attrs["sources"] == ["label0.tif", "label1.tif"]
    assert report.labelled == ("2023-03-19:2023-03-31", "2023-03-31:2023-04-12")


def test_label_of_a_named_pair(tmp_path, images, labels):
    named = f"2023-03-31:2023-04-12={labels[0][1]}"
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(labels=(named,)))
    scene = open_scene(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(scene["label"].values, [np.full((40, 50), 255), labels[1][1]])
    assert scene["label"].attrs["sarcd_complete"] == [False, True]


def test_label_of_a_pair_that_is_not_consecutive(tmp_path, images, labels):
    named = f"20230319:20230412={labels[0][0]}"
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(labels=(named,)))
    scene = xr.open_zarr(tmp_path / "scene.zarr")
    assert scene.sizes["pair"] == 3
    assert (scene["before"].values[2], scene["after"].values[2]) == (scene["time"].values[0], scene["time"].values[2])
    np.testing.assert_array_equal(scene["label"].values[2], labels[1][0])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["{0}"], "1 label files for 2 pairs"),
        (["{0}", "{1}", "{1}"], "3 label files for 2 pairs"),
        (["20230319:20230331={0}", "{1}"], "some labels have dates"),
        (["20230319:20230331={0}", "2023-03-19:2023-03-31={1}"], "a pair is labelled twice"),
        (["20230319:20230401={0}"], "matches no date of the scene"),
        (["20230331:20230319={0}"], "the first date must be the earlier one"),
    ],
)
def test_unclear_labels(tmp_path, images, labels, given, message):
    texts = tuple(text.format(*labels[0]) for text in given)
    error = refused(tmp_path, images[0], message, IngestOptions(labels=texts), OptionError)
    assert error.option == "--label"


def test_words_without_labels(tmp_path, images, labels):
    for options in ({"label_change": "1"}, {"label_layer": "a"}, {"label_field": "a"}):
        refused(tmp_path, images[0], "requires --label", IngestOptions(**options), OptionError)
    for options in ({"label_layer": "a"}, {"label_field": "a"}):
        options = IngestOptions(labels=tuple(labels[0]), **options)
        refused(tmp_path, images[0], "applies to vector files, but every --label is a raster", options, OptionError)


def test_what_was_understood_of_labels(tmp_path, images, labels):
    boxes = [shapely.box(500_100, 5_799_800, 500_200, 5_799_900), shapely.box(0, 0, 9, 9)]  # 10 x 5 pixels
    shapes = write_shapes(tmp_path / "shapes.gpkg", boxes, layer="pit")
    options = IngestOptions(labels=(labels[0][0], str(shapes)))
    with logged("of 2 shapes, 1 are outside the scene. Check its CRS"):
        report = ingest(images[0], tmp_path / "scene.zarr", options)
    first, second = report.labels
    values = labels[1][0]
    assert (first.pair, first.source) == (report.labelled[0], "label0.tif")
    assert [first.change, first.unchanged, first.unlabelled] == [int((values == v).sum()) for v in (1, 0, 255)]
    assert first.rule == "1: change; 0: none; 255: unlabelled"
    assert (second.change, second.unchanged, second.unlabelled) == (50, 1950, 0)
    assert (second.rule, second.layer, second.field) == ("every shape is change", "pit", None)
    assert (second.shapes["read"], second.shapes["used"], second.shapes["outside"]) == (2, 1, 1)
    assert second.text() == (
        "shapes.gpkg, layer pit: 50 pixels of change, 1,950 of none, 0 unlabelled; every shape is change; "
        "1 of 2 shapes; 1 outside the scene; ground outside all shapes is none"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [([1, 255], 'no labelled pixel is "no change". Label ground'), ([0, 255], "no labelled pixel is change. If it")],
)
def test_labels_of_one_class_are_warned_of(tmp_path, images, labels, values, message):
    bad = write_raster(tmp_path / "bad.tif", np.resize(np.array(values, "uint8"), (40, 50)), nodata=255, **UTM)
    options = IngestOptions(labels=(labels[0][0], bad))
    with logged(rf"^bad.tif \(2023-03-31:2023-04-12\): {message}"):
        report = ingest(images[0], tmp_path / "scene.zarr", options)
    assert report.labels[0].warnings == ()
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["label"].values[1], np.resize(values, (40, 50)))


def test_files_whose_names_say_another_pair(tmp_path, images, labels):
    """Two files in the wrong order would silently label the wrong ground."""
    names = [tmp_path / f"change_{days}.tif" for days in ("20230319_20230331", "20230331_20230412")]
    for name, values in zip(names, labels[1], strict=True):
        write_raster(name, values, **UTM)
    message = "is assigned to 2023-03-19 to 2023-03-31, but its name contains 2023-03-31 to 2023-04-12"
    wrong = IngestOptions(labels=(str(names[1]), str(names[0])))
    assert refused(tmp_path, images[0], message, wrong, OptionError).source == str(names[1])
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(labels=tuple(map(str, names))))
    named = (f"20230319:20230331={names[1]}",)  # an explicit option takes precedence over a name
    ingest(images[0], tmp_path / "named.zarr", IngestOptions(labels=named))


def test_bands_whose_names_say_another_pair(tmp_path, images, labels):
    """Applies to GeoTIFFs written by `sarcd export`, whatever their file names."""
    names = [str(tmp_path / f"{letter}.tif") for letter in "ab"]
    for name, days, values in zip(
        names, ("2023-03-19 to 2023-03-31", "2023-03-31 to 2023-04-12"), labels[1], strict=True
    ):
        write_raster(name, values, names=[days], **UTM)
    message = "is assigned to 2023-03-19 to 2023-03-31, but its name contains 2023-03-31 to 2023-04-12"
    assert refused(tmp_path, images[0], message, IngestOptions(labels=tuple(names[::-1])), OptionError)
    ingest(images[0], tmp_path / "scene.zarr", IngestOptions(labels=tuple(names)))


TIMES = np.array(["2023-03-19T05:58", "2023-03-19T17:00", "2023-03-31T05:58"], "datetime64[us]")


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (r"2023-03-19T05:58:2023-03-31=C:\labels\a=b.tif", (0, 2)),
        (r"2023-03-19T17:00:00:2023-03-31T05:58:00Z=C:\labels\a=b.tif", (1, 2)),
        (r"20230319T0558:20230319T1700=C:\labels\a=b.tif", (0, 1)),
        (r"2023-03-19T05-58-00:2023-03-19T17-00-00=C:\labels\a=b.tif", (0, 1)),
    ],
)
def test_dates_with_a_time_of_day(text, places):
    assert _label_pairs([text], TIMES, []) == [(tuple(TIMES[list(places)]), r"C:\labels\a=b.tif")]


@pytest.mark.parametrize("text", ["2023-3-19:2023-3-31=a.tif", "19.03.2023:31.03.2023=a.tif", "20230319:=a.tif"])
def test_dates_that_are_none(text):
    """Otherwise they would be taken for file names."""
    with pytest.raises(OptionError, match=r"is not BEFORE:AFTER|matches no date of the scene"):
        _label_pairs([text], TIMES, [])


def test_unusable_label_leaves_no_scene(tmp_path, images, labels):
    bad = write_raster(tmp_path / "bad.tif", np.resize(np.array([0, 255], "uint8"), (40, 50)), **UTM)
    refused(tmp_path, images[0], "label values are 0, 255", IngestOptions(labels=(labels[0][0], bad)))


# -- progress, options ----------------------------------------------------------------------------------------------


def test_progress_counts_every_pixel(tmp_path, images, labels):
    import contextlib

    seen = {}

    @contextlib.contextmanager
    def progress(description, total):
        counts = []
        yield counts.append
        seen[description] = (total, sum(counts), len(counts))

    options = IngestOptions(labels=tuple(labels[0]), chunk=16, memory_bytes=1)
    ingest(images[0], tmp_path / "scene.zarr", options, progress=progress)
    assert seen == {"ingest": (5 * 2000, 5 * 2000, 5 * 12)}


@pytest.mark.parametrize(
    "options",
    [
        {"chunk": 0},
        {"shard": 1000},
        {"shard": -1024},
        {"wavelength_m": 0.0},
        {"looks": -1},
        {"spacing_m": (1.0,)},
        {"spacing_m": (1.0, 0.0)},
        {"wavelength_m": float("nan")},
    ],
)
def test_option_values(options):
    with pytest.raises(OptionError):
        IngestOptions(**options)


def test_options_survive_toml(tmp_path):
    from sarcd.config import read_toml, write_toml

    options = IngestOptions(kind="db", bands=("VV",), dates=("2023-03-19",), spacing_m=(4.0, 7.9), looks=1.5, chunk=512)
    write_toml(options, tmp_path / "ingest.toml")
    assert read_toml(tmp_path / "ingest.toml", IngestOptions) == options


def test_images_in_any_order_make_the_same_bytes(tmp_path, images):
    def content(path):
        return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}

    found = []
    for i, paths in enumerate(itertools.permutations(images[0])):
        ingest(paths, tmp_path / f"{i}.zarr", IngestOptions(chunk=16))
        found.append(content(tmp_path / f"{i}.zarr"))
    assert all(each == found[0] for each in found)
