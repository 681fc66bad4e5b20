"""Undeclared no-data: recognised, warned about or refused, and always reported."""

import json

import numpy as np
import pytest

from sarcd.config import IngestOptions
from sarcd.errors import InputError, OptionError
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.rasters import slc, write_raster
from tests.said import logged, nothing_logged

SHAPE = (60, 80)
DAYS = ("20230319", "20230331")


def speckle(rng, dtype="float32"):
    """Make amplitudes of a few looks, all above 0."""
    values = np.sqrt(rng.gamma(4, 1000, SHAPE)) + 1
    return (10 * np.log10(values) if dtype == "db" else values).astype("float32" if dtype == "db" else dtype)


def bordered(values, fill, width=8):
    """Return the values with a fill along the left edge."""
    filled = values.copy()
    filled[:, :width] = fill
    return filled


def wedge(values, fill):
    """Return the values with a fill beside a slanted line, as of a rotated footprint."""
    filled = values.copy()
    y, x = np.indices(SHAPE)
    filled[x < 12 - 0.15 * y] = fill
    return filled


def made(tmp_path, images, *, scaling=None, **options):
    """Ingest two images, by default amplitudes, and return the report and the contents of the scene."""
    paths = [
        write_raster(tmp_path / f"{day}.tif", image, scaling=scaling) for day, image in zip(DAYS, images, strict=True)
    ]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(**{"kind": "amplitude", "chunk": 32, **options}))
    return report, open_scene(tmp_path / "scene.zarr")[report.images].values


# -- borders of zeros -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory", [1, 40_000, 2**28])
@pytest.mark.parametrize("kind", ["amplitude", "intensity"])
def test_a_border_of_zeros_is_no_data_and_said(tmp_path, rng, kind, memory):
    before, after = bordered(speckle(rng), 0), wedge(speckle(rng), 0)
    before[30, 40], after[20, 60] = 0, 0  # dark pixels inside are valid
    report, found = made(tmp_path, (before, after), kind=kind, memory_bytes=memory)
    expected = [np.where(np.indices(SHAPE)[1] < 8, np.nan, before), wedge(after, np.nan)]
    expected = np.sqrt(expected) if kind == "intensity" else expected
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert report.invalid == ({"border": 480}, {"border": int(np.isnan(expected[1]).sum())})
    assert report.valid[0] == 0.9
    assert report.notes[0] == (
        "20230319.tif: exact zeros that touch the edge, 480 pixels, 10 % of the image, are treated as no-data; "
        "--nodata none keeps them as values"
    )
    attrs = open_scene(tmp_path / "scene.zarr")["amplitude"].attrs
    assert attrs["source_invalid"] == [f"border={report.invalid[i]['border']}" for i in (0, 1)]


def test_none_keeps_it_as_data(tmp_path, rng):
    images = (bordered(speckle(rng), 0), speckle(rng))
    report, found = made(tmp_path, images, nodata=("none",))
    np.testing.assert_array_equal(found, images)
    assert (report.valid, report.invalid, report.notes) == ((1.0, 1.0), ({}, {}), ())
    assert "source_invalid" not in open_scene(tmp_path / "scene.zarr")["amplitude"].attrs


def test_a_few_zeros_at_the_edge_are_data(tmp_path, rng):
    image = speckle(rng)
    image[:48, 0] = 0  # at most 1 %
    report, found = made(tmp_path, (image, speckle(rng)))
    np.testing.assert_array_equal(found[0], image)
    image[48, 0] = 0
    (tmp_path / "more").mkdir()
    report, found = made(tmp_path / "more", (image, speckle(rng)))
    assert np.isnan(found[0]).sum() == report.invalid[0]["border"] == 49


def test_zeros_behind_a_rim_of_nan(tmp_path, rng):
    image = bordered(speckle(rng), 0)
    image[:2] = image[-2:] = image[:, :2] = np.nan
    report, found = made(tmp_path, (image, speckle(rng)))
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(image) | (image == 0))
    assert report.invalid[0]["border"] == 56 * 6


@pytest.mark.parametrize(("fill", "offset"), [(0, 100.0), (500, -1000.0)])
def test_zeros_of_scaled_images(tmp_path, rng, fill, offset):
    """A fill is 0 as stored, or a value that an offset maps to 0."""
    images = bordered(speckle(rng) + 500, fill), speckle(rng) + 500
    report, found = made(tmp_path, images, scaling=(2.0, offset))
    assert report.invalid == ({"border": 480}, {})
    np.testing.assert_allclose(found[0][:, 8:], 2 * images[0][:, 8:] + offset, rtol=1e-3)


