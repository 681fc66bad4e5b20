"""Pseudo-changes: what differs between two images of a mine although nothing of interest happened."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate.classes import Cover
from sarcd.simulate.fields import FloatArray, Shape, fractal

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

VEHICLES_ON = (Cover.ROAD, Cover.ROAD_BUSY, Cover.BENCH_FLOOR, Cover.DUMP_ACTIVE)


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

    def dried(self, where: NDArray[np.bool_]) -> Wetness:
        """Return this state with some pixels dry."""
        return Wetness(
            np.where(where, np.uint8(Pseudo.NONE), self.kind),
            np.where(where, np.float32(0), self.offset_db),
            np.where(where, np.float32(1), self.keeps),
        )


def dry(shape: Shape) -> Wetness:
    """Return the state of dry ground."""
    return Wetness(np.zeros(shape, np.uint8), np.zeros(shape, np.float32), np.ones(shape, np.float32))


def wetness(
    rng: np.random.Generator, cover: NDArray[np.uint8], *, share: float, before: Wetness | None = None
) -> Wetness:
    """Draw which ground is wet at a date.

    Parameters
    ----------
    rng : np.random.Generator
        Where the numbers come from.
    cover : (Y, X) uint8
        Classes (`Cover`).
    share : float
        Of the scene's porous ground that is wet, and of its dry tailings that are flooded.
    before : Wetness, optional
        State of the date before: what was wet then is dry now, so that each pair sees a pixel wetted or dried.
    """
    shape = (cover.shape[0], cover.shape[1])
    state = dry(shape)
    field = fractal(rng, shape, coarsest=128, roughness=0.55)
    strength = fractal(rng, shape, coarsest=64, finest=32)
    porous = np.isin(cover, POROUS)
    # Beaches are flooded by the mine itself, so as large a share of them is wet whatever the weather does elsewhere.
    for kind, ground in ((Pseudo.MOISTURE, porous), (Pseudo.WET_TAILINGS, cover == Cover.TAILINGS)):
        if share > 0 and ground.any():
            state.kind[ground & (field > np.quantile(field[ground], 1 - share))] = kind
    if before is not None:
        state.kind[before.kind > 0] = Pseudo.NONE
    moist, flooded = state.kind == Pseudo.MOISTURE, state.kind == Pseudo.WET_TAILINGS
    # A smooth strength within the stated limits: a soak is not equally wet all over.
    level = np.clip(0.5 + 0.3 * strength[moist], 0, 1)
    state.offset_db[moist] = MOISTURE_DB[0] + (MOISTURE_DB[1] - MOISTURE_DB[0]) * level
    state.keeps[moist] = MOISTURE_KEEPS[1] - (MOISTURE_KEEPS[1] - MOISTURE_KEEPS[0]) * level
    state.offset_db[flooded] = WET_TAILINGS_DB
    state.keeps[flooded] = WET_TAILINGS_KEEPS
    return state


def weather_db(rng: np.random.Generator) -> FloatArray:
    """Draw the brightness of each class at one date against its mean, dB: a table indexed by class."""
    column = np.zeros(len(Cover), np.float32)
    for cover, spread in WEATHER_DB.items():
        column[cover] = rng.normal(0, spread)
    return column


@dataclass(frozen=True)
class Vehicles:
    """Point targets of one date: pixels (y, x) and power over that of bare ground, dB."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    power_db: NDArray[np.float64]


def vehicles(rng: np.random.Generator, cover: NDArray[np.uint8], *, per_megapixel: float) -> Vehicles:
    """Park and drive vehicles on roads, bench floors and active dumps; every date has its own.

    Half of the trucks stand on roads, however little of the ground these are.
    """
    number = int(rng.poisson(per_megapixel * cover.size / 1e6))
    found = []
    for classes, part in ((VEHICLES_ON[:2], number // 2), (VEHICLES_ON[2:], number - number // 2)):
        places = np.flatnonzero(np.isin(cover, classes))
        found.append(rng.choice(places, part) if len(places) else np.empty(0, np.int64))
    y, x = np.unravel_index(np.concatenate(found), cover.shape)
    return Vehicles(y.astype(np.int64), x.astype(np.int64), rng.uniform(14, 26, len(y)))
