"""Every public function that takes a scene validates it first."""

import inspect

import numpy as np
import pytest
import xarray as xr

import sarcd
from sarcd import change, estimation
from sarcd import metrics as evaluate
from sarcd.detection import detect
from sarcd.errors import SceneError
from sarcd.exporting import export_files as export
from sarcd.figures import change_figure as plot
from sarcd.figures import error_map
from sarcd.metrics import thresholds
from sarcd.store.create import write_scene


def functions_of_a_scene(module):
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    found = [getattr(module, name) for name in names]
    return [
        function
        for function in found
        if inspect.isfunction(function) and next(iter(inspect.signature(function).parameters), None) == "scene"
    ]


DOORS = [*functions_of_a_scene(estimation), *functions_of_a_scene(change)]
DOORS += [detect, evaluate.evaluate, plot.plot, error_map.plot_errors]
METHODS = [name for name, method in vars(sarcd.SceneAccessor).items() if not name.startswith("_") and callable(method)]


@pytest.fixture
def one_date_twice(rng):
    """Make a scene that pairs an image with itself, with everything that any function requires."""
    times = np.array(["2023-03-19", "2023-03-19", "2023-03-31"], "datetime64[us]")
    images = (rng.normal(size=(3, 40, 40)) + 1j * rng.normal(size=(3, 40, 40))).astype("complex64")
    marks = rng.integers(0, 2, (2, 40, 40)).astype("uint8")
    return xr.Dataset(
        {
            "slc": (("time", "y", "x"), images),
            **dict.fromkeys(("label", "change"), (("pair", "y", "x"), marks)),
        },
        coords={"time": times, "before": ("pair", times[:2]), "after": ("pair", times[1:])},
    )


@pytest.mark.parametrize("function", DOORS, ids=lambda function: function.__name__)
def test_functions(one_date_twice, function):
    needed = {"expected": 0.6} if "expected" in inspect.signature(function).parameters else {}
    with pytest.raises(SceneError, match="have the date 2023-03-19"):
        function(one_date_twice, **needed)
    with pytest.raises(SceneError, match="not a DataArray"):
        function(one_date_twice["slc"], **needed)


@pytest.mark.parametrize("method", METHODS)
def test_methods(one_date_twice, method, tmp_path):
    arguments = [tmp_path / "map.tif"] if method == "export" else []
    with pytest.raises(SceneError, match="have the date 2023-03-19"):
        getattr(one_date_twice.sarcd, method)(*arguments)


def test_those_that_take_more_than_a_scene(one_date_twice, tmp_path):
    with pytest.raises(SceneError, match="have the date"):
        evaluate.report([one_date_twice])
    with pytest.raises(SceneError, match="have the date"):
        thresholds.choose_threshold([one_date_twice], best="f1")
    with pytest.raises(SceneError, match="have the date"):
        export.export(one_date_twice, tmp_path / "map.png")
    with pytest.raises(SceneError, match="have the date"):
        write_scene(one_date_twice, tmp_path / "new.zarr")
    with pytest.raises(SceneError, match="have the date"):
        error_map.write_errors(tmp_path / "errors.png", one_date_twice)
    assert not list(tmp_path.iterdir())
