"""Output of sarcd 0.1.0 can be read, kept and resumed; see `tests.compat.make` for its contents."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sarcd_cli.main import main
from tests import tolerance
from tests.compat.make import PREDICT, SETTINGS, TRAIN, settle

FILES = Path(__file__).parent / "v0_1_0"
CHUNKS = 4  # per pair
COMMANDS = {
    "statistics": (),
    "coherence": ("--window", "5"),
    "predict": ("--model", "unet.safetensors", *PREDICT, "--swap", "--uncertainty"),
    "detect ratio-test": ("--name", "test", "--uncertainty"),
    "detect network": ("--name", "network"),
    "detect log-ratio": ("--name", "ratio"),
    "summarise": ("--of", "omnibus"),
}
"""Commands with options that made the store."""


def words(command, scene, *, name=None):
    """Return the arguments of a command on a scene, with another name for the result."""
    verb, *method = command.split()
    options = [str(FILES / word) if str(word).endswith(".safetensors") else word for word in COMMANDS[command]]
    if name is not None:
        place = options.index("--name") + 1 if "--name" in options else None
        options = [*options, "--name", name] if place is None else [*options[:place], name, *options[place + 1 :]]
    return [verb, str(scene), *(["--method", *method] if method else []), *options]


def run(capsys, *arguments):
    """Run a command and return its JSON output."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def tree(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture(autouse=True)
