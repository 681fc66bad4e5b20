"""Pseudo-changes: differences between two images of a mine without a change of interest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.classes import Cover
from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region, Shape, above
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.plan import Yard
from sarcd.simulation.core.speckle import HAMMING, TAPS, response_at

MOISTURE_DB = (2.0, 5.0)
MOISTURE_KEEPS = (0.7, 1.0)
"""Increase of the backscatter of wet soil in dB, and the fraction of its coherence that it retains."""

WET_TAILINGS_DB = -3.0
WET_TAILINGS_KEEPS = 1 / 3
"""The same for tailings whose beach is flooded: a smooth wet surface has a lower backscatter."""

WEATHER_DB = {Cover.WATER: 2.0, Cover.VEGETATION: 0.5, Cover.TAILINGS_WET: 1.0}
"""Standard deviation over the dates of the backscatter of a class, dB: wind on water, wet leaves."""

POROUS = (Cover.GROUND, Cover.BENCH_FLOOR, Cover.DUMP)
"""Classes whose backscatter increases when wet."""

TRAFFIC = {Cover.ROAD_BUSY: 1.0, Cover.ROAD: 0.3, Cover.DUMP_ACTIVE: 0.15, Cover.BENCH_FLOOR: 0.06}
"""Density of vehicles on a class relative to busy roads."""

_DRAWN_PX = 256
"""Side of the blocks in which vehicles are drawn."""


class Pseudo(IntEnum):
    """Values of a map of pseudo-changes. Vegetation, water and busy roads are pseudo-changes by their class alone."""

    NONE = 0
    MOISTURE = 1
    WET_TAILINGS = 2
    VEHICLE = 3


@dataclass(frozen=True)
class Wetness:
    """Surface state of the ground at one date relative to dry ground.

    Parameters
    ----------
    kind : (Y, X) uint8
        `Pseudo.MOISTURE`, `Pseudo.WET_TAILINGS` or 0.
    offset_db : (Y, X) float32
        Change of backscatter, dB.
    keeps : (Y, X) float32
        Fraction of coherence retained with any other date.
    """

    kind: NDArray[np.uint8]
    offset_db: FloatArray
    keeps: FloatArray


def dry(shape: Shape) -> Wetness:
    """Return the state of dry ground."""
    return Wetness(np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.ones(shape, np.float32))


def wetness(
    streams: RandomStreams,
    options: SiteOptions,
    region: Region,
    date: int,
    cover: NDArray[np.uint8],
    not_here: NDArray[np.bool_],
) -> Wetness:
    """Draw which ground is wet at a date.

    Parameters
    ----------
    streams, options : RandomStreams, SiteOptions
        Random numbers, and the fraction of the ground that is wet.
    region : Region
        Region of the plane.
    date : int
        Number of the image; the first is dry.
    cover : (Y, X) uint8
        Classes (`Cover`).
    not_here : (Y, X) bool
        Ground that is dry in any case: where it was wet at the previous date, so that each pair has pixels that became
        wet or dry, and where it was moved since, so that moisture does not affect the intensity of a change.
    """
    state = dry(region.shape)
    fraction = streams.stream("wet share", date).uniform(*options.moist)
    if date == 0 or fraction <= 0:
        return state
    wet = (streams.fractal(region, "wet", date, coarsest=128, roughness=0.55) > above(fraction)) & ~not_here
    # Beaches are flooded by the mine itself, so the same fraction of them is wet in any weather.
    moist, flooded = wet & np.isin(cover, POROUS), wet & (cover == Cover.TAILINGS)
    state.kind[moist], state.kind[flooded] = Pseudo.MOISTURE, Pseudo.WET_TAILINGS
    # A smooth strength within these limits: wet areas are not uniformly wet.
    strength = streams.fractal(region, "wet strength", date, coarsest=64, finest=32)
    level = np.clip(np.float32(0.5) + np.float32(0.3) * strength[moist], 0, 1)
    state.offset_db[moist] = MOISTURE_DB[0] + (MOISTURE_DB[1] - MOISTURE_DB[0]) * level
    state.keeps[moist] = MOISTURE_KEEPS[1] - (MOISTURE_KEEPS[1] - MOISTURE_KEEPS[0]) * level
    state.offset_db[flooded] = WET_TAILINGS_DB
    state.keeps[flooded] = WET_TAILINGS_KEEPS
    return state


def weather_db(streams: RandomStreams, date: int) -> FloatArray:
    """Draw the backscatter of each class at one date relative to its mean, dB: a table indexed by class."""
    rng = streams.stream("weather", date)
    column = np.zeros(len(Cover), np.float32)
    for cover, spread in WEATHER_DB.items():
        column[cover] = rng.normal(0, spread)
    return column


@dataclass(frozen=True)
class Targets:
    """Point targets: position on the ground (y, x), pixels of the plane, and complex amplitude of the peak."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    amplitude: NDArray[np.complex128]


