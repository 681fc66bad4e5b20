"""Every command and the Python code of the README run in the order of the page."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import rasterio

from sarcd_cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def write_images_of_a_user(folder):
    """Make the user's images as the README describes them: two complex rasters with a CRS, and polygons of change."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": 96, "height": 80, "count": 1, "dtype": "complex64", "crs": "EPSG:32633"}
    profile["transform"] = rasterio.Affine(5, 0, 500000, 0, -5, 5000000)
    for name in ("mine_20230319.tif", "mine_20230331.tif"):
        with rasterio.open(folder / name, "w", **profile) as file:
            file.write((rng.normal(size=(80, 96)) + 1j * rng.normal(size=(80, 96))).astype("complex64"), 1)
    ring = "[[[500100, 4999900], [500200, 4999900], [500200, 4999800], [500100, 4999800], [500100, 4999900]]]"
    (folder / "changes.geojson").write_text(
        '{"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "EPSG:32633"}}, "features": '
        '[{"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": ' + ring + "}}]}"
    )


@pytest.mark.slow
def test_commands_and_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_images_of_a_user(tmp_path)
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.strip()]
    for line in lines:
        program, *arguments = shlex.split(line)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
            continue
        assert program == "sarcd"
        assert main(arguments) == 0, (line, capsys.readouterr())
    (python,) = blocks("python")
    exec(compile(python, "README.md", "exec"), {})
    for name in ("map.tif", "map.png", "map.gpkg", "scene.png"):
        assert (tmp_path / name).stat().st_size > 0


def test_table_names_every_command():
    assert set(re.findall(r"^\| `sarcd ([a-z-]+)", README, flags=re.MULTILINE)) == set(COMMANDS)


def test_no_placeholder_is_left():
    assert "TODO" not in README
    assert "DEMO_" not in README
