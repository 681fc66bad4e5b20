"""Whole simulated scenes: ground, what happens to it, and the complex images that a radar takes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate import pseudo
from sarcd.simulate.changes import LOUDEST_DB, Patch
from sarcd.simulate.classes import Cover, table
from sarcd.simulate.fields import FloatArray, fractal, stream
from sarcd.simulate.landcover import build
from sarcd.simulate.mine import Ground
from sarcd.simulate.options import SceneOptions
from sarcd.simulate.pseudo import Vehicles
from sarcd.simulate.speckle import correlate, speckle
from sarcd.simulate.story import Story
from sarcd.simulate.targets import add_targets
from sarcd.simulate.terrain import slope_gain_db
from sarcd.simulate.texture import texture

STRIP_PX = 128
"""Rows that are mixed at a time, which bounds the memory of the coherence matrices."""

NO_DATA = 255
"""Label of pixels without data."""


@dataclass(frozen=True)
class SimulatedScene:
    """Images of a site and what is true of it.

    Parameters
    ----------
    slc : (T, Y, X) complex64
        Coregistered single-look complex images, linear amplitude; NaN + NaNj where there are no data.
    label : (P, Y, X) uint8
        1 change of interest, 0 none, 255 where an image has no data; pairs are consecutive dates.
    coherence : (P, Y, X) float32
        Expected coherence in [0, 1] from time, causes and thermal noise; NaN where an image has no data.
    pseudo_change : (P, Y, X) uint8
        Kind (`pseudo.Pseudo`) of pseudo-change; never where there is a change of interest.
    cover : (Y, X) uint8
        Classes (`classes.Cover`) before the first date.
    power : (T, Y, X) float32
        Expected power of the ground before gain, linear: brightness times texture.
    patches : list of list of Patch
        The changes of interest of each pair.
    """

    slc: NDArray[np.complex64]
    label: NDArray[np.uint8]
    coherence: FloatArray
    pseudo_change: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    power: FloatArray
    patches: list[list[Patch]]


def simulate(options: SceneOptions, *, seed: int = 0) -> SimulatedScene:
    """Simulate a site.

    The order follows the physics, so that no cause of decorrelation counts twice: band-limited speckle, temporal
    coherence, texture and brightness, point targets, phase, thermal noise, gain.

    Parameters
    ----------
    options : SceneOptions
        Site and radar.
    seed : int
        The same seed gives the same bytes.

    Returns
    -------
    SimulatedScene
        Numpy arrays.
    """
    ground = build(seed, options.site, options.shape, options.mix)
    story = Story(options, seed, ground)
    power = _power(options, seed, ground, story)
    slc, coherence = _speckle(options, seed, story)
    for date in range(len(slc)):
        signal_share = _image(options, seed, date, ground, story, power[date], slc[date])
        coherence[max(date - 1, 0) : date + 1] *= np.sqrt(signal_share)
    pairs = range(len(slc) - 1)
    label = story.changed.astype(np.uint8)
    pseudo_change = np.stack([story.pseudo_change(pair) for pair in pairs])
    if options.invalid:
        gone = _without_data(seed, options)
        slc[:, gone] = complex(np.nan, np.nan)
        label[:, gone], coherence[:, gone], pseudo_change[:, gone] = NO_DATA, np.nan, 0
    return SimulatedScene(slc, label, coherence, pseudo_change, ground.cover, power, story.patches)


def _power(options: SceneOptions, seed: int, ground: Ground, story: Story) -> FloatArray:
    """Return brightness times texture of each date, (T, Y, X) float32, linear."""
    site, dates = options.site, len(options.days)
    flat_db = table("sigma0_db")[ground.cover]
    flat_db += fractal(stream(seed, site, "brightness"), options.shape, coarsest=128, roughness=0.6)
    height = ground.height_m
    slope_db = _slope_db(options, height)
    sigma0_db = flat_db + slope_db
    grain = texture(stream(seed, site, "texture", 0), ground.cover)
    power = np.empty((dates, *options.shape), np.float32)
    for date in range(dates):
        if date:
            pair = date - 1
            changed = story.changed[pair]
            offset_db = np.zeros(options.shape, np.float32)
            height = height.copy()
            for patch in story.patches[pair]:
                offset_db[patch.box][patch.inside] = patch.offset_db
                height[patch.box] += patch.rise_m
            new_slope_db = _slope_db(options, height)
            step_db = np.clip(offset_db + new_slope_db - slope_db, -LOUDEST_DB, LOUDEST_DB)
            sigma0_db = np.where(changed, sigma0_db + step_db, sigma0_db)
            slope_db = new_slope_db
            grain = np.where(changed, texture(stream(seed, site, "texture", date), ground.cover), grain)
        weather_db = pseudo.weather_db(stream(seed, site, "weather", date))[ground.cover]
        power[date] = grain * 10 ** ((sigma0_db + story.wet[date].offset_db + weather_db) / 10)
    return power


def _slope_db(options: SceneOptions, height_m: FloatArray) -> FloatArray:
    return slope_gain_db(height_m, spacing_m=options.spacing_m, incidence_deg=options.incidence_deg, look=options.look)


def _speckle(options: SceneOptions, seed: int, story: Story) -> tuple[NDArray[np.complex64], FloatArray]:
    """Return unit speckle of each date, (T, Y, X), and the coherence of consecutive dates, (P, Y, X)."""
    dates = len(options.days)
    slc = np.stack([_band_limited(options, stream(seed, options.site, "speckle", date)) for date in range(dates)])
    coherence = np.empty((dates - 1, *options.shape), np.float32)
    for top in range(0, options.shape[0], STRIP_PX):
        rows = slice(top, top + STRIP_PX)
        matrix = story.coherence(rows)
        slc[:, rows] = correlate(slc[:, rows], matrix)
        for pair in range(dates - 1):
            coherence[pair, rows] = matrix[pair + 1, pair]
    return slc, coherence


def _band_limited(options: SceneOptions, rng: np.random.Generator) -> NDArray[np.complex64]:
    return speckle(rng, options.shape, oversampling=options.oversampling)


def _image(
    options: SceneOptions,
    seed: int,
    date: int,
    ground: Ground,
    story: Story,
    power: FloatArray,
    image: NDArray[np.complex64],
) -> FloatArray:
    """Turn a date's unit speckle into its image, in place, and return the share of its power that is the ground's."""
    noise_power = np.float32(10 ** (options.noise_db / 10))
    image *= np.sqrt(power)
    vehicle_power = _add_vehicles(options, seed, date, story.vehicles[date], image)
    if date:
        image *= _phase(options, seed, date, ground.height_m)
    image += np.sqrt(noise_power) * _band_limited(options, stream(seed, options.site, "noise", date))
    image *= np.float32(10 ** (options.gain_db / 20))
    return np.asarray(power / (power + vehicle_power + noise_power), np.float32)


def _phase(options: SceneOptions, seed: int, date: int, height_m: FloatArray) -> NDArray[np.complex64]:
    """Return the phase of a date against the first: ramp, topography left by the baseline, turbulence."""
    rng = stream(seed, options.site, "phase", date)
    # Two-dimensional turbulence: power spectrum with slope 8/3, hence 2 ** (-1/3) in amplitude from octave to octave.
    turbulence = fractal(rng, options.shape, coarsest=512, finest=8, roughness=2 ** (-1 / 3))
    radians = np.float32(rng.normal(0, 0.01)) * height_m + np.float32(0.5) * turbulence
    # A ramp grows over the scene, so it is made in double precision.
    along_y, along_x = (
        np.exp(-2j * np.pi * date * cycles * np.arange(size, dtype=np.float64))
        for cycles, size in zip(options.ramp, options.shape, strict=True)
    )
    ramp = (along_y[:, None] * along_x[None]).astype(np.complex64)
    return np.asarray(ramp * np.exp(np.complex64(-1j) * radians), np.complex64)


def _add_vehicles(
    options: SceneOptions, seed: int, date: int, trucks: Vehicles, image: NDArray[np.complex64]
) -> FloatArray:
    """Add the vehicles of a date to its image, in place, and return their power, (Y, X) float32, linear."""
    rng = stream(seed, options.site, "vehicle phase", date)
    ground_db = float(table("sigma0_db")[Cover.GROUND])
    amplitude = 10 ** ((ground_db + trucks.power_db) / 20)
    turned = amplitude * np.exp(2j * np.pi * rng.random(len(amplitude)))
    alone = np.zeros(options.shape, np.complex64)
    add_targets(alone, trucks.y, trucks.x, turned, oversampling=options.oversampling)
    image += alone
    return np.asarray(np.abs(alone) ** 2, np.float32)


def _without_data(seed: int, options: SceneOptions) -> NDArray[np.bool_]:
    """Return where coregistration left no data: a slanting border, and a hole in the scene, (Y, X) bool."""
    rng = stream(seed, options.site, "no data")
    height, width = options.shape
    y, x = np.ogrid[:height, :width]
    slant = rng.uniform(0.02, 0.05) * width * (0.3 + 0.7 * y / height)
    middle = rng.uniform(0.25, 0.75, 2) * options.shape
    radius = rng.uniform(0.03, 0.06) * min(options.shape)
    hole = np.hypot(y - middle[0], x - middle[1]) < radius
    return np.asarray((x < slant) | hole, bool)
