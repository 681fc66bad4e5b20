"""Datasets that resemble a scene are interpreted like the canonical form or refused with a one-line error."""

import logging

import numpy as np
import pytest
import xarray as xr

import sarcd  # noqa: F401  registers .sarcd
from sarcd import change, estimation
from sarcd.conform import conform
from sarcd.errors import OptionError, SarcdError, SceneError
from sarcd.store.openable import take
from tests.factories.scenes import dates, memory_scene

SHAPE = (3, 24, 20)


@pytest.fixture
def scene(rng):
    images = memory_scene(rng, SHAPE)
    times = images["time"].values
    label = rng.integers(0, 2, (2, *SHAPE[1:])).astype("uint8")
    label[:, :2] = 255
    coords = {"before": ("pair", times[:2]), "after": ("pair", times[1:])}
    return images.assign(label=(("pair", "y", "x"), label)).assign_coords(coords)


def change_of(scene):
    return scene.assign(change=scene["label"].variable)


UNDERSTOOD = {
    "degrees": lambda s: s.rename(y="latitude", x="longitude"),
    "short degrees": lambda s: s.rename(y="lat", x="lon"),
    "radar": lambda s: s.rename(y="azimuth", x="range"),
    "map": lambda s: s.rename(y="northing", x="easting"),
    "image": lambda s: s.rename(y="row", x="col"),
    "capitals": lambda s: s.rename(y="Y", x="X"),
    "date": lambda s: s.rename(time="date"),
    "order": lambda s: s.transpose("x", "y", "pair", "time"),
    "one polarisation": lambda s: s.expand_dims(pol=["VV"]),
    "one band": lambda s: s.expand_dims(band=1),
    "dates in another order": lambda s: s.isel(time=[2, 0, 1]),
    "dates by value": lambda s: s.sel(time=s.time[[0, 1, 2]]),
    "nanoseconds": lambda s: s.assign_coords(time=s.time.astype("datetime64[ns]")),
    "double": lambda s: s.assign(slc=s.slc.astype("complex128")),
    "boolean labels": lambda s: s.assign(label=s.label.where(s.label != 255, 0).astype(bool)).assign_attrs(bool=1),
    "labels of another integer": lambda s: s.assign(label=s.label.astype("int32")),
    "lazy": lambda s: s.chunk(y=7, x=9),
    "lazy, another order": lambda s: s.transpose("x", "time", "y", "pair").chunk(y=7, x=9, time=1),
    "coordinates beside dims": lambda s: s.rename_dims(y="line", x="sample"),
    "no coordinates": lambda s: s.drop_vars(["y", "x"]),
    "an own variable": lambda s: s.assign(coherence_mean=s.slc[0].real, ndvi=("other", [1.0])),
    "an own class of each label": lambda s: s.assign(label_class=s.label.astype("int64") + 40),
    "pairs as an index": lambda s: s.set_index(pair=["before", "after"]),
}


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_is_understood_as_the_canonical_form(scene, kind):
    given = UNDERSTOOD[kind](scene)
    kept = {name: dict(array.attrs) for name, array in given.variables.items()}
    for verb in (estimation.coherence, estimation.normalize, change.log_ratio):
        wanted, found = verb(scene), verb(given)
        assert found.dims == wanted.dims
        np.testing.assert_array_equal(found.values, wanted.values)
        if "pair" in wanted.dims:
            np.testing.assert_array_equal(found["before"], wanted["before"])
    labels = scene if kind != "boolean labels" else scene.assign(label=scene.label.where(scene.label != 255, 0))
    scores = change_of(given).sarcd.evaluate()
    xr.testing.assert_equal(scores, change_of(labels).sarcd.evaluate())
    assert {name: dict(array.attrs) for name, array in given.variables.items()} == kept


def test_names_by_cf_attributes(scene):
    odd = scene.rename(y="u", x="v", time="w")
    odd["u"].attrs = {"standard_name": "projection_y_coordinate"}
    odd["v"].attrs = {"axis": "X"}
    odd["w"].attrs = {}
    np.testing.assert_array_equal(estimation.coherence(odd), estimation.coherence(scene))


def test_the_schemas_own_names_go_before_cf_attributes(scene):
    turned = scene.rename(y="x_", x="y").rename(x_="x").transpose("time", "x", "y", "pair")
    turned["x"].attrs = {"units": "degrees_north"}
    turned["y"].attrs = {"units": "degrees_east"}
    found = conform(turned)["slc"]
    assert found.dims == ("time", "y", "x")
    np.testing.assert_array_equal(found, scene["slc"].transpose("time", "x", "y"))


def test_numbers_of_days_are_dates(scene):
    numbers = scene.assign_coords(time=("time", [0.0, 12.0, 24.0], {"units": "days since 2023-03-19"}))
    assert (conform(numbers)["time"].values == dates(3)).all()
    np.testing.assert_array_equal(estimation.coherence(numbers), estimation.coherence(scene))


