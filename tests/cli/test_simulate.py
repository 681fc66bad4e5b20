"""``sarcd simulate``: output and invalid input."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd.simulation.sites import simulate
from sarcd_cli.main import main


def test_a_site_is_written(tmp_path, capsys):
    where = str(tmp_path / "scene.zarr")
    arguments = ["--site", "B", "--size", "96x128", "--seed", "3", "--dates", "3", "--interval", "4"]
    assert main(["simulate", where, *arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["shape"] == [96, 128]
    assert 0 < told["changed_fraction"] < 1
    scene = xr.open_zarr(where)
    wanted = simulate("B", size=(96, 128), seed=3, dates=3, interval_days=4)
    np.testing.assert_array_equal(scene["slc"].values, wanted["slc"].values)
    np.testing.assert_array_equal(scene["label"].values, wanted["label"].values)
    assert scene["true_coherence"].shape == (2, 96, 128)
    assert main(["info", where]) == 0
    assert "true_coherence" in capsys.readouterr().out


def test_options_of_the_site_can_be_set(tmp_path, capsys):
    where = str(tmp_path / "scene.zarr")
    arguments = ["--size", "64", "--no-change", "--set", "incidence_deg=28", "--set", "gain_db=10"]
    assert main(["simulate", where, *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed_fraction"] == 0
    scene = xr.open_zarr(where)
    assert scene.attrs["incidence_deg"] == 28
    assert not (scene["label"] == 1).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "big"], "use 1024"),
        (["--size", "32"], "Use 64 or more"),
        (["--set", "colour=red"], "unknown site option 'colour'"),
        (["--set", "incidence_deg=80"], "Use a value from 20 to 50"),
        (["--interval", "0"], "Use positive numbers"),
    ],
)
def test_unusable_arguments_end_in_one_line(tmp_path, capsys, arguments, said):
    assert main(["simulate", str(tmp_path / "scene.zarr"), *arguments]) in (1, 2)
    captured = capsys.readouterr()
    assert said in captured.err
    assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())
