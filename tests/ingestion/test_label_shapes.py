"""Selection of the layer, attribute and values of a vector file, and refusals."""

import gzip
import re
import zipfile

import numpy as np
import pytest
import shapely

from sarcd.errors import InputError, OptionError
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.label_shapes import split_layer
from tests.factories.shapes import add_table, box, burned, opened, write_shapes

BOXES = [box(10, 5, 20, 15), box(30, 20, 45, 30)]  # 100 and 150 pixels


def rule_and_pixels(path, **options):
    labels = opened(path, **options)
    found = burned(labels)
    return labels.understood.rule, int((found == 1).sum()), int((found == 255).sum())


# -- layers ---------------------------------------------------------------------------------------------------------


def test_styles_of_qgis_are_passed_over(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, layer="pit")
    add_table(path, "layer_styles")
    labels = opened(path)
    assert burned(labels).sum() == 250
    assert labels.understood.layer == "pit"
    assert "layers without shapes are ignored: layer_styles" in labels.understood.notes


def test_one_layer_of_several(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, layer="pit")
    write_shapes(path, BOXES[:1], layer="dump", append=True)
    with pytest.raises(InputError, match=r"has 2 layers with shapes \(pit, dump\)") as caught:
        opened(path)
    assert "--label-layer" in caught.value.hint
    assert "layername=" in caught.value.hint
    assert burned(opened(path, layer="dump")).sum() == 100
    assert burned(opened(f"{path}|layername=pit", layer="dump")).sum() == 250
    with pytest.raises(InputError, match="has no layer 'heap'") as caught:
        opened(path, layer="heap")
    assert "pit, dump" in caught.value.hint
    with pytest.raises(OptionError, match="subset=x' is not supported"):
        split_layer(f"{path}|layername=pit|subset=x")


def test_layers_that_are_empty_are_no_choice(tmp_path):
    """A GPX file has five layers, most of them empty."""
    path = write_shapes(tmp_path / "a.gpkg", BOXES, layer="pit")
    write_shapes(path, [], layer="drawn later", append=True)
    labels = opened(path)
    assert labels.understood.layer == "pit"
    assert "layers without shapes are ignored: drawn later" in labels.understood.notes


def test_a_name_with_a_bar_is_a_name(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES)
    odd = path.rename(tmp_path / "a|layername=b.gpkg")
    assert burned(opened(odd)).sum() == 250


def test_tables_alone(tmp_path):
    (tmp_path / "a.csv").write_text("name,label\nx,1\n")
    with pytest.raises(InputError, match="has no shapes in its layers"):
        opened(tmp_path / "a.csv")


# -- attributes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["label", "LABEL", "Label"])
def test_the_attribute_called_label_in_any_case(tmp_path, name):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, **{name: np.array([1, 0])})
    assert rule_and_pixels(path) == (f"attribute '{name}': 1: change; 0: none", 100, 0)
    assert opened(path).understood.field == name


def test_another_attribute(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, id=np.array([7, 8]), sort=np.array([1, 255]))
    rule, changed, _ = rule_and_pixels(path)
    assert (rule, changed) == ("every shape is change", 250)
    assert "its attributes (id, sort) are not read" in opened(path).understood.notes
    assert rule_and_pixels(path, field="SORT") == ("attribute 'sort': 1: change; 255: unlabelled", 100, 150)
    with pytest.raises(InputError, match="has no attribute 'what'") as caught:
        opened(path, field="what")
    assert "id, sort" in caught.value.hint


def test_attributes_that_look_like_labels_are_warned_of(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, **{"class": np.array([1, 0])})
    (warning,) = opened(path).understood.warnings
    assert re.search("every shape is change; 'class' holds 0, 1[.] .*--label-field class[.]$", warning)
    same = write_shapes(tmp_path / "b.gpkg", BOXES, **{"class": np.array(["change", "change"], object)})
    assert opened(same).understood.warnings == ()


