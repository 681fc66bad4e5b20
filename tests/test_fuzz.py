"""Random datasets and stores, valid or nearly so: a public verb gives the result of the canonical form, or refuses.

``SARCD_FUZZ=1000`` tries that many examples of each kind instead of the number for an ordinary run.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import sarcd  # noqa: F401  registers .sarcd
from sarcd import change, estimation, jobs
from sarcd.config import DetectOptions
from sarcd.errors import SarcdError
from sarcd.models.pretrained import MINES
from sarcd.store.info import scene_info
from sarcd_cli.main import main
from tests.factories.scenes import random_slc

pytestmark = pytest.mark.filterwarnings(
    "ignore:Consolidated metadata", "ignore:.*will change", "ignore:Failed to open Zarr store with"
)

EXAMPLES = int(os.environ.get("SARCD_FUZZ", "0"))


def drawn(examples, most=None):
    return settings(
        max_examples=most or EXAMPLES or examples,
        deadline=None,
        derandomize=not EXAMPLES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def scenes(draw):
    """Draw scenes in canonical form: complex or amplitude, with or without holes, labels and a list of pairs."""
    count = draw(st.integers(2, 4))
    shape = (count, draw(st.integers(9, 48)), draw(st.integers(9, 48)))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    images = random_slc(rng, shape, coherence=0.6, holes=draw(st.sampled_from([0.0, 0.0, 0.1])))
    days = np.cumsum(draw(st.lists(st.integers(1, 40), min_size=count, max_size=count)))
    times = np.datetime64("2023-03-19", "us") + days * np.timedelta64(1, "D")
    coords = {"time": times, "y": np.arange(shape[1]) * 2.0, "x": np.arange(shape[2]) * 3.0}
    is_complex = draw(st.booleans())
    name, values = ("slc", images) if is_complex else ("amplitude", np.abs(images))
    scene = xr.Dataset({name: (("time", "y", "x"), values)}, coords=coords)
    if draw(st.booleans()):
        scene = scene.assign_coords(before=("pair", times[:-1]), after=("pair", times[1:]))
        label = rng.integers(0, 2, (count - 1, *shape[1:])).astype("uint8")
        label[rng.random(label.shape) < 0.2] = 255
        scene["label"] = ("pair", "y", "x"), label
        scene["change"] = ("pair", "y", "x"), rng.integers(0, 2, label.shape).astype("uint8")
    return scene


VERBS = {
    "coherence": lambda s: estimation.coherence(s, window=3),
    "coherence_phase": lambda s: estimation.coherence_phase(s, window=3),
    "normalize": lambda s: s.sarcd.normalize(),
    "features": lambda s: s.sarcd.features(),
    "statistics": lambda s: s.sarcd.statistics(),
    "statistics of dates": lambda s: s.sarcd.statistics(per_date=True),
    "log_ratio": change.log_ratio,
    "mean_ratio": lambda s: change.mean_ratio(s, pairs="reference"),
    "detect": lambda s: s.sarcd.detect(method="ratio-test"),
    "detect by ratio": lambda s: s.sarcd.detect(method="log-ratio"),
    "omnibus": lambda s: s.sarcd.omnibus_test(looks=4.0),
    "summarise": lambda s: s.sarcd.summarise(looks=4.0),
    "looks": lambda s: xr.Dataset({"looks": s.sarcd.effective_looks()}),
    "evaluate": lambda s: s.sarcd.evaluate(),
}


def result(verb, scene):
    """Return the result of a verb in memory, or the class of its error; any other exception fails the test."""
    return refusal_or(lambda: VERBS[verb](scene).compute())


def refusal_or(function):
    try:
        return function()
    except SarcdError as error:
        found = error
    assert "\n" not in str(found)
    return found


def same(found, wanted):
    if isinstance(wanted, SarcdError) or isinstance(found, SarcdError):
        assert isinstance(found, SarcdError), f"a result where the canonical form is refused: {wanted}"
        assert isinstance(wanted, SarcdError), f"refused, and the canonical form is not: {found}"
        return
    found, wanted = (each if isinstance(each, xr.Dataset) else each.to_dataset(name="it") for each in (found, wanted))
    assert set(found.data_vars) == set(wanted.data_vars)
    for name in wanted.data_vars:
        assert found[name].dims == wanted[name].dims
        np.testing.assert_array_equal(found[name].values, wanted[name].values, err_msg=str(name))
    for name in ("before", "after"):
        if name in wanted.coords:
            np.testing.assert_array_equal(found[name], wanted[name])


NAMES = {
    "y": ["y", "lat", "latitude", "azimuth", "row", "northing", "Y", "line"],
    "x": ["x", "lon", "longitude", "range", "col", "easting", "X", "sample"],
    "time": ["time", "date", "t"],
}


@st.composite
def meant_the_same(draw, scene):
    """Draw a scene with the same meaning as another program might represent it."""
    order = draw(st.permutations(range(scene.sizes["time"])))
    scene = scene.isel(time=list(order))
    if "pair" in scene.dims and draw(st.booleans()):
        scene = scene.assign(label=scene["label"].astype(draw(st.sampled_from(["int16", "int64"]))).variable)
    if "slc" in scene and draw(st.booleans()):
        scene = scene.assign(slc=scene["slc"].fillna(0) if draw(st.booleans()) else scene["slc"].astype("complex128"))
    if "amplitude" in scene and draw(st.booleans()):
        scene = scene.assign(amplitude=scene["amplitude"].astype("float64"))
    if draw(st.booleans()):
        scene = scene.drop_vars(["y", "x"])
    scene = scene.rename({old: new for old, names in NAMES.items() if (new := draw(st.sampled_from(names))) != old})
    if draw(st.booleans()):
        scene = scene.expand_dims({draw(st.sampled_from(["pol", "band", "swath"])): ["only"]})
    scene = scene.transpose(*draw(st.permutations(list(scene.sizes))))
    if draw(st.booleans()):
        sizes = {dim: draw(st.integers(3, 50)) for dim in scene.sizes if dim != "pair"}
        scene = scene.chunk(sizes)
    if draw(st.booleans()):
        scene = scene.assign_attrs(title="of somebody", nothing=3)
    return scene


@drawn(50)
@given(st.data())
def test_other_forms_of_one_scene(data):
    scene = data.draw(scenes())
    other = data.draw(meant_the_same(scene))
    verb = data.draw(st.sampled_from(sorted(VERBS)))
    note(f"{verb} of {other}")
    same(result(verb, other), result(verb, scene))


def _twice(scene):
    times = scene["time"].values.copy()
    times[1] = times[0]
    return scene.assign_coords(time=times).drop_dims("pair", errors="ignore")


WRONG = {
    "one date twice": _twice,
    "no dates": lambda s: s.drop_vars("time"),
    "numbers for dates": lambda s: s.assign_coords(time=np.arange(s.sizes["time"])),
    "unknown date": lambda s: s.assign_coords(time=[*s["time"].values[:-1], np.datetime64("NaT")]),
    "two polarisations": lambda s: s.expand_dims(pol=["VV", "VH"]),
    "unknown dim": lambda s: s.rename(y="depth"),
    "text": lambda s: s.map(lambda v: v.astype(str) if v.dims[0] == "time" else v),
    "another schema": lambda s: s.assign_attrs(sarcd_schema=99),
    "nothing": lambda s: s.isel(x=slice(0, 0)),
    "joined": lambda s: xr.concat([s, s.assign_coords(time=s.time + np.timedelta64(999, "D"))], "pass"),
    "an array": lambda s: next(iter(s.data_vars.values())),
    "other names": lambda s: s.rename({next(iter(s.data_vars)): "images"}),
}


@drawn(40)
@given(st.data())
def test_what_is_no_scene_is_refused(data):
    kind = data.draw(st.sampled_from(sorted(WRONG)))
    wrong = WRONG[kind](data.draw(scenes()))
    verbs = ["coherence", "normalize", "log_ratio", "detect", "omnibus", "statistics"]
    functions = {"normalize": estimation.normalize, "detect": change.ratio_test, "omnibus": change.omnibus_test}
    functions |= {
        "statistics": estimation.statistics,
        "coherence": estimation.coherence,
        "log_ratio": change.log_ratio,
    }
    with pytest.raises(SarcdError):
        functions[data.draw(st.sampled_from(verbs))](wrong).compute()


@drawn(25)
@given(st.data())
def test_parts_of_a_scene(data):
    """For a subset of dates and pairs, each result equals that of the whole scene for the same dates."""
    scene = data.draw(scenes())
    chosen = data.draw(st.lists(st.sampled_from(range(scene.sizes["time"])), min_size=1, unique=True))
    part = scene.isel(time=chosen)
    found = result("coherence", part)
    if isinstance(found, SarcdError):
        assert len(chosen) < 2 or "slc" not in scene
        return
    dates = sorted(scene["time"].values[chosen])
    for number, (before, after) in enumerate(zip(found["before"].values, found["after"].values, strict=True)):
        assert before in dates
        assert after in dates
        wanted = estimation.coherence(scene, window=3, pairs=[(before, after)])[0]
        np.testing.assert_array_equal(found[number], wanted)


@st.composite
def stores(draw, scene, folder):
    """Write a store with xarray, in a random layout, with random units and format; also returns the format."""
    path, version = Path(folder) / "s.zarr", draw(st.sampled_from([3, 3, 3, 2]))
    chunks = {"time": draw(st.integers(1, 4)), "y": draw(st.integers(5, 48)), "x": draw(st.integers(5, 48))}
    chunks |= {"pair": draw(st.integers(1, 3))} if "pair" in scene.dims else {}
    units = draw(st.sampled_from(["days since 2000-01-01", "seconds since 1970-01-01", "hours since 2023-01-01"]))
    encoding = {
        name: {"units": units, "dtype": "int64"} for name in ("time", "before", "after") if name in scene.coords
    }
    consolidated = draw(st.booleans())
    scene.chunk(chunks).to_zarr(path, zarr_format=version, consolidated=consolidated, encoding=encoding)
    return path, version


JOBS = {
    "coherence": (jobs.coherence, "coherence", estimation.coherence),
    "detect": (
        lambda path: jobs.detect(path, DetectOptions("ratio-test"), name="new"),
        "change_new",
        lambda s: s.sarcd.detect(method="ratio-test")["change"],
    ),
    "statistics": (jobs.statistics, None, None),
    "info": (scene_info, None, None),
    "evaluate": (lambda path: _command("evaluate", path), None, None),
    "export": (lambda path: _command("export", path, path.with_name("map.tif")), None, None),
}


def _command(name, path, *arguments):
    assert main([name, str(path), *map(str, arguments)]) in (0, 1)


@drawn(25)
@given(st.data())
def test_jobs_on_stores_of_others(data):
    scene = data.draw(scenes())
    folder = tempfile.mkdtemp()
    try:
        path, version = data.draw(stores(scene, folder))
        before = xr.open_zarr(path).load()
        name = data.draw(st.sampled_from(sorted(JOBS)))
        job, variable, function = JOBS[name]
        note(f"{name} on format {version} of {scene}")
        if isinstance(refusal_or(lambda: job(path)), SarcdError):
            variable = None
        after = xr.open_zarr(path).load()
        for known in before.variables:
            np.testing.assert_array_equal(after[known], before[known], err_msg=str(known))
        if variable is not None:
            np.testing.assert_array_equal(after[variable], function(scene).compute())
    finally:
        shutil.rmtree(folder)


@drawn(10, most=10)
@given(st.data())
def test_networks_on_other_forms(data):
    scene = data.draw(scenes().filter(lambda scene: "slc" in scene))
    other = data.draw(meant_the_same(scene))
    found, wanted = (each.sarcd.predict(model=MINES)["change_probability"].compute() for each in (other, scene))
    np.testing.assert_array_equal(found, wanted)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.CRITICAL, "sarcd")
