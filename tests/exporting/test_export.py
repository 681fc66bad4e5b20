"""Exported files: contents, georeference, and that they are either complete or absent."""

import functools
import json
import threading
import warnings

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio.errors import NotGeoreferencedWarning

import sarcd
from sarcd.errors import CorruptChunkError, OptionError, SceneError, StoreError
from sarcd.exporting import cog
from sarcd.exporting.export_files import SUFFIXES, export
from sarcd.geography.georeference import of_dataset
from sarcd.store.scene import open_scene
from tests.factories.results import ASKEW, DEGREES, UTM, control_points, made, scene_with_results, stored_results

PAIRS = ("2023-03-19 to 2023-03-31", "2023-03-31 to 2023-04-12")


@pytest.fixture
def scene(rng):
    return scene_with_results(rng)


def read(path):
    """Open a raster, accepting radar geometry."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            return raster.read(), raster.profile, raster.tags(), raster.descriptions, of_dataset(raster)


# -- GeoTIFF ----------------------------------------------------------------------------------------------------------


def test_bands_values_and_words(scene, tmp_path):
    result = export(scene, tmp_path / "map.tif")
    values, profile, tags, descriptions, _ = read(result)
    np.testing.assert_array_equal(values, scene["change_probability"].values)
    assert (profile["dtype"], np.isnan(profile["nodata"])) == ("float32", True)
    assert descriptions == result.pairs == PAIRS
    assert tags["sarcd_operation"] == "predict"
    assert json.loads(tags["sarcd_parameters"]) == {"threshold": 0.5}
    assert (tags["sarcd_version"], tags["units"], tags["variable"]) == ("0.1.0", "1", "change_probability")
    assert tags["TIFFTAG_SOFTWARE"] == f"sarcd {sarcd.__version__}"
    assert "sarcd_complete" not in tags
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize("georeference", [UTM, DEGREES, ASKEW, control_points(), None], ids=str)
def test_georeference_survives(rng, tmp_path, georeference):
    scene = scene_with_results(rng, georeference=georeference)
    *_, found = read(export(scene, tmp_path / "map.tif"))
    if georeference is None:
        assert found.kind == "none"
    else:
        assert found == georeference


@pytest.mark.parametrize("georeference", [UTM, control_points()])
def test_a_part_of_a_scene_keeps_its_place(rng, tmp_path, georeference):
    part = scene_with_results(rng, georeference=georeference).isel(y=slice(10, 40), x=slice(21, 80, 2))
    values, *_, found = read(export(part, tmp_path / "map.tif", variable="change"))
    np.testing.assert_array_equal(values, part["change"].values)
    expected = georeference.cropped((10, 21), (1, 2))
    if georeference.kind == "transform":
        assert found.transform == pytest.approx(expected.transform)
    else:
        for point, wanted in zip(found.gcps, expected.gcps, strict=True):
            assert (point.row, point.col, point.x, point.y, point.z) == pytest.approx(
                (wanted.row, wanted.col, wanted.x, wanted.y, wanted.z)
            )


@pytest.mark.parametrize(("variable", "dtype"), [("change_probability", "float32"), ("change", "uint8")])
def test_cloud_optimised(rng, tmp_path, variable, dtype):
    scene = scene_with_results(rng, (1100, 1300), pairs=1, georeference=UTM, keep=[variable])
    path = export(scene, tmp_path / "map.tif").path
    with rasterio.open(path) as raster:
        structure = raster.tags(ns="IMAGE_STRUCTURE")
        assert (structure["LAYOUT"], structure["COMPRESSION"]) == ("COG", "DEFLATE")
        assert raster.block_shapes == [(512, 512)]
        assert raster.overviews(1) == [2, 4]
        assert raster.dtypes == (dtype,)
        whole = raster.read(1)
        half = raster.read(1, out_shape=(550, 650))
        # offsets grow from the smallest overview to the full image, so that a reader needs one request for the start
        offsets = [int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1, ovr=level)) for level in (1, 0)]
        assert sorted(offsets) == offsets
        assert offsets[-1] < int(raster.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
    np.testing.assert_array_equal(whole, scene[variable].values[0])
    blocks = whole.reshape(550, 2, 650, 2)
    if dtype == "float32":
        expected = np.nanmean(blocks[:20], axis=(1, 3))
        np.testing.assert_allclose(half[:20], expected, rtol=1e-5)
    else:
        assert set(np.unique(half)) <= {0, 1, 255}
        uniform = blocks.min(axis=(1, 3)) == blocks.max(axis=(1, 3))
        np.testing.assert_array_equal(half[uniform], blocks.max(axis=(1, 3))[uniform])


def test_default_variables(scene, tmp_path):
    for gone, expected in (("change_probability", "change"), ("change", "coherence")):
        scene = scene.drop_vars(gone)
        assert export(scene, tmp_path / f"{expected}.tif").variable == expected
    with pytest.raises(SceneError, match=r"no 'change_probability' in the scene[.] Run 'sarcd predict'"):
        export(scene.drop_vars("coherence"), tmp_path / "none.tif")
    with pytest.raises(SceneError, match="no 'change' in the scene"):
        export(scene, tmp_path / "none.gpkg")


@pytest.mark.parametrize("variable", ["coherence", "label", "change", "change_night", "pseudo_label", "uncertainty"])
def test_variables_by_name(scene, tmp_path, variable):
    source = {"change_night": "change", "pseudo_label": "label", "uncertainty": "coherence"}.get(variable, variable)
    values, profile, tags, *_ = read(
        export(scene.assign({variable: scene[source]}), tmp_path / "a.tif", variable=variable)
    )
    np.testing.assert_array_equal(values, scene[source].values)
    assert tags["variable"] == variable
    assert str(profile["nodata"]) == ("nan" if profile["dtype"] == "float32" else "255.0")


def test_mask_has_no_pairs(scene, tmp_path):
    mask = (("y", "x"), np.arange(4800, dtype=np.uint8).reshape(60, 80))
    values, profile, _, descriptions, _ = read(export(scene.assign(mask=mask), tmp_path / "a.tif", variable="mask"))
    np.testing.assert_array_equal(values[0], mask[1])
    assert (profile["nodata"], descriptions) == (None, ("mask",))
    with pytest.raises(OptionError, match="'mask' has no outlines"):
        export(scene.assign(mask=mask), tmp_path / "a.gpkg", variable="mask")


@pytest.mark.parametrize("pair", [1, "2023-03-31:2023-04-12", ("2023-03-31", "2023-04-12")])
def test_one_pair(scene, tmp_path, pair):
    result = export(scene, tmp_path / "map.tif", pair=pair)
    assert result.pairs == read(result)[3] == PAIRS[1:]
    np.testing.assert_array_equal(read(result)[0][0], scene["change_probability"].values[1])


def test_a_selected_pair_and_plain_results(scene, tmp_path):
    assert export(scene.isel(pair=1), tmp_path / "a.tif").pairs == PAIRS[1:]
    # the result of `detect` is a scene of results without images
    assert export(scene[["change"]], tmp_path / "b.tif").pairs == PAIRS
    assert export(scene[["change"]].isel(pair=0), tmp_path / "b.gpkg").polygons == 2


def test_lazy_data_in_any_chunks(scene, tmp_path):
    for number, chunks in enumerate([{"y": 7, "x": 80}, {"pair": 2, "y": 60, "x": 33}, {"pair": 1, "y": 1}]):
        values = read(export(scene.chunk(chunks), tmp_path / f"{number}.tif"))[0]
        np.testing.assert_array_equal(values, scene["change_probability"].values)


def test_never_whole_in_memory(scene, tmp_path):
    """Count the blocks that exist between their computation and their writing."""
    alive, most = 0, 0

    class Block(np.ndarray):
        def __array_finalize__(self, other):
            pass

    def make(block_info):
        nonlocal alive, most
        (start, stop), *_ = block_info[None]["array-location"][1:2]
        alive += 1
        most = max(most, alive)
        return np.full((1, stop - start, 256), start, np.float32)

    lazy = da.map_blocks(make, chunks=((1,), (256,) * 40, (256,)), dtype=np.float32, meta=np.empty((0, 0, 0), "f4"))
    coords = {"before": ("pair", scene["before"].values[:1]), "after": ("pair", scene["after"].values[:1])}
    large = xr.Dataset({"change_probability": (("pair", "y", "x"), lazy)}, coords=coords)

    written = cog._Target.__setitem__

    def count(self, index, values):
        nonlocal alive
        written(self, index, values)
        alive -= 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cog._Target, "__setitem__", count)
        export(large, tmp_path / "map.tif")
    assert alive == 0
    assert most <= 2 * 16  # far below 40 for any number of threads that tests run on


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_picture(scene, tmp_path):
    result = export(scene, tmp_path / "a.PNG", pair=1)
    assert result.path.read_bytes().startswith(b"\x89PNG")
    assert result.pairs == PAIRS[1:]
    assert read(result)[1]["width"] >= 1600


# -- any file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["map.jpg", "map", "map.nc"])
def test_other_suffixes(scene, tmp_path, name):
    with pytest.raises(OptionError, match="cannot export to") as caught:
        export(scene, tmp_path / name)
    assert all(suffix in caught.value.hint for suffix in SUFFIXES)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_is_replaced_only_if_told(scene, tmp_path, suffix):
    path = tmp_path / f"new/folder/file{suffix}"
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(StoreError, match=r"already exists[.] Choose another name, or pass --overwrite"):
        export(scene, path)
    assert path.read_text() == "mine"
    export(scene, path, overwrite=True)
    assert path.stat().st_size > 100
    with pytest.raises(StoreError, match=r"already exists[.] Choose another name[.]$"):
        export(scene, path.parent.rename(path.parent.with_suffix(suffix)), overwrite=True)


@pytest.mark.parametrize("path", ["s3://bucket/a.tif", "https://host/a.gpkg", "file:///tmp/a.png", "/vsimem/a.tif"])
def test_addresses_are_no_files_of_this_machine(scene, tmp_path, monkeypatch, path):
    """Otherwise a folder named s3: would be made and nothing uploaded."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=r"is not a local file[.] Write to a local folder") as caught:
        export(scene, path)
    assert caught.value.source == path
    assert not list(tmp_path.iterdir())


