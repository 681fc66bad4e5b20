"""Contents of a scene, and which of them are unfinished or damaged."""

import json
import shutil

import numpy as np
import pytest
import zarr

from sarcd.config import IngestOptions
from sarcd.errors import SceneError
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.info import scene_info
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore, publish
from tests.factories.rasters import UTM, ground_control_points, slc, write_raster

MADE_BY = MadeBy("coherence", {"window": {"y": 5, "x": 5}})


def make(folder, rng, days=("20230319", "20230331"), options=None, **profile):
    paths = [write_raster(folder / f"{day}.tif", slc(rng), **(profile or UTM)) for day in days]
    ingest(paths, folder / "scene.zarr", options or IngestOptions(chunk=16))
    return folder / "scene.zarr"


def variable(path, name):
    found = {entry["name"]: entry for entry in scene_info(path)["variables"]}
    return found[name]


def compute(path, *, regions=None, finish=True):
    store = SceneStore(path)
    with stage(store, ["coherence"], range(len(store.dates("before"))), MADE_BY) as staging:
        for region in staging.missing()[:regions]:
            size = region.y.stop - region.y.start, region.x.stop - region.x.start
            staging.write(region, {"coherence": np.full(size, 0.5, "float32")})
        if finish:
            staging.finish()


def test_a_new_scene(tmp_path, rng):
    path = make(tmp_path, rng, options=IngestOptions(chunk=8, shard=16, wavelength_m=0.0555))
    info = json.loads(json.dumps(scene_info(path)))
    assert info["scene"] == str(path)
    assert (info["schema"], info["images"], info["size"]) == (1, "slc", [40, 50])
    assert info["dates"] == ["2023-03-19", "2023-03-31"]
    assert info["pairs"] == [["2023-03-19", "2023-03-31"]]
    assert info["georeference"] == {"kind": "transform", "crs": "EPSG:32631", "transform": list(UTM["transform"])[:6]}
    assert info["sensor"] == {"wavelength_m": 0.0555}
    assert info["statistics"] is None
    (images,) = info["variables"]
    assert images["bytes"] == info["bytes"]
    assert images["bytes"] == sum(file.stat().st_size for file in (path / "slc").rglob("*") if file.is_file())
    assert (images["chunks"], images["shards"], images["dtype"]) == ([1, 8, 8], [1, 16, 16], "complex64")
    assert (images["state"], images["chunks_present"], images["chunks_expected"]) == ("complete", 24, 24)
    assert images["sources"] == ["20230319.tif", "20230331.tif"]
    assert "pairs_complete" not in images


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"driver": "GTiff"}, {"kind": "none"}),
        ({"gcps": (ground_control_points((40, 50)), "EPSG:4326")}, {"kind": "gcps", "crs": "EPSG:4326", "points": 5}),
    ],
)
def test_georeference(tmp_path, rng, profile, expected):
    assert scene_info(make(tmp_path, rng, **profile))["georeference"] == expected


def test_times_of_day(tmp_path, rng):
    path = make(tmp_path, rng, options=IngestOptions(dates=("2023-03-19", "2023-03-19T05:58:00")))
    assert scene_info(path)["dates"] == ["2023-03-19", "2023-03-19T05:58:00"]


def test_derived_variables(tmp_path, rng):
    path = make(tmp_path, rng)
    compute(path, regions=5, finish=False)
    begun = variable(path, "coherence")
    assert (begun["state"], begun["chunks_present"], begun["chunks_expected"]) == ("unfinished", 5, 12)
    assert begun["pairs_complete"] == [False]
    compute(path)
    whole = variable(path, "coherence")
    assert (whole["state"], whole["chunks_present"], whole["pairs_complete"]) == ("complete", 12, [True])
    assert (whole["made_by"], whole["parameters"]) == ("coherence", {"window": {"y": 5, "x": 5}})
    assert whole["stale"] is None
    added = write_raster(tmp_path / "20230412.tif", slc(rng), **UTM)
    append([added], path)
    partial = variable(path, "coherence")
    assert (partial["state"], partial["chunks_present"], partial["chunks_expected"]) == ("partial", 12, 24)
    assert partial["pairs_complete"] == [True, False]


def test_damage(tmp_path, rng):
    path = make(tmp_path, rng)
    compute(path)
    for name in ("slc", "coherence"):
        (path / name / "c" / "0" / "1" / "2").unlink()
        damaged = variable(path, name)
        assert (damaged["state"], damaged["chunks_expected"] - damaged["chunks_present"]) == ("damaged", 1)
    shutil.rmtree(path / "coherence")
    assert variable(path, "coherence")["state"] == "damaged"


def test_stale_marks_and_statistics(tmp_path, rng):
    path = make(tmp_path, rng)
    compute(path)
    store = SceneStore(path)
    store.set_attrs("coherence", {"sarcd_stale": "because"})
    kept = {"median": [1.0], "mad": [0.5], "dates": ["2023-03-19T00:00:00.000000", "2023-03-31T00:00:00.000000"]}
    publish(store, add=["coherence"], attrs={"amplitude_statistics": kept})
    assert variable(path, "coherence")["stale"] == "because"
    assert scene_info(path)["statistics"] == {**kept, "covers_all_dates": True}
    append([write_raster(tmp_path / "20230412.tif", slc(rng), **UTM)], path)
    assert scene_info(path)["statistics"] == {**kept, "covers_all_dates": False}


def test_other_peoples_arrays_are_listed(tmp_path, rng):
    path = make(tmp_path, rng)
    store = SceneStore(path)
    zarr.open_group(str(path), mode="r+", use_consolidated=False).create_array(
        "dem", data=np.ones((40, 50), "float32"), chunks=(20, 25), dimension_names=("y", "x")
    )
    assert variable(path, "dem")["state"] == "unfinished"
    publish(store, add=["dem"])
    assert (variable(path, "dem")["state"], variable(path, "dem")["chunks_expected"]) == ("complete", 4)


def test_no_scene(tmp_path):
    with pytest.raises(SceneError, match="no such scene"):
        scene_info(tmp_path / "scene.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SceneError, match="not a Zarr group"):
        scene_info(tmp_path / "folder")