def test_attributes_that_differ_by_case_alone(tmp_path):
    (tmp_path / "a.geojson").write_text(
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"Label": 1, "LABEL": 0},'
        ' "geometry": {"type": "Polygon", "coordinates": [[[10, 5], [20, 5], [20, 15], [10, 5]]]}}]}'
    )
    with pytest.raises(InputError, match="has several attributes Label, LABEL"):
        opened(tmp_path / "a.geojson", Georeference())


@pytest.mark.parametrize(
    ("values", "rule", "pixels"),
    [
        (np.array([True, False]), "1: change; 0: none", (100, 0)),
        (np.array(["yes", "No"], object), "1: change; 0: none", (100, 0)),
        (np.array([" 1", "0.0"], object), "1: change; 0: none", (100, 0)),
        (np.array(["", "true"], object), "1: change", (150, 100)),
        (np.array([np.nan, 1.0]), "1: change", (150, 100)),
    ],
)
def test_values_that_are_numbers_all_the_same(tmp_path, values, rule, pixels):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=values)
    assert rule_and_pixels(path) == (f"attribute 'label': {rule}", *pixels)
    assert opened(path).understood.shapes["without_value"] == (pixels[1] > 0)


def test_words(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=np.array(["Slide", "not sure"], object))
    with pytest.raises(InputError, match=r"'label' is not numeric and holds Slide, not sure") as caught:
        opened(path)
    assert "--label-change 'Slide'" in caught.value.hint
    assert rule_and_pixels(path, change="slide") == ("attribute 'label': Slide: change; not sure: none", 100, 0)
    expected = ("attribute 'label': Slide: change; not sure: unlabelled", 100, 150)
    assert rule_and_pixels(path, change="slide", ignore="Not sure") == expected
    for change in ("1", "dump"):
        with pytest.raises(InputError, match="none of which is in --label-change"):
            opened(path, change=change)
    numbers = write_shapes(tmp_path / "b.gpkg", BOXES, label=np.array([1, 0]))
    with pytest.raises(InputError, match=r"label values are numbers \(0, 1\), none of them 'slide'"):
        opened(numbers, change="slide")


def test_dates_are_no_labels(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=np.array(["2023-03-19", "2023-03-31"], "datetime64[D]"))
    with pytest.raises(InputError, match="'label' is not numeric"):
        opened(path)


# -- shapes ---------------------------------------------------------------------------------------------------------


