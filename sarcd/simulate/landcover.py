"""The ground of a site: natural cover with a mine in every kilometre or three of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sarcd.simulate.classes import Cover
from sarcd.simulate.fields import Shape, fractal, stream
from sarcd.simulate.mine import Ground, add_buildings, add_dump, add_pit, add_road, add_tailings
from sarcd.simulate.outlines import Point, outline, turned

CELL_PX = 1024
"""Side of the square of ground that holds one mine."""


@dataclass(frozen=True)
class LandMix:
    """What a site's ground is made of.

    Parameters
    ----------
    vegetation, water : float
        Shares of the natural ground (outside mines).
    fields : float
        Share of farmed parcels among the natural ground; every second one bears a crop.
    river : bool
        Whether a river crosses the site.
    town : bool
        Whether each mine has a town near it.
    pit, dump, tailings : float
        Radii as shares of the cell's side.
    wet : float
        Share of a tailings pond that is wet or under water.
    relief_m : float
        Standard deviation of the natural terrain, metres.
    """

    vegetation: float = 0.2
    water: float = 0.02
    fields: float = 0.0
    river: bool = False
    town: bool = False
    pit: float = 0.27
    dump: float = 0.13
    tailings: float = 0.11
    wet: float = 0.5
    relief_m: float = 25.0


def build(seed: int, site: str, shape: Shape, mix: LandMix) -> Ground:
    """Build the ground of a site: land cover and terrain height before any change.

    Parameters
    ----------
    seed : int
        The user's seed.
    site : str
        Name of the site, part of every random stream.
    shape : (Y, X)
        Size in pixels.
    mix : LandMix
        What the ground is made of.
    """
    ground = _natural(seed, site, shape, mix)
    rows, columns = (max(1, round(size / CELL_PX)) for size in shape)
    height, width = shape[0] / rows, shape[1] / columns
    for row in range(rows):
        for column in range(columns):
            middle = ((row + 0.5) * height, (column + 0.5) * width)
            rng = stream(seed, site, "mine", row, column)
            _mine(ground, rng, middle, min(height, width, CELL_PX), mix)
    return ground


def _natural(seed: int, site: str, shape: Shape, mix: LandMix) -> Ground:
    """Bare soil, vegetation, farmed parcels, lakes in the hollows, and a river."""
    warp = fractal(stream(seed, site, "warp"), shape, coarsest=64, roughness=0.47)
    relief = fractal(stream(seed, site, "relief"), shape, coarsest=512, finest=4, roughness=0.42)
    cover = np.full(shape, Cover.GROUND, np.uint8)
    ground = Ground(cover, relief * np.float32(mix.relief_m), warp, [], [])
    rng = stream(seed, site, "parcels")

    growth = fractal(stream(seed, site, "vegetation"), shape, coarsest=128, roughness=0.62)
    growth -= np.float32(0.35) * relief  # valleys are greener
    if mix.vegetation > 0:
        cover[growth > np.quantile(growth, 1 - mix.vegetation)] = Cover.VEGETATION
    if mix.fields > 0:
        along, across = turned((slice(0, shape[0]), slice(0, shape[1])), (0.0, 0.0), rng.uniform(0.2, 1.2))
        column, row = np.floor(along / 62).astype(int), np.floor(across / 41).astype(int)
        crop = rng.random((np.ptp(row) + 1, np.ptp(column) + 1), dtype=np.float32)[
            row - row.min(), column - column.min()
        ]
        plain = fractal(stream(seed, site, "fields"), shape, coarsest=256, finest=64)
        farmed = plain > np.quantile(plain, 1 - mix.fields)
        cover[farmed & (crop < 0.5)] = Cover.GROUND
        cover[farmed & (crop >= 0.5)] = Cover.VEGETATION
        cover[farmed & ((along % 62 < 1.5) | (across % 41 < 1.5)) & (crop < 0.6)] = Cover.VEGETATION
    if mix.water > 0:
        hollow = relief + np.float32(0.12) * warp
        cover[hollow < np.quantile(hollow, mix.water)] = Cover.WATER
    if mix.river:
        # The zero line of a smooth field meanders by itself.
        course = fractal(stream(seed, site, "river"), shape, coarsest=512, finest=32, roughness=0.35)
        y, x = np.gradient(course)
        away_px = np.abs(course) / np.maximum(np.hypot(y, x), np.float32(2e-4))
        cover[away_px < 26 + 12 * warp] = Cover.VEGETATION
        cover[away_px < 7 + 2 * warp] = Cover.WATER
    return ground


def _mine(ground: Ground, rng: np.random.Generator, middle: Point, side: float, mix: LandMix) -> None:
    """Lay out one mine about the middle of its cell: pit on one side, dumps on the other, pond and plant between."""
    towards = rng.uniform(0, 2 * math.pi)
    radius = mix.pit * side * rng.uniform(0.92, 1.08)

    def at(angle: float, distance: float) -> Point:
        return centre[0] + distance * math.sin(angle), centre[1] + distance * math.cos(angle)

    centre = middle
    centre = at(towards + math.pi, 0.09 * side)
    dump = mix.dump * side
    places = [at(towards + 0.25 + turn, radius * 1.15 + dump * grow * 1.1) for turn, grow in ((0.0, 1.0), (1.15, 0.75))]
    pond = at(towards - 1.2, radius * 1.25 + mix.tailings * side)
    plant = at(towards + 2.35, radius * 1.15 + 0.075 * side)
    town = at(towards - 2.4, radius * 1.3 + 0.11 * side)

    _clear(ground, rng, centre, radius * 1.12)
    for place, grow in zip(places, (1.0, 0.75), strict=True):
        _clear(ground, rng, place, dump * grow * 1.2)
    if mix.town:
        add_buildings(ground, rng, town, radius_px=0.1 * side, streets=True)
    for place, grow in zip(places, (1.0, 0.75), strict=True):
        add_dump(ground, rng, place, radius_px=dump * grow)
    if mix.tailings > 0:
        add_tailings(ground, rng, pond, side_px=mix.tailings * side, wet=mix.wet)
    pit = add_pit(ground, rng, centre, radius_px=radius, busy=True)
    # The ramp meets the rim opposite to the active sector.
    gate = at(pit.active + math.pi, radius * 1.12)
    for place in places:
        add_road(ground, rng, gate, place, busy=True, width_px=6)
    for place in (pond, plant):
        add_road(ground, rng, gate, place, busy=False, width_px=4)
    add_road(ground, rng, plant, at(towards + 2.6, 1.2 * side), busy=rng.random() < 0.5, width_px=4)
    if mix.town:
        add_road(ground, rng, town, at(towards - 2.6, 1.2 * side), busy=True, width_px=5)
    add_buildings(ground, rng, plant, radius_px=0.055 * side, streets=False)


def _clear(ground: Ground, rng: np.random.Generator, centre: Point, radius_px: float) -> None:
    """Strip vegetation and water where the mine will work."""
    shape = outline(rng, ground.warp, centre, radius_px=radius_px, warp_px=10, margin_px=10)
    ground.paint(shape.box, shape.inward_px > 0, Cover.GROUND)
