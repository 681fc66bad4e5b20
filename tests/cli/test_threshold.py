"""``sarcd threshold`` on stored scenes, and its use in ``sarcd predict``."""

import json

import numpy as np
import pytest
import torch

from sarcd.attributes import parameters_of
from sarcd.metrics import choose_threshold
from sarcd.models.file import load_model
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.networks import random_model_file
from tests.factories.results import stored_results


@pytest.fixture
def stored(tmp_path, rng):
    return stored_results(tmp_path / "scene.zarr", rng)


@pytest.fixture
def model(tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield random_model_file(tmp_path / "m.safetensors", widths=(2, 2))
    torch.set_num_threads(before)


def test_text_and_json_are_the_choice(stored, capsys):
    words = ["threshold", str(stored), "--precision", "0.6", "--min-pixels", "3"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    choice = choose_threshold([open_scene(stored)], precision=0.6, min_pixels=3)
    assert found["scenes"] == [str(stored)]
    assert [found[name] for name in ("threshold", "precision", "recall", "f1", "criterion", "false_objects")] == [
        choice.threshold, choice.precision, choice.recall, choice.f1, "precision >= 0.6", choice.false_objects,
    ]  # fmt: skip
    assert found["false_objects_per_km2"] is None
    assert main(words) == 0
    out, err = capsys.readouterr()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert err == ""
    assert float(np.float32(rows["threshold"])) == choice.threshold  # all digits are printed
    assert rows["precision"] == f"{choice.precision:.4g}"


@pytest.mark.parametrize("words", [["--best-f1"], ["--precision", "0.5", "--variable", "change_probability"]])
def test_threshold_goes_into_the_model_and_nothing_else_changes(stored, model, words, capsys):
    before = load_model(model)
    assert main(["threshold", str(stored), *words, "--model", str(model), "--json"]) == 0
    out, err = capsys.readouterr()
    found, after = json.loads(out), load_model(model)
    assert found["model"] == str(model)
    assert after.card.threshold == found["threshold"] != 0.5
    assert err == f"{model}: threshold 0.5 is now {found['threshold']:.6g}\n"
    assert after.card.training["threshold"]["scenes"] == [str(stored)]
    assert after.card.options == before.card.options
    for name, weights in before.network.state_dict().items():
        assert torch.equal(weights, after.network.state_dict()[name])


def test_predict_takes_it(stored, model, capsys):
    assert main(["threshold", str(stored), "--best-f1", "--model", str(model)]) == 0
    threshold = load_model(model).card.threshold
    assert main(["predict", str(stored), "--model", str(model), "--overwrite", "--device", "cpu"]) == 0
    scene = open_scene(stored)
    probability, change = scene["change_probability"].values, scene["change"].values
    known = ~np.isnan(probability)
    np.testing.assert_array_equal(change[known], probability[known] >= threshold)
    assert parameters_of(scene["change"])["threshold"] == threshold


def test_what_cannot_be_reached_is_one_line_and_leaves_the_model(stored, model, capsys):
    before = model.read_bytes()
    assert main(["threshold", str(stored), "--false-alarms-per-km2", "1", "--model", str(model)]) == 1
    err = capsys.readouterr().err
    assert "pixel spacing is unknown" in err
    assert err.count("\n") == 1
    assert main(["threshold", str(stored), "--precision", "1.5", "--model", str(model)]) == 1
    assert capsys.readouterr().err == "error: precision: invalid precision 1.5. Use a fraction above 0, up to 1.\n"
    assert main(["threshold", str(stored), "--best-f1", "--model", str(model) + ".no"]) == 1
    assert "no such file" in capsys.readouterr().err
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "give one of --precision, --false-alarms-per-km2, --best-f1"),
        (["--best-f1", "--precision", "0.5"], "give one of"),
    ],
)
def test_one_criterion(stored, words, line, capsys):
    assert main(["threshold", str(stored), *words]) == 2
    assert line in capsys.readouterr().err