def vehicles(
    streams: RandomStreams, options: SiteOptions, region: Region, date: int, cover: NDArray[np.uint8]
) -> Targets:
    """Draw vehicles on roads, bench floors and active dumps, independently at each date.

    Candidates are drawn in fixed blocks and kept with the probability of traffic on the ground below them.
    """
    weight = np.zeros(len(Cover))
    for kind, amount in TRAFFIC.items():
        weight[kind] = amount
    rate = options.vehicles * 1e-6 * _DRAWN_PX**2
    found = []
    for row in range(region.top // _DRAWN_PX, (region.top + region.height - 1) // _DRAWN_PX + 1):
        for column in range(region.left // _DRAWN_PX, (region.left + region.width - 1) // _DRAWN_PX + 1):
            rng = streams.stream("vehicles", date, row, column)
            number = int(rng.poisson(rate))
            if number:
                place = rng.random((number, 5))
                place[:, :2] = (place[:, :2] + (row, column)) * _DRAWN_PX
                found.append(place)
    if not found:
        return Targets(np.empty(0), np.empty(0), np.empty(0, np.complex128))
    place = np.concatenate(found)
    y, x = (np.floor(place[:, axis]).astype(np.int64) for axis in (0, 1))
    inside = (
        (y >= region.top) & (y < region.top + region.height) & (x >= region.left) & (x < region.left + region.width)
    )
    place = place[inside]
    stand = place[:, 2] < weight[cover[y[inside] - region.top, x[inside] - region.left]]
    place = place[stand]
    amplitude = 10 ** ((2 + 12 * place[:, 3]) / 20)  # 2 to 14 dB, over ground of -10 to -16
    return Targets(place[:, 0], place[:, 1], amplitude * np.exp(2j * math.pi * place[:, 4]))


def reach_px(hamming: float) -> int:
    """Return half the side of the stamped point spread function, in pixels.

    Its tail decays as ``(2 - 1 / hamming) / x``, and 6 pixels truncate it at -32 dB of the peak with the usual
    weighting; a weaker weighting needs more pixels, up to the length of the filter for speckle.
    """
    return int(np.clip(round(18 * (2 - 1 / hamming)), 6, TAPS // 2))


def add_targets(
    image: NDArray[np.complex64],
    region: Region,
    targets: Targets,
    oversampling: tuple[float, float],
    hamming: float = HAMMING,
) -> None:
    """Add point targets to an image, in place.

    Parameters
    ----------
    image : (Y, X) complex64, linear amplitude
        Modified in place.
    region : Region
        Region that the image covers.
    targets : Targets
        With positions in pixels of the image's plane, not necessarily integers; targets outside are cropped.
    oversampling : (y, x)
        Oversampling of the image.
    hamming : float
        Hamming coefficient of its spectrum.
    """
    reach = reach_px(hamming)
    steps = np.arange(-reach, reach + 1)
    sides = []
    for place, rate, first in zip((targets.y, targets.x), oversampling, (region.top, region.left), strict=True):
        whole = np.rint(place).astype(np.int64)
        spread = response_at(steps - (place - whole)[:, None], rate, hamming=hamming)
        sides.append((whole - first, spread / hamming))  # divided by the peak
    height, width = image.shape
    for row, spread_y, column, spread_x, peak in zip(*sides[0], *sides[1], targets.amplitude, strict=True):
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, height), min(column + reach + 1, width)
        if top >= bottom or left >= right:
            continue
        cut_y = spread_y[top - row + reach : bottom - row + reach, None]
        cut_x = spread_x[None, left - column + reach : right - column + reach]
        image[top:bottom, left:right] += (peak * cut_y * cut_x).astype(np.complex64)


def corners(yards: list[Yard]) -> Targets:
    """Return the metal corners of buildings: some lots have one, at every date with the same phase."""
    parts = []
    for yard in yards:
        _, rows, columns = yard.lots.shape
        row, column = np.mgrid[:rows, :columns].reshape(2, -1)
        lot = yard.lots.reshape(8, -1).astype(np.float64)
        along = (column - columns // 2 + 0.3 + 0.4 * lot[4]) * yard.block_px[0]
        across = (row - rows // 2 + 0.3 + 0.4 * lot[5]) * yard.block_px[1]
        cosine, sine = math.cos(yard.turn), math.sin(yard.turn)
        y, x = cosine * across + sine * along, cosine * along - sine * across
        standing = (lot[2] < (0.5 if yard.streets else 0.35)) & (np.hypot(y, x) < 0.85 * yard.outline.radius_px)
        power_db = 8 + 12 * lot[6]
        amplitude = 10 ** (power_db / 20) * np.exp(2j * math.pi * lot[7])
        centre_y, centre_x = yard.outline.centre
        parts.append((y[standing] + centre_y, x[standing] + centre_x, amplitude[standing]))
    if not parts:
        return Targets(np.empty(0), np.empty(0), np.empty(0, np.complex128))
    return Targets(*(np.concatenate(column) for column in zip(*parts, strict=True)))