def test_declared_value_that_never_occurs(tmp_path, rng):
    path = write_raster(tmp_path / "20230319.tif", bordered(speckle(rng), 0), nodata=-9999)
    other = write_raster(tmp_path / "20230331.tif", speckle(rng), nodata=-9999)
    report = ingest([path, other], tmp_path / "scene.zarr", IngestOptions(kind="amplitude"))
    assert report.invalid == ({"border": 480}, {})
    assert report.notes[1] == "20230319.tif: the file declares -9999 as no-data, but no pixel has this value"


def test_an_image_of_zeros_alone(tmp_path, rng):
    with pytest.raises(InputError, match="has no valid pixel"):
        made(tmp_path, (np.zeros(SHAPE, "float32"), speckle(rng)))
    assert not (tmp_path / "scene.zarr").exists()


@pytest.mark.parametrize(
    ("fill", "kind", "cause", "hint"),
    [
        (0.0, "intensity", "a border of zeros", "written completely"),
        (np.nan, "amplitude", "not finite", "written completely"),
        (-12.5, "intensity", "impossible", "pass --kind db"),
        (7.0, "amplitude", "no-data by --nodata", "check --nodata"),
    ],
)
def test_images_without_a_valid_pixel_say_why(tmp_path, rng, fill, kind, cause, hint):
    with pytest.raises(InputError, match=f"has no valid pixel: 100 % {cause}") as caught:
        made(tmp_path, (np.full(SHAPE, fill, "float32"), speckle(rng)), kind=kind, nodata=("7",))
    assert hint in caught.value.hint


@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize("line", [np.s_[31], np.s_[:, 40], np.s_[:, :1]])
def test_one_line_of_zeros_was_lost(tmp_path, rng, line, memory):
    """However narrow the fill is: no ground is exactly zero from edge to edge."""
    lost = speckle(rng)
    lost[line] = 0
    lost[:5, :3] = np.nan  # lines are lost inside the footprint too
    report, images = made(tmp_path, (lost, speckle(rng)), memory_bytes=memory)
    assert np.isnan(images[0][line]).all()
    assert report.invalid[0]["border"] == np.count_nonzero(lost == 0)
    assert "exact zeros that touch the edge" in report.notes[0]


def test_one_line_of_zeros_in_whole_numbers_is_warned_of(tmp_path, rng):
    lost = speckle(rng, "uint8")
    lost[31] = 0
    with logged("is an area of the single value 0 at its edge"):
        made(tmp_path, (lost, speckle(rng, "uint8")))


@pytest.mark.parametrize("part", ["real", "imag"])
@pytest.mark.parametrize("dtype", ["complex64", "int16"])
def test_a_part_that_was_lost_is_warned_of(tmp_path, rng, part, dtype):
    """Amplitudes stored as complex numbers would appear coherent everywhere."""
    whole, lost = slc(rng, SHAPE), slc(rng, SHAPE)
    getattr(lost, part)[20:40] = 0
    images = [np.stack([one.real, one.imag]).astype(dtype) if dtype == "int16" else one for one in (lost, whole)]
    word = {"real": "real", "imag": "imaginary"}[part]
    with logged(f"in 33.33 % of the pixels only the {word} part is exactly zero"):
        made(tmp_path, images, kind="slc", iq=dtype == "int16")


def test_zeros_of_small_whole_numbers_are_no_lost_part(tmp_path, rng):
    with nothing_logged():
        made(tmp_path, rng.integers(-3, 4, (2, 2, *SHAPE)).astype("int16"), kind="slc", iq=True)


def test_appended_images_too(tmp_path, rng):
    made(tmp_path, (speckle(rng), speckle(rng)))
    path = write_raster(tmp_path / "20230412.tif", bordered(speckle(rng), 0))
    report = append([path], tmp_path / "scene.zarr", IngestOptions(kind="amplitude"))
    scene = open_scene(tmp_path / "scene.zarr")["amplitude"]
    assert np.isnan(scene.values[2]).sum() == report.invalid[0]["border"] == 480
    assert scene.attrs["source_invalid"] == ["", "", "border=480"]


# -- other values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["amplitude", "intensity"])
@pytest.mark.parametrize("fill", [-9999, -32768, 3.4028235e38, -3.4028235e38])
def test_impossible_values_are_counted(tmp_path, rng, kind, fill):
    report, found = made(tmp_path, (bordered(speckle(rng), fill), speckle(rng)), kind=kind)
    assert np.isnan(found[0]).sum() == 480
    assert report.invalid == ({"impossible": 480}, {})
    assert f"480 pixels, 10 % of the image, are impossible as {kind}" in report.notes[0]


