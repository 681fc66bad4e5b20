"""Changes of interest: benches cut and blasted, waste tipped over a dump's edge and heaped on it, walls that slump."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate.classes import Cover
from sarcd.simulate.fields import FloatArray, fractal
from sarcd.simulate.mine import Dump, Ground, Pit
from sarcd.simulate.outlines import Box, Outline, box_around

LOWEST_COHERENCE, HIGHEST_COHERENCE = 0.0, 0.1
"""Coherence over ground that was moved."""

QUIET_DB, LOUDEST_DB, QUIET_SHARE = 1.0, 4.0, 1 / 3
"""A third of the changes stay within 1 dB, so that amplitude alone cannot find them; none exceeds 4 dB."""

WORKED = (Cover.GROUND, Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.DUMP, Cover.DUMP_ACTIVE)
"""Classes that a change of interest may touch: neither the unlabelled classes of low coherence nor what is built."""


@dataclass(frozen=True)
class Patch:
    """One change of interest between two dates.

    Parameters
    ----------
    kind : str
        What happened: cut, blast, lobe, heaps or slump.
    box : (slice, slice)
        Where in the scene the arrays lie.
    inside : (h, w) bool
        The changed pixels.
    rise_m : (h, w) float32
        Change of the terrain's height, metres; 0 for a quiet patch.
    offset_db : float
        Change of brightness, dB.
    coherence : float
        Coherence that is left.
    """

    kind: str
    box: Box
    inside: NDArray[np.bool_]
    rise_m: FloatArray
    offset_db: float
    coherence: float


_Place = TypeVar("_Place", Pit, Dump)

_Shape = tuple[Box, FloatArray, FloatArray]
"""Box, how far inside the patch each pixel lies (above 0 is inside, about 1 in the middle), rise in metres."""

_Arc = tuple[Box, FloatArray, FloatArray]
"""Box, position along a ring (pixels from a chosen direction), position across it (`inward_px`)."""


def draw_changes(rng: np.random.Generator, ground: Ground, *, share: float) -> list[Patch]:
    """Draw changes of interest until they cover a share of the scene.

    Most lie in the active sectors of pits and dumps, as mining does.

    Parameters
    ----------
    rng : np.random.Generator
        Where the numbers come from.
    ground : Ground
        The mine; not changed.
    share : float
        Of the scene's pixels. Where the mine is too small for it, less is drawn.

    Returns
    -------
    list of Patch
        Later ones lie on top of earlier ones.
    """
    wanted = share * ground.cover.size
    rough = fractal(rng, (ground.cover.shape[0], ground.cover.shape[1]), coarsest=16, roughness=0.6)
    workable = np.isin(ground.cover, WORKED)
    changed = np.zeros(ground.cover.shape, bool)
    patches: list[Patch] = []
    area = 0
    for _ in range(64 + ground.cover.size // 2**13):
        if area >= 0.9 * wanted:
            break
        kind = str(rng.choice(list(_KINDS), p=[weight for weight, _ in _KINDS.values()]))
        box, depth, rise = _KINDS[kind][1](rng, ground)
        inside = (depth + np.float32(0.3) * rough[box] > 0) & workable[box]
        grown = area + int(np.count_nonzero(inside & ~changed[box]))
        if area < grown <= 1.1 * wanted and not _cut_off(inside, box, ground.cover.shape):
            patches.append(_patch(rng, kind, box, inside, rise))
            changed[box] |= inside
            area = grown
    return patches


def _cut_off(inside: NDArray[np.bool_], box: Box, shape: tuple[int, ...]) -> bool:
    """Return whether a patch runs into the edge of its box, which would give it a straight side."""
    low = any(side.start > 0 and np.take(inside, 0, axis).any() for axis, side in enumerate(box))
    return low or any(side.stop < shape[axis] and np.take(inside, -1, axis).any() for axis, side in enumerate(box))


def _patch(rng: np.random.Generator, kind: str, box: Box, inside: NDArray[np.bool_], rise: FloatArray) -> Patch:
    quiet = rng.random() < QUIET_SHARE
    offset = rng.uniform(-QUIET_DB, QUIET_DB) if quiet else rng.choice((-1, 1)) * rng.uniform(QUIET_DB, LOUDEST_DB)
    coherence = float(rng.uniform(LOWEST_COHERENCE, HIGHEST_COHERENCE))
    # New relief would light up a quiet patch's slopes, so its terrain stays.
    rise = np.where(inside, np.float32(0 if quiet else 1) * rise, np.float32(0))
    return Patch(kind, box, inside, rise, float(offset), coherence)


def _cut(rng: np.random.Generator, ground: Ground) -> _Shape:
    """Dig along one or two benches: the face moves into the wall."""
    pit = _one_of(rng, ground.pits)
    box, along, across = _on_bench(rng, pit, length := pit.outline.radius_px * rng.uniform(0.12, 0.42))
    half = pit.bench_px * float(rng.choice((0.5, 1.0)))
    depth = 1 - (along / length) ** 4 - ((across - half) / (1.1 * half)) ** 4
    return box, depth, (-11 * np.clip(2 * depth, 0, 1)).astype(np.float32)


def _blast(rng: np.random.Generator, ground: Ground) -> _Shape:
    """Break a bench: a muck pile lies over it."""
    pit = _one_of(rng, ground.pits)
    box, along, across = _on_bench(rng, pit, length := pit.outline.radius_px * rng.uniform(0.08, 0.2))
    half = pit.bench_px * 0.9
    depth = 1 - (along / length) ** 2 - ((across - 0.6 * half) / half) ** 2
    return box, depth, np.float32(7) * np.clip(depth, 0, 1) * (1 + np.float32(0.5) * ground.warp[box])


def _slump(rng: np.random.Generator, ground: Ground) -> _Shape:
    """Let a wall fail: a tongue across several benches, wider at its foot."""
    pit = _one_of(rng, ground.pits)
    length = pit.bench_px * rng.uniform(1.5, 2.5)
    box, along, across = _on_bench(rng, pit, 2.2 * length)
    width = pit.bench_px * np.clip(1.1 + 0.5 * across / length, 0.5, 2)
    depth = 1 - (along / width) ** 2 - (across / length) ** 4
    return box, depth, np.float32(-6) * np.clip(depth, 0, 1) * np.sign(-across)


def _lobe(rng: np.random.Generator, ground: Ground) -> _Shape:
    """Tip waste over the edge of a dump: a lobe grows outwards."""
    dump = _one_of(rng, ground.dumps)
    size = dump.outline.radius_px
    length, reach = size * rng.uniform(0.15, 0.45), size * rng.uniform(0.1, 0.2)
    box, along, across = _on_ring(dump.outline, rng.normal(dump.active, 0.45), 0.0, length + reach)
    depth = 1 - (along / length) ** 2 - ((across + 0.2 * reach) / reach) ** 2
    return box, depth, (12 * np.clip(1.5 * depth, 0, 1)).astype(np.float32)


def _heaps(rng: np.random.Generator, ground: Ground) -> _Shape:
    """Set truckloads side by side on top of a dump."""
    dump = _one_of(rng, ground.dumps)
    size = dump.outline.radius_px
    length, reach = size * rng.uniform(0.12, 0.35), size * rng.uniform(0.1, 0.25)
    level = size * rng.uniform(0.3, 0.8)
    box, along, across = _on_ring(dump.outline, rng.normal(dump.active, 1.0), level, length + reach)
    depth = 1 - (along / length) ** 4 - ((across - level) / reach) ** 4
    heaps = np.cos(1.1 * along) * np.cos(1.1 * across)
    return box, depth, (2.5 * heaps * np.clip(3 * depth, 0, 1)).astype(np.float32)


_KINDS: dict[str, tuple[float, Callable[[np.random.Generator, Ground], _Shape]]] = {
    "cut": (0.36, _cut),
    "blast": (0.2, _blast),
    "slump": (0.08, _slump),
    "lobe": (0.22, _lobe),
    "heaps": (0.14, _heaps),
}


def _one_of(rng: np.random.Generator, places: list[_Place]) -> _Place:
    return places[int(rng.integers(len(places)))]


def _on_bench(rng: np.random.Generator, pit: Pit, reach_px: float) -> _Arc:
    """Choose a place on a bench, three times in four in the active sector; `across` is 0 at the top of its face."""
    sector = rng.normal(pit.active, 0.4) if rng.random() < 0.75 else rng.uniform(-math.pi, math.pi)
    level = float(rng.integers(pit.benches)) * pit.bench_px
    box, along, across = _on_ring(pit.outline, sector, level, reach_px + 2 * pit.bench_px)
    return box, along, across - np.float32(level)


def _on_ring(shape: Outline, sector: float, level_px: float, reach_px: float) -> _Arc:
    """Return coordinates along and across a ring of an outline, within reach of where it meets a direction."""
    # Every fourth pixel is enough to place the box.
    coarse = (slice(None, None, 4), slice(None, None, 4))
    turn = np.abs(_wrapped(shape.angle[coarse] - np.float32(sector))) * np.float32(shape.radius_px)
    miss = turn + np.abs(shape.inward_px[coarse] - np.float32(level_px))
    row, column = (4.0 * float(at) for at in np.unravel_index(int(np.argmin(miss)), miss.shape))
    # Room for the rough edge of a patch, and for rings that are no circles.
    part = box_around((shape.angle.shape[0], shape.angle.shape[1]), (row, column), 1.7 * reach_px)
    along = _wrapped(shape.angle[part] - np.float32(sector)) * shape.distance_px[part]
    top, left = shape.box[0].start, shape.box[1].start
    box = (
        slice(top + part[0].start, top + part[0].stop),
        slice(left + part[1].start, left + part[1].stop),
    )
    return box, along.astype(np.float32), shape.inward_px[part]


def _wrapped(angle: FloatArray) -> FloatArray:
    return np.asarray((angle + np.float32(math.pi)) % np.float32(2 * math.pi) - np.float32(math.pi), np.float32)