@pytest.mark.parametrize("texts", [["2023-03-19", "2023-03-31", "2023-04-12"]])
def test_dates_as_text(scene, texts):
    assert (conform(scene.assign_coords(time=texts))["time"].values == dates(3)).all()


def test_some_of_the_dates_with_the_pairs_among_them(scene, caplog):
    with caplog.at_level(logging.WARNING):
        found = estimation.coherence(scene.isel(time=slice(1, 3)))
    np.testing.assert_array_equal(found, estimation.coherence(scene)[1:])
    assert "1 of 2 pairs" in caplog.text


def test_dates_without_a_pair_among_them_are_compared_and_what_is_left_out_is_said(scene, caplog):
    with caplog.at_level(logging.WARNING):
        found = estimation.coherence(scene.isel(time=[0, 2]))
    np.testing.assert_array_equal(found, estimation.coherence(scene, pairs="reference")[1:])
    assert "label" in caplog.text


def test_scores_need_no_images(scene, caplog):
    whole = change_of(scene).sarcd.evaluate()
    xr.testing.assert_equal(change_of(scene).isel(time=[0, 2]).sarcd.evaluate(), whole)
    assert not caplog.records


def test_a_picture_shows_pairs_of_its_images(scene, tmp_path):
    part = change_of(scene).isel(time=[0, 2])
    part.sarcd.export(tmp_path / "map.tif")  # a scene of results only
    part.sarcd.export(tmp_path / "map.png")
    part.isel(pair=[1]).sarcd.plot()
    with pytest.raises(OptionError, match="no pair"):
        part.sarcd.plot(pair=1)


def test_one_selected_pair_is_one_pair(scene):
    np.testing.assert_array_equal(estimation.coherence(scene.isel(pair=1)), estimation.coherence(scene)[1:])
    assert change_of(scene).isel(pair=1).sarcd.evaluate().sizes["over"] == 2


def test_one_selected_date_is_one_date(scene):
    assert estimation.normalize(scene.isel(time=0)).sizes["time"] == 1
    with pytest.raises(SceneError, match="time has 1 date; change needs 2"):
        estimation.coherence(scene.isel(time=0))


def test_flags_of_selected_pairs_do_not_follow_by_position(scene):
    stored = estimation.coherence(scene).assign_attrs(sarcd_complete=[1, 0])
    cut = take(scene.assign(coherence=stored).isel(pair=[1]))
    assert list(cut["coherence"].attrs["sarcd_complete"]) == [0]
    whole = take(scene.assign(coherence=stored.assign_attrs(sarcd_complete=[1, 1])).isel(pair=[1]))
    assert list(whole["coherence"].attrs["sarcd_complete"]) == [1]


def test_zeros_and_infinities_of_foreign_images_are_no_data(scene):
    images = scene["slc"].values.copy()
    images[1, :, :6], images[0, 3, 9] = 0, np.inf
    hidden = np.where((images == 0) | ~np.isfinite(images), np.nan + 1j * np.nan, images).astype("complex64")
    for given in (
        scene.assign(slc=scene["slc"].copy(data=images)),
        scene.assign(slc=scene["slc"].copy(data=images)).chunk(y=5),
    ):
        wanted = scene.assign(slc=scene["slc"].copy(data=hidden))
        np.testing.assert_array_equal(estimation.coherence(given), estimation.coherence(wanted))
        assert float(estimation.statistics(given)["median"]) == float(estimation.statistics(wanted)["median"])


