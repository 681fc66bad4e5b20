"""``sarcd train``."""

import json
import tomllib

import pytest

from sarcd_cli.main import main
from tests.factories.labelled_scenes import toy_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return toy_scene(tmp_path_factory.mktemp("toys") / "learn.zarr")


QUICK = ["--widths", "4,8", "--patch", "32", "--batch", "8", "--epochs", "1", "--device", "cpu"]


def test_trains(tmp_path, scene, capsys):
    model = tmp_path / "m.safetensors"
    assert main(["train", scene, "-o", str(model), *QUICK, "--window", "7x5", "--json"]) == 0
    streams = capsys.readouterr()
    result = json.loads(streams.out)
    assert result["model"] == str(model)
    assert result["validation"] is None
    assert "--val" in streams.err
    config = tomllib.loads((tmp_path / "m.run" / "config.toml").read_text())
    assert config["network"]["widths"] == [4, 8]
    assert config["coherence"]["window"] == [7, 5]
    assert main(["train", scene, "-o", str(model), *QUICK]) == 1
    assert "--overwrite" in capsys.readouterr().err


def test_flags_win_over_the_file(tmp_path, capsys):
    config = tmp_path / "train.toml"
    config.write_text("epochs = 7\nbatch = 3\n[coherence]\nwindow = [9, 9]\n")
    assert main(["train", "--config", str(config), "--epochs", "5", "--print-config"]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert (printed["epochs"], printed["batch"], printed["coherence"]["window"]) == (5, 3, [9, 9])
    config.write_text("epoch = 7\n")
    assert main(["train", "--config", str(config), "--print-config"]) == 1
    assert "unknown key 'epoch'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "SCENE"),
        (["scene.zarr"], 2, "--output"),
        (["scene.zarr", "-o", "m.safetensors", "--widths", "a,b"], 2, "16,32"),
        (["scene.zarr", "-o", "m.safetensors", "--window", "4"], 1, "odd"),
        (["absent.zarr", "-o", "m.safetensors"], 1, "no such scene"),
    ],
)
def test_bad_usage_is_one_line(tmp_path, monkeypatch, capsys, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert message in lines[-1]
