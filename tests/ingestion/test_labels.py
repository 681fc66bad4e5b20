"""Labels from rasters and vector files."""

import zipfile

import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS

from sarcd.errors import InputError, OptionError
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_mapping import LabelMapping
from sarcd.ingestion.labels import blocks, open_labels
from tests.factories.rasters import UTM, ground_control_points, write_raster
from tests.factories.shapes import opened

SHAPE = (40, 60)
PLACED = Georeference(CRS.from_user_input(UTM["crs"]), UTM["transform"])


def read(path, georeference=None, *, change=None, ignore=None, size=SHAPE):
    labels = open_labels(
        str(path), shape=SHAPE, georeference=georeference or Georeference(), words=LabelMapping.parse(change, ignore)
    )
    found = np.full(SHAPE, 77, "uint8")
    with labels.open() as reader:
        for window in blocks(SHAPE, size):
            found[window] = reader.read(*window)
    return found


def raster(tmp_path, values, name="label.tif", **profile):
    """Repeat a few values over a raster of the scene's size."""
    return write_raster(tmp_path / name, np.resize(values, SHAPE), **profile)


# -- rasters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_zeros_and_ones(tmp_path, dtype):
    values = np.resize([0, 1, 255, 1], SHAPE)
    np.testing.assert_array_equal(read(raster(tmp_path, values.astype(dtype))), values)


def test_no_data_is_unlabelled(tmp_path):
    path = raster(tmp_path, np.array([0, 1, 9], "uint8"), nodata=9)
    np.testing.assert_array_equal(read(path), np.resize([0, 1, 255], SHAPE))
    path = raster(tmp_path, np.array([0, 1, np.nan], "float32"), "nan.tif")
    np.testing.assert_array_equal(read(path), np.resize([0, 1, 255], SHAPE))
    path = raster(tmp_path, np.array([0, 255], "uint8"), "void.tif", nodata=255)
    np.testing.assert_array_equal(read(path), np.resize([0, 255], SHAPE))


@pytest.mark.parametrize(
    ("values", "listed"), [([0, 255], "0, 255"), ([0, 1, 2], "0, 1, 2"), ([255], "255"), (range(30), "11 and 18 more")]
)
def test_unexplained_values_are_refused(tmp_path, values, listed):
    path = raster(tmp_path, np.array(values, "uint8"))
    with pytest.raises(InputError, match=f"label values are .*{listed}, not 0 and 1") as caught:
        read(path)
    assert caught.value.source == path
    assert "--label-change" in caught.value.hint
    assert "--label-ignore" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "ignore", "expected"),
    [
        ("255", None, [0, 0, 0, 0, 1]),
        ("128-255", None, [0, 0, 0, 1, 1]),
        ("1, 2", None, [0, 1, 1, 0, 255]),
        ("1,128-254", "2", [0, 1, 255, 1, 255]),
        ("200", "0-2", [255, 255, 255, 1, 255]),
    ],
)
def test_words(tmp_path, change, ignore, expected):
    path = raster(tmp_path, np.array([0, 1, 2, 200, 255], "uint8"))
    np.testing.assert_array_equal(read(path, change=change, ignore=ignore), np.resize(expected, SHAPE))


def test_ignored_values_need_no_other_word(tmp_path):
    path = raster(tmp_path, np.array([0, 1, 7], "uint8"))
    np.testing.assert_array_equal(read(path, ignore="7"), np.resize([0, 1, 255], SHAPE))


def test_negative_and_broken_ranges(tmp_path):
    path = raster(tmp_path, np.array([-3, -2, 0], "int16"))
    np.testing.assert_array_equal(read(path, change="-3--2"), np.resize([1, 1, 0], SHAPE))
    np.testing.assert_array_equal(read(path, change="-2"), np.resize([0, 1, 0], SHAPE))
    for words in ("-a", "", "5-3", "1;2", "1,,2"):
        with pytest.raises(OptionError, match="is not a value or range") as caught:
            LabelMapping.parse(words, None)
        assert caught.value.option == "--label-change"


def test_equal_colour_bands(tmp_path):
    values = np.stack([np.resize(np.array([0, 1], "uint8"), SHAPE)] * 3)
    np.testing.assert_array_equal(read(write_raster(tmp_path / "a.bmp", values, driver="BMP")), values[0])


