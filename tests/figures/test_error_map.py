"""The figure of a map's errors."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from sarcd.errors import OptionError, SceneError
from sarcd.figures.error_map import COLOURS, plot_errors, write_errors
from sarcd_cli.main import main
from tests.factories.results import scene_with_results, stored_results

CLAIM = np.array([[1, 1, 0, 0], [255, 1, 0, 1]], np.uint8)
TRUTH = np.array([[1, 0, 1, 0], [1, 255, 0, 1]], np.uint8)


def tiny(change=CLAIM, label=TRUTH):
    times = np.array(["2023-01-01", "2023-01-13"], "datetime64[us]")
    layers = {"change": change, "label": label}
    coords = {"time": times, "before": ("pair", times[:1]), "after": ("pair", times[1:])}
    return xr.Dataset({name: (("pair", "y", "x"), values[None]) for name, values in layers.items()}, coords=coords)


def drawn(figure):
    """Return the colours (Y', X', 4) of the map as drawn."""
    (image,) = figure.axes[0].images
    return image.cmap(image.norm(image.get_array()))


def legend(figure):
    return dict(text.get_text().split(": ") for text in figure.legends[0].get_texts())


def test_colours_and_counts_by_hand():
    figure = plot_errors(tiny())
    colours, counts = drawn(figure), legend(figure)
    names = [["hits", "false alarms", "misses", None], [0, 0, None, "hits"]]
    for at, name in np.ndenumerate(np.array(names, object)):
        if name is None:
            assert not any((colours[at] == to_rgba(colour)).all() for colour in COLOURS.values())
        elif name:
            np.testing.assert_allclose(colours[at], to_rgba(COLOURS[name]))
        else:
            assert np.ma.getmaskarray(figure.axes[0].images[0].get_array())[at]
    assert counts == {"hits": "2 pixels", "false alarms": "1 pixels", "misses": "1 pixels", "unknown": "2 pixels"}


def test_a_large_scene_shows_every_miss_and_counts_all(monkeypatch):
    monkeypatch.setattr("sarcd.figures.error_map.LONGEST", 2)
    change, label = np.ones((2, 8, 8), np.uint8)
    change[0, 0] = 0  # one miss in a block of hits
    label[7, 7] = 0  # and a false alarm
    figure = plot_errors(tiny(change, label).chunk({"y": 3, "x": 5}))
    assert figure.axes[0].images[0].get_array().tolist() == [[3, 1], [1, 2]]
    assert legend(figure) == {"hits": "62 pixels", "false alarms": "1 pixels", "misses": "1 pixels"}


def test_no_image_is_in_it(rng):
    scene = scene_with_results(rng)
    other = scene.assign(slc=scene.slc * 7)
    first, second = (plot_errors(one, pair=1) for one in (scene, other))
    for figure in (first, second):
        figure.canvas.draw()
    assert bytes(first.canvas.buffer_rgba()) == bytes(second.canvas.buffer_rgba())
    with pytest.raises(SceneError, match="label"):
        plot_errors(scene.drop_vars("label"))
    with pytest.raises(SceneError, match="change_night"):
        plot_errors(scene, variable="change_night")
    with pytest.raises(OptionError, match="not a map"):
        plot_errors(scene, variable="change_probability")
    with pytest.raises(OptionError, match="png"):
        write_errors("errors.tif", scene)


def test_command(rng, tmp_path, capsys):
    path, picture = stored_results(tmp_path / "scene.zarr", rng), tmp_path / "errors.png"
    assert main(["evaluate", str(path), "--picture", str(picture), "--pair", "1"]) == 0
    assert imread(picture).shape[1] > 500
    assert main(["evaluate", str(path), str(path), "--picture", str(picture)]) == 2
    assert main(["evaluate", str(path), "--pair", "1"]) == 2
