"""The store: what a plain open shows, and invalid input."""

import json
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import xarray as xr
import zarr

from sarcd.errors import CorruptChunkError, LockedError, MismatchError, SceneError, StoreError
from sarcd.store.chunks import chunk_errors, require_chunks
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.pairs import extend_pairs, pair_indices, select_pairs
from sarcd.store.regions import MadeBy, stage
from sarcd.store.scene import SceneStore, open_scene, publish
from sarcd.store.storage import variable_locks
from tests.factories.scenes import dates, stored_scene

MADE_BY = MadeBy("coherence", {"window": 5})


def write_all(staging, value=0.5):
    for region in staging.missing():
        shape = region.y.stop - region.y.start, region.x.stop - region.x.start
        staging.write(region, {name: np.full(shape, value) for name in staging.names})


def bytes_of(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.fixture
def scene(tmp_path, rng):
    return stored_scene(tmp_path / "scene.zarr", rng, (2, 70, 100))


def test_plain_xarray_opens_it_quietly_without_sarcd(scene):
    """Open in a process where sarcd is not imported and every warning is an error."""
    program = f"""
    import sys, warnings
    warnings.simplefilter("error")
    import xarray as xr
    scene = xr.open_zarr({str(scene)!r})
    assert scene.slc.dtype == "complex64" and scene.slc.dims == ("time", "y", "x")
    assert str(scene.time.values[1])[:10] == "2023-03-31"
    assert scene.before.dims == ("pair",) and "spatial_ref" in scene.coords
    assert not any(name.startswith("sarcd") for name in sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)


def test_stored_format(scene):
    group = zarr.open_group(scene, mode="r")
    assert group.metadata.zarr_format == 3
    array = group["slc"]
    assert array.chunks == (1, 32, 32)
    assert np.isnan(array.fill_value)
    _, packing, checksum = json.loads((scene / "slc" / "zarr.json").read_text())["codecs"]
    wanted = {"cname": "lz4", "shuffle": "bitshuffle", "typesize": 4}
    assert packing["name"] == "blosc"
    assert packing["configuration"].items() >= wanted.items()
    assert checksum["name"] == "crc32c"
    assert group["time"].dtype == np.int64
    assert group["time"].attrs["units"] == "microseconds since 1970-01-01"


def test_a_variable_is_seen_only_when_whole(scene):
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0], MADE_BY) as staging:
        regions = staging.missing()
        assert len(regions) == 3 * 4
        for region in regions[:-1]:
            shape = region.y.stop - region.y.start, region.x.stop - region.x.start
            staging.write(region, {"coherence": np.zeros(shape)})
            assert "coherence" not in xr.open_zarr(scene)
        with pytest.raises(MismatchError, match="disappeared"):
            staging.finish()
        write_all(staging)
        staging.finish()
    assert xr.open_zarr(scene)["coherence"].attrs["sarcd_complete"] == [True]


def test_unfinished_variables_stay_hidden_when_another_program_consolidates(scene):
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0], MADE_BY) as staging:
        region = staging.missing()[0]
        staging.write(region, {"coherence": np.zeros((32, 32))})
    with pytest.warns(UserWarning, match="onsolidated"):
        zarr.consolidate_metadata(str(scene))
    assert "coherence" not in open_scene(scene)


def test_a_resume_computes_what_is_missing_and_ends_with_the_same_bytes(tmp_path, scene):
    other = tmp_path / "other.zarr"
    shutil.copytree(scene, other)
    with stage(SceneStore(scene), ["coherence"], [0], MADE_BY) as staging:
        write_all(staging)
        staging.finish()
    with stage(SceneStore(other), ["coherence"], [0], MADE_BY) as staging:
        for region in staging.missing()[:5]:
            shape = region.y.stop - region.y.start, region.x.stop - region.x.start
            staging.write(region, {"coherence": np.full(shape, 0.5)})
    (other / "coherence" / "c" / "0" / "1" / "3.abc.partial").write_bytes(b"torn")
    with stage(SceneStore(other), ["coherence"], [0], MADE_BY) as staging:
        assert len(staging.missing()) == 7
        write_all(staging)
        staging.finish()
    assert bytes_of(other) == bytes_of(scene)


def test_other_settings_are_refused_and_overwrite_replaces(scene):
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0], MADE_BY) as staging:
        write_all(staging)
        staging.finish()
    changed = MadeBy("coherence", {"window": 7})
    with pytest.raises(MismatchError, match=r"window 5, now 7.*--overwrite"), stage(store, ["coherence"], [0], changed):
        pass
    with stage(store, ["coherence"], [0], changed, overwrite=True) as staging:
        assert "coherence" not in xr.open_zarr(scene)
        assert len(staging.missing()) == 12
        write_all(staging, 0.25)
        staging.finish()
    assert float(xr.open_zarr(scene)["coherence"].max()) == 0.25


def test_chunks_of_a_removed_array_are_not_taken_for_done(scene):
    """A kill during the removal may leave chunks without metadata."""
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0], MADE_BY) as staging:
        write_all(staging)
    (scene / "coherence" / "zarr.json").unlink()
    with stage(store, ["coherence"], [0], MadeBy("coherence", {"window": 7})) as staging:
        assert len(staging.missing()) == 12


def test_two_writers(scene):
    program = f"""
    import sys, time
    from sarcd.store.storage import variable_locks
    with variable_locks({str(scene)!r}, ["coherence"]):
        print("held", flush=True)
        sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(LockedError, match="another process is writing 'coherence'"),
            stage(SceneStore(scene), ["coherence"], [0], MADE_BY),
        ):
            pass
        with stage(SceneStore(scene), ["change"], [0], MADE_BY):
            pass
    finally:
        other.kill()
        other.communicate()
    with variable_locks(str(scene), ["coherence"]):
        pass  # a killed writer's lock is free