def test_grid_has_to_fit(tmp_path):
    values = np.resize(np.array([0, 1], "uint8"), SHAPE)
    wrong = write_raster(tmp_path / "size.tif", values[:, 1:])
    with pytest.raises(InputError, match="has 40 x 59 pixels, but the scene has 40 x 60"):
        read(wrong)
    moved = write_raster(tmp_path / "moved.tif", values, crs=UTM["crs"], transform=Affine(10, 0, 0, 0, -20, 0))
    with pytest.raises(InputError, match="differs from the scene in grid"):
        read(moved, PLACED)
    placed = write_raster(tmp_path / "placed.tif", values, **UTM)
    np.testing.assert_array_equal(read(placed, PLACED), values)
    np.testing.assert_array_equal(read(write_raster(tmp_path / "bare.tif", values), PLACED), values)
    with pytest.raises(InputError, match="is complex"):
        read(write_raster(tmp_path / "complex.tif", values.astype("complex64")))


def test_what_was_understood_of_a_raster(tmp_path):
    def said(path, georeference=PLACED, **options):
        found = opened(path, georeference, **options).understood
        assert found.warnings == ()
        return found.rule, *found.notes

    values = np.resize([0, 1, 255, 7], SHAPE).astype("uint8")
    path = write_raster(tmp_path / "a.tif", values, **UTM)
    assert said(path, change="7", ignore="1") == ("7: change; 0: none; 1, 255: unlabelled",)
    path = write_raster(tmp_path / "b.tif", np.resize([0, 1, 9], SHAPE).astype("uint8"), nodata=9)
    pixel_by_pixel = "it has no georeference and is matched to the scene pixel by pixel"
    assert said(path) == ("1: change; 0: none", "800 pixels of no-data are unlabelled", pixel_by_pixel)
    path = write_raster(tmp_path / "c.tif", np.resize([0, 1], SHAPE).astype("uint8"), scaling=(0.5, 0.0), **UTM)
    assert said(path, Georeference())[1:] == (
        "its georeference is ignored, since the scene has none",
        "its scale 0.5 and offset 0 are not applied to label values",
    )
    path = write_raster(tmp_path / "d.tif", np.linspace(0, 1, 2400, dtype="float32").reshape(SHAPE), **UTM)
    assert said(path, change="0.5-1") == ("0.5 to 1: change; other values from 0 to 1: none",)


def test_rasters_of_nothing_but_no_data(tmp_path):
    with pytest.raises(InputError, match="contains no label, since every pixel is no-data"):
        read(raster(tmp_path, np.array([255], "uint8"), nodata=255))


def test_pictures_in_colours(tmp_path):
    values = np.resize(np.array([0, 1], "uint8"), SHAPE)
    path = write_raster(tmp_path / "a.tif", np.stack([values, values, 0 * values]))
    for options in ({}, {"change": "255"}):
        with pytest.raises(InputError, match="is a colour picture") as caught:
            read(path, **options)
        assert "one band of 0 and 1" in caught.value.hint


def test_bands(tmp_path):
    """A transparent pixel is unlabelled; of two bands one must be chosen, but --band only applies to images."""
    values, seen = np.resize(np.array([0, 1], "uint8"), SHAPE), np.full(SHAPE, 255, "uint8")
    seen[:10] = 0
    expected = np.where(seen == 0, 255, values)
    path = write_raster(tmp_path / "a.tif", np.stack([values] * 3 + [seen]), photometric="RGB", alpha="YES")
    np.testing.assert_array_equal(read(path), expected)
    path = write_raster(tmp_path / "b.tif", np.stack([values, seen]), alpha="YES")
    np.testing.assert_array_equal(read(path), expected)
    path = write_raster(tmp_path / "c.tif", np.stack([values, seen]))
    with pytest.raises(InputError, match="has 2 bands") as caught:
        read(path)
    assert caught.value.hint.endswith(f"vrt://{path}?bands=1")
    assert "--band" not in caught.value.hint
    np.testing.assert_array_equal(read(f"vrt://{path}?bands=1"), values)


def test_stored_values_of_a_palette(tmp_path):
    colours = {0: (255, 255, 255, 255), 1: (200, 0, 0, 255)}
    path = raster(tmp_path, np.array([0, 1], "uint8"), colours=colours)
    np.testing.assert_array_equal(read(path), np.resize([0, 1], SHAPE))


def test_minus_one(tmp_path):
    path = raster(tmp_path, np.array([-1, 0, 1], "int16"))
    with pytest.raises(InputError, match="label values are -1, 0, 1, not 0 and 1"):
        read(path)
    np.testing.assert_array_equal(read(path, ignore="-1"), np.resize([255, 0, 1], SHAPE))


