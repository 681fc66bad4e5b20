"""``sarcd coherence``."""

import json
import tomllib

import numpy as np
import pytest
import xarray as xr

from sarcd import estimation
from sarcd.config import ESTIMATORS, Window
from sarcd_cli.main import main
from tests.factories.scenes import stored_scene


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimators(tmp_path, rng, capsys, estimator):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    options = ["--estimator", estimator, "--debias", "--phase", "--window", "7x5", "--name", "mine", "--json"]
    assert main(["coherence", str(path), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["variable"], result["phase_variable"]) == ("coherence_mine", "coherence_phase_mine")
    scene = xr.open_zarr(path)
    wanted = {"window": Window(y=7, x=5), "estimator": estimator}
    np.testing.assert_allclose(scene.coherence_mine, estimation.coherence(scene, debias=True, **wanted), atol=1e-5)
    np.testing.assert_allclose(scene.coherence_phase_mine, estimation.coherence_phase(scene, **wanted), atol=1e-5)
    assert scene.coherence_mine.attrs["effective_looks"] > 15


def test_one_variable_unless_the_phase_is_asked_for(tmp_path, rng, capsys):
    path = stored_scene(tmp_path / "scene.zarr", rng)
    assert main(["coherence", str(path), "--json"]) == 0
    assert "phase_variable" not in json.loads(capsys.readouterr().out)
    assert "coherence_phase" not in xr.open_zarr(path)
    assert main(["coherence", str(path), "--debias"]) == 1
    assert "debias None, now True" in capsys.readouterr().err
    assert main(["coherence", str(path), "--name", "phase"]) == 1
    assert "another suffix" in capsys.readouterr().err


def test_training_takes_the_same_options(tmp_path, capsys):
    config = tmp_path / "train.toml"
    config.write_text('[coherence]\nestimator = "fringe"\ndebias = true\n')
    assert main(["train", "--config", str(config), "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)["coherence"]
    assert (printed["estimator"], printed["debias"]) == ("fringe", True)
