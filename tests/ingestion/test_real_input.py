"""Ingesting real radar files."""

import numpy as np
import pytest
import xarray as xr

from sarcd.config import IngestOptions
from sarcd.errors import InputError
from sarcd.geography.georeference import of_dataset, of_scene
from sarcd.ingestion.rasters import open_layer
from sarcd.ingestion.scene import ingest
from sarcd.store.scene import open_scene
from tests.factories.rasters import open_raster

pytestmark = pytest.mark.realdata

TWO_DATES = ("2020-01-01", "2020-01-13")


def pixels(path):
    with open_raster(path) as dataset:
        return dataset.read(1)


def twice(path, folder, **options):
    """Make a scene of one image used for two dates."""
    report = ingest([path, path], folder / "scene.zarr", IngestOptions(dates=TWO_DATES, **options))
    return open_scene(folder / "scene.zarr"), report


def as_stored(values):
    invalid = (values == 0) | ~np.isfinite(values)
    return np.where(invalid, np.complex64(complex(np.nan, np.nan)), values.astype("complex64"))


def test_amsterdam(tmp_path, real_data):
    folder = real_data / "slc" / "amsterdam"
    report = ingest([folder / "20230331.tif", folder / "20230319.tif"], tmp_path / "scene.zarr")
    assert report.dates == ("2023-03-19T00:00:00", "2023-03-31T00:00:00")
    assert report.georeference == "none"
    scene = xr.open_zarr(tmp_path / "scene.zarr")
    expected = [as_stored(pixels(folder / f"{day}.tif")) for day in ("20230319", "20230331")]
    np.testing.assert_array_equal(scene["slc"].values, expected)


def test_amsterdam_as_snap_wrote_it(tmp_path, real_data):
    """Make two folders of separate real and imaginary arrays; both have the metadata of the second."""
    folder = real_data / "slc" / "amsterdam_znap"
    paths = [folder / f"{day}-coreg.znap" for day in ("20230319", "20230331")]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(chunk=64))
    assert report.dates == ("2023-03-19T00:00:00", "2023-03-31T00:00:00")
    scene = open_scene(tmp_path / "scene.zarr")
    tiffs = [as_stored(pixels(real_data / "slc" / "amsterdam" / f"{day}.tif")) for day in ("20230319", "20230331")]
    np.testing.assert_array_equal(scene["slc"].values, tiffs)
    one = f'ZARR:"{paths[0]}":/i_VV_19Mar2023'
    with pytest.raises(InputError, match="contains real numbers"):
        ingest([one, one], tmp_path / "other.zarr", IngestOptions(dates=TWO_DATES))


def test_envisat(tmp_path, real_data):
    path = real_data / "slc" / "envisat" / "envisat.slc.vrt"
    with pytest.raises(InputError, match="1 image given"):
        ingest([path], tmp_path / "scene.zarr")
    with pytest.raises(InputError, match=r"has the same date as .*2003-02-26T17:55:30"):
        ingest([path, path], tmp_path / "scene.zarr")
    scene, report = twice(path, tmp_path)
    assert report.valid == (0.994, 0.994)
    np.testing.assert_array_equal(scene["slc"].values[1], as_stored(pixels(path)))
    assert scene.attrs["wavelength_m"] == pytest.approx(0.0562356)
    with open_raster(path) as dataset:
        assert of_scene(scene) == of_dataset(dataset)


@pytest.mark.parametrize("name", ["cint16.tif", "cint32.tif", "cfloat32.tif", "cfloat64.tif", "cint_sar.tif"])
def test_complex_tiffs(tmp_path, real_data, name):
    path = real_data / "formats" / "complex_tiff" / name
    scene, report = twice(path, tmp_path)
    np.testing.assert_array_equal(scene["slc"].values[0], as_stored(pixels(path)))
    with open_raster(path) as dataset:
        found, written = of_scene(scene), of_dataset(dataset)
        assert found == written
        assert report.georeference == written.kind == ("gcps" if name == "cint_sar.tif" else "transform")
    if name == "cint_sar.tif":
        assert next((p.row, p.col, p.x, p.y) for p in found.gcps) == (-7430.5, -1910.5, 297.507, 16.368)
        assert scene.attrs["spacing_m"] == [3.99, 7.904]


