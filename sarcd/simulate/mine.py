"""A mine: terraced pit with its ramp, dumps, tailings pond, plant and haul roads, drawn into land cover and height."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate.classes import Cover
from sarcd.simulate.fields import FloatArray
from sarcd.simulate.outlines import Box, Outline, Point, box_around, outline, turned

BENCH_M, LIFT_M, DAM_M = 12.0, 18.0, 9.0
"""Heights of a bench, of a lift of a dump, and of a tailings dam, metres."""

FACE_PX, ROAD_PX, DAM_PX, LIFT_PX = 4, 5, 7, 9
"""Widths in pixels of a bench face, a haul road, a dam and the slope of a dump."""


@dataclass(frozen=True)
class Pit:
    """A terraced pit: `outline.inward_px` counts across its benches, the rim being 0."""

    outline: Outline
    bench_px: float
    benches: int
    active: float
    """Direction of the sector that is being mined, radians."""


@dataclass(frozen=True)
class Dump:
    """A waste dump; the sector around `active` advances."""

    outline: Outline
    active: float


@dataclass
class Ground:
    """The ground as it is built up: arrays over the scene, changed in place by the functions of this module."""

    cover: NDArray[np.uint8]
    height_m: FloatArray
    warp: FloatArray
    pits: list[Pit]
    dumps: list[Dump]

    def paint(self, box: Box, where: NDArray[np.bool_], cover: Cover) -> None:
        """Give the pixels of a box that are marked another class."""
        self.cover[box][where] = cover


def add_pit(ground: Ground, rng: np.random.Generator, centre: Point, *, radius_px: float, busy: bool) -> Pit:
    """Dig a pit: concentric bench floors and faces round a flat bottom, and a spiral ramp down to it."""
    shape = outline(rng, ground.warp, centre, radius_px=radius_px, stretch=rng.uniform(1.05, 1.5), warp_px=9)
    bench_px = rng.uniform(12, 16)
    benches = max(2, int(0.66 * radius_px / bench_px))
    # Benches are wider on some sides than on others.
    width = 1 + np.float32(0.18) * np.cos(shape.angle + np.float32(rng.uniform(0, 2 * math.pi)))
    shape = Outline(shape.box, (shape.inward_px * width).astype(np.float32), shape.angle, shape.distance_px, radius_px)
    pit = Pit(shape, bench_px, benches, rng.uniform(-math.pi, math.pi))
    inside = shape.inward_px > 0
    steps = np.clip(shape.inward_px / np.float32(bench_px), 0, benches)
    face = inside & ((steps % 1) * bench_px < FACE_PX) & (steps < benches)
    ground.paint(shape.box, inside, Cover.BENCH_FLOOR)
    ground.paint(shape.box, face, Cover.BENCH_FACE)
    drop = np.floor(steps) + np.minimum((steps % 1) * np.float32(bench_px / FACE_PX), 1)
    ground.height_m[shape.box] -= np.where(inside & (steps < benches), drop, np.where(inside, benches, 0)) * BENCH_M

    turns = 0.6 + 0.12 * benches
    pitch = benches * bench_px / turns
    turn = ((shape.angle - np.float32(pit.active + math.pi)) / (2 * math.pi)) % 1
    lap = shape.inward_px / np.float32(pitch) - turn
    off = np.abs(lap - np.maximum(np.round(lap), 0)) * pitch
    ramp = inside & (off < ROAD_PX / 2 + 0.5) & (steps < benches)
    ground.paint(shape.box, ramp, Cover.ROAD_BUSY if busy else Cover.ROAD)
    ground.pits.append(pit)
    return pit


def add_dump(ground: Ground, rng: np.random.Generator, centre: Point, *, radius_px: float) -> Dump:
    """Heap a waste dump in lifts, its slopes at about 37 degrees, one sector of its edge active."""
    shape = outline(rng, ground.warp, centre, radius_px=radius_px, stretch=rng.uniform(1.0, 1.8), warp_px=10)
    dump = Dump(shape, rng.uniform(-math.pi, math.pi))
    inside = shape.inward_px > 0
    ground.paint(shape.box, inside, Cover.DUMP)
    for lift in range(2):
        start = lift * 0.35 * radius_px
        ground.height_m[shape.box] += LIFT_M * np.clip((shape.inward_px - np.float32(start)) / LIFT_PX, 0, 1)
    off = np.abs((shape.angle - dump.active + math.pi) % (2 * math.pi) - math.pi)
    tip = inside & (off < 0.5) & (shape.inward_px < 0.3 * radius_px + 8 * ground.warp[shape.box])
    ground.paint(shape.box, tip, Cover.DUMP_ACTIVE)
    ground.dumps.append(dump)
    return dump


def add_tailings(ground: Ground, rng: np.random.Generator, centre: Point, *, side_px: float, wet: float) -> None:
    """Lay a flat tailings pond behind straight dams: dry beach, wet beach, water at the decant end.

    `wet` is the share of the pond that is wet or under water.
    """
    box = box_around((ground.cover.shape[0], ground.cover.shape[1]), centre, 1.5 * side_px)
    along, across = turned(box, centre, rng.uniform(0, math.pi))
    long, short = side_px * rng.uniform(1.0, 1.3), side_px * rng.uniform(0.65, 0.9)
    inward = np.minimum(long - np.abs(along), short - np.abs(across)) + np.float32(1.0) * ground.warp[box]
    inside = inward > 0
    if not inside.any():
        return
    level = along / np.float32(long) + np.float32(0.45) * ground.warp[box]
    beach = inside & (inward > DAM_PX)
    ground.paint(box, inside, Cover.DUMP)
    ground.paint(box, inside & (np.abs(inward - DAM_PX / 2) < 1.5), Cover.ROAD)
    ground.paint(box, beach, Cover.TAILINGS)
    if beach.any():
        shore, pool = np.quantile(level[beach], [1 - wet, 1 - 0.45 * wet])
        ground.paint(box, beach & (level > shore), Cover.TAILINGS_WET)
        ground.paint(box, beach & (level > pool), Cover.WATER)
    height = ground.height_m[box]
    height[inside] = np.float32(height[inside].mean()) + DAM_M * (1 - np.clip((inward[inside] - DAM_PX) / 4, 0, 1))


def add_buildings(ground: Ground, rng: np.random.Generator, centre: Point, *, radius_px: float, streets: bool) -> None:
    """Set rows of buildings on a turned grid: the plant of a mine, or a town with streets."""
    shape = outline(
        rng, ground.warp, centre, radius_px=radius_px, stretch=rng.uniform(1.0, 1.6), warp_px=5, margin_px=4
    )
    along, across = turned(shape.box, centre, rng.uniform(0, math.pi))
    block = (26.0, 17.0) if streets else (44.0, 32.0)
    column, row = np.floor(along / block[0]).astype(int), np.floor(across / block[1]).astype(int)
    # One draw per block of the grid, looked up by its row and column.
    lots = rng.random((3, row.max() - row.min() + 1, column.max() - column.min() + 1), dtype=np.float32)
    lots = lots[:, row - row.min(), column - column.min()]
    in_x = np.abs(along - (column + 0.5) * block[0]) < block[0] * (0.18 + 0.2 * lots[0])
    in_y = np.abs(across - (row + 0.5) * block[1]) < block[1] * (0.16 + 0.2 * lots[1])
    inside = (shape.inward_px > 0) & (ground.cover[shape.box] != Cover.WATER)
    ground.paint(shape.box, inside, Cover.GROUND)
    if streets:
        edge = np.minimum(
            np.abs(along - np.round(along / block[0]) * block[0]),
            np.abs(across - np.round(across / block[1]) * block[1]),
        )
        ground.paint(shape.box, inside & (edge < 1.3), Cover.ROAD)
    ground.paint(shape.box, inside & in_x & in_y & (lots[2] < (0.8 if streets else 0.5)), Cover.BUILDINGS)


def add_road(ground: Ground, rng: np.random.Generator, start: Point, end: Point, *, busy: bool, width_px: int) -> None:
    """Draw a bending road between two points; it keeps off pits and goes over everything else but water."""
    begin, finish = np.array(start), np.array(end)
    length = float(np.hypot(*(finish - begin)))
    if length < width_px:
        return
    side = np.array([finish[1] - begin[1], begin[0] - finish[0]]) / length
    bends = [begin + (finish - begin) * share + side * rng.normal(0, 0.13) * length for share in (0.33, 0.67)]
    at = np.linspace(0, 1, int(2 * length) + 2)[:, None]
    path = (1 - at) ** 3 * begin + 3 * (1 - at) ** 2 * at * bends[0] + 3 * (1 - at) * at**2 * bends[1] + at**3 * finish
    reach = width_px // 2
    dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    disc = dy**2 + dx**2 <= (width_px / 2) ** 2
    y = (np.rint(path[:, :1]).astype(int) + dy[disc]).ravel()
    x = (np.rint(path[:, 1:]).astype(int) + dx[disc]).ravel()
    inside = (y >= 0) & (y < ground.cover.shape[0]) & (x >= 0) & (x < ground.cover.shape[1])
    y, x = y[inside], x[inside]
    blocked = (Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.WATER, Cover.ROAD_BUSY)
    free = ~np.isin(ground.cover[y, x], blocked)
    ground.cover[y[free], x[free]] = Cover.ROAD_BUSY if busy else Cover.ROAD
