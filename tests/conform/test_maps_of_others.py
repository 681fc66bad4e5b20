"""Maps converted to float or with unusual values are interpreted or refused; unknown never becomes "no change"."""

import numpy as np
import pytest
import rasterio
import xarray as xr

import sarcd  # noqa: F401  registers .sarcd
from sarcd.errors import OptionError, SceneError
from tests.factories.scenes import memory_scene

SHAPE = (3, 24, 20)

pytestmark = pytest.mark.filterwarnings("ignore:Dataset has no geotransform")


@pytest.fixture
def scene(rng):
    images = memory_scene(rng, SHAPE)
    times = images["time"].values
    label, change = rng.integers(0, 2, (2, 2, *SHAPE[1:])).astype("uint8")
    change[:, 4:9] = 255
    given = images.assign(label=(("pair", "y", "x"), label), change=(("pair", "y", "x"), change))
    return given.assign_coords(before=("pair", times[:-1]), after=("pair", times[1:]))


def as_floats(scene):
    """Convert as `where`, `reindex` or a merge do: to floats that include 255, with NaN where values were missing."""
    return scene.assign(change=scene["change"].where(scene["change"] != 255))


def summary(scene):
    return scene.sarcd.summarise("change", persistence=False)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_map_with_nan_is_the_map_with_unknown(scene, tmp_path, lazy):
    given = as_floats(scene).chunk(y=7) if lazy else as_floats(scene)
    xr.testing.assert_equal(summary(given).compute(), summary(scene))
    names = ["tp", "fp", "fn", "tn", "masked_pixels"]
    xr.testing.assert_equal(given.sarcd.evaluate(threshold=0.5)[names], scene.sarcd.evaluate()[names])
    with pytest.raises(OptionError, match=r"needs a threshold.*fillna\(255\)"):
        given.sarcd.evaluate()
    given.sarcd.export(tmp_path / "given.tif", variable="change")
    scene.sarcd.export(tmp_path / "wanted.tif", variable="change")
    with rasterio.open(tmp_path / "given.tif") as found, rasterio.open(tmp_path / "wanted.tif") as wanted:
        np.testing.assert_array_equal(found.read(), wanted.read())
        assert (found.read()[:, 4:9] == 255).all()


def test_255_among_floats_is_no_change(scene, tmp_path):
    given = scene.assign(change=scene["change"].astype("float32"))
    for verb in (summary, lambda s: s.sarcd.evaluate(threshold=0.5)):
        with pytest.raises(SceneError, match=r"'change' holds.*fillna\(255\)\.astype\('uint8'\)"):
            verb(given)


def test_layers_of_a_summary_as_floats(scene, tmp_path):
    layers = summary(scene).where(scene["y"] > 2)
    layers.sarcd.export(tmp_path / "first.tif", variable="first_change")
    with rasterio.open(tmp_path / "first.tif") as file:
        assert (file.read(1)[:3] == file.nodata).all()


@pytest.mark.parametrize("suffix", ["tif", "gpkg"])
def test_percents_and_grey_levels_are_no_map(scene, tmp_path, suffix):
    given = scene.assign(change=scene["change"].where(scene["change"] == 255, scene["change"] * 100).astype("uint8"))
    for verb in (
        summary,
        lambda s: s.sarcd.export(tmp_path / f"map.{suffix}", variable="change"),
        lambda s: s.sarcd.evaluate(),
    ):
        with pytest.raises(SceneError, match=r"'change' holds .*1"):
            verb(given)
    assert not list(tmp_path.iterdir())


def test_percents_are_no_probability(scene):
    given = scene.assign(change_probability=scene["label"] * np.float32(90))
    with pytest.raises(SceneError, match="Divide percentages by 100"):
        given.sarcd.summarise("change_probability", persistence=False)
    with pytest.raises(SceneError, match="Divide percentages by 100"):
        given.sarcd.evaluate(variable="change_probability")
