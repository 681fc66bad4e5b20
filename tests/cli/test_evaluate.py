"""``sarcd evaluate`` on stored scenes."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd.evaluate import evaluate
from sarcd.io.create import NewScene, SceneLayout
from sarcd.io.store import open_scene, publish
from sarcd_cli.main import main


@pytest.fixture
def stored(tmp_path, rng):
    """A scene of two pairs, the second without labels, in chunks of 8."""
    times = np.array(["2023-03-07", "2023-03-19", "2023-03-31"], "datetime64[us]")
    label = rng.choice([0, 1, 255], (2, 20, 30)).astype(np.uint8)
    label[1] = 255
    probability = rng.random(label.shape, np.float32)
    probability[:, 3, 4:9] = np.nan
    path = tmp_path / "scene.zarr"
    layout = SceneLayout(times=times, y=np.arange(20.0), x=np.arange(30.0), images="amplitude", chunk=8)
    with NewScene(path, layout) as store:
        for name, values in {
            "amplitude": rng.random((3, 20, 30), np.float32),
            "label": label,
            "change_probability": probability,
            "change": np.where(np.isnan(probability), 255, probability >= 0.4).astype(np.uint8),
        }.items():
            store.create(name, values.shape, {"sarcd_complete": [1, 1]} if "change" in name else {}, chunks=(1, 8, 8))
            store.array(name)[...] = values
            publish(store, add=[name])
    return path


def test_json_is_the_result(stored, capsys):
    assert main(["evaluate", str(stored), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    expected = evaluate(xr.open_zarr(stored))
    assert err == ""
    assert [found[key] for key in ("scene", "variable", "truth")] == [str(stored), "change", "label"]
    assert found["pooled"] == {name: float(expected[name][0]) for name in expected.data_vars}
    assert [entry["pair"] for entry in found["pairs"]] == ["2023-03-07/2023-03-19", "2023-03-19/2023-03-31"]
    assert found["pairs"][1]["f1"] is None
    assert found["pairs"][1]["labelled_pixels"] == 0


def test_stored_scene_equals_the_same_in_memory(stored):
    lazy = open_scene(stored)
    assert lazy["change"].chunks is not None
    for options in ({}, {"variable": "change_probability"}, {"variable": "change_probability", "threshold": 0.7}):
        xr.testing.assert_identical(evaluate(lazy, **options), evaluate(lazy.compute(), **options))
        xr.testing.assert_identical(evaluate(lazy, **options), evaluate(open_scene(stored, chunks=None), **options))


def test_table(stored, capsys):
    assert main(["evaluate", str(stored), "--variable", "change_probability", "--threshold", "0.4"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "change_probability at 0.4 against label"
    assert lines[1].split() == [
        "over", "F1", "precision", "recall", "IoU", "kappa", "accuracy", "labelled", "unjudged",
    ]  # fmt: skip
    expected = evaluate(open_scene(stored))
    assert lines[2].split() == [
        "pooled",
        *(f"{float(expected[name][0]):.4f}" for name in ("f1", "precision", "recall", "iou", "kappa")),
        f"{float(expected['overall_accuracy'][0]):.4f}",
        str(int(expected["labelled_pixels"][0])),
        str(int(expected["unjudged_pixels"][0])),
    ]
    assert lines[4].split() == ["2023-03-19/2023-03-31", *"------", "0", "0"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--variable", "coherence"], "no 'coherence' in the scene: run 'sarcd coherence' on the scene first"),
        (["--threshold", "0.5"], "threshold: 'change' is a map of 0 and 1 and takes no threshold: leave it out"),
    ],
)
def test_errors_are_one_line(stored, words, line, capsys):
    assert main(["evaluate", str(stored), *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_absent_scene(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "no.zarr")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'no.zarr'}: no such scene: make one with")


def test_flipped_bit_is_found_and_named(stored, capsys):
    chunk = stored / "change" / "c" / "0" / "1" / "2"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    assert main(["evaluate", str(stored)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: change/c/0/1/2: chunk cannot be read")
    assert err.count("\n") == 1


def test_absent_chunk_is_found_and_named(stored, capsys):
    (stored / "change" / "c" / "1" / "0" / "3").unlink()
    assert main(["evaluate", str(stored)]) == 1
    assert capsys.readouterr().err.startswith("error: change/c/1/0/3: chunk cannot be read (absent)")
    assert main(["evaluate", str(stored), "--variable", "change_probability"]) == 0
