"""Selection of a file's bands, and conversion of their pixels."""

import shutil
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.errors import InputError
from sarcd.ingestion.pixels import open_image
from sarcd.ingestion.rasters import LayerReader, gdal_session, open_layer
from tests.factories.rasters import slc, truncate, write_raster


def read(path, y=slice(None), x=slice(None), **options):
    with gdal_session():
        image = open_image(str(path), **options)
        height, width = image.layer.shape
        with LayerReader(image.layer) as reader:
            return image.read(reader, slice(*y.indices(height)[:2]), slice(*x.indices(width)[:2]))


# -- complex images -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["complex_int16", "complex64", "complex128"])
def test_complex_of_any_width(tmp_path, rng, dtype):
    values = slc(rng)
    path = write_raster(tmp_path / "a.tif", values, dtype=dtype)
    assert open_layer(path).dtype == dtype
    found = read(path)
    assert found.dtype == np.complex64
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
@pytest.mark.parametrize("names", [("I", "Q"), ("real", "imaginary"), ("i_VV", "q_VV"), ("RE", "IM")])
def test_bands_that_call_themselves_real_and_imaginary(tmp_path, rng, dtype, names):
    values = slc(rng)
    parts = np.stack([values.real, values.imag]).astype(dtype)
    np.testing.assert_array_equal(read(write_raster(tmp_path / "a.tif", parts, names=names)), values)