@pytest.mark.parametrize("fill", [-9999, -32768, -3.4028235e38])
def test_decibels_that_would_pass_for_darkness(tmp_path, rng, fill):
    report, found = made(tmp_path, (bordered(speckle(rng, "db"), fill), speckle(rng, "db")), kind="db")
    assert np.isnan(found[0]).sum() == 480
    assert report.invalid == ({"impossible": 480}, {})


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(tmp_path, rng, fill):
    report, found = made(tmp_path, (bordered(speckle(rng), fill), speckle(rng)))
    assert np.isnan(found[0]).sum() == 480
    assert report.invalid == ({"not_finite": 480}, {})


@pytest.mark.parametrize(
    ("kind", "dtype", "fill", "named"),
    [
        ("amplitude", "uint8", 0, "0"),
        ("amplitude", "uint8", 255, "255"),
        ("amplitude", "uint16", 7, "7"),
        ("amplitude", "float32", 1e-3, "0.001"),
        ("amplitude", "float64", 12.5, "12.5"),
        ("db", "db", 0, "0"),
        ("db", "db", -99, "-99"),
        ("slc", "complex64", 1e-20, "1e-20"),
        ("slc", "complex64", 3 - 4j, "3-4j"),
        ("slc", "complex64", -32768 - 32768j, "-32768"),
    ],
)
def test_borders_of_one_value_are_warned_of_and_the_cure_works(tmp_path, rng, kind, dtype, fill, named):
    draw = (lambda: slc(rng, SHAPE)) if kind == "slc" else lambda: speckle(rng, dtype)
    images = bordered(draw(), fill), draw()
    with logged(f"10 % of the image is an area of the single value .*--nodata {named} if it is no-data") as told:
        report, found = made(tmp_path, images, kind=kind)
    assert len(told) == 1
    assert report.invalid == ({}, {})
    if kind not in ("db", "slc"):
        np.testing.assert_allclose(found, images, rtol=1e-6)
    (tmp_path / "cured").mkdir()
    report, found = made(tmp_path / "cured", images, kind=kind, nodata=(named, "none"))
    assert np.isnan(found[0]).sum() == 480
    assert report.invalid[0] == {"option": 480}


def test_a_value_for_every_image_beside_what_the_files_declare(tmp_path, rng):
    images = [speckle(rng), speckle(rng)]
    for image in images:
        image[5, 5:8] = 12.5, 7, np.nan
    paths = [write_raster(tmp_path / f"{day}.tif", image, nodata=7) for day, image in zip(DAYS, images, strict=True)]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(kind="amplitude", nodata=("12.5",)))
    assert report.invalid == ({"declared": 1, "option": 1, "not_finite": 1},) * 2
    assert np.isnan(open_scene(tmp_path / "scene.zarr")["amplitude"].values[:, 5, 5:8]).all()


def test_what_resampling_leaves_beyond_the_footprint(tmp_path, rng):
    """Data with several values, none of them 0."""
    image = bordered(slc(rng, SHAPE), 1)
    image[:, :8] *= 1e-6 * rng.random((SHAPE[0], 8))
    with logged("10 % of the pixels are over 100 dB below the median") as told:
        made(tmp_path, (image, slc(rng, SHAPE)), kind="slc")
    assert len(told) == 1


def test_many_zeros_within_are_kept_and_warned_of(tmp_path, rng):
    image = speckle(rng)
    image[20:30, 20:30] = 0
    with logged(r"2.08 % of the image is exact zeros that are not part of a border.*--nodata 0"):
        _, found = made(tmp_path, (image, speckle(rng)))
    np.testing.assert_array_equal(found[0], image)
    (tmp_path / "cured").mkdir()
    report, found = made(tmp_path / "cured", (image, speckle(rng)), nodata=("0",))
    assert report.invalid == ({"option": 100}, {})
    assert report.notes == ("20230331.tif: no further pixel has the value 0 of --nodata",)


def test_two_bands_of_one_complex_image(tmp_path, rng):
    parts = [np.stack([bordered(speckle(rng), -3), bordered(speckle(rng), -3)]) for _ in DAYS]
    paths = [
        write_raster(tmp_path / f"{day}.tif", part, names=("I", "Q")) for day, part in zip(DAYS, parts, strict=True)
    ]
    report = ingest(paths, tmp_path / "scene.zarr", IngestOptions(nodata=("-3",)))
    assert report.invalid == ({"option": 480},) * 2