def test_sicd_nitf(tmp_path, real_data):
    path = real_data / "formats" / "sicd_nitf" / "sar_sicd.ntf"
    layer = open_layer(str(path))
    assert (layer.role, layer.names) == ("iq", ("I", "Q"))
    scene, _ = twice(path, tmp_path)
    with open_raster(path) as dataset:
        np.testing.assert_array_equal(scene["slc"].values[0], dataset.read(1) + 1j * dataset.read(2))


@pytest.mark.parametrize("name", ["formats/envi/cfloat32.raw", "formats/isce/isce.slc"])
def test_raw_formats(tmp_path, real_data, name):
    scene, _ = twice(real_data / name, tmp_path)
    np.testing.assert_array_equal(scene["slc"].values[0], as_stored(pixels(real_data / name)))
    assert scene["spatial_ref"].attrs["crs_wkt"]


def test_nisar_container_lists_its_images(tmp_path, real_data):
    path = real_data / "slc" / "winnipeg" / "winnipeg.h5"
    with pytest.raises(InputError, match=r"contains only subdatasets[.] Pass one of them: .*frequencyA/HH") as caught:
        twice(path, tmp_path)
    scene, _ = twice(caught.value.hint.removeprefix("pass one of them: ").split("  ")[-1], tmp_path)
    assert scene["slc"].shape == (2, 250, 250)


@pytest.mark.filterwarnings("ignore:the median amplitudes of")  # Ottawa's images are stretched individually
@pytest.mark.parametrize(("name", "changed"), [("ottawa", 16_049), ("yellow_D", 5_270)])
def test_change_pairs(tmp_path, real_data, name, changed):
    folder = real_data / "change" / name
    images, truth = [folder / "im1.bmp", folder / "im2.bmp"], str(folder / "gt.bmp")
    options = {"kind": "amplitude", "dates": TWO_DATES, "labels": (truth,)}
    with pytest.raises(InputError, match="label values are"):
        ingest(images, tmp_path / "scene.zarr", IngestOptions(**options))
    ingest(images, tmp_path / "scene.zarr", IngestOptions(**options, label_change="128-255"))
    scene = open_scene(tmp_path / "scene.zarr")
    np.testing.assert_array_equal(scene["amplitude"].values[0], pixels(images[0]))
    assert int((scene["label"] == 1).sum()) == changed
    assert int((scene["label"] == 255).sum()) == 0


@pytest.mark.filterwarnings("ignore:.*area of the single value 255")  # as is the fill of these images
@pytest.mark.filterwarnings("ignore:the median amplitudes of")
def test_flood_mask_of_255_is_not_taken_for_unlabelled(tmp_path, real_data):
    folder = real_data / "flood" / "ALBANIA" / "Sentinel1"
    before, after, mask = (sorted((folder / part).glob("*.png"))[0] for part in ("BEFORE", "AFTER", "MASK"))
    options = {"kind": "db", "dates": TWO_DATES, "labels": (str(mask),)}
    with pytest.raises(InputError, match="label values are 0, 255, not 0 and 1"):
        ingest([before, after], tmp_path / "scene.zarr", IngestOptions(**options))
    ingest([before, after], tmp_path / "scene.zarr", IngestOptions(**options, label_change="255"))
    scene = open_scene(tmp_path / "scene.zarr")
    assert int((scene["label"] == 1).sum()) == int((pixels(mask) == 255).sum()) > 0


@pytest.mark.parametrize("name", ["formats/gamma/dem16x20raw.dem.par", "formats/envi/cfloat32.vrt", "slc"])
def test_no_images(tmp_path, real_data, name):
    with pytest.raises(InputError, match="cannot be read") as caught:
        twice(real_data / name, tmp_path)
    assert caught.value.source == str(real_data / name)