@pytest.mark.parametrize(
    ("names", "is_told"), [(("VV", "VH"), True), (("Amplitude", "Phase"), True), (("HH_I", "HH_Q"), False)]
)
def test_bands_of_other_names_that_are_called_parts(tmp_path, rng, names, is_told):
    """A polarisation or a phase would be half of a complex image."""
    image = slc(rng)
    path = write_raster(tmp_path / "a.tif", np.stack([image.real, image.imag]), names=names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert open_layer(path, iq=True).role == "iq"
    told = [str(one.message) for one in caught if "--iq takes bands" in str(one.message)]
    assert [f"--iq takes bands {names[0]} and {names[1]} as" in text for text in told] == [True] * is_told


def test_bands_named_by_the_user(tmp_path, rng):
    values = slc(rng)
    parts = np.stack([np.zeros(values.shape), values.imag, values.real]).astype("float32")
    path = write_raster(tmp_path / "a.tif", parts, names=("noise", "minus", "plus"))
    np.testing.assert_array_equal(read(path, band="3,2"), values)
    np.testing.assert_array_equal(read(path, band="plus, minus", iq=True), values)
    two = write_raster(tmp_path / "b.tif", parts[::-1][:2])
    np.testing.assert_array_equal(read(two, iq=True), values)


def test_complex_pixels_without_data(tmp_path):
    values = np.full((2, 6), 3 + 4j, "complex128")
    values[0] = [0, np.nan, complex(1, np.nan), complex(np.inf, 1), 1e300, 7]
    values[1, :4] = [-9999, complex(-9999, -9999), complex(-9999, 1), 0 + 1e-30j]
    found = read(write_raster(tmp_path / "a.tif", values, nodata=-9999))
    np.testing.assert_array_equal(np.isnan(found), [[1, 1, 1, 1, 1, 0], [1, 1, 0, 0, 0, 0]])
    hidden = found[np.isnan(found)]
    assert np.isnan(hidden.real).all()
    assert np.isnan(hidden.imag).all()


def test_no_data_of_two_bands_is_where_both_have_it(tmp_path):
    parts = np.array([[[5, 5, 1, 0, 2]], [[5, 1, 5, 0, 2]]], "float32")
    found = read(write_raster(tmp_path / "a.tif", parts, names=("I", "Q"), nodata=5))
    np.testing.assert_array_equal(np.isnan(found), [[True, False, False, True, False]])


def test_modulus_of_complex_images(tmp_path):
    values = np.array([[3 + 4j, 0, np.nan]], "complex64")
    path = write_raster(tmp_path / "a.tif", values)
    np.testing.assert_array_equal(read(path, kind="amplitude"), np.array([[5, np.nan, np.nan]], "float32"))
    for kind in ("intensity", "db"):
        with pytest.raises(InputError, match=f"is complex .* not {kind}"):
            read(path, kind=kind)


# -- amplitude images -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_kinds(tmp_path, dtype):
    values = np.array([[0, 1, 16, 100]], dtype)
    path = write_raster(tmp_path / "a.tif", values)
    for kind, expected in {
        "amplitude": [0, 1, 16, 100],
        "intensity": [0, 1, 4, 10],
        "db": [1, 10**0.05, 10**0.8, 1e5],
    }.items():
        found = read(path, kind=kind)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("kind", [None, "slc"])
def test_real_numbers_claimed_complex(tmp_path, kind):
    path = write_raster(tmp_path / "a.tif", np.ones((4, 5), "float32"))
    with pytest.raises(InputError, match=r"contains real numbers \(float32\)") as caught:
        read(path, kind=kind)
    assert caught.value.source == path
    assert "--kind amplitude, intensity or db" in caught.value.hint


def test_impossible_values(tmp_path):
    values = np.array([[-1, 4, np.nan, np.inf, -np.inf]], "float32")
    path = write_raster(tmp_path / "a.tif", values)
    nan = np.nan
    np.testing.assert_allclose(read(path, kind="intensity"), [[nan, 2, nan, nan, nan]])
    np.testing.assert_allclose(read(path, kind="amplitude"), [[nan, 4, nan, nan, nan]])
    np.testing.assert_allclose(read(path, kind="db"), [[10**-0.05, 10**0.2, nan, nan, nan]], rtol=1e-6)


def test_only_declared_values_are_no_data(tmp_path):
    values = np.array([[0, 7, 255]], "uint8")
    undeclared = write_raster(tmp_path / "a.tif", values)
    np.testing.assert_array_equal(read(undeclared, kind="amplitude"), [[0, 7, 255]])
    declared = write_raster(tmp_path / "b.tif", values, nodata=0)
    np.testing.assert_array_equal(read(declared, kind="amplitude"), [[np.nan, 7, 255]])
    lowest = np.array([[np.finfo("float32").min, 7]], "float32")
    path = write_raster(tmp_path / "c.tif", lowest, nodata=float(np.finfo("float32").min))
    np.testing.assert_array_equal(np.isnan(read(path, kind="db")), [[True, False]])


def test_mask_of_the_file(tmp_path):
    mask = np.array([[True, False, True]])
    path = write_raster(tmp_path / "a.tif", np.array([[1, 2, 3]], "uint8"), mask=mask)
    np.testing.assert_array_equal(read(path, kind="amplitude"), [[1, np.nan, 3]])
    picture = np.stack([np.array([[1, 2, 3]], "uint8"), np.where(mask, 255, 0).astype("uint8")])
    path = write_raster(tmp_path / "a.png", picture, driver="PNG")
    np.testing.assert_array_equal(read(path, kind="amplitude"), [[1, np.nan, 3]])


def test_declared_scale(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.array([[100, 200, 9]], "int16"), nodata=9, scaling=(0.5, -10.0))
    np.testing.assert_array_equal(read(path, kind="amplitude"), [[40, 90, np.nan]])


def test_grey_palette_is_applied_and_colours_are_refused(tmp_path):
    values = np.array([[0, 1, 2]], "uint8")
    for name, table in {"grey": {0: 9, 1: 5, 2: 7}, "colour": {0: 9, 1: 5, 2: (1, 2, 3)}}.items():
        colours = {key: (*((value,) * 3 if isinstance(value, int) else value), 255) for key, value in table.items()}
        write_raster(tmp_path / f"{name}.tif", values, photometric="palette", colours=colours)
    np.testing.assert_array_equal(read(tmp_path / "grey.tif", kind="amplitude"), [[9, 5, 7]])
    with pytest.raises(InputError, match="colour indices"):
        read(tmp_path / "colour.tif", kind="amplitude")


# -- bands ----------------------------------------------------------------------------------------------------------


def test_three_equal_bytes_count_as_one(tmp_path, rng):
    grey = rng.integers(0, 255, (40, 50), "uint8")
    path = write_raster(tmp_path / "a.tif", np.stack([grey] * 3))
    np.testing.assert_array_equal(read(path, kind="amplitude"), grey)
    different = np.stack([grey] * 3)
    different[2, 39, 49] ^= 1
    path = write_raster(tmp_path / "b.tif", different)
    with pytest.raises(InputError, match="3 bands differ"):
        read(path, kind="amplitude")
    np.testing.assert_array_equal(read(path, kind="amplitude", band="3"), different[2])


def test_choices_left_open_are_refused(tmp_path):
    two = write_raster(tmp_path / "two.tif", np.ones((2, 4, 5), "float32"), names=("VV", "VH"))
    with pytest.raises(InputError, match=r"has 2 bands \(1 VV, 2 VH\)[.] Select one with --band"):
        open_layer(two)
    with pytest.raises(InputError, match=r"no band 'HH'[.] The bands of the file are 1 to 2 \(VV, VH\)"):
        open_layer(two, band="HH")
    with pytest.raises(InputError, match="no band '3'"):
        open_layer(two, band="3")
    assert open_layer(two, band="VH").bands == ((two, 2),)
    pair = write_raster(tmp_path / "pair.tif", np.ones((2, 4, 5), "complex64"))
    with pytest.raises(InputError, match="has 2 bands"):
        open_layer(pair)
    with pytest.raises(InputError, match="not a real and an imaginary one"):
        open_layer(pair, iq=True)
    one = write_raster(tmp_path / "one.tif", np.ones((4, 5), "float32"))
    with pytest.raises(InputError, match="has 1 band of float32, not a real and an imaginary one"):
        open_layer(one, iq=True)


NAMED = ("i_VV", "q_VV", "i_VH", "q_VH")


@pytest.mark.parametrize(
    ("count", "dtype", "names", "options", "message"),
    [
        (
            2,
            "float32",
            (),
            {},
            "has 2 bands .*Select one with --band, or pass --iq if they are a real and an imaginary",
        ),
        (
            2,
            "float32",
            ("VV", "VH"),
            {"band": "1,2"},
            "bands 1 VV, 2 VH are not named as a real .* pass --iq if they are",
        ),
        (2, "float32", ("amplitude", "phase"), {"band": "1,2"}, "bands 1 amplitude, 2 phase are not named as a real"),
        (2, "float32", (), {"band": "2,2"}, "--band 2,2 names a band twice"),
        (2, "float32", (), {"band": "1,2,1", "iq": True}, "--band 1,2,1 names 3 bands"),
        (4, "float32", NAMED, {}, r"has 4 bands .*both parts of an image with --band 1,2 \(VV\) or --band 3,4 \(VH\)"),
        (
            4,
            "float32",
            NAMED,
            {"iq": True},
            r"has 4 bands .*both parts of an image with --band 1,2 \(VV\) or --band 3,4",
        ),
        (
            4,
            "float32",
            NAMED,
            {"band": "i_VV,q_VH"},
            "bands 1 i_VV, 4 q_VH are not named as a real and an imaginary part",
        ),
        (4, "float32", (), {}, "Select one with --band, or a real and an imaginary part with --iq --band 1,2"),
        (3, "float32", ("i_VV", "q_VV", "Intensity_VV"), {}, r"both parts of an image with --band 1,2 \(VV\)"),
        (2, "complex64", ("HH", "HV"), {}, r"has 2 bands \(1 HH, 2 HV\)[.] Select one with --band[.]$"),
        (
            2,
            "complex64",
            (),
            {"iq": True},
            "Leave --iq out, since complex bands have both parts, and select one with --band",
        ),
        (1, "complex64", (), {"iq": True}, "Leave --iq out, since complex bands have both parts[.]$"),
        (1, "float32", (), {"iq": True}, "has 1 band of float32, .*Leave --iq out, or select the two with --band"),
    ],
)
def test_hints_name_the_options_that_help(tmp_path, count, dtype, names, options, message):
    path = write_raster(tmp_path / "a.tif", np.ones((count, 4, 5), dtype), names=names)
    with pytest.raises(InputError, match=message):
        open_layer(path, **options)


@pytest.mark.filterwarnings("ignore:.*--iq takes bands")  # for bands named VV and VH
def test_the_hints_work(tmp_path, rng):
    values = slc(rng)
    parts = np.stack([values.real * 2, values.imag * 2, values.real, values.imag]).astype("float32")
    path = write_raster(tmp_path / "a.tif", parts, names=NAMED)
    np.testing.assert_array_equal(read(path, band="3,4"), values)
    np.testing.assert_array_equal(read(path, band="VH"), values)
    np.testing.assert_array_equal(read(path, band="VV"), values * 2)
    assert open_layer(path, band="q_VH").bands == ((path, 4),)
    polarisations = write_raster(tmp_path / "b.tif", parts[2:], names=("VV", "VH"))
    np.testing.assert_array_equal(read(polarisations, band="1,2", iq=True), values)


def test_an_imaginary_part_that_comes_first(tmp_path, rng):
    values = slc(rng)
    parts = np.stack([values.imag, values.real]).astype("float32")
    path = write_raster(tmp_path / "a.tif", parts, names=("Q", "I"))
    np.testing.assert_array_equal(read(path), values)
    np.testing.assert_array_equal(read(path, band="1,2"), values)


def test_subdatasets(tmp_path, rng):
    import zarr

    values = slc(rng)
    group = zarr.open_group(str(tmp_path / "stack.zarr"), mode="w", zarr_format=2)
    for name, part in {"i_VV": values.real, "q_VV": values.imag, "angle": values.real}.items():
        group.create_array(name, data=np.ascontiguousarray(part), chunks=(20, 50))
    path = str(tmp_path / "stack.zarr")
    np.testing.assert_array_equal(read(path), values)
    np.testing.assert_array_equal(read(f'ZARR:"{path}":/angle', kind="amplitude"), values.real)
    for name in ("i_VH", "q_VH"):
        group.create_array(name, data=np.zeros(values.shape, "float32"), chunks=(20, 50))
    with pytest.raises(InputError, match=r"contains 2 images \(V[VH], V[VH]\)[.] Select one .*--band VV"):
        read(path)
    np.testing.assert_array_equal(read(path, band="VV"), values)
    for name in ("i_VV", "i_VH"):
        shutil.rmtree(tmp_path / "stack.zarr" / name)
    with pytest.raises(InputError, match=r"contains only subdatasets[.] Pass one of them: .*ZARR.*angle"):
        read(path)


# -- windows and damage ---------------------------------------------------------------------------------------------


@given(st.data())
def test_windows_equal_the_whole(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "windows.tif"
    values = slc(np.random.default_rng(1), (33, 47))
    if not path.exists():
        write_raster(path, values, tiled=True, blockxsize=16, blockysize=16, compress="deflate")
    y, x = (
        slice(*sorted(data.draw(st.tuples(st.integers(0, size), st.integers(0, size)).filter(lambda p: p[0] != p[1]))))
        for size in values.shape
    )
    np.testing.assert_array_equal(read(path, y, x), values[y, x])


def raw_image(folder, values):
    """Write an ENVI file: raw values with a header file."""
    return write_raster(folder / "raw.img", values, driver="ENVI")


def raw_vrt(folder, values):
    """Write a virtual dataset over raw values, as ISCE does."""
    (folder / "a.slc").write_bytes(b"\0" * 8 + values.astype("<c8").tobytes())
    (folder / "a.vrt").write_text(
        f"""<VRTDataset rasterXSize="{values.shape[1]}" rasterYSize="{values.shape[0]}">
        <VRTRasterBand dataType="CFloat32" band="1" subClass="VRTRawRasterBand">
        <SourceFilename relativeToVRT="1">a.slc</SourceFilename><ImageOffset>8</ImageOffset>
        <PixelOffset>8</PixelOffset><LineOffset>{8 * values.shape[1]}</LineOffset><ByteOrder>LSB</ByteOrder>
        </VRTRasterBand></VRTDataset>"""
    )
    return str(folder / "a.vrt")


@pytest.mark.parametrize("share", [0.5, 0.999])
@pytest.mark.parametrize("kind", ["tiff", "deflate", "envi", "vrt", "nested vrt"])
def test_truncated_files(tmp_path, rng, kind, share):
    values = slc(rng, (64, 80))
    if kind in ("tiff", "deflate"):
        path = write_raster(tmp_path / "a.tif", values, **({"compress": "deflate"} if kind == "deflate" else {}))
        damaged = tmp_path / "a.tif"
    elif kind == "vrt":
        path, damaged = raw_vrt(tmp_path, values), tmp_path / "a.slc"
    else:
        path, damaged = raw_image(tmp_path, values), tmp_path / "raw.img"
        if kind == "nested vrt":
            from rasterio.shutil import copy

            copy(path, str(tmp_path / "over.vrt"), driver="VRT")
            path = str(tmp_path / "over.vrt")
    np.testing.assert_array_equal(read(path), values)
    truncate(damaged, share)
    with pytest.raises(InputError, match=r"cannot be read|is truncated") as caught:
        read(path)
    assert caught.value.source == path
    assert "\n" not in str(caught.value)


def test_truncated_picture(tmp_path, rng):
    for suffix, driver in (("png", "PNG"), ("bmp", "BMP")):
        path = tmp_path / f"a.{suffix}"
        write_raster(path, rng.integers(0, 255, (100, 100), "uint8"), driver=driver)
        truncate(path)
        with pytest.raises(InputError, match=r"cannot be read|is truncated"):
            read(path, kind="amplitude")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match=r"no such file[.] Check the path"):
        open_layer(str(tmp_path / "a.tif"))


def test_source_of_a_virtual_dataset_is_missing(tmp_path, rng):
    path = raw_vrt(tmp_path, slc(rng))
    (tmp_path / "a.slc").unlink()
    with pytest.raises(InputError, match=r"a\.slc"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"hello"])
def test_no_raster(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read .*not recognized"):
        open_layer(str(path))
