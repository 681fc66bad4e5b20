"""Pseudo-changes: what differs between two images of a mine although nothing of interest happened."""

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
"""Brightening of wetted soil, dB, and the share of its coherence that it keeps."""

WET_TAILINGS_DB = -3.0
WET_TAILINGS_KEEPS = 1 / 3
"""The same for tailings whose beach is flooded: a smooth wet surface is darker."""

WEATHER_DB = {Cover.WATER: 2.0, Cover.VEGETATION: 0.5, Cover.TAILINGS_WET: 1.0}
"""Standard deviation over the dates of a class's brightness: wind on water, wet leaves, dB."""

POROUS = (Cover.GROUND, Cover.BENCH_FLOOR, Cover.DUMP)
"""Classes that brighten when wet."""

TRAFFIC = {Cover.ROAD_BUSY: 1.0, Cover.ROAD: 0.3, Cover.DUMP_ACTIVE: 0.15, Cover.BENCH_FLOOR: 0.06}
"""How many vehicles stand on a pixel of a class, against busy roads."""

_DRAWN_PX = 256
"""Side of the blocks that vehicles are drawn by."""


class Pseudo(IntEnum):
    """Values of a map of pseudo-changes. Vegetation, water and busy roads are pseudo-changes by their class alone."""

    NONE = 0
    MOISTURE = 1
    WET_TAILINGS = 2
    VEHICLE = 3


@dataclass(frozen=True)
class Wetness:
    """State of the ground's surface at one date, against dry ground.

    Parameters
    ----------
    kind : (Y, X) uint8
        `Pseudo.MOISTURE`, `Pseudo.WET_TAILINGS` or 0.
    offset_db : (Y, X) float32
        Change of brightness, dB.
    keeps : (Y, X) float32
        Share of coherence kept with any other date.
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
        Random numbers, and what share of the ground is wet.
    region : Region
        Where.
    date : int
        Number of the image; the first is dry.
    cover : (Y, X) uint8
        Classes (`Cover`).
    not_here : (Y, X) bool
        Ground that is dry in any case: what was wet at the date before, so that each pair sees a pixel wetted or dried,
        and what was moved since, whose brightness is to be its own.
    """
    state = dry(region.shape)
    share = streams.stream("wet share", date).uniform(*options.moist)
    if date == 0 or share <= 0:
        return state
    wet = (streams.fractal(region, "wet", date, coarsest=128, roughness=0.55) > above(share)) & ~not_here
    # Beaches are flooded by the mine itself, so as large a share of them is wet whatever the weather does elsewhere.
    moist, flooded = wet & np.isin(cover, POROUS), wet & (cover == Cover.TAILINGS)
    state.kind[moist], state.kind[flooded] = Pseudo.MOISTURE, Pseudo.WET_TAILINGS
    # A smooth strength within the stated limits: a soak is not equally wet all over.
    strength = streams.fractal(region, "wet strength", date, coarsest=64, finest=32)
    level = np.clip(np.float32(0.5) + np.float32(0.3) * strength[moist], 0, 1)
    state.offset_db[moist] = MOISTURE_DB[0] + (MOISTURE_DB[1] - MOISTURE_DB[0]) * level
    state.keeps[moist] = MOISTURE_KEEPS[1] - (MOISTURE_KEEPS[1] - MOISTURE_KEEPS[0]) * level
    state.offset_db[flooded] = WET_TAILINGS_DB
    state.keeps[flooded] = WET_TAILINGS_KEEPS
    return state


def weather_db(streams: RandomStreams, date: int) -> FloatArray:
    """Draw the brightness of each class at one date against its mean, dB: a table indexed by class."""
    rng = streams.stream("weather", date)
    column = np.zeros(len(Cover), np.float32)
    for cover, spread in WEATHER_DB.items():
        column[cover] = rng.normal(0, spread)
    return column


@dataclass(frozen=True)
class Targets:
    """Point targets: place on the ground (y, x), pixels of the plane, and complex amplitude of the peak."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    amplitude: NDArray[np.complex128]


def vehicles(
    streams: RandomStreams, options: SiteOptions, region: Region, date: int, cover: NDArray[np.uint8]
) -> Targets:
    """Park and drive vehicles on roads, bench floors and active dumps; every date has its own.

    Candidates are drawn by fixed blocks and kept as often as the ground they stand on has traffic.
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
    """Return the half side of the stamped point spread, in pixels.

    Its tail falls as ``(2 - 1 / hamming) / x``, which 6 pixels cut at -32 dB of the peak with the usual weight: a
    lighter weight needs more of them, up to the length that speckle is filtered with.
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
        Changed in place.
    region : Region
        That the image covers.
    targets : Targets
        With places in pixels of the image's plane, which need not be whole; what falls outside is cut.
    oversampling : (y, x)
        Of the image.
    hamming : float
        Weight on its spectrum.
    """
    reach = reach_px(hamming)
    steps = np.arange(-reach, reach + 1)
    sides = []
    for place, rate, first in zip((targets.y, targets.x), oversampling, (region.top, region.left), strict=True):
        whole = np.rint(place).astype(np.int64)
        spread = response_at(steps - (place - whole)[:, None], rate, hamming=hamming)
        sides.append((whole - first, spread / hamming))  # which is the peak
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
    """Return the metal corners of buildings: some lots have one, which is there at every date with the same phase."""
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
