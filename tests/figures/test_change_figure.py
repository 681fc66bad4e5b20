"""The figure of a pair: panels, positions and text."""

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.contour import ContourSet
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from sarcd import schema
from sarcd.errors import CorruptChunkError, OptionError, SceneError
from sarcd.figures.change_figure import plot
from sarcd.figures.panels import WIDTH, arrange
from sarcd.figures.view import made_by, view_of
from sarcd.metrics import evaluate
from sarcd.store.scene import SceneStore, open_scene
from tests.factories.results import DEGREES, UTM, control_points, scene_with_results, stored_results

SHAPE = (60, 80)
COMPOSITE = "orange: darker after, blue: brighter"


def titles(figure):
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def words(figure):
    """Return all text outside the panels."""
    texts = [text.get_text() for text in figure.texts]
    return "\n".join(texts + [text.get_text() for legend in figure.legends for text in legend.get_texts()])


def outlines(axes):
    """Return the extent (left, right, bottom, top) of each closed outline, with its colour."""
    found = []
    for contours in (item for item in axes.collections if isinstance(item, ContourSet)):
        colour = tuple(contours.get_edgecolor()[0][:3])
        for path in contours.get_paths():
            for corners in path.to_polygons(closed_only=False):
                assert (corners[0] == corners[-1]).all()
                found.append((*np.ravel(np.sort(corners, axis=0)[[0, -1]].T), colour))
    return found


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (["coherence", "change_probability", "change", "label"], ["before", "after", "coherence", "probability"]),
        (["coherence", "change_probability"], ["before", "after", "coherence", "probability"]),
        (["change"], ["before", "after", COMPOSITE]),
        (["label"], ["before", "after", COMPOSITE]),
        (["coherence"], ["before", "after", "coherence", COMPOSITE]),
        ([], ["before", "after", COMPOSITE]),
    ],
)
@pytest.mark.parametrize("images", ["slc", "amplitude"])
def test_shows_what_the_scene_has(rng, images, keep, expected):
    figure = plot(scene_with_results(rng, SHAPE, images=images, keep=keep))
    found = titles(figure)
    outlined = {"change", "change_probability", "label"} & set(keep)
    wanted = [*expected, "2023-03-31, changes outlined"] if outlined else expected
    assert len(found) == len(wanted)
    assert all(any(title.startswith(start) for title in found) for start in wanted)
    if images == "slc":
        figure.canvas.draw()


def test_one_image_alone(rng):
    figure = plot(scene_with_results(rng, keep=[])[["slc"]].isel(time=[1]))
    assert titles(figure) == ["2023-03-31"]
    assert words(figure).startswith("2023-03-31")


def test_names_dates_scores_and_makers(rng):
    scene = scene_with_results(rng)
    said = words(plot(scene, pair=1))
    scores = evaluate(scene, variable="change")
    assert "Change from 2023-03-31 to 2023-04-12 (12 days)" in said
    assert f"F1 {float(scores['f1'][2]):.3f}" in said
    assert "change: predict (threshold 0.5), sarcd 0.1.0" in said
    known = 60 * 80 - 25
    assert f"mapped change: {33 / known:.2%} of the area (alone: false alarm)" in said
    assert f"labelled change: {32 / 4800:.2%} of the area (alone: missed)" in said
    assert "no data" in said
    assert "no data" not in words(plot(scene.isel(x=slice(10, None))))


def test_labels_of_nothing_give_no_score(rng):
    scene = scene_with_results(rng)
    assert view_of(scene).scores["recall"] > 0
    scene["label"][:] = schema.NO_LABEL
    assert view_of(scene).scores == {}


def test_outlines_lie_around_the_patches(rng):
    figure = plot(scene_with_results(rng, keep=["change"]))
    found = {box[:4] for box in outlines(figure.axes[0])}
    assert found == {(20, 26, 10, 14), (50, 53, 30, 33)}


def test_outlines_on_a_map(rng):
    figure = plot(scene_with_results(rng, georeference=UTM, keep=["label", "change"]))
    axes = figure.axes[0]
    found = outlines(axes)
    shared = (600_400, 600_520, 5_099_860, 5_099_900)
    assert [box[:4] for box in found].count(shared) == 2  # from the label and from the map
    assert len({box[4] for box in found if box[:4] == shared}) == 2
    assert len(found) == 4
    assert axes.get_ylim() == (5_099_400, 5_100_000)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("easting (m)", "northing (m)")