def test_grids_that_are_turned(tmp_path):
    values = np.resize(np.array([0, 1], "uint8"), SHAPE)
    upside_down = Affine(10.0, 0.0, 500_000.0, 0.0, 20.0, 5_800_000.0 - 20 * 40)
    path = write_raster(tmp_path / "a.tif", values, crs=UTM["crs"], transform=upside_down)
    with pytest.raises(InputError, match=r"differs from the scene in grid \(shifted by up to 40 pixels\)") as caught:
        read(path, PLACED)
    assert "bottom row first" in caught.value.hint
    with pytest.raises(InputError, match="has 60 x 40 pixels") as caught:
        read(write_raster(tmp_path / "b.tif", np.ascontiguousarray(values.T)))
    assert "transposed" in caught.value.hint
    path = write_raster(tmp_path / "c.tif", values, crs="EPSG:32632", transform=UTM["transform"])
    with pytest.raises(InputError, match="differs from the scene in CRS"):
        read(path, PLACED)


def test_rasters_in_archives(tmp_path):
    path = raster(tmp_path, np.array([0, 1], "uint8"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "label.tif")
    for name in (f"{tmp_path}/a.zip", f"/vsizip/{tmp_path}/a.zip/label.tif"):
        np.testing.assert_array_equal(read(name), np.resize([0, 1], SHAPE))
        assert opened(name, Georeference()).path == name


# -- vector files ---------------------------------------------------------------------------------------------------


def write_shapes(path, shapes, *, crs=None, **fields):
    shapes = np.array(shapes, dtype=object)
    pyogrio.raw.write(
        path,
        shapely.to_wkb(shapes),
        [np.asarray(values) for values in fields.values()],
        list(fields),
        geometry_type="Unknown" if path.suffix == ".gpkg" else "Polygon",
        crs=crs,
    )
    return path


def quiet(function, *arguments, **options):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pyogrio warns that there is no CRS
        return function(*arguments, **options)


def burned(*rectangles):
    """Make rectangles of (first row, last row, first column, last column, value)."""
    expected = np.zeros(SHAPE, "uint8")
    for top, bottom, left, right, value in rectangles:
        expected[top : bottom + 1, left : right + 1] = value
    return expected


def to_ground(box, transform=UTM["transform"]):
    return shapely.transform(
        box, lambda p: np.column_stack([transform.a * p[:, 0] + transform.c, transform.e * p[:, 1] + transform.f])
    )


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".shp"])
def test_shapes_are_reprojected_and_burned_in(tmp_path, suffix):
    import pyproj

    shapes = [to_ground(shapely.box(10, 5, 20, 15)), to_ground(shapely.box(40.6, 30.6, 70, 70))]
    lonlat = pyproj.Transformer.from_crs(UTM["crs"], "EPSG:4326", always_xy=True).transform
    dense = [shapely.segmentize(shape, 5.0) for shape in shapes]  # a change of CRS bends straight lines
    shapes = [shapely.transform(shape, lambda p: np.column_stack(lonlat(*p.T))) for shape in dense]
    path = write_shapes(tmp_path / f"a{suffix}", shapes, crs="EPSG:4326")
    np.testing.assert_array_equal(read(path, PLACED), burned((5, 14, 10, 19, 1), (31, 39, 41, 59, 1)))


@given(st.tuples(st.integers(1, 50), st.integers(1, 70)))
def test_windows_do_not_change_the_burning(tmp_path_factory, size):
    path = tmp_path_factory.getbasetemp() / "circles.gpkg"
    if not path.exists():
        circles = [to_ground(shapely.Point(20, 15).buffer(9.3)), to_ground(shapely.Point(45, 25).buffer(14.1))]
        write_shapes(path, circles, crs=UTM["crs"])
    whole = read(path, PLACED)
    assert 0 < whole.sum() < whole.size
    np.testing.assert_array_equal(read(path, PLACED, size=size), whole)


def test_rotated_scene(tmp_path):
    transform = Affine(8.0, 2.5, 500_000.0, -2.5, -9.0, 5_800_000.0)
    corners = [(10, 5), (20, 5), (20, 15), (10, 15)]
    shape = shapely.Polygon(
        [
            (transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f)
            for x, y in corners
        ]
    )
    path = write_shapes(tmp_path / "a.gpkg", [shape], crs=UTM["crs"])
    np.testing.assert_array_equal(read(path, Georeference(PLACED.crs, transform)), burned((5, 14, 10, 19, 1)))


