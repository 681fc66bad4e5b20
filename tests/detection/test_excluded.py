"""A bad date is reported and can be excluded: the map equals that of a scene without the date."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.attributes import parameters_of
from sarcd.config import DetectOptions
from sarcd.errors import MismatchError, OptionError
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.scenes import stored_scene
from tests.factories.stacks import speckle_stack

METHOD = "coherence-test"
BAD = "2023-04-12"


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(3)
    slc = speckle_stack(rng, (5, 64, 64), 0.7)
    slc[2] = 0.2 * slc[2] + np.sqrt(1 - 0.2**2) * speckle_stack(rng, (1, 64, 64), 0.0)[0]
    slc[4, 20:40, 20:40] = speckle_stack(rng, (1, 20, 20), 0.0)[0]
    return slc


@pytest.fixture
def path(tmp_path, images):
    return stored_scene(tmp_path / "scene.zarr", None, images.shape, chunk=32, slc=images)


def test_a_bad_date_is_named_with_the_option(path):
    notes = []
    jobs.detect(path, DetectOptions(METHOD), note=notes.append)
    (line,) = [text for text in notes if "--exclude-date" in text]
    assert line.startswith(f"coherence of both pairs of {BAD} is far below that of the others")
    parameters = parameters_of(xr.open_zarr(path).change)
    assert parameters["history"] == "matched"
    assert "exclude_dates" not in parameters  # compares equal to results made before the option existed


def test_without_its_date_the_scene_is_as_one_that_never_had_it(path, tmp_path, images):
    options, notes = DetectOptions(METHOD, exclude_dates=("20230412",)), []
    assert jobs.detect(path, options, note=notes.append).pairs == 2
    assert f"excluded {BAD}, which drops 2 pairs; use --pairs 2023-03-31:2023-04-24 to map across" in notes
    assert not any("far below" in text for text in notes)
    lazy = open_scene(path).sarcd.detect(method=options)
    stored = xr.open_zarr(path)
    assert parameters_of(stored.change)["exclude_dates"] == [f"{BAD}T00:00:00.000000"]
    assert parameters_of(stored.change) == parameters_of(lazy.change)
    for name in lazy.data_vars:
        np.testing.assert_array_equal(stored[name][[0, 3]], lazy[name])
    never = open_scene(path).isel(time=[0, 1, 3, 4])
    other = never.drop_dims("pair").sarcd.detect(method=METHOD)
    np.testing.assert_array_equal(other.change[[0, 2]], lazy.change)
    assert (lazy.change[1, 25:35, 25:35] == 1).mean() > 0.9


def test_what_lies_across_may_be_mapped(path):
    options = DetectOptions(METHOD, exclude_dates=(BAD,))
    assert jobs.detect(path, options, pairs="2023-03-31:2023-04-24", name="x").pairs == 1
    assert (xr.open_zarr(path).undecidable_x[-1] == 0).mean() > 0.9


def test_what_is_refused(path):
    with pytest.raises(OptionError, match="matches no date"):
        jobs.detect(path, DetectOptions(METHOD, exclude_dates=("snow",)))
    with pytest.raises(OptionError, match="every pair contains an excluded date"):
        jobs.detect(path, DetectOptions("ratio-test", exclude_dates=(BAD,)), pairs=f"{BAD}:2023-04-24")
    jobs.detect(path, DetectOptions("log-ratio"))
    with pytest.raises(MismatchError, match="exclude_dates"):
        jobs.detect(path, DetectOptions("log-ratio", exclude_dates=(BAD,)))


def test_command(path, capsys):
    given = ["--method", "log-ratio", "--exclude-date", BAD, "--exclude-date", "20230506"]
    assert main(["detect", str(path), *given, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["pairs"] == 1
    assert captured.err.startswith(f"excluded {BAD}, 2023-05-06, which drops 3 pairs")