def test_shapes_without_geometry(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [None, shapely.Polygon()])
    with pytest.raises(InputError, match="has no shapes, since all 2 are without geometry"):
        opened(path)
    path = write_shapes(tmp_path / "b.gpkg", [None, BOXES[0], shapely.Polygon()], label=np.array([0, 1, 1]))
    labels = opened(path)
    assert burned(labels).sum() == 100
    assert labels.understood.shapes["without_geometry"] == 2
    assert labels.understood.warnings == (
        f"{path}: of 3 shapes, 2 have no geometry. Draw them again if they should count.",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_no_numbers(tmp_path, value):
    points = np.array([[500_100, 5_799_900], [500_200, 5_799_900], [value, 5_799_800], [500_100, 5_799_900]])
    broken = shapely.transform(shapely.box(0, 0, 1, 1), lambda p: np.concatenate([points, points[:1]]))
    path = write_shapes(tmp_path / "a.gpkg", [BOXES[0], broken])
    with pytest.raises(InputError, match=r"1 of 2 shapes have coordinates .*\(the first is number 2\)"):
        opened(path)


def test_surfaces_and_curves(tmp_path):
    pixels = Georeference()
    (tmp_path / "tin.csv").write_text(
        'WKT,label\n"POLYGON ((1 1,9 1,9 9,1 1))",1\n"TIN (((0 0 0,0 0 1,0 1 0,0 0 0)))",1\n'
    )
    with pytest.raises(InputError, match="1 of 2 shapes are surfaces or solids"):
        opened(tmp_path / "tin.csv", pixels)
    circle = "CURVEPOLYGON (CIRCULARSTRING (10 20,25 5,40 20,25 35,10 20))"
    (tmp_path / "curve.csv").write_text(
        f'WKT,label\n"{circle}",1\n"POLYGON M ((50 0 1,58 0 1,58 9 1,50 9 1,50 0 1))",1\n'
    )
    found = burned(opened(tmp_path / "curve.csv", pixels))
    assert abs(int(found[:, :45].sum()) - np.pi * 15**2) < 15
    assert found[:, 45:].sum() == 72


def test_third_coordinates_are_dropped(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [shapely.force_3d(BOXES[0], 120.0)])
    assert burned(opened(path)).sum() == 100


# -- archives, broken files -----------------------------------------------------------------------------------------


def test_archives(tmp_path):
    write_shapes(tmp_path / "a.shp", BOXES, kind="Polygon", label=np.array([1, 0]))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in tmp_path.glob("a.*"):
            if part.suffix != ".zip":
                archive.write(part, part.name)
    for path in (
        f"{tmp_path}/a.zip", f"/vsizip/{tmp_path}/a.zip", f"/vsizip/{tmp_path}/a.zip/a.shp", f"zip://{tmp_path}/a.zip",
        f"/vsizip/{tmp_path}/a.zip|layername=a",
    ):  # fmt: skip
        assert burned(opened(path)).sum() == 100
    plain = write_shapes(tmp_path / "b.geojson", BOXES, kind="Polygon")
    (tmp_path / "b.geojson.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert burned(opened(f"/vsigzip/{tmp_path}/b.geojson.gz")).sum() == 250
    for path in (f"{tmp_path}/none.zip", f"/vsizip/{tmp_path}/none.zip/a.shp", f"{tmp_path}/none.gpkg|layername=a"):
        with pytest.raises(InputError, match="no such file"):
            opened(path)


def test_shapefiles_without_their_other_files(tmp_path):
    path = write_shapes(tmp_path / "a.shp", BOXES, kind="Polygon", label=np.array([1, 0]))
    (tmp_path / "a.dbf").rename(tmp_path / "away.dbf")
    (warning,) = opened(path).understood.warnings
    assert ".dbf file is missing, so no attribute is read" in warning
    (tmp_path / "a.shx").unlink()
    with pytest.raises(InputError, match=r"cannot be read \(Unable to open .*a\.shx"):
        opened(path)
    path = write_shapes(tmp_path / "b.shp", BOXES, kind="Polygon")
    (tmp_path / "b.prj").unlink()
    with pytest.raises(InputError, match="has no CRS"):
        opened(path)


def test_a_crs_that_is_tied_to_no_place_is_none(tmp_path):
    """GeoPackages store pixels without a CRS in this way."""
    axes = 'AXIS["Easting",EAST],AXIS["Northing",NORTH]'
    local = f'LOCAL_CS["Undefined Cartesian SRS with unknown unit",UNIT["unknown",0],{axes}]'
    path = write_shapes(tmp_path / "a.gpkg", [shapely.box(10, 5, 20, 15)], crs=local)
    assert burned(opened(path, Georeference())).sum() == 100


@pytest.mark.parametrize(
    ("values", "options", "rule", "pixels"),
    [
        (
            ["landslide (new)", "no-change"],
            {"change": "landslide (new)"},
            "landslide (new): change; no-change: none",
            100,
        ),
        (["2 (new)", "0 (old)"], {"change": "2 (new)"}, "2 (new): change; 0 (old): none", 100),
        (["1", "n/a"], {"ignore": "n/a"}, "1: change; n/a: unlabelled", 100),
        (["Yes", "unknown"], {"ignore": "unknown"}, "1: change; unknown: unlabelled", 100),
        (["yes", "no"], {"change": "yes"}, "yes: change; no: none", 100),
        (["7", "slide"], {"change": "7"}, "7: change; slide: none", 100),
        ([0.001, 1.0], {"change": "1e-3"}, "0.001: change; 1: none", 100),
    ],
)
def test_words_of_every_spelling(tmp_path, values, options, rule, pixels):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=np.array(values, None if values[0] == 0.001 else object))
    found = opened(path, **options)
    assert found.understood.rule == f"attribute 'label': {rule}"
    assert (burned(found) == 1).sum() == pixels


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        (["No", "Slide"], "as in --label-change 'Slide'"),
        (["no-change", "rock fall"], "as in --label-change 'rock fall'"),
        (["1", "n/a"], "--label-ignore 'n/a' if 'n/a' means unlabelled"),
        (["No", "unknown"], "--label-ignore 'unknown' if 'unknown' means unlabelled"),
    ],
)
def test_hints_name_words_that_help(tmp_path, values, hint):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=np.array(values, object))
    with pytest.raises(InputError) as caught:
        opened(path)
    assert hint in caught.value.hint
    option, words = re.search(r"--label-(change|ignore) '([^']*)'", caught.value.hint).groups()
    opened(path, **{option: words})


