"""Check that commands of docs/scores.md print what it shows; ``python -m tests.test_scores_doc`` updates the page.

The update runs the page's commands unchanged in a temporary folder and writes their output into the page. Run it when
scores, simulator or training change. It takes about a minute on two cores.
"""

import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sarcd.metrics.results import COARSE
from sarcd_cli.main import main

PATH = Path(__file__).resolve().parents[1] / "docs" / "scores.md"
PAGE = PATH.read_text(encoding="utf-8")
SHOWN = re.compile(r"(?<=```text\n).*?(?=```)", flags=re.DOTALL)

SMALL = {"--size 512": "--size 128", "--epochs 10": "--epochs 1", "--bootstrap 1000": "--bootstrap 10"}
"""Replacements that make the page's commands fast enough for a test."""


def set_up() -> list[str]:
    """Return the commands that make scenes and model."""
    (block,) = re.findall(r"```bash\n(sarcd simulate .*?)```", PAGE, flags=re.DOTALL)
    return block.splitlines()


def shown_commands() -> list[str]:
    """Return the commands whose output the page shows, in order."""
    return re.findall(r"^    (sarcd .*)$", PAGE, flags=re.MULTILINE)


def cells(text: str) -> list[list[str]]:
    """Return heading lines complete, and the leading name of all other lines."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]
    return [line if line[0] == "over" else line[:1] for line in lines]


def test_commands_print_what_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    printed = []
    for line in [*set_up(), *shown_commands()]:
        for long, short in SMALL.items():
            line = line.replace(long, short)
        assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr())
        printed.append(capsys.readouterr().out)
    torch.set_num_threads(threads)
    evaluate, threshold = printed[-2:]
    shown = [text.replace("from 1000 resamples", "from 10 resamples") for text in SHOWN.findall(PAGE)]
    assert [cells(text) for text in shown] == [cells(evaluate), cells(threshold)]
    assert sum(line[0] == "over" for line in cells(evaluate)) == 4


def test_page_names_every_option_of_the_commands(capsys):
    for command in ("evaluate", "threshold"):
        assert main([command, "--help"]) == 0
        options = set(re.findall(r"--[a-z0-9-]+", capsys.readouterr().out))
        assert options - {"--help", "--debug"} <= set(re.findall(r"--[a-z0-9-]+", PAGE))


def test_memory_of_patches_is_as_told():
    patches = (-(-20_000 // 256)) ** 2
    kept = 2 * COARSE["probability"].count * np.dtype("uint32").itemsize  # changed and unchanged
    page = " ".join(PAGE.split())
    assert f"each patch keeps a histogram of {kept / 1e3:.0f} kB" in page
    assert f"are {patches:,} patches, {patches * kept / 1e6:.0f} MB a pair" in page


def outputs(folder: str) -> Iterator[str]:
    """Run the page's commands and yield the output of those that the page shows."""
    for line in [*set_up(), *shown_commands()]:
        print(line, file=sys.stderr)
        command = [sys.executable, "-m", "sarcd_cli.main", *shlex.split(line)[1:]]
        printed = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
        if line in shown_commands():
            print(printed)
            yield printed


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        found = outputs(scratch)
        PATH.write_text(SHOWN.sub(lambda _: next(found), PAGE), encoding="utf-8")
