"""What changes of interest do to the terrain: benches cut and blasted, walls that slump, waste tipped and heaped."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.classes import Cover, table
from sarcd.simulation.core.edits import Edit
from sarcd.simulation.core.fields import FloatArray, Shape
from sarcd.simulation.core.forms import classes_of, heap_m, pond_frame, stairs_m
from sarcd.simulation.core.ground import Ground, Placed
from sarcd.simulation.core.outlines import wrapped
from sarcd.simulation.core.plan import Dump, Pit, Pond

ROUGH_EDGE = 0.15
"""How far the detail of the ground moves the edge of a change, as a share of its half width."""

KEPT = (Cover.WATER, Cover.BUILDINGS, Cover.TAILINGS_WET)
"""Classes that no change of interest touches."""


@dataclass
class Moved:
    """What the changes of one pair did to a region.

    Parameters
    ----------
    changed : (Y, X) bool
        Ground that was moved.
    coherence : (Y, X) float32
        That is left; 1 where nothing was moved.
    """

    changed: NDArray[np.bool_]
    coherence: FloatArray

    @classmethod
    def nothing(cls, shape: Shape) -> Moved:
        """Return the state before any change."""
        return cls(np.zeros(shape, bool), np.ones(shape, np.float32))


def apply_edits(ground: Ground, edits: list[Edit]) -> Moved:
    """Change the ground, in place, and return where and how much of its coherence is left.

    Parameters
    ----------
    ground : Ground
        Cover, height and brightness are edited.
    edits : list of Edit
        In order; those that do not reach into the region do nothing.
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
    # The host's arrays cover a box of their own: the edit is where the two overlap.
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
    """Push the wall back, lay a muck pile on it, or let it slide."""
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
    else:  # what is missing at the top of a slide lies at its foot
        rise = (
            np.float32(edit.amount) * np.minimum(1.5 * depth, 1) * -np.tanh(across / np.float32(0.4 * edit.across_px))
            + np.float32(0.5) * rough * depth
        )
    height[found] += rise[found]
    # Rubble: neither floor nor face, about as bright as both together.
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
    """Push the edge of a dump out, or set truckloads on top of it; return where."""
    height = ground.height_m[here]
    sigma0 = table("sigma0_db")
    offset = np.float32(edit.offset_db)
    if edit.kind == "lobe":
        inward[found] += np.float32(edit.amount) * np.minimum(1.5 * depth[found], 1)
        top = heap_m(dump, inward, ground.spacing_m)
        found = found & ((top > height + 0.3) | (inward > edit.amount))
        height[found] = np.maximum(height, top)[found]
        # Against the mean of what it covers, part dump and part ground.
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
    # Fresh tailings also where they lie on the dam.
    ground.paint(box, inside, Cover.TAILINGS)
    ground.tone_db[box][inside] = np.float32(edit.offset_db)
    return np.asarray(inside, bool)