REFUSED = {
    "two images of one date": (
        lambda s: s.assign_coords(time=s.time.values[[0, 0, 1]]),
        r"2 images have the date .*isel\(time=\[0, 2\]\)",
    ),
    "one date by its microsecond": (
        lambda s: s.assign_coords(time=s.time.values.astype("datetime64[ns]")[0] + np.arange(3)),
        "3 images have the date",
    ),
    "no date": (lambda s: s.assign_coords(time=np.array(["2023-03-19", "NaT", "2023-04-12"], "datetime64[us]")), "NaT"),
    "no time": (lambda s: s.drop_vars("time"), "'time' is missing"),
    "numbers": (lambda s: s.assign_coords(time=[1, 2, 3]), "should be datetime64"),
    "words": (lambda s: s.assign_coords(time=["monday", "tuesday", "friday"]), "should be datetime64"),
    "time zone": (lambda s: s.assign_coords(time=[f"2023-03-{d}T00:00+02:00" for d in (10, 11, 12)]), "UTC"),
    "two polarisations": (lambda s: s.expand_dims(pol=["VV", "VH"]), r"'pol' of 2 \(VV, VH\).*isel\(pol=0\)"),
    "joined scenes": (
        lambda s: xr.concat([s, s.assign_coords(time=s.time + np.timedelta64(99, "D"))], "time", data_vars="all"),
        r"xr\.concat",
    ),
    "an unknown dim": (lambda s: s.rename(y="banana"), "'banana' of 24"),
    "two y": (lambda s: s.rename(x="lat"), "both y"),
    "no x": (lambda s: s.isel(x=0), "'slc' has dims .* lacks 'x'"),
    "real": (lambda s: s.assign(slc=abs(s.slc)), "rename.*amplitude"),
    "both": (lambda s: s.assign(amplitude=abs(s.slc)), "Drop one"),
    "complex amplitude": (lambda s: s.rename(slc="amplitude"), "rename.*slc"),
    "other name": (lambda s: s.rename(slc="VV"), r"rename\(\{'VV': 'slc'\}\)"),
    "two names": (lambda s: xr.Dataset({"a": s.slc[0], "b": s.slc[1].drop_vars("time")}), "along one dim"),
    "object": (lambda s: s.assign(slc=s.slc.astype(object)), "is object"),
    "empty": (lambda s: s.isel(x=slice(0)), "is empty"),
    "pairs without dates": (lambda s: s.drop_vars("before"), "'before' is missing"),
    "a pair with itself": (lambda s: s.assign_coords(after=("pair", s.before.values)), "compares a date with itself"),
    "a pair backwards": (
        lambda s: s.assign_coords(before=("pair", s.after.values), after=("pair", s.before.values)),
        "backwards",
    ),
    "a pair twice": (lambda s: s.isel(pair=[0, 0]), "listed twice"),
    "another version": (lambda s: s.assign_attrs(sarcd_schema=7), "version 7"),
    "an array": (lambda s: s["slc"], "DataArray"),
    "boolean mask": (lambda s: s.assign(mask=s.slc[0].real > 0), "0 for usable pixels"),
    "labels of other values": (lambda s: s.assign(label=s.label.astype("int16") * 7), "holds 7"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_is_refused_in_one_line(scene, kind):
    damage, match = REFUSED[kind]
    given = damage(scene)
    for verb in (estimation.coherence, estimation.normalize, estimation.statistics, change.omnibus_test):
        with pytest.raises(SceneError, match=match) as caught:
            verb(given)
        assert "\n" not in str(caught.value)


def test_labels_with_nan_say_how_they_are_labels_again(scene):
    given = change_of(scene).assign(label=scene["label"].where(scene["label"] != 255))
    with pytest.raises(SceneError, match=r"'label' is float.*fillna\(255\)\.astype\('uint8'\)"):
        given.sarcd.evaluate()
    cured = given.assign(label=given["label"].fillna(255).astype("uint8"))
    xr.testing.assert_equal(cured.sarcd.evaluate(), change_of(scene).sarcd.evaluate())


def test_decibels_are_no_amplitude(scene):
    detected = scene.drop_vars("slc").assign(amplitude=abs(scene["slc"]))
    decibels = 20 * np.log10(detected["amplitude"])
    with pytest.raises(SceneError, match="linear"):
        estimation.normalize(detected.assign(amplitude=decibels.assign_attrs(units="dB")))
    with pytest.raises(SceneError, match="below 0"):
        estimation.normalize(detected.assign(amplitude=decibels.drop_attrs()))
    with pytest.raises(SceneError, match="below 0"):
        estimation.normalize(detected.assign(amplitude=decibels.drop_attrs()).chunk(y=8)).compute()


def test_detected_images_of_whole_numbers(scene):
    whole = (abs(scene["slc"]) * 50).astype("uint16")
    given = scene.drop_vars("slc").assign(amplitude=whole)
    np.testing.assert_array_equal(
        change.log_ratio(given), change.log_ratio(given.assign(amplitude=whole.astype("float32")))
    )


@pytest.mark.parametrize(
    "pairs",
    [
        ["2023-03-19:2023-04-12"],
        "2023-03-19:2023-04-12",
        [("2023-03-19", "2023-04-12")],
        [["20230319", np.datetime64("2023-04-12")]],
        ["2023-03-19:2023-04-12", "2023-03-19:2023-04-12"],
        [(dates(3)[0], dates(3)[2])],
    ],
)
def test_pairs_one_by_one(scene, pairs):
    found = estimation.coherence(scene, pairs=pairs)
    np.testing.assert_array_equal(found, estimation.coherence(scene, pairs="reference")[1:])


@pytest.mark.parametrize(
    "pairs", [[], ["2023-03-19"], ("2023-03-19", "2023-03-31"), [(0, 1)], [("2023-03-31", "2023-03-19")], [5], ["a:b"]]
)
def test_pairs_that_are_none(scene, pairs):
    with pytest.raises(OptionError):
        estimation.coherence(scene, pairs=pairs)


def test_what_was_taken_is_not_looked_at_again_but_what_the_user_changes_is(scene):
    taken = take(scene)
    assert take(taken) is taken
    assert taken is not scene
    take(scene)
    scene["time"] = scene["time"].values[[0, 0, 1]]
    with pytest.raises(SarcdError, match="have the date"):
        take(scene)
