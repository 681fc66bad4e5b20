"""``sarcd ingest``."""

import json

import numpy as np
import pytest
import shapely

from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.rasters import UTM, slc, write_raster
from tests.factories.shapes import write_shapes


@pytest.fixture
def files(tmp_path, rng):
    """Write three complex images and two label rasters; returns paths by name."""
    paths = {
        day: write_raster(tmp_path / f"{day}.tif", slc(rng), **UTM) for day in ("20230319", "20230331", "20230412")
    }
    for name in ("one", "two"):
        values = rng.choice(np.array([0, 9], "uint8"), (40, 50))
        paths[name] = write_raster(tmp_path / f"{name}.tif", values, **UTM)
    return paths


def run(capsys, *words):
    code = main(["ingest", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_summary(tmp_path, files, capsys):
    scene = tmp_path / "scene.zarr"
    code, out, err = run(capsys, files["20230331"], files["20230319"], "-o", scene)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"scene       {scene}",
        "2023-03-19  20230319.tif, 100 % valid",
        "2023-03-31  20230331.tif, 100 % valid",
        "slc         40 x 50 pixels, 1 pair",
    ]


def test_json(tmp_path, files, capsys):
    scene = tmp_path / "scene.zarr"
    code, out, err = run(
        capsys,
        files["20230331"],
        files["20230319"],
        "-o",
        scene,
        "--label",
        files["one"],
        "--label-change",
        "9",
        "--json",
    )
    assert (code, err) == (0, "")
    changed = int((open_scene(scene)["label"].values == 1).sum())
    assert 0 < changed < 2000
    assert json.loads(out) == {
        "scene": str(scene),
        "images": "slc",
        "size": [40, 50],
        "georeference": "transform",
        "sources": ["20230319.tif", "20230331.tif"],
        "dates": ["2023-03-19T00:00:00", "2023-03-31T00:00:00"],
        "valid": [1.0, 1.0],
        "pairs": 1,
        "labelled": ["2023-03-19:2023-03-31"],
        "labels": [
            {
                "pair": "2023-03-19:2023-03-31",
                "source": "one.tif",
                "change": changed,
                "unchanged": 2000 - changed,
                "unlabelled": 0,
                "rule": "9: change; 0: none",
                "layer": None,
                "field": None,
                "shapes": {},
                "notes": [],
                "warnings": [],
            }
        ],
        "invalid": [{}, {}],
        "notes": [],
    }
    assert open_scene(scene)["label"].values.max() == 1


def test_every_option_arrives(tmp_path, rng, capsys):
    stack = write_raster(tmp_path / "stack.tif", rng.uniform(-20, 0, (2, 40, 50)).astype("float32"), names=("VV", "VH"))
    label = write_raster(tmp_path / "label.tif", np.resize(np.array([3, 4, 5], "uint8"), (40, 50)))
    scene = tmp_path / "scene.zarr"
    words = ["--kind", "db", "--band", "VV", "--band", "2", "--date", "2023-03-19", "--date", "2023-03-19T12:00:00"]
    words += [
        "--label",
        f"2023-03-19T00-00-00:2023-03-19T12-00-00={label}",
        "--label-change",
        "4",
        "--label-ignore",
        "5",
    ]
    words += ["--wavelength", "0.0555", "--spacing", "13.9,2.3", "--looks", "4", "--chunk", "8", "--shard", "16"]
    code, _, err = run(capsys, stack, stack, "-o", scene, "--memory", "0.01", *words)
    assert (code, err) == (0, "")
    found = open_scene(scene)
    assert found.sizes == {"time": 2, "pair": 1, "y": 40, "x": 50}
    assert (found.attrs["wavelength_m"], found.attrs["spacing_m"], found.attrs["looks"]) == (0.0555, [13.9, 2.3], 4.0)
    np.testing.assert_array_equal(found["label"].values[0], np.resize([0, 1, 255], (40, 50)))
    assert found["amplitude"].encoding["chunks"] == (1, 8, 8)
    assert found["amplitude"].encoding["shards"] == (1, 16, 16)


def test_separate_real_and_imaginary_bands(tmp_path, rng, capsys):
    values = [slc(rng) for _ in range(2)]
    paths = [
        write_raster(tmp_path / f"2023030{i}.tif", np.stack([v.real, v.imag, v.real])) for i, v in enumerate(values, 1)
    ]
    assert run(capsys, *paths, "-o", tmp_path / "scene.zarr", "--iq", "--band", "1,2")[0] == 0
    np.testing.assert_array_equal(open_scene(tmp_path / "scene.zarr")["slc"].values, values)


def test_append(tmp_path, files, capsys):
    scene = tmp_path / "scene.zarr"
    assert run(capsys, files["20230319"], files["20230331"], "-o", scene)[0] == 0
    code, out, _ = run(
        capsys, "--append", files["20230412"], "-o", scene, "--label", files["two"], "--label-change", "9"
    )
    assert code == 0
    changed = int((open_scene(scene)["label"].values[1] == 1).sum())
    assert out.splitlines()[1:] == [
        "2023-04-12  20230412.tif, 100 % valid",
        "slc         40 x 50 pixels, 2 pairs",
        "labelled    2023-03-31:2023-04-12",
        "labels",
        f"  2023-03-31:2023-04-12  two.tif: {changed:,} pixels of change, {2000 - changed:,} of none, 0 unlabelled; "
        "9: change; 0: none",
    ]
    named = f"2023-03-19:2023-03-31={files['one']}"
    code, out, _ = run(capsys, "--append", "-o", scene, "--label", named, "--label-change", "9")
    assert code == 0
    assert open_scene(scene)["label"].attrs["sarcd_complete"] == [True, True]


@pytest.mark.filterwarnings("default::UserWarning")
def test_labels_are_told_of(tmp_path, files, capsys):
    boxes = [shapely.box(500_100, 5_799_800, 500_200, 5_799_900), shapely.box(0, 0, 9, 9)]
    label = write_shapes(tmp_path / "site.gpkg", boxes, layer="pit", sort=np.array([4, 4]))
    write_shapes(label, boxes, layer="dump", append=True)
    words = [files["20230319"], files["20230331"], "-o", tmp_path / "scene.zarr", "--label", label]
    code, out, err = run(capsys, *words)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {label}: has 2 layers with shapes (pit, dump). Select one with --label-layer NAME")
    code, out, err = run(capsys, *words, "--label-layer", "pit", "--label-field", "SORT", "--label-change", "4")
    outside = "of 2 shapes, 1 are outside the scene. Check its CRS if they should be inside."
    assert (code, err) == (0, f"warning: {label}: {outside}\n")
    assert out.splitlines()[-1] == (
        "  2023-03-19:2023-03-31  site.gpkg, layer pit: 50 pixels of change, 1,950 of none, 0 unlabelled; "
        "attribute 'sort': 4: change; 1 of 2 shapes; 1 outside the scene; ground outside all shapes is none"
    )
    code, out, _ = run(capsys, *words[:-1], f"{label}|layername=dump", "--overwrite", "--json")
    (told,) = json.loads(out)["labels"]
    assert (told["layer"], told["rule"], told["shapes"]["outside"]) == ("dump", "every shape is change", 1)


def test_configuration_file(tmp_path, files, capsys):
    (tmp_path / "ingest.toml").write_text("chunk = 16\nlooks = 2.0\ndates = ['2020-01-01', '2020-01-02']\n")
    words = [files["20230319"], files["20230331"], "-o", tmp_path / "scene.zarr", "--config", tmp_path / "ingest.toml"]
    assert run(capsys, *words, "--looks", "5")[0] == 0
    scene = open_scene(tmp_path / "scene.zarr")
    assert scene["slc"].encoding["chunks"] == (1, 16, 16)
    assert scene.attrs["looks"] == 5
    assert str(scene["time"].values[0]).startswith("2020-01-01")
    (tmp_path / "ingest.toml").write_text("chunks = 16\n")
    code, _, err = run(capsys, *words)
    assert code == 1
    assert "unknown key 'chunks'" in err


def test_one_clear_line(tmp_path, files, capsys):
    words = [files["20230319"], files["20230331"], "-o", tmp_path / "scene.zarr"]
    for extra, code, message in [
        (["--kind", "db"], 1, "is complex (complex64), not db. Leave --kind out"),
        (["--date", "2023-01-01"], 1, "--date: is passed 1 times for 2 images"),
        (["--label", files["one"]], 1, "label values are 0, 9, not 0 and 1. Specify those that mean change"),
        (["--shard", "1000"], 1, "shard is 1000, which is not a multiple of chunk, 1024"),
        (["--spacing", "1"], 2, "is not two numbers"),
        (["--append", "--chunk", "8"], 2, "--append uses those of the scene"),
        (["--append"], 1, "no such scene"),
    ]:
        found, out, err = run(capsys, *words, *extra)
        assert (found, out) == (code, "")
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1
        assert not (tmp_path / "scene.zarr").exists()


def test_errors_as_json(tmp_path, files, capsys):
    code, out, err = run(capsys, files["20230319"], "-o", tmp_path / "scene.zarr", "--json")
    assert (code, err) == (1, "")
    assert json.loads(out) == {
        "error": "1 image given, but change needs two",
        "source": files["20230319"],
        "option": None,
        "hint": "pass two or more, or add one to a scene with --append",
    }


def test_shares_are_rounded_down(tmp_path, rng, capsys):
    values = slc(rng, (300, 400))
    values[0, 0] = 0
    paths = [write_raster(tmp_path / f"2023030{i}.tif", values) for i in (1, 2)]
    _, out, _ = run(capsys, *paths, "-o", tmp_path / "scene.zarr")
    assert "20230301.tif, 99.99 % valid; < 0.01 % exact zeros" in out


def test_no_data_and_gain_of_each_image(tmp_path, rng, capsys):
    images = [rng.uniform(1, 2, (40, 50)).astype("float32") for _ in range(2)]
    images[0][:, :5], images[1][:, :5] = -9999, 0
    paths = [write_raster(tmp_path / f"2023030{i}.tif", image) for i, image in enumerate(images, 1)]
    words = ["--kind", "amplitude", "--nodata", "-9999", "--nodata", "none", "--gain", "-20", "--gain", "0"]
    scene = tmp_path / "scene.zarr"
    code, out, err = run(capsys, *paths, "-o", scene, *words, "--gain", "1")
    assert (code, "is passed 3 times for 2 images" in err) == (1, True)
    words[words.index("-20")] = "0"
    code, out, _ = run(capsys, *paths, "-o", scene, *words, "--json")
    assert code == 0
    assert json.loads(out)["invalid"] == [{"option": 200}, {}]
    code, _, err = run(capsys, *paths, "-o", scene, *words, "--nodata", "x", "--overwrite")
    assert code != 0
    assert "'x' is not a pixel value" in err