def test_rows_that_run_north_are_turned(rng):
    scene = scene_with_results(rng, georeference=UTM, keep=["change"])
    turned = scene.isel(y=slice(None, None, -1))
    axes = plot(turned).axes[0]
    assert axes.get_ylim() == (5_099_400, 5_100_000)
    assert {box[:4] for box in outlines(axes)} == {box[:4] for box in outlines(plot(scene).axes[0])}


def test_outlines_close_at_the_border(rng):
    scene = scene_with_results(rng, keep=["change"])
    scene["change"][:] = 1
    assert [box[:4] for box in outlines(plot(scene).axes[0])] == [(0, 80, 0, 60)]


def test_both_dates_share_a_stretch_in_decibels(rng):
    scene = scene_with_results(rng, keep=["change"])
    scene["slc"][1] *= 10  # 20 dB brighter
    images = {axes.get_title()[:6]: axes.images[0] for axes in plot(scene, stretch_percent=2).axes if axes.images}
    limits = images["before"].get_clim()
    assert limits == images["after:"].get_clim()
    decibels = 20 * np.log10(np.abs(scene["slc"].values[:2]))
    np.testing.assert_allclose(limits, np.nanpercentile(decibels, [2, 98]), rtol=1e-4)
    assert images["before"].get_array().mask.sum() == 25


def test_dark_pixels_are_black_not_missing(rng):
    scene = scene_with_results(rng, images="amplitude", keep=[])
    scene["amplitude"][:, 0, 0] = 0
    image = next(axes.images[0] for axes in plot(scene).axes if axes.get_title().startswith("before"))
    assert not image.get_array().mask[0, 0]
    assert image.get_array()[0, 0] == image.get_clim()[0]


@pytest.mark.parametrize(
    ("georeference", "attrs", "text"),
    [
        (UTM, {}, "200 m"),
        (DEGREES, {}, "100 m"),
        (None, {"spacing_m": [14.0, 2.5]}, "20 m slant range"),
        (None, {"spacing_m": [140.0, 250.0]}, "2 km slant range"),
        (None, {"spacing_m": [14.0, 2.5], "incidence_deg": 30.0}, "50 m"),
        (control_points(), {}, "100 m"),
        (None, {}, None),
    ],
)
def test_scale_bar(rng, georeference, attrs, text):
    scene = scene_with_results(rng, georeference=georeference, keep=["change"]).assign_attrs(attrs)
    bars = [item for item in plot(scene).axes[0].artists if isinstance(item, AnchoredSizeBar)]
    assert [bar.txt_label.get_text() for bar in bars] == ([] if text is None else [text])


def test_choosing_a_result(rng):
    scene = scene_with_results(rng)
    night = scene.assign(
        change_night=xr.zeros_like(scene["change"]), change_score_night=scene["change_probability"] * 10
    )
    night["change_score_night"].attrs["units"] = "dB"
    assert view_of(night).names["evidence"] == "change_probability"
    for variable in ("change_night", "change_score_night"):
        view = view_of(night, variable=variable)
        assert (view.names["mapped"], view.names["evidence"]) == ("change_night", "change_score_night")
        assert view.extents["mapped"].changed == 0
    figure = plot(night, variable="change_score_night")
    assert "evidence of change (change_score_night)" in titles(figure)
    assert "dB" in [axes.get_ylabel() for panel in figure.axes for axes in panel.child_axes]
    assert view_of(night, variable="label").names == {"coherence": "coherence", "labelled": "label"}
    assert view_of(scene.assign(pseudo_label=scene["label"]), variable="pseudo_label").names["mapped"] == "pseudo_label"


def test_a_probability_without_a_map_is_cut_at_one_half(rng):
    scene = scene_with_results(rng)
    view = view_of(scene.drop_vars("change"))
    np.testing.assert_array_equal(view.layers["mapped"], scene["change"].values[0])
    assert view.names["mapped"] == "change_probability from 0.5"
    assert view.scores == view_of(scene).scores