def test_a_store_takes_no_files_of_others(scene, tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text("{}")
    with pytest.raises(StoreError, match=r"is inside the store .*a\.zarr[.] Write it beside the store"):
        export(scene, tmp_path / "a.zarr" / "maps" / "a.tif")
    assert [file.name for file in (tmp_path / "a.zarr").iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("suffix", [".tif", ".gpkg", ".png"])
def test_nothing_is_left_of_a_failure(scene, tmp_path, suffix):
    def fail(block):
        raise ZeroDivisionError("broken")

    broken = scene.chunk({"y": 30})
    for name in ("change_probability", "change"):
        broken[name] = broken[name].copy(
            data=broken[name].data.map_blocks(fail, dtype=broken[name].dtype, meta=np.array(()))
        )
    path = tmp_path / f"file{suffix}"
    path.write_text("mine")
    with pytest.raises(ZeroDivisionError):
        export(broken, path, overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert path.read_text() == "mine"


def test_blocks_that_come_after_a_failure_are_dropped(scene, tmp_path, monkeypatch):
    """Dask's other threads continue for a while; a raster already closed then would crash the process."""
    begun, failed, dropped = threading.Event(), threading.Event(), threading.Event()

    def make(block_info):
        if block_info[None]["chunk-location"] == (0, 0, 0):
            begun.wait(10)
            raise ZeroDivisionError("broken")
        begun.set()
        failed.wait(10)
        return np.zeros((1, 30, 80), np.float32)

    def store(self, index, values):
        write(self, index, values)
        dropped.set()

    write = cog._Target.__setitem__
    monkeypatch.setattr(cog._Target, "__setitem__", store)
    lazy = da.map_blocks(make, chunks=((1,), (30, 30), (80,)), dtype=np.float32, meta=np.empty((0, 0, 0), "f4"))
    broken = scene.isel(pair=[0]).assign(change_probability=(("pair", "y", "x"), lazy))
    with dask.config.set(scheduler="threads", num_workers=2), pytest.raises(ZeroDivisionError):
        export(broken, tmp_path / "map.tif")
    failed.set()
    assert dropped.wait(10)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".gpkg", ".geojson"])
def test_a_full_disk_is_told(scene, tmp_path, suffix):
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    noisy = scene.copy()
    noisy["change"] = scene["change"].copy(data=np.indices((2, 60, 80)).sum(axis=0).astype(np.uint8) % 2)
    path = tmp_path / f"file{suffix}"
    ignored, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    size = export(noisy, tmp_path / f"whole{suffix}").path.stat().st_size
    try:
        # the last thing written to a GeoPackage is an optional index
        for limit in (size // 2,) if suffix == ".gpkg" else (size // 2, size - 8):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
            with pytest.raises(StoreError, match=r"written.*[.] Free some space there") as caught:
                export(noisy, path)
            assert caught.value.source == str(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [item.name for item in tmp_path.iterdir()] == [f"whole{suffix}"]


def test_a_disk_that_fills_up_at_the_end(rng, tmp_path, monkeypatch):
    """GDAL's driver may not notice: a complete file or a StoreError are the only valid outcomes."""
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    scene = scene_with_results(rng, (700, 800), pairs=1, keep=["change_probability"])
    path, copy = tmp_path / "map.tif", rasterio.shutil.copy
    size = export(scene, path).path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def copy_into(limit, *arguments, **options):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            copy(*arguments, **options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        for share in (0.0001, 0.1, 0.2, 0.5, 0.8, 0.99):
            monkeypatch.setattr(rasterio.shutil, "copy", functools.partial(copy_into, int(share * size)))
            with pytest.raises(StoreError, match="GeoTIFF cannot be written"):
                export(scene, path, overwrite=True)
    finally:
        signal.signal(signal.SIGXFSZ, ignored)
    assert path.stat().st_size == size
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_killed_run_left_is_swept(scene, tmp_path):
    rest = tmp_path / ".map.tif.unfinished"
    rest.mkdir()
    (rest / "export.tif").write_text("half")
    export(scene, tmp_path / "map.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["map.tif"]


@pytest.mark.parametrize("variable", ["slc", "amplitude"])
@pytest.mark.parametrize("suffix", [".tif", ".gpkg"])
def test_inputs_are_no_results(rng, tmp_path, variable, suffix):
    scene = scene_with_results(rng, images=variable)
    with pytest.raises(OptionError, match=f"'{variable}' is an input, not a result"):
        export(scene, tmp_path / f"a{suffix}", variable=variable)


def test_the_scene_stays_as_it_was(scene, tmp_path):
    before = scene.copy(deep=True)
    for suffix in SUFFIXES:
        scene.sarcd.export(tmp_path / f"a{suffix}")
    xr.testing.assert_identical(scene, before)


# -- stored scenes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [{}, None])
def test_stored(rng, tmp_path, chunks):
    path = stored_results(tmp_path / "scene.zarr", rng, georeference=UTM)
    scene = open_scene(path, chunks=chunks)
    values, *_, georeference = read(export(scene, tmp_path / "a.tif"))
    np.testing.assert_array_equal(values, scene["change_probability"].values)
    assert georeference == UTM
    assert export(scene, tmp_path / "a.gpkg").polygons == 4


def test_pairs_that_were_not_made_are_left_out(rng, tmp_path):
    scene = open_scene(stored_results(tmp_path / "scene.zarr", rng, complete=[False, True]))
    assert export(scene, tmp_path / "a.tif").pairs == PAIRS[1:]
    assert export(scene, tmp_path / "label.tif", variable="label").pairs == PAIRS
    with pytest.raises(SceneError, match=f"'change_probability' has not been computed for the pair {PAIRS[0]}"):
        export(scene, tmp_path / "b.tif", pair=0)
    partly = scene.assign(change=scene["change"].assign_attrs(sarcd_complete=[False, False]))
    with pytest.raises(SceneError, match="'change' has not been computed for any pair"):
        export(partly, tmp_path / "b.gpkg")


def test_broken_and_absent_chunks_are_named(rng, tmp_path):
    path = stored_results(tmp_path / "scene.zarr", rng)
    chunk = path / "change_probability" / "c" / "1" / "0" / "2"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-2])
    with pytest.raises(CorruptChunkError, match="change_probability/c/1/0/2"):
        export(open_scene(path), tmp_path / "a.tif")
    chunk.unlink()
    with pytest.raises(CorruptChunkError, match=r"change_probability/c/1/0/2.*absent"):
        export(open_scene(path), tmp_path / "a.tif")
    assert export(open_scene(path), tmp_path / "a.tif", pair=0).pairs == PAIRS[:1]
    assert not (tmp_path / ".a.tif.unfinished").exists()


@pytest.mark.realdata
def test_radar_image_to_files(real_data, tmp_path):
    images = []
    for date in ("20230319", "20230331"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(real_data / "slc" / "amsterdam" / f"{date}.tif") as raster:
                images.append(raster.read(1))
    times = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    slc = xr.Dataset({"slc": (("time", "y", "x"), np.stack(images))}, coords={"time": times})
    slc = slc.assign_coords(y=np.arange(84), x=np.arange(338)).chunk({"y": 30, "x": 100})
    coherence = slc.sarcd.coherence(window=5)
    lost = (coherence < 0.3).astype(np.uint8).assign_attrs(made())
    scene = slc.assign(coherence=coherence, change=lost)
    values, *_, descriptions, georeference = read(export(scene, tmp_path / "coherence.tif", variable="coherence"))
    assert values[0, 2:-2, 2:-2].mean() == pytest.approx(0.7552, abs=1e-3)
    assert (descriptions, georeference.kind) == (PAIRS[:1], "none")
    assert export(scene, tmp_path / "changes.gpkg", min_pixels=3).polygons > 10
    export(scene, tmp_path / "changes.png")
