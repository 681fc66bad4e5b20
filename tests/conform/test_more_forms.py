"""More datasets that resemble a scene: accepted forms, and hints that work when followed."""

import numpy as np
import pytest
import xarray as xr

import sarcd  # noqa: F401  registers .sarcd
from sarcd import estimation
from sarcd.conform import conform
from sarcd.errors import SceneError
from tests.factories.scenes import dates, memory_scene

SHAPE = (3, 24, 20)


@pytest.fixture
def scene(rng):
    return memory_scene(rng, SHAPE)


def of_zero_doppler(scene):
    """Return azimuth as time, as readers of Sentinel-1 provide it."""
    times = np.datetime64("2023-03-19T05:58:00", "ns") + np.arange(SHAPE[1]) * np.timedelta64(2, "ms")
    named = scene.assign_coords(y=times).rename(y="azimuth_time", x="slant_range_time")
    return named.assign_coords(line=("azimuth_time", np.arange(SHAPE[1])))


UNDERSTOOD = {
    "azimuth in time": of_zero_doppler,
    "azimuth in time, called y": lambda s: s.assign_coords(y=s.y.astype("datetime64[ns]")).rename(y="azimuth"),
    "orbits for dates": lambda s: s.assign_coords(orbit=("time", [5, 6, 7])).swap_dims(time="orbit"),
    "rows for y": lambda s: s.assign_coords(number=("y", np.arange(SHAPE[1]))).swap_dims(y="number"),
    "UTC": lambda s: s.assign_coords(time=[f"{day}T00:00:00Z" for day in days()]),
    "UTC in numbers": lambda s: s.assign_coords(time=[f"{day} 00:00:00+00:00" for day in days()]),
    "compact": lambda s: s.assign_coords(time=[day.replace("-", "") for day in days()]),
    "compact with time": lambda s: s.assign_coords(time=[day.replace("-", "") + "T000000" for day in days()]),
    "text of nanoseconds": lambda s: s.assign_coords(time=s.time.values.astype("datetime64[ns]").astype(str)),
    "bytes": lambda s: s.assign_coords(time=np.array(days(), "S")),
}


def days():
    return [str(date.astype("datetime64[D]")) for date in dates(3)]


@pytest.mark.parametrize("kind", UNDERSTOOD)
def test_is_understood(scene, kind):
    given = UNDERSTOOD[kind](scene)
    found, wanted = estimation.coherence(given), estimation.coherence(scene)
    assert found.dims == wanted.dims
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found["after"], wanted["after"])


@pytest.mark.parametrize("text", ["2023-03-19T00:00-05:00", "19.03.2023", "2023-13-19", "2023-03-19T00:00:00.0000001"])
def test_is_no_date(scene, text):
    with pytest.raises(SceneError, match="should be datetime64"):
        conform(scene.assign_coords(time=[text, *days()[1:]]))


def parts(scene):
    return np.stack([scene["slc"].values["r"], scene["slc"].values["i"]])


def structured(scene):
    kind = np.dtype([("r", "f4"), ("i", "f4")])
    return scene.assign(slc=(scene["slc"].dims, scene["slc"].values.view(kind).reshape(SHAPE)))


CURED = {
    "stacked": (lambda s: s.stack(p=("y", "x")), "scene = scene.unstack('p')"),
    "two real parts": (
        lambda s: s.assign(slc=xr.concat([s.slc.real, s.slc.imag], "part")),
        "scene = scene.assign(slc=(scene['slc'].isel(part=0) + 1j * scene['slc'].isel(part=1)).astype('complex64'))",
    ),
    "coordinates of two dims": (
        lambda s: (
            s.drop_vars(["y", "x"])
            .rename(y="j", x="i")
            .assign_coords(y=(("j", "i"), np.zeros(SHAPE[1:])), x=(("j", "i"), np.zeros(SHAPE[1:])))
        ),
        "scene = scene.drop_vars(['y', 'x']).rename({'j': 'y', 'i': 'x'})",
    ),
    "i and q": (
        lambda s: s.drop_vars("slc").assign(i=s.slc.real, q=s.slc.imag),
        "scene['slc'] = scene['i'] + 1j * scene['q']",
    ),
    "structured": (
        structured,
        "scene['slc'] = scene['slc'].dims, (scene['slc'].values['r'] + 1j * scene['slc'].values['i'])",
    ),
    "complex coherence": (
        lambda s: s.assign(coherence=estimation.coherence(s) * np.complex64(1j)),
        "scene['coherence'] = abs(scene['coherence'])",
    ),
    "coherence in bytes": (
        lambda s: s.assign(coherence=(estimation.coherence(s) * 255).astype("uint8")),
        "scene['coherence'] / 255",
    ),
    "no pair": (
        lambda s: s.assign(label=(("pair", "y", "x"), np.zeros((0, *SHAPE[1:]), "uint8"))).assign_coords(
            before=("pair", dates(0)), after=("pair", dates(0))
        ),
        "scene = scene.drop_vars('label')",
    ),
}


@pytest.mark.parametrize("kind", CURED)
def test_the_cure_that_is_named_cures(scene, kind):
    change, cure = CURED[kind]
    held = {"scene": change(scene)}
    with pytest.raises(SceneError) as caught:
        estimation.coherence(held["scene"])
    told = caught.value.hint
    if kind == "coordinates of two dims":  # names for the user to fill in
        assert "scene.drop_vars(['y', 'x']).rename({'j': '...'})" in told
    else:
        assert cure.removeprefix("scene = ") in told
    exec(cure if "=" in cure else f"scene['coherence'] = {cure}", held)
    np.testing.assert_array_equal(estimation.coherence(held["scene"]), estimation.coherence(scene))


DECIBELS = ["dB", "[dB]", "dB re 1", "decibels", "10*log10"]


@pytest.mark.parametrize("units", DECIBELS)
def test_units_that_say_decibels(scene, units):
    detected = scene.drop_vars("slc").assign(amplitude=abs(scene["slc"]))
    decibels = (20 * np.log10(detected["amplitude"])).assign_attrs(units=units)
    held = {"scene": detected.assign(amplitude=decibels)}
    with pytest.raises(SceneError, match=r"should be linear amplitude.*drop_attrs") as caught:
        estimation.normalize(held["scene"])
    exec(caught.value.hint.split(": ", 1)[1], held)
    np.testing.assert_allclose(
        estimation.normalize(held["scene"]), estimation.normalize(detected), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "attrs",
    [
        {"standard_name": "surface_backwards_scattering_coefficient_of_radar_wave"},
        {"long_name": "Sigma nought"},
        {"long_name": "intensity, VV"},
    ],
)
def test_power_that_says_so_is_no_amplitude(scene, attrs):
    detected = scene.drop_vars("slc").assign(amplitude=abs(scene["slc"]))
    held = {"scene": detected.assign(amplitude=(detected["amplitude"] ** 2).assign_attrs(attrs))}
    with pytest.raises(SceneError, match="holds power") as caught:
        estimation.normalize(held["scene"])
    exec(caught.value.hint.split(": ", 1)[1], held)
    np.testing.assert_allclose(
        estimation.normalize(held["scene"]), estimation.normalize(detected), rtol=1e-4, atol=1e-4
    )
    root = detected["amplitude"].assign_attrs(long_name="square root of intensity")
    assert estimation.normalize(detected.assign(amplitude=root)).sizes["time"] == 3
