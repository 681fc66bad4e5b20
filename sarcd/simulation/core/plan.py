"""Plan of a mine: positions of pit, dumps, tailings, plant, town and roads, before any pixel is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.outlines import Outline, Point, draw_outline

FLATTENED = 0.65
"""Fraction of the natural relief that is removed in the middle of a mine."""


@dataclass(frozen=True)
class Pit:
    """A terraced pit, whose benches are counted by their distance inside the outline, with the rim at 0."""

    outline: Outline
    bench_px: float
    benches: int
    bench_m: float
    active: float
    """Direction of the sector that is being mined, radians."""
    rim_m: float
    tone_db: NDArray[np.float32]
    """Backscatter of the rock of each bench relative to the mean."""


@dataclass(frozen=True)
class Dump:
    """A waste dump in lifts; the sector around `active` advances."""

    outline: Outline
    active: float
    base_m: float
    lift_m: float


@dataclass(frozen=True)
class Pond:
    """A tailings pond behind straight dams; its water lies at the far end along `turn`."""

    centre: Point
    turn: float
    long_px: float
    short_px: float
    level_m: float

    @property
    def reach_px(self) -> float:
        """Return a distance from the centre beyond which the pond does not extend."""
        return math.hypot(self.long_px, self.short_px) + 40


@dataclass(frozen=True)
class Yard:
    """Rows of buildings on a rotated grid: the plant of a mine, or a town with streets."""

    outline: Outline
    turn: float
    block_px: tuple[float, float]
    streets: bool
    lots: NDArray[np.float32]
    """(8, rows, columns): sizes, presence, height, and positions and strengths of metal corners, each from 0 to 1."""


@dataclass(frozen=True)
class Road:
    """A curved road."""

    path: NDArray[np.float64]
    """(N, 2) points (y, x), at most half a pixel apart."""
    busy: bool
    width_px: int


@dataclass(frozen=True)
class Mine:
    """The plan of one mine."""

    cell: tuple[int, int]
    centre: Point
    side_px: float
    level_m: float
    lease: Outline
    pit: Pit
    dumps: tuple[Dump, ...]
    pond: Pond | None
    yards: tuple[Yard, ...]
    roads: tuple[Road, ...]

    @property
    def reach_px(self) -> float:
        """Return a distance from the centre beyond which the mine does not extend."""
        return 1.15 * self.side_px


def mines_in(streams: RandomStreams, options: SiteOptions, region: Region) -> list[Mine]:
    """Return the mines that reach into a region, in a fixed order."""
    cell, found = options.cell_px, []
    for row in range((region.top - cell) // cell, (region.top + region.height + cell) // cell + 1):
        for column in range((region.left - cell) // cell, (region.left + region.width + cell) // cell + 1):
            mine = draw_mine(streams, options, row, column)
            if region.around(mine.centre, mine.reach_px) is not None:
                found.append(mine)
    return found


def draw_mine(streams: RandomStreams, options: SiteOptions, row: int, column: int) -> Mine:
    """Plan the mine of one cell: pit on one side, dumps on the other, pond and plant in between."""
    rng = streams.stream("mine", row, column)
    cell = options.cell_px
    side = options.pit / 0.27
    centre = ((row + rng.uniform(0.45, 0.55)) * cell, (column + rng.uniform(0.45, 0.55)) * cell)
    level = natural_level(streams, options, centre)
    towards = rng.uniform(0, 2 * math.pi)
    radius = options.pit * rng.uniform(0.9, 1.1)
    middle = _at(centre, towards + math.pi, 0.09 * side)

    pit = _draw_pit(rng, middle, radius, level)
    sizes = [options.dump * grow * rng.uniform(0.9, 1.1) for grow in (1.0, 0.75)]
    places = [
        _at(middle, towards + turn, 1.15 * radius + 1.15 * size) for turn, size in zip((0.25, 1.4), sizes, strict=True)
    ]
    dumps = tuple(_draw_dump(rng, place, size, level) for place, size in zip(places, sizes, strict=True))
    pond_size = options.tailings
    pond_at = _at(middle, towards - 1.2, 1.22 * radius + 1.1 * pond_size)
    pond = _draw_pond(rng, pond_at, pond_size, level) if pond_size > 0 else None
    plant_at = _at(middle, towards + 2.35, 1.15 * radius + 0.075 * side)
    town_at = _at(middle, towards - 2.4, 1.3 * radius + 0.11 * side)
    yards = [_draw_yard(rng, plant_at, 0.055 * side, streets=False)]
    if options.town:
        yards.append(_draw_yard(rng, town_at, 0.1 * side, streets=True))

    # The ramp meets the rim opposite the active sector.
    gate = pit.outline.rim(pit.active + math.pi, -12)
    roads = [_draw_road(rng, gate, place, busy=True, width_px=9) for place in places]
    roads += [_draw_road(rng, gate, place, busy=False, width_px=6) for place in (pond_at, plant_at)]
    roads.append(_draw_road(rng, plant_at, _at(plant_at, towards + 2.6, 0.4 * side), busy=False, width_px=5))
    if options.town:
        roads.append(_draw_road(rng, town_at, _at(town_at, towards - 2.6, 0.35 * side), busy=True, width_px=7))
    lease = draw_outline(rng, centre, radius_px=0.56 * side, stretch=rng.uniform(1.0, 1.2), warp_px=16)
    return Mine((row, column), centre, side, level, lease, pit, dumps, pond, tuple(yards), tuple(roads))


def natural_level(streams: RandomStreams, options: SiteOptions, centre: Point) -> float:
    """Return the height of the ground in the middle of a mine, metres."""
    here = Region(math.floor(centre[0]), math.floor(centre[1]), 1, 1)
    return float(relief(streams, here)[0, 0]) * options.relief_m * (1 - FLATTENED)


def relief(streams: RandomStreams, region: Region) -> NDArray[np.float32]:
    """Return the natural terrain, of unit variance."""
    return streams.fractal(region, "relief", coarsest=512, finest=8, roughness=0.42)


def _at(origin: Point, angle: float, distance: float) -> Point:
    return origin[0] + distance * math.sin(angle), origin[1] + distance * math.cos(angle)


def _draw_pit(rng: np.random.Generator, centre: Point, radius: float, level: float) -> Pit:
    shape = draw_outline(rng, centre, radius_px=radius, stretch=rng.uniform(1.05, 1.5), warp_px=6, lobed=0.08)
    bench_px, bench_m = rng.uniform(12, 17), rng.uniform(10, 12.5)
    benches = min(max(2, int(0.62 * radius / bench_px)), int((120 + level) / bench_m))
    tones = rng.normal(0, 1.0, 64).astype(np.float32)
    return Pit(shape, bench_px, benches, bench_m, rng.uniform(-math.pi, math.pi), level, tones)


def _draw_dump(rng: np.random.Generator, centre: Point, radius: float, level: float) -> Dump:
    shape = draw_outline(rng, centre, radius_px=radius, stretch=rng.uniform(1.0, 1.7), warp_px=7)
    return Dump(shape, rng.uniform(-math.pi, math.pi), level, rng.uniform(14, 20))


def _draw_pond(rng: np.random.Generator, centre: Point, side: float, level: float) -> Pond:
    return Pond(
        centre, rng.uniform(0, 2 * math.pi), side * rng.uniform(1.0, 1.3), side * rng.uniform(0.65, 0.9), level + 6
    )


def _draw_yard(rng: np.random.Generator, centre: Point, radius: float, *, streets: bool) -> Yard:
    shape = draw_outline(rng, centre, radius_px=radius, stretch=rng.uniform(1.0, 1.6), warp_px=5)
    block = (26.0, 17.0) if streets else (44.0, 32.0)
    rows, columns = (2 * math.ceil(shape.reach_px / side) + 2 for side in (block[1], block[0]))
    return Yard(shape, rng.uniform(0, math.pi), block, streets, rng.random((8, rows, columns), dtype=np.float32))


def _draw_road(rng: np.random.Generator, start: Point, end: Point, *, busy: bool, width_px: int) -> Road:
    begin, finish = np.array(start), np.array(end)
    length = float(np.hypot(*(finish - begin)))
    side = np.array([finish[1] - begin[1], begin[0] - finish[0]]) / max(length, 1.0)
    bends = [begin + (finish - begin) * fraction + side * rng.normal(0, 0.12) * length for fraction in (0.33, 0.67)]
    at = np.linspace(0, 1, int(3 * length) + 2)[:, None]
    path = (1 - at) ** 3 * begin + 3 * (1 - at) ** 2 * at * bends[0] + 3 * (1 - at) * at**2 * bends[1] + at**3 * finish
    return Road(path, busy, width_px)
