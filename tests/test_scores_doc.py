"""Commands of the page on scores run, and print what it shows in form."""

import re
import shlex
from pathlib import Path

from sarcd_cli.main import main
from tests.networks import random_model_file
from tests.results import UTM, stored_results

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "scores.md").read_text(encoding="utf-8")


def titles(text):
    """Return headings of tables and names of rows that are no scene, pair or pool."""
    return [line.split() for line in text.splitlines() if line.startswith(("over", "95 %"))]


def test_commands_print_what_is_shown(tmp_path, rng, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.zarr", "b.zarr"):
        stored_results(tmp_path / name, rng, shape=(200, 200), georeference=UTM, chunk=128)
    random_model_file(tmp_path / "m.safetensors", widths=(2, 2))
    commands = [shlex.split(line)[1:] for line in re.findall(r"^    (sarcd .*)$", PAGE, flags=re.MULTILINE)]
    shown = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [command[0] for command in commands] == ["evaluate", "threshold"]
    printed = []
    for command in commands:
        assert main(command) == 0, capsys.readouterr()
        printed.append(capsys.readouterr().out)
    assert titles(printed[0]) == titles(shown[0])
    assert len(titles(printed[0])) == 5
    names = [[line.split()[0] for line in text.splitlines()] for text in (printed[1], shown[1])]
    assert names[0] == names[1]


def test_page_names_every_option_of_the_commands(capsys):
    for command in ("evaluate", "threshold"):
        assert main([command, "--help"]) == 0
        options = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
        assert options - {"--help", "--debug"} <= set(re.findall(r"--[a-z0-9-]+", PAGE))
