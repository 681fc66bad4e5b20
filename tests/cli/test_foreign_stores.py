"""Every command on every kind of foreign store: it works or reports what is wrong, and damages nothing."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import xarray as xr
import zarr

from sarcd import jobs
from sarcd_cli.main import main
from tests.factories.scenes import memory_scene, random_slc, stored_scene

SHAPE = (3, 52, 48)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Consolidated metadata", "ignore:Dataset has no geotransform", "ignore:Failed to open Zarr store with"
)


def labelled(rng):
    scene = memory_scene(rng, SHAPE)
    times = scene["time"].values
    label = (rng.random((2, *SHAPE[1:])) < 0.3).astype("uint8")
    scene = scene.assign_coords(before=("pair", times[:-1]), after=("pair", times[1:]))
    return scene.assign(label=(("pair", "y", "x"), label), change=(("pair", "y", "x"), label))


def by_xarray(path, rng):
    labelled(rng).to_zarr(path)


def images_alone(path, rng):
    memory_scene(rng, SHAPE).to_zarr(path)


def in_hours(path, rng):
    encoding = {name: {"units": "hours since 2000-01-01", "dtype": "int32"} for name in ("time", "before", "after")}
    labelled(rng).to_zarr(path, encoding=encoding)


def without_list(path, rng):
    labelled(rng).to_zarr(path, consolidated=False)


def format_2(path, rng):
    labelled(rng).to_zarr(path, zarr_format=2)


def several_dates_a_chunk(path, rng):
    labelled(rng).chunk(time=2, pair=2, y=20, x=30).to_zarr(path)


def copied(path, rng):
    own = path.with_name("own.zarr")
    images = random_slc(rng, SHAPE)
    images[:, :32, :32] = np.nan + 1j * np.nan
    stored_scene(own, rng, SHAPE, slc=images)
    jobs.coherence(own)
    xr.open_zarr(own).to_zarr(path)
    shutil.rmtree(own)


def grown_by_xarray(path, rng):
    stored_scene(path, rng, SHAPE)
    later = memory_scene(rng, (1, *SHAPE[1:]))
    later.assign_coords(time=np.array(["2024-01-01T05:30"], "datetime64[us]")).to_zarr(path, append_dim="time")


def other_names(path, rng):
    labelled(rng).rename(y="latitude", x="longitude").to_zarr(path)


def a_band_more(path, rng):
    labelled(rng).expand_dims(band=2).to_zarr(path)


def not_a_scene(path, _rng):
    xr.Dataset({"ndvi": (("y", "x"), np.ones((4, 4)))}).to_zarr(path)


def emptied(path, rng):
    stored_scene(path, rng, SHAPE)
    group = zarr.open_group(path)
    del group["time"]
    zarr.consolidate_metadata(path)


def without_coordinates(path, rng):
    labelled(rng).drop_vars(["y", "x"]).to_zarr(path)


def sharded(path, rng):
    encoding = {"slc": {"chunks": (1, 13, 12), "shards": (2, 26, 24)}}
    labelled(rng).to_zarr(path, encoding=encoding)


def big_endian(path, rng):
    scene = labelled(rng)
    scene.assign(slc=scene["slc"].astype(">c8")).to_zarr(path)


def latest_first(path, rng):
    labelled(rng).isel(time=slice(None, None, -1)).to_zarr(path)


def one_date(path, rng):
    labelled(rng).isel(time=[0]).drop_dims("pair").drop_vars(["before", "after"], errors="ignore").to_zarr(path)


def with_a_group_inside(path, rng):
    labelled(rng).to_zarr(path)
    xr.Dataset({"slc": (("a", "b"), np.ones((3, 4)))}).to_zarr(path, group="other", mode="a")
    zarr.consolidate_metadata(path)


def a_mask_of_its_own(path, rng):
    scene = labelled(rng)
    scene.assign(mask=(("y", "x"), rng.random(SHAPE[1:]) > 0.5)).to_zarr(path)


STORES = (
    without_coordinates,
    sharded,
    big_endian,
    latest_first,
    one_date,
    with_a_group_inside,
    a_mask_of_its_own,
    by_xarray,
    images_alone,
    in_hours,
    without_list,
    format_2,
    several_dates_a_chunk,
    copied,
    grown_by_xarray,
    other_names,
    a_band_more,
    not_a_scene,
    emptied,
)

COMMANDS = {
    "info": ["info", "SCENE"],
    "statistics": ["statistics", "SCENE"],
    "coherence": ["coherence", "SCENE", "--name", "new"],
    "detect": ["detect", "SCENE", "--method", "ratio-test", "--name", "new"],
    "predict": ["predict", "SCENE", "--name", "new"],
    "summarise": ["summarise", "SCENE", "--of", "omnibus"],
    "evaluate": ["evaluate", "SCENE"],
    "export": ["export", "SCENE", "map.tif"],
    "append": ["ingest", "--append", "later.tif", "-o", "SCENE", "--date", "2025-06-01T05:58:00.5"],
    "append days": ["ingest", "--append", "later.tif", "-o", "SCENE", "--date", "2025-06-01"],
    "append too early": ["ingest", "--append", "later.tif", "-o", "SCENE", "--date", "1999-06-01"],
    "remove": ["remove", "SCENE", "change"],
}


def opened(path):
    try:
        return xr.open_zarr(path).load()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("store", STORES, ids=lambda store: store.__name__)
def test_every_command_on_every_store(tmp_path, monkeypatch, rng, capsys, store, command):
    monkeypatch.chdir(tmp_path)
    store(tmp_path / "s.zarr", rng)
    with rasterio.open(
        "later.tif", "w", driver="GTiff", height=SHAPE[1], width=SHAPE[2], count=1, dtype="complex64"
    ) as file:
        file.write(random_slc(rng, (1, *SHAPE[1:]))[0], 1)
    before = opened("s.zarr")
    code = main([*("s.zarr" if word == "SCENE" else word for word in COMMANDS[command]), "--json"])
    told = json.loads(capsys.readouterr().out)
    after = opened("s.zarr")
    assert code in (0, 1), told
    assert (code == 1) == ("error" in told)
    assert "internal" not in str(told.get("error")), told
    if not isinstance(before, xr.Dataset):
        assert after is before
        return
    assert isinstance(after, xr.Dataset), f"unreadable after {told}"
    if code == 1:
        xr.testing.assert_equal(after, before)
        return
    for name in set(before.variables) - ({"change"} if command == "remove" else set()):
        kept = after[name].isel({dim: slice(size) for dim, size in before[name].sizes.items()})
        np.testing.assert_array_equal(kept, before[name], err_msg=name)
    if command.startswith("append"):
        assert after.sizes["time"] == before.sizes["time"] + 1
        assert after["time"].values[-1] == np.datetime64(COMMANDS[command][-1])