def test_what_is_mapped_without_a_label_is_told(rng):
    scene = scene_with_results(rng)
    assert not any("without label" in text for text in words(plot(scene)))
    mapped = scene["change"].values[0] == 1
    half = np.argwhere(mapped)[: int(mapped.sum()) // 2]
    scene["label"][0].values[tuple(half.T)] = 255
    extent = view_of(scene).extents["mapped"]
    assert (extent.changed, extent.unlabelled) == (mapped.sum(), len(half))
    assert f"{len(half) / mapped.sum():.0%} of it without label" in str(extent)


def test_a_selected_pair_is_drawn(rng):
    scene = scene_with_results(rng)
    assert words(plot(scene.isel(pair=1))) == words(plot(scene, pair="20230331:20230412"))


def test_wrong_wishes(rng):
    scene = scene_with_results(rng)
    with pytest.raises(OptionError, match="no pair 5"):
        plot(scene, pair=5)
    with pytest.raises(OptionError, match="is not a variable of pairs"):
        plot(scene, variable="slc")
    with pytest.raises(SceneError, match="no 'uncertainty' in the scene"):
        plot(scene, variable="uncertainty")
    with pytest.raises(OptionError, match="stretch_percent is 50"):
        plot(scene, stretch_percent=50)
    with pytest.raises(SceneError, match="no 'slc' and no 'amplitude'"):
        plot(scene.drop_vars("slc"))


def test_pairs_that_were_not_made_are_left_out(tmp_path, rng):
    scene = open_scene(stored_results(tmp_path / "scene.zarr", rng, complete=[True, False]))
    assert set(view_of(scene, 0).names) == {"coherence", "evidence", "mapped", "labelled"}
    assert set(view_of(scene, 1).names) == {"labelled"}
    with pytest.raises(SceneError, match="'change' has not been computed for this pair"):
        plot(scene, pair=1, variable="change")


def test_stored_equals_in_memory(tmp_path, rng):
    path = stored_results(tmp_path / "scene.zarr", rng)
    lazy, indexed = open_scene(path), open_scene(path, chunks=None)
    views = [view_of(scene) for scene in (lazy, indexed, lazy.compute())]
    for view in views[1:]:
        assert (view.scores, view.extents, view.dates) == (views[0].scores, views[0].extents, views[0].dates)
        for role, values in view.layers.items():
            np.testing.assert_array_equal(values, views[0].layers[role])
    assert str(path) in words(plot(lazy))


def test_large_scenes_are_reduced(rng):
    view = view_of(scene_with_results(rng, (2000, 950), keep=["change", "coherence"]))
    assert view.factor == (3, 2)
    assert [image.shape for image in view.images] == [(667, 475)] * 2
    assert view.layers["mapped"].shape == (1000, 950)
    assert view.extents["mapped"].changed == 33
    assert "3 x 2 pixels of the scene per drawn pixel" in words(plot(scene_with_results(rng, (2000, 950))))


def test_a_broken_chunk_is_named(tmp_path, rng):
    path = stored_results(tmp_path / "scene.zarr", rng)
    chunk = path / "coherence" / "c" / "0" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert SceneStore(path).published()
    with pytest.raises(CorruptChunkError, match="coherence/c/0/1/1"):
        plot(open_scene(path))


def test_what_made_it():
    attrs = {
        "sarcd_operation": "predict",
        "sarcd_parameters": {"model": "sha256:" + "0123456789abcdef" * 4, "tile": 512, "window": {"y": 7, "x": 5}},
        "sarcd_version": "1.0",
    }
    assert made_by(attrs) == "predict (model 0123456789ab..., window 7 x 5), sarcd 1.0"
    assert made_by({"long_name": "somebody's"}) == ""


@given(
    st.sampled_from([[], ["before", "after"], ["before", "after", "coherence"], ["before", "after", "a", "b"]]),
    st.floats(0.01, 100),
    st.booleans(),
)
def test_panels_keep_their_shape_and_do_not_touch(panels, ratio, equal):
    boxes, width, height = arrange(panels, ratio, equal=equal and len(panels) == 3, captions=0.5)
    assert set(boxes) == {"main", *panels}
    assert 0 < width <= WIDTH + 1e-9
    for name, box in boxes.items():
        assert box.width / box.height == pytest.approx(min(max(ratio, 1 / 8), 8))
        assert box.left >= 0.5
        assert box.left + box.width <= width
        assert box.top + box.height <= height - 0.5
        for other_name, other in boxes.items():
            apart = (
                other.left >= box.left + box.width + 0.2
                or box.left >= other.left + other.width + 0.2
                or other.top >= box.top + box.height + 0.3
                or box.top >= other.top + other.height + 0.3
            )
            assert apart or name == other_name


def test_pyplot_and_global_state_stay_alone(tmp_path):
    program = """
import sys, matplotlib, numpy as np, xarray as xr
before = dict(matplotlib.rcParams)
from sarcd.figures.change_figure import plot
images = np.ones((2, 8, 9), np.float32)
times = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
figure = plot(xr.Dataset({"amplitude": (("time", "y", "x"), images)}, coords={"time": times}))
figure.savefig(sys.argv[1])
assert "matplotlib.pyplot" not in sys.modules
assert dict(matplotlib.rcParams) == before
"""
    path = tmp_path / "picture.png"
    subprocess.run([sys.executable, "-W", "error", "-c", program, str(path)], check=True)
    assert path.stat().st_size > 10_000