def one_thread():
    """Use the original thread count; a network's map is not resumed with a different one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def scene(tmp_path):
    return Path(shutil.copytree(FILES / "scene.zarr", tmp_path / "scene.zarr"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_rerun_computes_nothing(capsys, scene, command):
    before = tree(scene)
    found = run(capsys, *words(command, scene))
    assert found.get("regions_computed", 0) == 0
    assert tree(scene) == before


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ("statistics", "coherence")])
def test_the_same_command_gives_the_same_map(scene, command):
    assert main(words(command, scene, name="again")) == 0
    opened = xr.open_zarr(scene)
    suffix = words(command, scene)[words(command, scene).index("--name") + 1] if "--name" in COMMANDS[command] else ""
    again = [name for name in map(str, opened.data_vars) if name.endswith("_again")]
    assert again
    for name in again:
        stored = opened[name.replace("_again", f"_{suffix}" if suffix else "")]
        # tolerances of scores and probabilities as in the tests of tiles
        np.testing.assert_allclose(opened[name], stored, atol=2e-5, err_msg=name)


def test_coherence_has_the_same_bytes(scene):
    stored = tree(scene / "coherence")
    assert main(["coherence", str(scene), "--window", "5", "--overwrite"]) == 0
    assert tree(scene / "coherence") == stored


def test_a_new_date_computes_its_pair_alone(capsys, scene):
    before = tree(scene)
    run(capsys, "ingest", FILES / "20230424.tif", "-o", scene, "--append")
    for command in ("coherence", "predict"):
        assert run(capsys, *words(command, scene))["regions_computed"] == CHUNKS
    after = tree(scene)
    chunks = [name for name in before if "/c/" in name and name.split("/")[0] in xr.open_zarr(scene).data_vars]
    assert {name: after[name] for name in chunks} == {name: before[name] for name in chunks}
    assert xr.open_zarr(scene).sizes["pair"] == 3


def test_a_prediction_that_was_stopped_resumes(capsys, tmp_path):
    half = Path(shutil.copytree(FILES / "half.zarr", tmp_path / "half.zarr"))
    shutil.copytree(FILES / "scene.zarr" / "slc", half / "slc")
    made = [file for file in (half / "change_probability" / "c").rglob("*") if file.is_file()]
    kept = {file: file.read_bytes() for file in made if file.suffix != ".partial"}
    found = run(capsys, "predict", half, "--model", FILES / "unet.safetensors", *PREDICT)
    assert 0 < found["regions_kept"] <= len(kept)
    assert found["regions_kept"] + found["regions_computed"] == 2 * CHUNKS
    assert {file: file.read_bytes() for file in kept} == kept
    assert xr.open_zarr(half).change_probability.notnull().mean() > 0.9


def test_a_model_file_gives_the_same_map(scene):
    model = FILES / "tinycd.safetensors"
    assert main(["predict", str(scene), "--model", str(model), "--device", "cpu", "--name", "again"]) == 0
    opened = xr.open_zarr(scene)
    np.testing.assert_allclose(
        opened.change_probability_again, opened.change_probability_tinycd, atol=tolerance.PROBABILITY_GLOBAL
    )


def test_a_training_that_was_stopped_goes_on(tmp_path, scene):
    shutil.copytree(FILES / "stopped.run", tmp_path / "stopped.run")
    log = tmp_path / "stopped.run" / "log.jsonl"
    before = log.read_text()
    assert before.count("\n") >= 2
    settle(scene)
    assert main(["train", str(scene), "-o", str(tmp_path / "stopped.safetensors"), *TRAIN, *SETTINGS]) == 0
    epochs = [json.loads(line)["epoch"] for line in log.read_text().splitlines()]
    assert epochs == list(range(1, int(TRAIN[TRAIN.index("--epochs") + 1]) + 1))
    assert log.read_text().splitlines()[0] == before.splitlines()[0]


def test_a_training_by_an_option_that_is_no_more_is_refused(capsys, tmp_path, scene):
    """Resuming would give different weights; at the default, as in the test above, it makes no difference."""
    state = Path(shutil.copytree(FILES / "stopped.run", tmp_path / "stopped.run")) / "state.safetensors"
    with safe_open(state, "pt") as stored:
        facts = json.loads(stored.metadata()["sarcd"])
    facts["begun"]["options"]["pseudo"]["rounds"] = 2
    save_file(load_file(state), state, metadata={"sarcd": json.dumps(facts)})
    settle(scene)
    assert main(["train", str(scene), "-o", str(tmp_path / "stopped.safetensors"), *TRAIN, *SETTINGS]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "a run with pseudo.rounds 2, now no option was stopped here" in line


def test_a_map_by_an_option_that_is_no_more_is_refused(capsys, scene):
    for file in (
        scene / "zarr.json",
        scene / "change_score_network" / "zarr.json",
        scene / "change_network" / "zarr.json",
    ):
        text = file.read_text()
        assert r"\"start\":\"prior\"" in text
        file.write_text(text.replace(r"\"start\":\"prior\"", r"\"start\":\"clusters\""))
    before = tree(scene)
    assert main(words("detect network", scene)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert "start clusters, now prior" in line
    assert "--overwrite" in line
    assert tree(scene) == before


def test_info_and_scores_are_those_of_then(capsys, scene):
    for name, options in (("info", ()), ("evaluate", ("--variable", "change_test"))):
        text = (FILES / f"{name}.json").read_text()
        for then, now in (("share", "min_confident"), ("most", "max_patches"), ("unjudged_pixels", "masked_pixels")):
            text = text.replace(f'"{then}":', f'"{now}":')
        assert_alike(flat(run(capsys, name, scene, *options)), flat(json.loads(text)))


def flat(value, key=""):
    """Flatten nested JSON to a dict of numbers and texts, without the path of the scene."""
    if isinstance(value, dict):
        return {k: v for name, one in value.items() for k, v in flat(one, f"{key}.{name}").items()}
    if isinstance(value, list):
        return {k: v for number, one in enumerate(value) for k, v in flat(one, f"{key}.{number}").items()}
    return {} if isinstance(value, str) and "scene.zarr" in value else {key: value}


def assert_alike(found, expected):
    """Compare texts and integers exactly, floats within the differences between processors."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        wanted = pytest.approx(value, rel=1e-5) if isinstance(value, float) else value
        assert found[key] == wanted, key


def test_polygons_are_those_of_then(tmp_path, scene):
    assert main(["export", str(scene), str(tmp_path / "changes.geojson"), "--variable", "change_test"]) == 0
    found, expected = (json.loads((path / "changes.geojson").read_text()) for path in (tmp_path, FILES))
    assert len(found["features"]) == len(expected["features"]) > 0
    for one, other in zip(found["features"], expected["features"], strict=True):
        assert one["geometry"] == other["geometry"]
        assert_alike(flat(one["properties"]), flat(other["properties"]))


def test_a_site_is_simulated_as_then(tmp_path):
    options = ("--site", "B", "--size", "64", "--dates", "2", "--seed", "5")
    assert main(["simulate", str(tmp_path / "site.zarr"), *options]) == 0
    found, expected = xr.open_zarr(tmp_path / "site.zarr"), xr.open_zarr(FILES / "site.zarr")
    for name in expected.data_vars:
        # exp and sin in float32 differ by a rounding between processors
        rounding = 1e-5 * float(abs(expected[name]).mean())
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=rounding, err_msg=str(name))
