"""Reports about burned and skipped shapes."""

import numpy as np
import pytest
import shapely

from sarcd.errors import InputError
from tests.factories.shapes import SHAPE, box, burned, on_ground, opened, write_shapes


def counts(path, **options):
    """Return the non-zero counts."""
    return {key: value for key, value in opened(path, **options).understood.shapes.items() if value}


def test_shapes_outside_the_scene_are_counted(tmp_path):
    inside, outside = [box(x, 5, x + 4, 9) for x in range(0, 60, 10)], [box(x, 5, x + 4, 9) for x in (70, 80, 300)]
    path = write_shapes(tmp_path / "a.gpkg", [*inside, *outside])
    assert counts(path) == {"read": 9, "used": 6, "outside": 3}
    (warning,) = opened(path).understood.warnings
    assert warning == f"{path}: of 9 shapes, 3 are outside the scene. Check its CRS if they should be inside."


def test_shapes_that_touch_the_scene_from_outside(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [box(60, 5, 70, 9)])
    with pytest.raises(InputError, match="no shape within the scene"):
        opened(path)


def test_what_is_cut_off(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [box(50, 5, 90, 15), box(10, 10, 20, 20)])
    assert counts(path) == {"read": 2, "used": 2, "cut": 1}
    (warning,) = opened(path).understood.warnings
    assert "75% of the area of clipped ones is lost" in warning
    none = write_shapes(tmp_path / "b.gpkg", [box(-50, -50, 90, 90), box(10, 10, 20, 20)], label=np.array([255, 1]))
    assert counts(none)["cut"] == 1
    assert opened(none).understood.warnings == ()


def test_shapes_smaller_than_a_pixel(tmp_path):
    """A pixel belongs to the shape that covers its centre: some small shapes do, and long thin ones may not."""
    small = [box(10.6, 10.6, 11.4, 11.4), box(20.4, 20.4, 20.6, 20.6), box(1, 30.6, 50, 31.4), box(30, 5, 31.9, 6.9)]
    path = write_shapes(tmp_path / "a.gpkg", [*small, shapely.MultiPolygon([small[0], box(40, 5, 45, 9)])])
    labels = opened(path)
    assert labels.understood.shapes["too_small"] == 1  # the third is long enough to be assumed to cover a pixel centre
    assert burned(opened(write_shapes(tmp_path / "b.gpkg", [small[0], box(1, 1, 9, 9)]))).sum() == 64
    assert "1 cover no pixel centre" in labels.understood.warnings[0]


def test_points_and_lines_are_burned_and_said(tmp_path):
    line = shapely.transform(shapely.LineString([(5, 35), (50, 35)]), lambda p: p)
    shapes = [box(10, 5, 20, 15), box(30.2, 20.2, 30.4, 20.4).centroid, box(5, 35, 50, 35.0001).exterior]
    path = write_shapes(tmp_path / "a.gpkg", [shapes[0], shapes[1], shapely.GeometryCollection([shapes[2], shapes[1]])])
    labels = opened(path)
    found = labels.understood.shapes
    assert (found["points"], found["lines"]) == (2, 1)
    assert found["point_and_line_pixels"] == int(burned(labels).sum()) - 100 > line.length - 1


@pytest.mark.parametrize("seed", range(3))
def test_windows_do_not_change_lines(tmp_path, seed):
    corners = np.random.default_rng(seed).uniform([-10, -10], [70, 50], (4, 3, 2))
    labels = opened(write_shapes(tmp_path / "a.gpkg", on_ground(shapely.linestrings(corners))))
    np.testing.assert_array_equal(burned(labels, size=(7, 11)), burned(labels))


def test_self_crossing_polygons_are_repaired(tmp_path):
    """A bow tie consists of two triangles."""
    bow = box(10, 5, 40, 35)
    bow = shapely.Polygon(np.array(bow.exterior.coords)[[0, 2, 1, 3]])
    assert not bow.is_valid
    labels = opened(write_shapes(tmp_path / "a.gpkg", [bow]))
    assert labels.understood.shapes["repaired"] == 1
    found = burned(labels)
    assert abs(int(found.sum()) - 450) < 31
    assert found[6, 25]
    assert not found[20, 11]


def test_collections_and_parts_keep_their_order(tmp_path):
    below = shapely.GeometryCollection([box(0, 0, 30, 30), shapely.MultiPolygon([box(40, 0, 50, 10)])])
    path = write_shapes(
        tmp_path / "a.gpkg", [below, box(10, 10, 20, 20), box(12, 12, 14, 14)], label=np.array([255, 0, 1])
    )
    expected = np.zeros(SHAPE, "uint8")
    expected[:30, :30] = expected[:10, 40:50] = 255
    expected[10:20, 10:20] = 0
    expected[12:14, 12:14] = 1
    labels = opened(path)
    np.testing.assert_array_equal(burned(labels), expected)
    assert labels.understood.warnings == ()
    assert labels.understood.notes == ("ground outside all shapes is none",)


def test_shapes_of_no_change_that_alter_nothing(tmp_path):
    """If both classes are drawn, the remaining ground may be meant as unlabelled."""
    beside = write_shapes(tmp_path / "a.gpkg", [box(0, 0, 10, 10), box(10, 0, 20, 10)], label=np.array([1, 0]))
    (warning,) = opened(beside).understood.warnings
    assert "shapes of no change (1) beside the others have no effect" in warning
    assert "255" in warning
    on_top = write_shapes(tmp_path / "b.gpkg", [box(0, 0, 10, 10), box(5, 0, 20, 10)], label=np.array([1, 0]))
    assert opened(on_top).understood.warnings == ()


def test_shapes_under_others_of_another_label_are_warned_of(tmp_path):
    path = write_shapes(tmp_path / "a.gpkg", [box(5, 5, 15, 15), box(5, 5, 15, 15)], label=np.array([1, 0]))
    (said,) = opened(path).understood.warnings
    assert (
        "1 of its shapes are covered by later ones with another label and have no effect, the first is number 1" in said
    )
    path = write_shapes(tmp_path / "b.gpkg", [box(0, 0, 60, 40), box(5, 5, 15, 15)], label=np.array([255, 1]))
    assert opened(path).understood.warnings == ()
