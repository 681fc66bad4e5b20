"""Ground of a part of a site: natural cover and relief, with the forms of the mines drawn into both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.classes import Cover
from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region, above
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.outlines import turned
from sarcd.simulation.core.plan import FLATTENED, Dump, Mine, Pit, Pond, Road, Yard, mines_in, relief

FACE_DEG, DUMP_DEG = 65.0, 37.0
"""Slopes of bench faces, and of tipped waste (its angle of repose)."""

LIFT_PX = 0.35
"""Start of the second lift of a dump, as a fraction of its radius."""


def stairs_m(pit: Pit, inward_px: FloatArray, spacing_m: float) -> FloatArray:
    """Return the height of the benches of a pit at a distance in pixels inside its rim; it keeps rising outside."""
    face_px = np.float32(pit.bench_m / math.tan(math.radians(FACE_DEG)) / spacing_m)
    steps = np.minimum(inward_px / np.float32(pit.bench_px), np.float32(pit.benches))
    whole = np.floor(steps)
    fall = whole + np.minimum((steps - whole) * np.float32(pit.bench_px) / face_px, 1)
    return np.asarray(np.float32(pit.rim_m) - np.float32(pit.bench_m) * np.minimum(fall, pit.benches), np.float32)


def classes_of(pit: Pit, inward_px: FloatArray, spacing_m: float) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return where a pit has faces, and the relative backscatter of the rock of its benches in dB."""
    face_px = max(pit.bench_m / math.tan(math.radians(FACE_DEG)) / spacing_m, 1.5)
    steps = inward_px / np.float32(pit.bench_px)
    whole = np.floor(steps)
    face = ((steps - whole) * np.float32(pit.bench_px) < face_px) & (steps < pit.benches)
    return face, pit.tone_db[np.clip(whole, 0, len(pit.tone_db) - 1).astype(np.int64)]


def heap_m(dump: Dump, inward_px: FloatArray, spacing_m: float) -> FloatArray:
    """Return the height of a dump at a distance in pixels inside its edge: two lifts at the angle of repose."""
    rise = np.float32(math.tan(math.radians(DUMP_DEG)) * spacing_m)
    lift = np.float32(dump.lift_m)
    second = inward_px - np.float32(LIFT_PX * dump.outline.radius_px)
    return np.asarray(
        np.float32(dump.base_m) + np.minimum(rise * inward_px, lift) + np.clip(rise * second, 0, lift), np.float32
    )


