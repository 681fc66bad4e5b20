"""The registry of pretrained models: its entries are correct and are what the command prints."""

import hashlib
import json
import re
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from safetensors.torch import load_file

from sarcd.detection.kernels import CHANNELS
from sarcd.detection.self_trained.training import load_amplitude_network
from sarcd.errors import ModelError
from sarcd.models import pretrained
from sarcd.models.file import load_model
from sarcd.models.pretrained import AMPLITUDE, MINES, pretrained_model, pretrained_models
from sarcd.networks import create_model
from sarcd_cli.main import main

FOLDER = Path(pretrained.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
NAMES = ("amplitude", "mines")

every = pytest.mark.parametrize("name", NAMES)


def test_every_file_of_weights_is_registered():
    assert tuple(pretrained_models()) == NAMES
    shipped = set((ROOT / "sarcd").rglob("*.safetensors"))
    assert {model.path for model in pretrained_models().values()} == shipped
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(NAMES)


def test_files_and_cards_are_installed():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = table["tool"]["setuptools"]["package-data"]["sarcd"]
    installed = {path for pattern in patterns for path in (ROOT / "sarcd").glob(pattern)}
    assert {path for path in FOLDER.iterdir() if path.suffix in (".toml", ".safetensors")} <= installed


@every
def test_the_digest_is_that_of_the_file(name):
    model = pretrained_model(name)
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == model.sha256


@every
def test_the_network_is_the_one_described(name):
    model = pretrained_model(name)
    network = create_model(model.architecture, len(model.channels), **model.options)
    assert sum(value.numel() for value in network.parameters()) == model.parameters
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in load_file(model.path).items()} == wanted


def test_channels_are_those_that_enter():
    assert pretrained_model("amplitude").channels == CHANNELS
    assert (
        sum(value.numel() for value in load_amplitude_network().parameters())
        == pretrained_model("amplitude").parameters
    )
    card = load_model(pretrained_model("mines").path).card
    assert pretrained_model("mines").channels == card.channels
    assert (pretrained_model("mines").architecture, dict(pretrained_model("mines").options)) == (
        card.architecture,
        {key: list(value) if isinstance(value, tuple) else value for key, value in card.options.items()},
    )


@every
def test_figures_are_those_of_the_documentation(name):
    """The benchmarks that print the figures exist too."""
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("model.md", "detect.md"))
    benchmarks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "benchmarks").glob("test_*.py"))
    files = {path.stem for path in (ROOT / "tests" / "benchmarks").glob("test_*.py")}
    model = pretrained_model(name)
    assert model.figures
    for figure in model.figures:
        assert re.search(rf"(?<![\d.]){re.escape(figure.value)}(?![\d.]*\d)", text), figure
        (test,) = re.findall(r"-k (test_\w+)'", figure.command)
        assert f"def {test}(" in benchmarks or test in files, figure
    assert f"{model.parameters:,}" in text


@every
def test_the_recipe_exists(name):
    how = pretrained_model(name).made_by.split()
    assert how[0] == "python"
    path = ROOT / (how[1] if how[1] != "-m" else how[2].replace(".", "/") + ".py")
    assert (path / "__main__.py").is_file() or '__name__ == "__main__"' in path.read_text(encoding="utf-8")


def test_the_licence_is_that_of_sarcd():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {model.licence for model in pretrained_models().values()} == {table["project"]["license"]}


def test_names_and_paths():
    assert (pretrained_model("mines").path, pretrained_model("amplitude").path) == (MINES, AMPLITUDE)
    with pytest.raises(ModelError, match=r"no pretrained model is called 'mine'. Known are amplitude, mines"):
        pretrained_model("mine")
    with pytest.raises(FrozenInstanceError):
        pretrained_model("mines").sha256 = ""
    with pytest.raises(TypeError):
        pretrained_models()["other"] = pretrained_model("mines")


def test_the_command_lists_them(capsys):
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    for name, model in pretrained_models().items():
        assert re.search(rf"^{name} .*{model.parameters:,}", out, re.MULTILINE)
    assert main(["models", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == list(NAMES)


@every
def test_the_command_shows_a_card(name, capsys):
    model = pretrained_model(name)
    assert main(["models", name]) == 0
    words = " ".join(capsys.readouterr().out.split())
    told = (model.purpose, str(model.path), model.sha256, model.licence, model.trained_on, model.made_by, *model.limits)
    for text in (*told, *(text for figure in model.figures for text in vars(figure).values())):
        assert " ".join(text.split()) in words
    assert main(["models", name, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sha256"] == model.sha256
    assert found["channels"] == list(model.channels)
    assert found["options"]["widths"] == list(model.options["widths"])
    assert [figure["value"] for figure in found["figures"]] == [figure.value for figure in model.figures]


def test_a_name_that_is_none(capsys):
    assert main(["models", "mine"]) == 1
    assert capsys.readouterr().err == "error: no pretrained model is called 'mine'. Known are amplitude, mines.\n"