def test_values_of_shapes(tmp_path):
    boxes = [to_ground(shapely.box(*bounds)) for bounds in ((0, 0, 60, 40), (10, 5, 20, 15), (12, 7, 14, 9))]
    path = write_shapes(tmp_path / "a.gpkg", boxes, crs=UTM["crs"], label=np.array([255, 1, 0], "int32"))
    np.testing.assert_array_equal(
        read(path, PLACED), burned((0, 39, 0, 59, 255), (5, 14, 10, 19, 1), (7, 8, 12, 13, 0))
    )
    path = write_shapes(tmp_path / "b.gpkg", boxes, crs=UTM["crs"], label=np.array([7, 8, 9], "int32"))
    with pytest.raises(InputError, match="label values are 7, 8, 9, not 0 and 1"):
        read(path, PLACED)
    expected = burned((0, 39, 0, 59, 255), (5, 14, 10, 19, 1), (7, 8, 12, 13, 0))
    np.testing.assert_array_equal(read(path, PLACED, change="8", ignore="7"), expected)
    path = write_shapes(tmp_path / "c.gpkg", boxes, crs=UTM["crs"], label=np.array(["a", "b", "c"], object))
    with pytest.raises(InputError, match="'label' is not numeric"):
        read(path, PLACED)


def test_words_leave_shapes_without_values_alone(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [to_ground(shapely.box(10, 5, 20, 15))], crs=UTM["crs"])
    np.testing.assert_array_equal(read(path, PLACED, change="255"), burned((5, 14, 10, 19, 1)))


@pytest.mark.parametrize(
    "georeference", [Georeference(), Georeference(CRS.from_epsg(4326), None, tuple(ground_control_points(SHAPE)))]
)
def test_pixel_coordinates_where_the_scene_is_not_on_the_map(tmp_path, georeference):
    expected = burned((5, 14, 10, 19, 1))
    path = quiet(write_shapes, tmp_path / "a.gpkg", [shapely.box(10, 5, 20, 15)])
    np.testing.assert_array_equal(read(path, georeference), expected)
    rising = quiet(write_shapes, tmp_path / "b.gpkg", [shapely.box(10, -15, 20, -5)])
    np.testing.assert_array_equal(read(rising, georeference), expected)
    on_map = write_shapes(tmp_path / "c.gpkg", [shapely.box(10, 5, 20, 15)], crs="EPSG:4326")
    message = (
        "no shape within the scene; .* x 10 to 20"
        if georeference.gcps
        else "has map coordinates, but the scene has none"
    )
    with pytest.raises(InputError, match=message):
        read(on_map, georeference)


def test_geojson_beyond_degrees_is_pixel_coordinates(tmp_path):
    path = write_shapes(tmp_path / "a.geojson", [shapely.box(10, 5, 500, 15)], crs="EPSG:4326")
    np.testing.assert_array_equal(read(path), burned((5, 14, 10, 59, 1)))


def test_bare_transform_has_its_own_coordinates(tmp_path):
    bare = Georeference(None, Affine(1, 0, 0, 0, -1, 40))
    path = quiet(write_shapes, tmp_path / "a.gpkg", [shapely.box(10, 25, 20, 35)])
    np.testing.assert_array_equal(read(path, bare), burned((5, 14, 10, 19, 1)))


def test_unusable_vector_files(tmp_path):
    inside, outside = to_ground(shapely.box(10, 5, 20, 15)), to_ground(shapely.box(100, 5, 120, 15))
    with pytest.raises(InputError, match="no shape within the scene"):
        read(write_shapes(tmp_path / "outside.gpkg", [outside], crs=UTM["crs"]), PLACED)
    with pytest.raises(InputError, match="has no CRS"):
        read(quiet(write_shapes, tmp_path / "nowhere.gpkg", [inside]), PLACED)
    write_shapes(tmp_path / "empty.gpkg", [], crs=UTM["crs"])
    with pytest.raises(InputError, match="has no shapes"):
        read(tmp_path / "empty.gpkg", PLACED)
    write_shapes(tmp_path / "two.gpkg", [inside], crs=UTM["crs"])
    pyogrio.raw.write(
        tmp_path / "two.gpkg",
        shapely.to_wkb(np.array([inside])),
        [],
        [],
        layer="second",
        geometry_type="Polygon",
        crs=UTM["crs"],
        append=True,
    )
    with pytest.raises(InputError, match="has 2 layers"):
        read(tmp_path / "two.gpkg", PLACED)
    (tmp_path / "text.geojson").write_text("hello")
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "text.geojson", PLACED)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.gpkg", PLACED)
