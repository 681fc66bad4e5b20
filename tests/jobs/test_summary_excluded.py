"""A summary that excludes a bad date equals that of a stack without it, including the pairs across the gap."""

import numpy as np
import pytest
import xarray as xr

from sarcd import jobs
from sarcd.attributes import parameters_of
from sarcd.config import DetectOptions, SummaryOptions
from sarcd.errors import OptionError
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.scenes import stored_scene
from tests.factories.stacks import changing_stack

SHAPE = (6, 24, 96)
BAD, ACROSS = "2023-04-12", "2023-03-31:2023-04-24"
OPTIONS = SummaryOptions(of="change", exclude_dates=(BAD,), looks=25)


@pytest.fixture
def images():
    stack = changing_stack(np.random.default_rng(3))
    stack[2] = np.random.default_rng(4).normal(size=stack[2].shape) * 5
    return stack


@pytest.fixture
def path(tmp_path, images):
    path = stored_scene(tmp_path / "scene.zarr", None, SHAPE, chunk=16, slc=images)
    options = DetectOptions("combined-test", expected=0.85, false_alarms=1e-4, looks=25, exclude_dates=(BAD,))
    jobs.detect(path, options)
    return path, options


def test_as_of_a_stack_that_never_had_the_date(path, images):
    path, options = path
    with pytest.raises(OptionError, match=f"no change map from {ACROSS.replace(':', ' to ')}.*{ACROSS} for this one"):
        jobs.summarise(path, OPTIONS)
    jobs.detect(path, options, pairs=ACROSS)
    notes = []
    jobs.summarise(path, OPTIONS, note=notes.append)
    assert notes[0] == f"{BAD} left out: changes are those of the pairs across"
    found = xr.open_zarr(path)
    assert len(found.change_count.attrs["dates"]) == 5
    assert parameters_of(found.change_count)["exclude_dates"] == [f"{BAD}T00:00:00.000000"]
    never = open_scene(path).isel(time=[0, 1, 3, 4, 5]).load().sarcd.summarise("change", looks=25)
    for name in never.data_vars:
        np.testing.assert_allclose(found[name], never[name], atol=1e-6)


def test_command(path):
    assert main(["summarise", str(path[0]), "--of", "omnibus", "--exclude-date", "20230412", "--looks", "25"]) == 0
    assert len(xr.open_zarr(path[0]).omnibus_score.attrs["dates"]) == 5