def test_pairs_grow_together(tmp_path, rng):
    scene = stored_scene(tmp_path / "scene.zarr", rng, (3, 40, 40))
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0, 1], MADE_BY) as staging:
        write_all(staging)
        staging.finish()
    assert pair_indices(store, select_pairs("all", store.dates("time"))) == [0, 1, 2]
    opened = xr.open_zarr(scene)
    assert opened.sizes["pair"] == 3
    assert opened.coherence.attrs["sarcd_complete"] == [True, True, False]
    assert np.isnan(opened.coherence[2]).all()
    assert not np.isnan(opened.coherence[:2]).any()
    with stage(store, ["coherence"], [2], MADE_BY) as staging:
        assert "coherence" not in xr.open_zarr(scene)
        assert len(staging.missing()) == 4
        write_all(staging)
        staging.finish()
    assert xr.open_zarr(scene).coherence.attrs["sarcd_complete"] == [True, True, True]


def test_growth_that_was_killed_before_it_was_published_does_no_harm(tmp_path, rng):
    scene = stored_scene(tmp_path / "scene.zarr", rng, (3, 40, 40))
    store = SceneStore(scene)
    with stage(store, ["coherence"], [0, 1], MADE_BY) as staging:
        write_all(staging)
    for name in ("before", "after", "coherence"):
        array = store.array(name)
        array.resize((5, *array.shape[1:]))
    assert xr.open_zarr(scene).sizes["pair"] == 2
    with stage(store, ["coherence"], [0, 1], MADE_BY) as staging:
        staging.finish()
    assert xr.open_zarr(scene).coherence.shape == (2, 40, 40)
    extend_pairs(store, select_pairs("all", store.dates("time")))
    assert xr.open_zarr(scene).sizes["pair"] == 3


def test_absent_chunk_is_an_error(scene):
    store = SceneStore(scene)
    require_chunks(store, "slc", [0, 1])
    (scene / "slc" / "c" / "1" / "0" / "2").unlink()
    with pytest.raises(CorruptChunkError, match=r"slc/c/1/0/2.*absent"):
        require_chunks(store, "slc", [0, 1])


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
def test_corrupt_chunk_is_named(scene, damage):
    chunk = scene / "slc" / "c" / "0" / "1" / "2"
    data = bytearray(chunk.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 16
    chunk.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-9]), "empty": b""}[damage])
    with pytest.raises(CorruptChunkError, match=r"slc/c/0/1/2"), chunk_errors(scene):
        open_scene(scene).slc.compute()


def test_publishing_keeps_root_attributes(scene):
    store = SceneStore(scene)
    publish(store, attrs={"note": "kept"})
    publish(store)
    assert xr.open_zarr(scene).attrs["note"] == "kept"
    assert xr.open_zarr(scene).attrs["sarcd_schema"] == 1


def test_a_failed_creation_leaves_nothing(tmp_path):
    layout = SceneLayout(dates(2), np.arange(10), np.arange(10))

    def break_off():
        with NewScene(tmp_path / "scene.zarr", layout) as store:
            store.array("slc")[0] = 1
            raise RuntimeError("cable")

    with pytest.raises(RuntimeError, match="cable"):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_existing_output(tmp_path, rng, scene):
    layout = SceneLayout(dates(2), np.arange(10), np.arange(10))
    with pytest.raises(StoreError, match="--overwrite"):
        NewScene(scene, layout)
    with NewScene(scene, layout, overwrite=True) as store:
        store.array("slc")[...] = 1
        assert xr.open_zarr(scene).sizes["y"] == 70
    assert xr.open_zarr(scene).sizes["y"] == 10
    (tmp_path / "photos").mkdir()
    with pytest.raises(StoreError, match="not a scene"):
        NewScene(tmp_path / "photos", layout, overwrite=True)


def test_foreign_and_absent_stores(tmp_path):
    with pytest.raises(SceneError, match="no such scene"):
        open_scene(tmp_path / "nowhere.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SceneError, match="not a Zarr group"):
        open_scene(tmp_path / "folder")
    xr.Dataset({"slc": (("y", "x"), np.zeros((3, 3), "complex64"))}).to_zarr(
        tmp_path / "flat.zarr", consolidated=False, zarr_format=3
    )
    with pytest.raises(SceneError, match=r"'slc' has dims .*lacks 'time'"):
        open_scene(tmp_path / "flat.zarr")


def test_other_schema_version(scene):
    publish(SceneStore(scene), attrs={"sarcd_schema": 99})
    with pytest.raises(SceneError, match="schema version 99"):
        open_scene(scene)


def test_sharded_store(tmp_path, rng):
    path = stored_scene(tmp_path / "scene.zarr", rng, (2, 100, 140), chunk=16, shard=64)
    store = SceneStore(path)
    with stage(store, ["coherence"], [0], MADE_BY) as staging:
        assert staging.grid == (64, 64)
        assert len(staging.missing()) == 2 * 3
        write_all(staging)
        staging.finish()
    assert float(xr.open_zarr(path).coherence.mean()) == 0.5
