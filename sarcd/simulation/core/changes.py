"""Effect of changes of interest on the terrain: cut and blasted benches, slumped walls, tipped and heaped waste."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.classes import Cover, table
from sarcd.simulation.core.fields import FloatArray, RandomStreams, Shape
from sarcd.simulation.core.ground import Ground, Placed, classes_of, heap_m, pond_frame, stairs_m
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.outlines import Point, wrapped
from sarcd.simulation.core.plan import Dump, Mine, Pit, Pond

ROUGH_EDGE = 0.15
"""Displacement of the edge of a change by the detail of the ground, as a fraction of its half width."""

KEPT = (Cover.WATER, Cover.BUILDINGS, Cover.TAILINGS_WET)
"""Classes that no change of interest affects."""


@dataclass
class Moved:
    """Effect of the changes of one pair on a region.

    Parameters
    ----------
    changed : (Y, X) bool
        Ground that was moved.
    coherence : (Y, X) float32
        Remaining coherence; 1 where nothing was moved.
    """

    changed: NDArray[np.bool_]
    coherence: FloatArray

    @classmethod
    def nothing(cls, shape: Shape) -> Moved:
        """Return the state before any change."""
        return cls(np.zeros(shape, bool), np.ones(shape, np.float32))


def apply_edits(ground: Ground, edits: list[Edit]) -> Moved:
    """Change the ground, in place, and return where it was moved and how much of its coherence remains.

    Parameters
    ----------
    ground : Ground
        Cover, height and intensity are edited.
    edits : list of Edit
        In order; those that do not reach the region have no effect.
    """
    moved = Moved.nothing(ground.region.shape)
    mines = {mine.cell: mine for mine in ground.mines}
    for edit in edits:
        box = ground.region.around(edit.centre, edit.reach_px)
        if box is None or edit.cell not in mines:
            continue
        mine = mines[edit.cell]
        if edit.host == -2:
            assert mine.pond is not None  # it was drawn there
            inside = _on_pond(ground, edit, mine.pond, box)
        else:
            placed = ground.placed.get((edit.cell, edit.host))
            if placed is None:
                continue
            host = mine.pit if edit.host == -1 else mine.dumps[edit.host]
            inside = _on_ring(ground, edit, host, placed, box)
        moved.changed[box] |= inside
        moved.coherence[box][inside] = edit.coherence
    return moved


def _on_ring(
    ground: Ground, edit: Edit, host: Pit | Dump, placed: Placed, box: tuple[slice, slice]
) -> NDArray[np.bool_]:
    """Edit part of a pit or dump; return the pixels of the box that were moved."""
    inside = np.zeros((box[0].stop - box[0].start, box[1].stop - box[1].start), bool)
    # The arrays of the host cover a box of their own: the edit lies in the overlap of both.
    top, left = max(box[0].start, placed.box[0].start), max(box[1].start, placed.box[1].start)
    bottom, right = min(box[0].stop, placed.box[0].stop), min(box[1].stop, placed.box[1].stop)
    if bottom <= top or right <= left:
        return inside
    own = (
        slice(top - placed.box[0].start, bottom - placed.box[0].start),
        slice(left - placed.box[1].start, right - placed.box[1].start),
    )
    here = (slice(top, bottom), slice(left, right))
    inward, rough = placed.inward_px[own], ground.rough[here]
    along = wrapped(placed.angle[own] - np.float32(edit.sector)) * placed.distance_px[own]
    across = inward - np.float32(edit.level_px)
    power = 2 if edit.kind in ("blast", "lobe") else 4
    width = np.float32(edit.along_px)
    if edit.kind == "slump":
        width = width * np.clip(np.float32(1) + np.float32(0.4) * across / np.float32(edit.across_px), 0.5, 1.6)
    depth = 1 - (along / width) ** power - (across / np.float32(edit.across_px)) ** 4
    found = (depth + np.float32(ROUGH_EDGE) * rough > 0) & ~np.isin(ground.cover[here], KEPT)
    depth = np.clip(depth, 0, 1)
    if isinstance(host, Pit):
        _move_pit(ground, edit, host, inward, across, depth, found, here)
    else:
        found = _move_dump(ground, edit, host, inward, depth, found, here)
    inside[top - box[0].start : bottom - box[0].start, left - box[1].start : right - box[1].start] = found
    return inside


def _move_pit(
    ground: Ground,
    edit: Edit,
    pit: Pit,
    inward: FloatArray,
    across: FloatArray,
    depth: FloatArray,
    found: NDArray[np.bool_],
    here: tuple[slice, slice],
) -> None:
    """Cut the wall back, add a muck pile, or let the wall slide."""
    height, rough = ground.height_m[here], ground.rough[here]
    if edit.kind == "cut":
        inward[found] += np.float32(edit.amount) * np.minimum(2 * depth[found], 1)
        bottom = stairs_m(pit, inward, ground.spacing_m)
        height[found] = np.minimum(height, bottom)[found]
        face, tone = classes_of(pit, inward, ground.spacing_m)
        cover = np.where(face & (inward > -3 * pit.bench_px), Cover.BENCH_FACE, Cover.BENCH_FLOOR).astype(np.uint8)
        ground.cover[here][found] = cover[found]
        ground.tone_db[here][found] = tone[found] + np.float32(edit.offset_db)
        return
    if edit.kind == "blast":
        rise = np.float32(edit.amount) * np.minimum(1.5 * depth, 1) * (1 + np.float32(0.15) * rough)
    else:  # a slide moves material from its top to its foot
        rise = (
            np.float32(edit.amount) * np.minimum(1.5 * depth, 1) * -np.tanh(across / np.float32(0.4 * edit.across_px))
            + np.float32(0.5) * rough * depth
        )
    height[found] += rise[found]
    # Rubble: between floor and face, with a backscatter about that of both together.
    ground.cover[here][found] = Cover.BENCH_FLOOR
    ground.tone_db[here][found] = np.float32(1.2 + edit.offset_db)


def _move_dump(
    ground: Ground,
    edit: Edit,
    dump: Dump,
    inward: FloatArray,
    depth: FloatArray,
    found: NDArray[np.bool_],
    here: tuple[slice, slice],
) -> NDArray[np.bool_]:
    """Advance the edge of a dump, or place truckloads on top of it; return the pixels that were moved."""
    height = ground.height_m[here]
    sigma0 = table("sigma0_db")
    offset = np.float32(edit.offset_db)
    if edit.kind == "lobe":
        inward[found] += np.float32(edit.amount) * np.minimum(1.5 * depth[found], 1)
        top = heap_m(dump, inward, ground.spacing_m)
        found = found & ((top > height + 0.3) | (inward > edit.amount))
        height[found] = np.maximum(height, top)[found]
        # Relative to the mean of what it covers, part dump and part ground.
        offset += np.float32(0.5 * (sigma0[Cover.GROUND] - sigma0[Cover.DUMP]))
    else:
        y, x = (np.arange(side.start, side.stop) for side in here)
        y, x = y + ground.region.top, x + ground.region.left
        heaps = np.cos(2 * math.pi / 9 * (y + 0.3))[:, None] * np.cos(2 * math.pi / 9 * x)[None]
        rise = (np.float32(edit.amount) * heaps.astype(np.float32) + 1) * np.minimum(3 * depth, 1)
        height[found] += rise[found]
    ground.cover[here][found] = Cover.DUMP
    ground.tone_db[here][found] = offset
    return found


def _on_pond(ground: Ground, edit: Edit, pond: Pond, box: tuple[slice, slice]) -> NDArray[np.bool_]:
    """Spread a fan of tailings behind the dam; return the pixels of the box that were moved."""
    along, across, _ = pond_frame(pond, ground.region.part(box), ground.warp[box])
    offside = across - np.float32(edit.level_px - pond.short_px)
    width = np.float32(edit.along_px) * np.clip(1 + np.float32(0.3) * offside / np.float32(edit.across_px), 0.6, 1.4)
    depth = 1 - ((along - np.float32(edit.sector)) / width) ** 2 - (offside / np.float32(edit.across_px)) ** 4
    cover = ground.cover[box]
    inside = (depth + np.float32(ROUGH_EDGE) * ground.rough[box] > 0) & ~np.isin(cover, KEPT)
    rise = np.float32(edit.amount) * np.clip(1.5 * depth, 0, 1)
    ground.height_m[box][inside] += rise[inside]
    # Also paint fresh tailings where they lie on the dam.
    ground.paint(box, inside, Cover.TAILINGS)
    ground.tone_db[box][inside] = np.float32(edit.offset_db)
    return np.asarray(inside, bool)


LOWEST_COHERENCE, HIGHEST_COHERENCE = 0.0, 0.1
"""Range of coherence over ground that was moved."""

QUIET_DB, LOUDEST_DB = 1.0, 4.0
"""Quiet changes stay within the first, so that amplitude alone cannot detect them; the second is the maximum."""

KINDS = {"cut": 0.34, "blast": 0.18, "slump": 0.1, "lobe": 0.2, "heaps": 0.1, "tailings": 0.08}
"""Probability of each kind of change."""


@dataclass(frozen=True)
class Edit:
    """One change of interest between two dates.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    cell : (int, int)
        Grid cell of the mine.
    host : int
        -1 for the pit of the mine, -2 for its pond, otherwise the number of its dump.
    centre : (y, x)
        On the ground, in pixels.
    sector : float
        Direction from the centre of the host, radians; along the pond, pixels.
    level_px : float
        Distance of its middle from the edge of the host, inwards.
    along_px, across_px : float
        Half length along the edge, half width across it.
    amount : float
        Rise of the ground in metres (below 0 it falls); for cuts and lobes, pixels by which the edge moves.
    offset_db : float
        Change of backscatter.
    coherence : float
        Remaining coherence.
    """

    kind: str
    cell: tuple[int, int]
    host: int
    centre: Point
    sector: float
    level_px: float
    along_px: float
    across_px: float
    amount: float
    offset_db: float
    coherence: float

    @property
    def reach_px(self) -> float:
        """Return a distance from the centre beyond which nothing is changed."""
        return 1.6 * math.hypot(self.along_px, self.across_px) + 24


def draw_edits(streams: RandomStreams, options: SiteOptions, mine: Mine, pair: int) -> list[Edit]:
    """Draw the changes of interest of one mine between two dates.

    Most lie in the active sectors of pit and dumps, as in mining; the first always cuts the active wall of the pit.

    Parameters
    ----------
    streams : RandomStreams
        Source of random numbers.
    options : SiteOptions
        Number, size and strength of the changes.
    mine : Mine
        Mine to change.
    pair : int
        Index of the pair, 0 for the first two dates.

    Returns
    -------
    list of Edit
        Later changes lie on top of earlier ones.
    """
    rng = streams.stream("changes", *mine.cell, pair)
    number = int(rng.integers(options.changes[0], options.changes[1], endpoint=True))
    edits: list[Edit] = []
    for attempt in range(6 * number):
        if len(edits) == number:
            break
        kind = "cut" if attempt == 0 else str(rng.choice(list(KINDS), p=list(KINDS.values())))
        edit = _draw(rng, mine, kind, options, first=attempt == 0)
        # Changes are kept apart, so that each is a separate object.
        if edit is not None and all(
            math.dist(edit.centre, other.centre) > 0.8 * (edit.along_px + other.along_px) for other in edits
        ):
            edits.append(edit)
    return edits


def _draw(rng: np.random.Generator, mine: Mine, kind: str, options: SiteOptions, *, first: bool) -> Edit | None:
    size = options.change_size
    quiet = rng.random() < options.quiet
    loud = rng.choice((-1.0, 1.0)) * rng.uniform(QUIET_DB + 0.5, LOUDEST_DB)
    offset = float(rng.uniform(-QUIET_DB, QUIET_DB)) if quiet else float(loud)
    coherence = float(rng.uniform(LOWEST_COHERENCE, HIGHEST_COHERENCE))
    if kind == "tailings":
        return _draw_tailings(rng, mine, size, offset, coherence)
    if kind in ("lobe", "heaps"):
        host = int(rng.integers(len(mine.dumps)))
        dump = mine.dumps[host]
        radius = dump.outline.radius_px
        if kind == "lobe":
            amount = radius * rng.uniform(0.25, 0.4) * size
            sector, level = rng.normal(dump.active, 0.4), -0.3 * amount
            along, across = radius * rng.uniform(0.4, 0.7) * size, 0.75 * amount + 8
        else:
            sector, level, amount = rng.normal(dump.active, 1.0), radius * rng.uniform(0.45, 0.6), 1.2
            along, across = radius * rng.uniform(0.35, 0.55) * size, radius * rng.uniform(0.28, 0.38) * size
        centre = dump.outline.rim(sector, level)
        return Edit(kind, mine.cell, host, centre, sector, level, along, across, float(amount), offset, coherence)
    pit = mine.pit
    radius, bench = pit.outline.radius_px, pit.bench_px
    if first:
        sector = rng.normal(pit.active, 0.15)
    else:
        sector = rng.normal(pit.active, 0.6) if rng.random() < 0.8 else rng.uniform(-math.pi, math.pi)
    wall = pit.benches * bench
    if kind == "cut":
        span = float(rng.choice((3, 4, 5)))
        across = 0.5 * (span + 0.4) * bench * size
        level = rng.uniform(0.8 * across, max(wall - 0.3 * across, 0.9 * across))
        along, amount = radius * rng.uniform(0.22, 0.4) * size, bench * rng.uniform(0.5, 1.0)
    elif kind == "blast":
        along, across = radius * rng.uniform(0.18, 0.3) * size, bench * rng.uniform(1.6, 2.4) * size
        level, amount = rng.uniform(0.3 * wall, wall + 0.3 * (radius - wall)), rng.uniform(3, 6)
    else:
        across = bench * rng.uniform(2.8, 4.0) * size
        level, along = rng.uniform(0.7 * across, max(wall, 0.8 * across)), 0.7 * across
        amount = -rng.uniform(5, 9)
    centre = pit.outline.rim(sector, level)
    return Edit(
        kind, mine.cell, -1, centre, float(sector), float(level), along, float(across), float(amount), offset, coherence
    )


def _draw_tailings(rng: np.random.Generator, mine: Mine, size: float, offset: float, coherence: float) -> Edit | None:
    """Raise a dam and spread a fan of tailings behind it, away from the water."""
    pond = mine.pond
    if pond is None:
        return None
    along, across = pond.long_px * rng.uniform(0.25, 0.4) * size, pond.short_px * rng.uniform(0.28, 0.4) * size
    sector, level = -pond.long_px * rng.uniform(0.35, 0.6), 0.8 * across + 4
    offside = level - pond.short_px
    cosine, sine = math.cos(pond.turn), math.sin(pond.turn)
    centre = (pond.centre[0] + sine * sector + cosine * offside, pond.centre[1] + cosine * sector - sine * offside)
    amount = float(rng.uniform(1.5, 3))
    return Edit("tailings", mine.cell, -2, centre, sector, level, along, across, amount, offset, coherence)
