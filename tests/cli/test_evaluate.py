"""``sarcd evaluate`` on stored scenes."""

import json
import shutil

import numpy as np
import pytest
import xarray as xr

from sarcd.metrics import Bootstrap, ObjectRules, evaluate, report
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.scene import SceneStore, open_scene, publish
from sarcd_cli.main import main


@pytest.fixture
def stored(tmp_path, rng):
    """Store a scene of two pairs, the second without labels, in chunks of 8."""
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


@pytest.mark.filterwarnings("default::UserWarning")
def test_labels_of_one_class_are_warned_of(stored, capsys):
    label = SceneStore(stored).array("label")
    label[0] = np.where(label[0] == 1, 1, 255)
    assert main(["evaluate", str(stored)]) == 0
    err = capsys.readouterr().err
    assert err.startswith(
        f"warning: {stored}: 'label': no labelled pixel is \"no change\". False alarms cannot be counted"
    )
    assert err.count("\n") == 1


def test_table(stored, capsys):
    assert main(["evaluate", str(stored), "--variable", "change_probability", "--threshold", "0.4"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert lines[0] == "change_probability at 0.4 against label"
    assert lines[1].split() == [
        "over", "F1", "precision", "recall", "IoU", "kappa", "accuracy", "FP", "FN", "OE", "labelled", "masked",
    ]  # fmt: skip
    expected = evaluate(open_scene(stored))
    assert lines[2].split() == [
        "pooled",
        *(f"{float(expected[name][0]):.4f}" for name in ("f1", "precision", "recall", "iou", "kappa")),
        f"{float(expected['overall_accuracy'][0]):.4f}",
        str(int(expected["fp"][0])),
        str(int(expected["fn"][0])),
        str(int(expected["fp"][0] + expected["fn"][0])),
        str(int(expected["labelled_pixels"][0])),
        str(int(expected["masked_pixels"][0])),
    ]
    assert lines[4].split() == ["2023-03-19/2023-03-31", *"------", *"00000"]
    assert len({len(line) for line in lines[1:5]}) == 1
    assert lines[5:7] == ["", "over                       AP     ECE   Brier  log loss"]
    assert lines[9].split() == ["2023-03-19/2023-03-31", *"----"]
    assert len(lines) == 10


def test_tables_of_objects_and_intervals(stored, capsys):
    words = ["--objects", "--min-pixels", "2", "--bootstrap", "50", "--patch", "10", "--level", "0.9"]
    assert main(["evaluate", str(stored), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    expected = evaluate(
        open_scene(stored), objects=ObjectRules(min_pixels=2), bootstrap=Bootstrap(resamples=50, patch=10, level=0.9)
    )
    assert lines[6].split() == [
        "over",
        "object",
        "F1",
        "precision",
        "recall",
        "detected",
        "missed",
        "false",
        "false/km2",
    ]
    assert lines[7].split() == [
        "pooled",
        *(f"{float(expected[f'object_{name}'][0]):.4f}" for name in ("f1", "precision", "recall")),
        *(str(int(expected[f"objects_{name}"][0])) for name in ("detected", "missed", "false")),
        "-",
    ]
    assert lines[11] == "90 % intervals from 50 resamples of 10 x 10 pixel patches"
    assert lines[12].split() == ["over", "patches", "F1", "precision", "recall", "IoU", "kappa"]
    low, high = float(expected["f1_low"][0]), float(expected["f1_high"][0])
    assert lines[13].split()[:3] == ["pooled", "6", f"{low:.3f}-{high:.3f}"]
    assert lines[15].split() == ["2023-03-19/2023-03-31", "0", *"-----"]


def test_several_scenes(stored, tmp_path, capsys):
    other = tmp_path / "other.zarr"
    shutil.copytree(stored, other)
    words = ["evaluate", str(stored), str(other), "--variable", "change_probability"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:9]] == [
        "pooled",
        *[str(stored), "2023-03-07/2023-03-19", "2023-03-19/2023-03-31"],
        *[str(other), "2023-03-07/2023-03-19", "2023-03-19/2023-03-31"],
    ]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    alone = report([open_scene(stored)], variable="change_probability").to_dict()
    assert [site["scene"] for site in found["sites"]] == [str(stored), str(other)]
    assert found["pooled"]["tp"] == 2 * int(alone["pooled"]["tp"])
    assert found["sites"][1]["pairs"][0]["average_precision"] == float(alone["pairs"][0]["average_precision"])
    assert len(found["sites"][0]["pooled"]["reliability"]) == 15
    assert found["sites"][0]["pairs"][1]["curve"][0]["precision"] is None


def test_help_names_every_option(capsys):
    assert main(["evaluate", "--help"]) == 0
    out = capsys.readouterr().out
    for option in (
        "--objects",
        "--min-area M2",
        "--min-overlap",
        "--bootstrap",
        "--patch",
        "--seed",
        "--level",
        "--bins",
    ):
        assert option in out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--variable", "coherence"], "no 'coherence' in the scene. Run 'sarcd coherence' on the scene first"),
        (
            ["--objects", "--min-area", "30"],
            "the pixel spacing is unknown, but a minimum area requires it. Ingest it with",
        ),
        (["--bootstrap", "10", "--patch", "2"], "patch: invalid patch size 2. Use 8 pixels or more"),
        (["--threshold", "0.5"], "threshold: 'change' is a map of 0 and 1 and takes no threshold. Leave it out"),
    ],
)
def test_errors_are_one_line(stored, words, line, capsys):
    assert main(["evaluate", str(stored), *words]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_one_scene_named_twice_and_options_without_their_own(stored, capsys):
    assert main(["evaluate", str(stored), str(stored)]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {stored}: is named twice and would be counted twice. Name each scene once.\n"
    )
    assert main(["evaluate", str(stored), "--patch", "64"]) == 2
    assert "--patch requires --bootstrap" in capsys.readouterr().err


def test_absent_scene(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "no.zarr")]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'no.zarr'}: no such scene. Make one with")


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