def test_a_word_that_no_shape_has_is_warned_of(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", BOXES, label=np.array(["slide", "rockfall"], object))
    (said,) = opened(path, change="slide,rock fall").understood.warnings[:1]
    assert "no shape has 'rock fall' of --label-change" in said


@pytest.mark.parametrize("name", ["DN", "gridcode", "damaged", "is_new"])
@pytest.mark.parametrize("values", [[0, 1], [False, True], ["no", "yes"]])
def test_attributes_of_zeros_and_ones_are_warned_of_whatever_their_name(tmp_path, name, values):
    kind = object if isinstance(values[0], str) else None
    path = write_shapes(tmp_path / "a.gpkg", BOXES, id=np.array([7, 8]), **{name: np.array(values, kind)})
    assert f"pass --label-field {name}" in opened(path).understood.warnings[0]


DAYS = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "shp"])
def test_shapes_of_other_pairs_are_left_out(tmp_path, suffix):
    """Shapes of all pairs in one file, as `sarcd export` writes them."""
    dates = np.array(["2023-03-19", "2023-03-31", "2023-04-12"], "datetime64[ms]")
    kind = "Polygon" if suffix == "shp" else "Unknown"
    path = write_shapes(tmp_path / f"a.{suffix}", BOXES, kind=kind, before=dates[:2], after=dates[1:])
    found = opened(path, pair=tuple(DAYS))
    assert ((burned(found) == 1).sum(), found.understood.shapes["other_pairs"]) == (100, 1)
    with pytest.raises(
        InputError, match=r"belong to 2023-03-19 to 2023-03-31 and 1 other pair and none to 2023-03-19 to 2023-04-12"
    ):
        opened(path, pair=(DAYS[0], np.datetime64("2023-04-12", "us")))
    words = write_shapes(
        tmp_path / "b.gpkg", BOXES, before=np.array(["dry"] * 2, object), after=np.array(["wet"] * 2, object)
    )
    assert (burned(opened(words, pair=tuple(DAYS))) == 1).sum() == 250


def test_names_and_columns_that_are_not_read_say_why(tmp_path):
    (tmp_path / "a.csv").write_text('id,geometry\n1,"POLYGON ((0 0,1 0,1 1,0 0))"\n')
    with pytest.raises(InputError, match="WKT"):
        opened(tmp_path / "a.csv")
    path = write_shapes(tmp_path / "a.gpkg", BOXES)
    path.rename(tmp_path / "a;1.gpkg")
    with pytest.raises(InputError, match="Rename it, or its folder, without ; and !"):
        opened(tmp_path / "a;1.gpkg")
    (tmp_path / "m.geojson").write_text(
        '{"type": "Polygon", "coordinates": [[[5e5, 5e6], [6e5, 5e6], [6e5, 6e6], [5e5, 5e6]]]}'
    )
    with pytest.raises(InputError, match="without a CRS must be in degrees"):
        opened(tmp_path / "m.geojson")
    write_shapes(tmp_path / "z.gml", [shapely.force_3d(BOXES[0], 1.0)])
    with pytest.raises(InputError, match="Save it in two dimensions"):
        opened(tmp_path / "z.gml")