def pond_frame(pond: Pond, region: Region, warp: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return coordinates along and across a pond, and the distance inside its edge, all in pixels."""
    along, across = turned(region, pond.centre, pond.turn)
    edge = np.minimum(np.float32(pond.long_px) - np.abs(along), np.float32(pond.short_px) - np.abs(across))
    return along, across, np.asarray(edge + 3 * warp, np.float32)


Box = tuple[slice, slice]

ROAD_PX, DAM_PX = 8, 8
"""Widths of a ramp and of the crest of a dam."""

DAM_M, DAM_DEG = 4.0, 27.0
"""Height of a tailings dam above its beach, and its slope."""


@dataclass
class Placed:
    """Position of the pixels of a box within a pit or dump; `inward_px` follows its changes."""

    box: Box
    inward_px: FloatArray
    angle: FloatArray
    distance_px: FloatArray


@dataclass
class Ground:
    """A part of the plane as it is built and changed: arrays over a region.

    Parameters
    ----------
    region : Region
        Region of the plane.
    spacing_m : float
        Pixel spacing.
    cover : (Y, X) uint8
        Classes (`Cover`).
    height_m : (Y, X) float32
        Terrain height.
    tone_db : (Y, X) float32
        Backscatter relative to the mean of the class.
    warp, rough : (Y, X) float32
        Fields of unit variance that give outlines a natural shape, on large and small scales.
    mines : list of Mine
        Mines that reach into the region.
    placed : dict
        Position of the pixels in each pit and dump, by the cell of the mine and -1 (pit) or the number of the dump.
    """

    region: Region
    spacing_m: float
    cover: NDArray[np.uint8]
    height_m: FloatArray
    tone_db: FloatArray
    warp: FloatArray
    rough: FloatArray
    mines: list[Mine] = field(default_factory=list)
    placed: dict[tuple[tuple[int, int], int], Placed] = field(default_factory=dict)

    def paint(self, box: Box, where: NDArray[np.bool_], cover: Cover) -> None:
        """Assign a class to the marked pixels of a box."""
        self.cover[box][where] = cover


def build(streams: RandomStreams, options: SiteOptions, region: Region) -> Ground:
    """Build the ground of a region before the first date.

    Parameters
    ----------
    streams : RandomStreams
        Source of random numbers.
    options : SiteOptions
        Composition of the ground.
    region : Region
        Region of the plane.
    """
    warp = streams.fractal(region, "warp", coarsest=64, roughness=0.47)
    rough = streams.fractal(region, "rough", coarsest=16, roughness=0.6)
    mines = mines_in(streams, options, region)
    terrain = relief(streams, region)
    ground = Ground(
        region,
        options.spacing_m,
        np.full(region.shape, Cover.GROUND, np.uint8),
        terrain * np.float32(options.relief_m),
        streams.fractal(region, "brightness", coarsest=128, roughness=0.6),
        warp,
        rough,
        mines,
    )
    _natural(ground, streams, options, terrain)
    for mine in mines:
        _lease(ground, mine)
    for mine in mines:
        for yard in mine.yards:
            _yard(ground, yard)
        for number, dump in enumerate(mine.dumps):
            _dump(ground, dump, (mine.cell, number))
        if mine.pond is not None:
            _pond(ground, mine.pond, options.wet)
        _pit(ground, mine.pit, (mine.cell, -1))
        for road in mine.roads:
            _road(ground, road)
    return ground


def _natural(ground: Ground, streams: RandomStreams, options: SiteOptions, terrain: FloatArray) -> None:
    """Paint bare soil, vegetation, farmed parcels, lakes in depressions, and a river."""
    region, cover = ground.region, ground.cover
    growth = streams.fractal(region, "vegetation", coarsest=128, roughness=0.62)
    growth -= np.float32(0.35) * terrain  # valleys are greener
    if options.vegetation > 0:
        cover[growth > math.hypot(1, 0.35) * above(options.vegetation)] = Cover.VEGETATION
    if options.fields > 0:
        _fields(ground, streams, options.fields)
    if options.water > 0:
        hollow = terrain + np.float32(0.12) * ground.warp
        level = -above(options.water)
        cover[hollow < level] = Cover.WATER
        np.maximum(ground.height_m, level * np.float32(options.relief_m), out=ground.height_m)
    if options.river:
        # The zero line of a smooth field meanders naturally.
        course = streams.fractal(region.grown(1, 1), "river", coarsest=512, finest=32, roughness=0.35)
        y, x = (course[2:, 1:-1] - course[:-2, 1:-1]) / 2, (course[1:-1, 2:] - course[1:-1, :-2]) / 2
        away_px = np.abs(course[1:-1, 1:-1]) / np.maximum(np.hypot(y, x), np.float32(2e-4))
        cover[away_px < 26 + 12 * ground.warp] = Cover.VEGETATION
        cover[away_px < 8 + 2 * ground.warp] = Cover.WATER


def _fields(ground: Ground, streams: RandomStreams, fraction: float) -> None:
    """Paint parcels on a rotated grid, with hedges."""
    region = ground.region
    angle = streams.stream("parcels").uniform(0.2, 1.2)
    along, across = turned(region, (0.0, 0.0), angle)
    column, row = np.floor(along / 62).astype(np.int64), np.floor(across / 41).astype(np.int64)
    top, left = int(row.min()), int(column.min())
    lots = Region(top, left, int(row.max()) - top + 1, int(column.max()) - left + 1)
    crop = streams.white(lots, "crop")[row - top, column - left]
    tone = streams.white(lots, "crop tone")[row - top, column - left]
    farmed = streams.fractal(region, "fields", coarsest=256, finest=64) > above(fraction)
    ground.paint((slice(None), slice(None)), farmed & (crop < 0), Cover.GROUND)
    ground.paint((slice(None), slice(None)), farmed & (crop >= 0), Cover.VEGETATION)
    hedge = (along % 62 < 2) | (across % 41 < 2)
    ground.paint((slice(None), slice(None)), farmed & hedge & (crop < 0.25), Cover.VEGETATION)
    ground.tone_db += np.where(farmed, np.float32(0.8) * tone, np.float32(0))


def _lease(ground: Ground, mine: Mine) -> None:
    """Flatten the ground of a mine in part, and clear it of vegetation and water."""
    box = ground.region.around(mine.centre, min(1.3 * mine.lease.reach_px, mine.reach_px))
    if box is None:
        return
    part = ground.region.part(box)
    inward, _, _ = mine.lease.over(part, ground.warp[box])
    weight = np.clip(np.float32(1) + inward / np.float32(0.3 * mine.lease.radius_px), 0, 1)
    # Both ends of the blend are smooth, so that no edge is visible.
    weight = weight * weight * (3 - 2 * weight) * np.float32(FLATTENED)
    ground.height_m[box] *= 1 - weight
    ground.paint(box, inward > 0, Cover.GROUND)


def _pit(ground: Ground, pit: Pit, key: tuple[tuple[int, int], int]) -> None:
    """Dig a pit: bench floors and faces around a flat bottom, and a spiral ramp down to it."""
    box = ground.region.around(pit.outline.centre, 1.25 * pit.outline.reach_px)
    if box is None:
        return
    inward, angle, distance = pit.outline.over(ground.region.part(box), ground.warp[box])
    ground.placed[key] = Placed(box, inward, angle, distance)
    height = ground.height_m[box]
    bottom = stairs_m(pit, inward, ground.spacing_m)
    # Where the ground rises above the rim, a few more benches are cut into it.
    dug = (bottom < height) & (inward > -3 * pit.bench_px)
    height[dug] = bottom[dug]
    face, tone = classes_of(pit, inward, ground.spacing_m)
    ground.paint(box, dug, Cover.BENCH_FLOOR)
    ground.paint(box, dug & face, Cover.BENCH_FACE)
    ground.tone_db[box][dug] = tone[dug] + np.float32(0.4) * ground.tone_db[box][dug]

    turns = 0.6 + 0.1 * pit.benches
    pitch = pit.benches * pit.bench_px / turns
    turn = ((angle - np.float32(pit.active + math.pi)) / np.float32(2 * math.pi)) % 1
    lap = inward / np.float32(pitch) - turn
    off = np.abs(lap - np.maximum(np.round(lap), 0)) * np.float32(pitch)
    ramp = dug & (inward > 0) & (off < ROAD_PX / 2) & (inward < pit.benches * pit.bench_px)
    height[ramp] = np.float32(pit.rim_m) - np.float32(pit.bench_m / pit.bench_px) * inward[ramp]
    ground.paint(box, ramp, Cover.ROAD_BUSY)


def _dump(ground: Ground, dump: Dump, key: tuple[tuple[int, int], int]) -> None:
    """Build a waste dump in lifts, with one active sector of its edge."""
    box = ground.region.around(dump.outline.centre, 1.25 * dump.outline.reach_px)
    if box is None:
        return
    inward, angle, distance = dump.outline.over(ground.region.part(box), ground.warp[box])
    ground.placed[key] = Placed(box, inward, angle, distance)
    height, top = ground.height_m[box], heap_m(dump, inward, ground.spacing_m)
    heaped = top > height
    height[heaped] = top[heaped]
    ground.paint(box, heaped, Cover.DUMP)
    off = np.abs((angle - np.float32(dump.active) + np.float32(math.pi)) % np.float32(2 * math.pi) - math.pi)
    tip = heaped & (off < 0.6) & (inward < 0.36 * dump.outline.radius_px + 6 * ground.warp[box])
    ground.paint(box, tip, Cover.DUMP_ACTIVE)


def _pond(ground: Ground, pond: Pond, wet: float) -> None:
    """Build a flat tailings pond behind straight dams: dry beach, wet beach, water at the decant end."""
    box = ground.region.around(pond.centre, pond.reach_px)
    if box is None:
        return
    along, _, inward = pond_frame(pond, ground.region.part(box), ground.warp[box])
    level = np.float32(pond.level_m)
    crest = level + np.float32(DAM_M)
    fall = np.float32(math.tan(math.radians(DAM_DEG)) * ground.spacing_m)
    height = ground.height_m[box]
    outside = crest + fall * np.minimum(inward, 0)
    inside = np.maximum(level, crest - fall * np.maximum(inward - DAM_PX, 0))
    surface = np.where(inward > 0, inside, outside)
    built = (inward > 0) | (surface > height)
    height[built] = surface[built]
    ground.paint(box, built, Cover.DUMP)
    ground.paint(box, built & (np.abs(inward - DAM_PX / 2) < 1.6), Cover.ROAD)
    beach = inward > DAM_PX + DAM_M / fall
    shore = along / np.float32(pond.long_px) + np.float32(0.3) * ground.warp[box]
    ground.paint(box, beach, Cover.TAILINGS)
    ground.paint(box, beach & (shore > 1 - 2 * wet), Cover.TAILINGS_WET)
    ground.paint(box, beach & (shore > 1 - 0.9 * wet), Cover.WATER)
    ground.tone_db[box][beach] *= np.float32(0.4)


def _yard(ground: Ground, yard: Yard) -> None:
    """Place rows of buildings, with streets between those of a town."""
    box = ground.region.around(yard.outline.centre, yard.outline.reach_px)
    if box is None:
        return
    part = ground.region.part(box)
    inward, _, _ = yard.outline.over(part, ground.warp[box])
    along, across = turned(part, yard.outline.centre, yard.turn)
    long, short = yard.block_px
    _, rows, columns = yard.lots.shape
    column, row = np.floor(along / long), np.floor(across / short)
    lot = yard.lots[
        :,
        np.clip(row + rows // 2, 0, rows - 1).astype(np.int64),
        np.clip(column + columns // 2, 0, columns - 1).astype(np.int64),
    ]
    in_x = np.abs(along - (column + 0.5) * long) < long * (0.18 + 0.2 * lot[0])
    in_y = np.abs(across - (row + 0.5) * short) < short * (0.16 + 0.2 * lot[1])
    inside = (inward > 0) & (ground.cover[box] != Cover.WATER)
    ground.paint(box, inside, Cover.GROUND)
    if yard.streets:
        edge = np.minimum(
            np.abs(along - np.round(along / long) * long), np.abs(across - np.round(across / short) * short)
        )
        ground.paint(box, inside & (edge < 1.3), Cover.ROAD)
    built = inside & in_x & in_y & (lot[2] < (0.8 if yard.streets else 0.5))
    ground.paint(box, built, Cover.BUILDINGS)
    ground.height_m[box][built] += np.float32(4) + np.float32(6) * lot[3][built]


def _road(ground: Ground, road: Road) -> None:
    """Draw a road, which avoids pits and water and crosses everything else."""
    region, reach = ground.region, road.width_px // 2
    near = road.path[
        (road.path[:, 0] > region.top - reach - 1)
        & (road.path[:, 0] < region.top + region.height + reach + 1)
        & (road.path[:, 1] > region.left - reach - 1)
        & (road.path[:, 1] < region.left + region.width + reach + 1)
    ]
    if len(near) == 0:
        return
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    disc = dy**2 + dx**2 <= (road.width_px / 2) ** 2
    y = (np.rint(near[:, :1]).astype(np.int64) - region.top + dy[disc]).ravel()
    x = (np.rint(near[:, 1:]).astype(np.int64) - region.left + dx[disc]).ravel()
    inside = (y >= 0) & (y < region.height) & (x >= 0) & (x < region.width)
    y, x = y[inside], x[inside]
    blocked = (Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.WATER, Cover.ROAD_BUSY, Cover.BUILDINGS)
    free = ~np.isin(ground.cover[y, x], blocked)
    ground.cover[y[free], x[free]] = Cover.ROAD_BUSY if road.busy else Cover.ROAD
