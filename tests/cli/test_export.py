"""``sarcd export`` on stored scenes."""

import json

import pytest

from sarcd_cli.main import main
from tests.factories.results import UTM, stored_results


@pytest.fixture
def stored(tmp_path, rng):
    return str(stored_results(tmp_path / "scene.zarr", rng, georeference=UTM))


def test_json_tells_what_was_written(stored, tmp_path, capsys):
    out = str(tmp_path / "map.tif")
    assert main(["export", stored, out, "--json"]) == 0
    printed, err = capsys.readouterr()
    found = json.loads(printed)
    assert err == ""
    assert found == {
        "file": out,
        "bytes": (tmp_path / "map.tif").stat().st_size,
        "variable": "change_probability",
        "pairs": ["2023-03-19 to 2023-03-31", "2023-03-31 to 2023-04-12"],
    }


def test_options_reach_the_file(stored, tmp_path, capsys):
    out = str(tmp_path / "changes.gpkg")
    command = ["export", stored, out, "--variable", "label", "--min-pixels", "9", "--json"]
    assert main([*command, "--pair", "20230331:20230412"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["variable"], found["polygons"], found["pairs"]) == ("label", 1, ["2023-03-31 to 2023-04-12"])
    assert main([*command, "--pair", "0"]) == 1
    assert json.loads(capsys.readouterr().out)["hint"] == "choose another name, or pass --overwrite to replace it"
    assert main([*command, "--pair", "0", "--overwrite"]) == 0
    assert json.loads(capsys.readouterr().out)["pairs"] == ["2023-03-19 to 2023-03-31"]


def test_picture_of_a_pair(stored, tmp_path, capsys):
    assert main(["export", stored, str(tmp_path / "a.png"), "--pair", "-1"]) == 0
    out, _ = capsys.readouterr()
    assert "2023-03-31 to 2023-04-12" in out
    assert (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["map.jpg"], "map.jpg: cannot export to '.jpg' files. Use .tif (cloud-optimised GeoTIFF), "),
        (
            ["a.tif", "--pair", "7"],
            "pair: the scene has no pair 7. Use a number or BEFORE:AFTER; the pairs are 0 = 2023-",
        ),
        (["a.tif", "--variable", "slc"], "variable: 'slc' is an input, not a result. Use a result, such as "),
        (["a.tif", "--min-pixels", "4"], "min_pixels: a '.tif' file holds no polygons. Leave it out"),
    ],
)
def test_one_line_of_error(stored, arguments, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["export", stored, *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {line}")
    assert err.count("\n") == 1


def test_a_broken_chunk_is_named(stored, tmp_path, capsys):
    chunk = tmp_path / "scene.zarr" / "change" / "c" / "0" / "1" / "0"
    chunk.write_bytes(b"broken")
    assert main(["export", stored, str(tmp_path / "a.gpkg")]) == 1
    assert "change/c/0/1/0: chunk cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "a.gpkg").exists()