def test_a_value_that_no_pixel_has(tmp_path, rng):
    images = (speckle(rng), speckle(rng))
    report, _ = made(tmp_path, images, nodata=("-1",))
    assert report.notes[0] == "20230319.tif: no further pixel has the value -1 of --nodata"
    (tmp_path / "whole").mkdir()
    with pytest.raises(OptionError, match=r"no pixel of .* can be -9999, since it is stored as uint8") as caught:
        made(tmp_path / "whole", [image.astype("uint8") for image in images], nodata=("-9999",))
    assert caught.value.option == "--nodata"
    assert not (tmp_path / "whole" / "scene.zarr").exists()


@pytest.mark.parametrize("text", ["", "nothing", "1,2"])
def test_no_value(text):
    with pytest.raises(OptionError, match="is not a pixel value"):
        IngestOptions(nodata=(text,))


def test_exact_zeros_of_complex_images_always_are_no_data(tmp_path, rng):
    image = bordered(slc(rng, SHAPE), 0)
    image[30, 40] = 0
    for nodata in ("auto", "none"):
        (tmp_path / nodata).mkdir()
        report, found = made(tmp_path / nodata, (image, slc(rng, SHAPE)), kind="slc", nodata=(nodata,))
        assert report.invalid == ({"zero": 481}, {})
        assert np.isnan(found[0]).sum() == 481


# -- gains ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["amplitude", "slc"])
def test_a_lost_scale_is_warned_of_and_mended(tmp_path, rng, kind):
    draw = (lambda: slc(rng, SHAPE)) if kind == "slc" else lambda: speckle(rng)
    images = draw(), draw() * np.float32(10 ** (6 / 20))
    with logged(r"20230319.tif and 20230331.tif are [56]\.\d dB apart.* pass --gain"):
        made(tmp_path, images, kind=kind)
    (tmp_path / "mended").mkdir()
    with nothing_logged():
        _, found = made(tmp_path / "mended", images, kind=kind, gain_db=(0.0, -6.0))
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_allclose(found[1], images[1] / 10 ** (6 / 20), rtol=1e-6)
    attrs = open_scene(tmp_path / "mended" / "scene.zarr")["slc" if kind == "slc" else "amplitude"].attrs
    assert attrs["source_gain_db"] == [0.0, -6.0]


def test_the_level_of_an_appended_image_is_held_against_the_last_date(tmp_path, rng):
    made(tmp_path, (speckle(rng), speckle(rng)))
    path = write_raster(tmp_path / "20230412.tif", speckle(rng) * 2)
    with logged(r"of the last date and 20230412.tif are 6\.\d dB apart"):
        append([path], tmp_path / "scene.zarr", IngestOptions(kind="amplitude"))
    path = write_raster(tmp_path / "20230424.tif", speckle(rng))
    with nothing_logged():
        append([path], tmp_path / "scene.zarr", IngestOptions(kind="amplitude", gain_db=(6.0,)))
    assert open_scene(tmp_path / "scene.zarr")["amplitude"].attrs["source_gain_db"] == [0.0, 0.0, 0.0, 6.0]


@pytest.mark.parametrize("gain", [(1.0,), (1.0, 2.0, 3.0)])
def test_a_gain_for_each_image(tmp_path, rng, gain):
    with pytest.raises(OptionError, match=f"is passed {len(gain)} times for 2 images"):
        made(tmp_path, (speckle(rng), speckle(rng)), gain_db=gain)
    with pytest.raises(OptionError, match="gain_db is"):
        IngestOptions(gain_db=(float("nan"),))


# -- the whole way --------------------------------------------------------------------------------------------------


def test_a_strip_that_one_image_alone_covers_is_not_change(tmp_path, rng, capsys):
    before, after = speckle(rng), speckle(rng)
    before[:, :16], after[:, -20:] = 0, 0
    after[20:30, 30:42] *= 4
    paths = [write_raster(tmp_path / f"{day}.tif", image) for day, image in zip(DAYS, (before, after), strict=True)]
    scene = str(tmp_path / "scene.zarr")
    assert main(["ingest", *paths, "-o", scene, "--kind", "amplitude"]) == 0
    out, err = capsys.readouterr()
    assert "20230319.tif, 80 % valid; 20 % a border of zeros" in out
    assert err.count("--nodata none keeps them as values") == 2
    assert main(["statistics", scene, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["median"] == np.median(np.abs(np.concatenate([before[:, 16:].ravel(), after[:, :-20].ravel()])))
    assert main(["detect", scene, "--method", "log-ratio"]) == 0
    change = open_scene(scene)["change"].values[0]
    covered = np.zeros(SHAPE, bool)
    covered[:, 16:-20] = True
    np.testing.assert_array_equal(change == 255, ~covered)
    assert (change[23:27, 33:39] == 1).all()
    assert (change == 1).mean() < 0.05
