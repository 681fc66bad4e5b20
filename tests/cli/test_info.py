"""``sarcd info``."""

import json

import numpy as np
import pytest

from sarcd.config import IngestOptions
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.info import scene_info
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore, publish
from sarcd_cli.main import main
from tests.factories.rasters import UTM, slc, write_raster


@pytest.fixture
def scene(tmp_path, rng):
    """Store three dates, coherence of the first pair that is out of date, and an unfinished probability."""
    paths = [write_raster(tmp_path / f"{day}.tif", slc(rng), **UTM) for day in ("20230319", "20230331", "20230412")]
    path = tmp_path / "scene.zarr"
    ingest(paths[:2], path, IngestOptions(chunk=32))
    store = SceneStore(path)
    with stage(
        store, ["coherence"], [0], MadeBy("coherence", {"window": {"y": 5, "x": 7}, "min_valid": 0.5})
    ) as staging:
        for region in staging.missing():
            size = region.y.stop - region.y.start, region.x.stop - region.x.start
            staging.write(region, {"coherence": np.ones(size, "float32")})
        staging.finish()
    append(paths[2:], path)
    store.set_attrs("coherence", {"sarcd_stale": "amplitude statistics were renewed since"})
    kept = {"median": [12.5], "mad": [3.25], "dates": ["2023-03-19T00:00:00.000000"], "per_date": False}
    publish(store, add=["coherence"], attrs={"amplitude_statistics": kept})
    with stage(store, ["change_probability"], [0, 1], MadeBy("predict", {"model": "abc"})) as staging:
        region = staging.missing()[0]
        size = region.y.stop - region.y.start, region.x.stop - region.x.start
        staging.write(region, {"change_probability": np.ones(size, "float32")})
    return path


def test_text(scene, capsys):
    assert main(["info", str(scene)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert "40 x 50 pixels in chunks of 32 x 32" in lines["size"]
    assert lines["dates"].endswith("3: 2023-03-19, 2023-03-31, 2023-04-12")
    assert lines["pairs"].endswith("2: 2023-03-19 - 2023-03-31, 2023-03-31 - 2023-04-12")
    assert lines["georeference"].endswith("EPSG:32631, pixels of 20 x 10, corner at (500000, 5800000)")
    assert "median 12.5 MAD 3.25, from 1 dates; older than the newest date" in lines["statistics"]
    table = [line.split()[:5] for line in out.splitlines() if line.split()[1:2] in (["float32"], ["complex64"])]
    assert table == [
        ["change_probability", "float32", "unfinished", "0/2", "1/8"],
        ["coherence", "float32", "partial", "1/2", "4/8"],
        ["slc", "complex64", "complete", "-", "12/12"],
    ]
    assert "made by coherence (sarcd " in lines["coherence"]
    assert "window=(y=5, x=7), min_valid=0.5; STALE: amplitude statistics were renewed since" in lines["coherence"]
    told = "not finished: 'sarcd predict' with the same settings finishes it, 'sarcd remove SCENE change_probability'"
    assert lines["change_probability"].endswith(f"model=abc; {told} removes it")
    assert lines["slc"].endswith("from 20230319.tif, 20230331.tif, 20230412.tif")


def test_json_is_the_library_s(scene, capsys):
    assert main(["info", str(scene), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(scene_info(scene)))


def test_damage_is_told(scene, capsys):
    (scene / "slc" / "c" / "0" / "0" / "0").unlink()
    assert main(["info", str(scene)]) == 0
    out = capsys.readouterr().out
    assert "damaged" in out
    assert "11/12" in out
    assert "chunks are missing" in out


def test_many_dates_are_shortened(tmp_path, rng, capsys):
    paths = [write_raster(tmp_path / f"202303{day:02}.tif", slc(rng, (6, 7))) for day in range(1, 11)]
    ingest(paths, tmp_path / "scene.zarr")
    assert main(["info", str(tmp_path / "scene.zarr")]) == 0
    out = capsys.readouterr().out
    assert "10: 2023-03-01, 2023-03-02, ..., 2023-03-10" in out
    assert "9: 2023-03-01 - 2023-03-02, 2023-03-02 - 2023-03-03, ..., 2023-03-09 - 2023-03-10" in out
    assert "none: radar geometry" in out
    assert "none kept; 'sarcd statistics' computes them" in out


def test_no_scene(tmp_path, capsys):
    assert main(["info", str(tmp_path / "scene.zarr")]) == 1
    assert "no such scene" in capsys.readouterr().err
