"""Changes of interest that a mine has between two dates: which, where, how large and how bright; drawn by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sarcd.simulation.core.fields import Dice
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.outlines import Point
from sarcd.simulation.core.plan import Mine

LOWEST_COHERENCE, HIGHEST_COHERENCE = 0.0, 0.1
"""Coherence over ground that was moved."""

QUIET_DB, LOUDEST_DB = 1.0, 4.0
"""Quiet changes stay within the first, so that amplitude alone cannot find them; none is drawn beyond the second."""

KINDS = {"cut": 0.34, "blast": 0.18, "slump": 0.1, "lobe": 0.2, "heaps": 0.1, "tailings": 0.08}
"""How often each kind of change is drawn."""


@dataclass(frozen=True)
class Edit:
    """One change of interest between two dates.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    cell : (int, int)
        Of the mine.
    host : int
        -1 for the mine's pit, -2 for its pond, else the number of its dump.
    centre : (y, x)
        On the ground, pixels.
    sector : float
        Direction from the host's centre, radians; along the pond, pixels.
    level_px : float
        How far inside the host's edge its middle lies.
    along_px, across_px : float
        Half its length along the edge, half its width across.
    amount : float
        Metres the ground rises (falls, below 0); for cuts and lobes pixels by which the edge moves.
    offset_db : float
        Change of brightness.
    coherence : float
        That is left.
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
        """Return a distance from the centre beyond which it changes nothing."""
        return 1.6 * math.hypot(self.along_px, self.across_px) + 24


def draw_edits(dice: Dice, options: SiteOptions, mine: Mine, pair: int) -> list[Edit]:
    """Draw the changes of interest of one mine between two dates.

    Most lie in the active sectors of pit and dumps, as mining does; the first cuts the pit's active wall, always.

    Parameters
    ----------
    dice : Dice
        Random numbers.
    options : SiteOptions
        How many, how large, how quiet.
    mine : Mine
        Where.
    pair : int
        0 between the first two dates.

    Returns
    -------
    list of Edit
        Later ones lie on top of earlier ones.
    """
    rng = dice.stream("changes", *mine.cell, pair)
    number = int(rng.integers(options.changes[0], options.changes[1], endpoint=True))
    edits: list[Edit] = []
    for attempt in range(6 * number):
        if len(edits) == number:
            break
        kind = "cut" if attempt == 0 else str(rng.choice(list(KINDS), p=list(KINDS.values())))
        edit = _draw(rng, mine, kind, options, first=attempt == 0)
        # Objects lie apart, so that each is seen as one.
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
    """Raise a dam and lay the fan of tailings that is spread behind it, away from the water."""
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
