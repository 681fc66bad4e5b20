"""Attributes in types that every format supports, and mappings stored by earlier versions."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd import config, jobs, schema
from sarcd.attributes import FITTED, PARAMETERS, decode, encode, fitted_of, parameters_of, plain, portable
from sarcd.config import CoherenceOptions, DetectOptions
from sarcd.estimation.amplitudes import ATTRIBUTE, AmplitudeStatistics
from sarcd.store.info import scene_info
from sarcd.store.scene import SceneStore, open_scene, publish
from tests.factories.scenes import stored_scene


def test_structures_as_text():
    one = {"window": {"y": 5, "x": 7}, "rate": 0.01, "looks": None}
    other = {"looks": None, "rate": np.float64(0.01), "window": {"x": np.int64(7), "y": 5}}
    assert encode(one) == '{"window":{"y":5,"x":7},"rate":0.01,"looks":null}'
    assert decode(encode(other)) == one
    assert encode({"pairs": (1, 2)}) == encode({"pairs": [1, 2]}) == encode({"pairs": np.array([1, 2])})
    assert encode({"é": np.datetime64("2023-03-19")}) == '{"é":"2023-03-19"}'
    assert encode({"a": 1}) != encode({"a": 2})
    assert decode(encode(one)) == decode(one) == one


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"b": [1]}}, '{"a":{"b":[1]}}'),
        ([{"a": 1}, {}], '[{"a":1},{}]'),
        ([[1, 2], [3]], "[[1,2],[3]]"),
        ([1, None], "[1,null]"),
        ([1, "a"], '[1,"a"]'),
        (np.eye(2, dtype=int), "[[1,0],[0,1]]"),
        (True, 1),
        (np.bool_(False), 0),
        ([True, False], [1, 0]),
        (np.float32(0.5), 0.5),
        ((1.0, 2.0), [1.0, 2.0]),
        (["a.tif", ""], ["a.tif", ""]),
        ([], []),
        (np.datetime64("2023-03-19T05:58"), "2023-03-19T05:58"),
        (np.array(["2023-03-19", "2023-03-31"], "datetime64[D]"), ["2023-03-19", "2023-03-31"]),
        (b"text", "text"),
    ],
)
def test_plain(value, expected):
    (found,) = plain({"key": value}).values()
    assert found == expected
    assert type(found) is type(expected)


def test_none_is_left_out():
    assert plain({"looks": None, "kept": 0}) == {"kept": 0}


def test_other_programs_attributes_are_no_parameters():
    assert parameters_of({}) == parameters_of({PARAMETERS: "no JSON"}) == parameters_of({PARAMETERS: "[1]"}) == {}
    assert fitted_of({}) == fitted_of({FITTED: "{"}) == fitted_of({FITTED: "{}"}) == []


def as_before(path, *names, **more):
    """Give variables the attributes that earlier versions stored: mappings and booleans instead of text."""
    store = SceneStore(path)
    listed = [name for name in names if name in store.published()]
    for name in names:
        file = store.folder / name / "zarr.json"
        metadata = json.loads(file.read_text())
        attrs = metadata["attributes"]
        for key in (PARAMETERS, FITTED):
            if key in attrs:
                attrs[key] = json.loads(attrs[key])
        attrs[schema.COMPLETE] = [bool(flag) for flag in attrs[schema.COMPLETE]]
        file.write_text(json.dumps({**metadata, "attributes": {**attrs, **more}}))
    publish(store, add=listed)
    root = store.folder / "zarr.json"
    metadata = json.loads(root.read_text())
    for name in listed:
        metadata["consolidated_metadata"]["metadata"][name] = json.loads(
            (store.folder / name / "zarr.json").read_text()
        )
    if ATTRIBUTE in metadata["attributes"]:
        metadata["attributes"][ATTRIBUTE] = json.loads(metadata["attributes"][ATTRIBUTE])
    root.write_text(json.dumps(metadata))


def test_results_of_earlier_versions_are_not_computed_again(tmp_path, rng):
    path = stored_scene(tmp_path / "a.zarr", rng, (4, 40, 50))
    options = DetectOptions(method="log-ratio")
    assert jobs.coherence(path).computed == 3 * 4
    assert jobs.detect(path, options, pairs="2023-03-19:2023-03-31").computed == 4
    jobs.statistics(path)
    names = ["coherence", "change", "change_score"]
    as_before(path, *names)
    old = xr.open_zarr(path)
    assert isinstance(old.coherence.attrs[PARAMETERS], dict)
    assert isinstance(old.attrs[ATTRIBUTE], dict)
    assert old.change.attrs[schema.COMPLETE] == [True, False, False]

    assert AmplitudeStatistics.stored(old) == jobs.statistics(path)[0]
    assert not jobs.statistics(path)[1]
    assert parameters_of(old.coherence) == config.to_dict(CoherenceOptions())
    told = {variable["name"]: variable for variable in scene_info(path)["variables"]}
    assert told["coherence"]["parameters"] == config.to_dict(CoherenceOptions())
    assert told["change"]["pairs_complete"] == [True, False, False]
    assert scene_info(path)["statistics"]["covers_all_dates"]

    assert jobs.coherence(path).computed == 0
    rules = {fact["before"]: fact["rule"] for fact in fitted_of(old.change)}
    found = jobs.detect(path, options)
    assert (found.computed, found.kept) == (2 * 4, 4)
    both = {fact["before"]: fact["rule"] for fact in fitted_of(open_scene(path).change)}
    assert len(both) == 3
    assert rules.items() <= both.items()  # the rule of the existing pair is kept


def test_an_earlier_versions_unfinished_result_is_resumed(tmp_path, rng):
    path = stored_scene(tmp_path / "a.zarr", rng, (2, 40, 50))
    whole = jobs.coherence(path)
    expected = open_scene(path).coherence.values
    store = SceneStore(path)
    publish(store, remove=["coherence"])
    store.set_attrs("coherence", {schema.COMPLETE: [0]})
    store.delete_chunk("coherence", "c/0/1/0")
    as_before(path, "coherence")
    assert isinstance(store.array("coherence").attrs[PARAMETERS], dict)
    found = jobs.coherence(path)
    assert (found.computed, found.kept) == (1, whole.computed - 1)
    np.testing.assert_array_equal(open_scene(path).coherence.values, expected)


def test_what_is_stored_is_plain_whatever_was_given(tmp_path, rng):
    path = stored_scene(tmp_path / "a.zarr", rng)
    store = SceneStore(path)
    store.set_attrs("slc", {"note": {"a": None}, "flag": True})
    publish(store, add=["slc"], attrs={"looks": np.float64(4), "gone": None})
    scene = xr.open_zarr(path)
    assert (scene.slc.attrs["note"], scene.slc.attrs["flag"], scene.attrs["looks"]) == ('{"a":null}', 1, 4.0)


def test_portable(tmp_path, rng):
    path = stored_scene(tmp_path / "a.zarr", rng, (3, 40, 50))
    jobs.coherence(path)
    as_before(path, "coherence")
    old = xr.open_zarr(path)
    moved = portable(old.chunk(y=25, x=25))
    assert isinstance(old.coherence.attrs[PARAMETERS], dict)
    for number in (2, 3):
        moved.to_zarr(tmp_path / f"{number}.zarr", zarr_format=number, consolidated=False)
        back = open_scene(tmp_path / f"{number}.zarr")
        np.testing.assert_array_equal(back.slc.values, old.slc.values)
        np.testing.assert_array_equal(back.time.values, old.time.values)
        assert parameters_of(back.coherence) == parameters_of(old.coherence)
