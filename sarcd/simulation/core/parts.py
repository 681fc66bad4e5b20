"""A part of a simulated scene: its ground, the changes of the ground, and complex radar images of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from sarcd.errors import OptionError
from sarcd.simulation.core import pseudo
from sarcd.simulation.core.changes import Edit, Moved, apply_edits, draw_edits
from sarcd.simulation.core.classes import table, texture
from sarcd.simulation.core.fields import FloatArray, RandomStreams, Region, Shape
from sarcd.simulation.core.ground import build
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.phase import baselines_m, geometric_loss, phase_of, pull
from sarcd.simulation.core.plan import draw_mine
from sarcd.simulation.core.projection import HIGHEST_M, LOWEST_M, gather, project
from sarcd.simulation.core.pseudo import Pseudo, Targets, Wetness, add_targets, corners, reach_px
from sarcd.simulation.core.speckle import correlate, speckle_over, temporal_table

NO_DATA = 255
"""Label of masked pixels."""

VARIATION = 0.08
"""Relative standard deviation of coherence within a class."""


@dataclass(frozen=True)
class Part:
    """Images of a part of a scene, and the truth.

    Parameters
    ----------
    y, x : slice
        Position in the scene.
    slc : (T, h, w) complex64
        Coregistered single-look complex images, linear amplitude.
    label : (P, h, w) uint8
        1 change of interest, 0 no change, 255 layover or shadow at either date; pairs are consecutive dates.
    mask : (h, w) uint8
        `projection.LAYOVER` and `projection.SHADOW`, at any date.
    coherence : (P, h, w) float32
        Expected total coherence in [0, 1]: of time, changes, geometry, point targets and thermal noise.
    pseudo_change : (P, h, w) uint8
        Kind (`pseudo.Pseudo`) of pseudo-change; never where there is a change of interest.
    cover : (h, w) uint8
        Classes (`classes.Cover`) at the first date.
    power : (T, h, w) float32
        Expected power of the ground without targets, noise and gain, linear.
    """

    y: slice
    x: slice
    slc: NDArray[np.complex64]
    label: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    coherence: FloatArray
    pseudo_change: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    power: FloatArray


class _Spectrum(TypedDict):
    oversampling: tuple[float, float]
    hamming: float


@dataclass
class _Seen:
    """One date in radar geometry."""

    power: FloatArray
    source: NDArray[np.int32]
    flags: NDArray[np.uint8]
    keeps: FloatArray
    wet: NDArray[np.uint8]
    vehicles: Targets


class Making:
    """Simulation of a part of a scene: the ground around it, then each date."""

    def __init__(self, streams: RandomStreams, options: SiteOptions, region: Region, days: NDArray[np.float64]) -> None:
        self.streams, self.options, self.region, self.days = streams, options, region, days
        towards, away = options.view.reach_px()
        if options.look == "left":
            towards, away = away, towards
        # Margin for the point spread of targets beside the part.
        self.reach = reach_px(options.hamming)
        self.land = region.grown(self.reach + 1, towards + self.reach, away + self.reach)
        self.ground = build(streams, options, self.land)
        self.grain = texture(streams, self.land, "texture", 0, cover=self.ground.cover)

    def part(self, y: slice, x: slice) -> Part:
        """Return the part: the changes of the ground from date to date, then the images of it."""
        dates, ground = len(self.days), self.ground
        edits = [
            [edit for mine in ground.mines for edit in draw_edits(self.streams, self.options, mine, pair)]
            for pair in range(dates - 1)
        ]
        cover = ground.cover.copy()
        start_m = ground.height_m.copy()
        state = pseudo.dry(self.land.shape)
        seen: list[_Seen] = []
        moves: list[Moved] = []
        for date in range(dates):
            moved = self._move(edits[date - 1], date) if date else Moved.nothing(self.land.shape)
            if date:
                moves.append(moved)
            # Ground that moves before the next date is dry too: moisture must not add to the intensity of a change.
            still_wet = (state.kind > 0) | moved.changed
            state = pseudo.wetness(self.streams, self.options, self.land, date, ground.cover, still_wet)
            seen.append(self._see(date, state))
        label, left = self._truth(seen, moves)
        first = seen[0]
        at_first = self._gather(cover, first.source)
        slc, coherence, masked = self._images(seen, at_first, start_m, left)
        flags = np.bitwise_or.reduce([date.flags for date in seen])
        kinds = np.stack([self._pseudo(seen, pair, masked) for pair in range(dates - 1)])
        kinds[label == 1] = Pseudo.NONE
        power = np.stack([date.power for date in seen])
        return Part(y, x, slc, label, flags, coherence, kinds, at_first, power)

    def _move(self, edits: list[Edit], date: int) -> Moved:
        """Change the ground before a date, and renew the texture where it was moved."""
        moved = apply_edits(self.ground, edits)
        rows, columns = np.flatnonzero(moved.changed.any(axis=1)), np.flatnonzero(moved.changed.any(axis=0))
        if len(rows):
            box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
            fresh = texture(self.streams, self.land.part(box), "texture", date, cover=self.ground.cover[box])
            np.copyto(self.grain[box], fresh, where=moved.changed[box])
        return moved

    def _see(self, date: int, state: Wetness) -> _Seen:
        """Project the ground of a date."""
        ground, options, region = self.ground, self.options, self.region
        np.clip(ground.height_m, LOWEST_M, HIGHEST_M, out=ground.height_m)
        level = table("sigma0_db") + pseudo.weather_db(self.streams, date)
        power = level[ground.cover]
        power += ground.tone_db
        power += state.offset_db
        power *= np.float32(np.log(10) / 10)
        np.exp(power, out=power)
        power *= self.grain
        inner = slice(self.reach + 1, self.reach + 1 + region.height)
        height, power = ground.height_m[self.reach : self.reach + 2 + region.height], power[inner]
        near, left = region.left - self.land.left, region.left
        if options.look == "left":
            height, power = np.ascontiguousarray(height[:, ::-1]), np.ascontiguousarray(power[:, ::-1])
            near = self.land.left + self.land.width - region.left - region.width
            left = -(region.left + region.width)
        image, source, flags = project(height, power, options.view, near=near, width=region.width, left=left)
        if options.look == "left":
            image, flags = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(flags[:, ::-1])
            source = np.ascontiguousarray(self.land.width - 1 - source[:, ::-1])
        trucks = pseudo.vehicles(self.streams, options, self.land, date, ground.cover)
        return _Seen(
            image,
            source,
            flags,
            self._gather(state.keeps, source),
            self._gather(state.kind, source),
            self._placed(trucks),
        )

    def _gather(self, array: NDArray, source: NDArray[np.int32]) -> NDArray:  # type: ignore[type-arg]
        """Return the values of the ground that contributes most to each pixel of the image."""
        return gather(array, source, self.reach + 1)  # type: ignore[no-any-return]

    def _placed(self, targets: Targets) -> Targets:
        """Return targets at their positions in the image: height displaces them towards the radar."""
        y = np.floor(targets.y).astype(np.int64) - self.land.top
        x = np.floor(targets.x).astype(np.int64) - self.land.left
        inside = (y >= 0) & (y < self.land.height) & (x >= 0) & (x < self.land.width)
        shift = self.ground.height_m[y[inside], x[inside]] * self.options.view.shift_px
        column = targets.x[inside] + (shift if self.options.look == "left" else -shift)
        return Targets(targets.y[inside], column, targets.amplitude[inside])

    def _truth(self, seen: list[_Seen], moves: list[Moved]) -> tuple[NDArray[np.uint8], FloatArray]:
        """Return the label of each pair, and the coherence that moved ground retains."""
        labels, lefts = [], []
        for pair, moved in enumerate(moves):
            before, after = seen[pair], seen[pair + 1]
            changed = np.zeros(self.region.shape, np.uint8)
            left = np.ones(self.region.shape, np.float32)
            for date in (before, after):
                changed |= self._gather(moved.changed, date.source)
                np.minimum(left, self._gather(moved.coherence, date.source), out=left)
            changed[(before.flags | after.flags) != 0] = NO_DATA
            labels.append(changed)
            lefts.append(left)
        return np.stack(labels), np.stack(lefts)

    def _images(
        self, seen: list[_Seen], cover: NDArray[np.uint8], height_m: FloatArray, left: FloatArray
    ) -> tuple[NDArray[np.complex64], FloatArray, list[NDArray[np.bool_]]]:
        """Return the images, the expected coherence of each pair, and where vehicles outshine the ground.

        The order follows the physics, so that no cause of decorrelation is counted twice: band-limited speckle,
        temporal and geometric coherence, texture and backscatter, point targets, phase, thermal noise, gain.
        """
        options, streams, region, dates = self.options, self.streams, self.region, len(self.days)
        spectrum: _Spectrum = {"oversampling": options.oversampling, "hamming": options.hamming}
        slc = np.stack([speckle_over(streams, region, "speckle", date, **spectrum) for date in range(dates)])
        variety = streams.fractal(region, "coherence", coarsest=64, finest=4, roughness=0.6)
        variety = np.clip(1 + np.float32(VARIATION) * variety, 0.75, 1.03)
        baselines = baselines_m(streams, options, dates)
        source = seen[0].source
        here, beyond = (
            self._gather(height_m, np.minimum(source + np.int32(step), np.int32(self.land.width - 1)))
            for step in (0, 1)
        )
        slope = (beyond - here) / np.float32(options.spacing_m if options.look == "right" else -options.spacing_m)
        coherence = correlate(
            slc,
            temporal_table(self.days, level=options.coherence, decay=options.decay),
            cover,
            variety,
            left,
            np.stack([date.keeps for date in seen]),
            geometric_loss(options, baselines),
            pull(slope, options.incidence_deg),
        )
        noise = np.float32(10 ** (options.noise_db / 10))
        gain = np.float32(10 ** (options.gain_db / 20))
        steady = self._placed(corners([yard for mine in self.ground.mines for yard in mine.yards]))
        masked, totals, fixed = [], [], np.zeros(region.shape, np.complex64)
        add_targets(fixed, region, steady, **spectrum)
        for date, one in enumerate(seen):
            image = slc[date]
            image *= np.sqrt(one.power)
            alone = np.zeros(region.shape, np.complex64)
            add_targets(alone, region, one.vehicles, **spectrum)
            outshone = alone.real**2 + alone.imag**2
            image += fixed
            image += alone
            if date:
                image *= phase_of(streams, options, region, date, float(baselines[date]), here)
            hiss = speckle_over(streams, region, "noise", date, **spectrum)
            hiss *= np.sqrt(noise)
            image += hiss
            image *= gain
            masked.append(outshone > one.power)
            totals.append(one.power + outshone + noise)
        lit = fixed.real**2 + fixed.imag**2
        for pair in range(dates - 1):
            shared = coherence[pair] * np.sqrt(seen[pair].power * seen[pair + 1].power) + lit
            coherence[pair] = shared / np.sqrt((totals[pair] + lit) * (totals[pair + 1] + lit))
        return slc, coherence, masked

    def _pseudo(self, seen: list[_Seen], pair: int, masked: list[NDArray[np.bool_]]) -> NDArray[np.uint8]:
        """Return the pseudo-changes of a pair."""
        kind = np.maximum(seen[pair].wet, seen[pair + 1].wet)
        kind[masked[pair] | masked[pair + 1]] = Pseudo.VEHICLE
        return kind


SMALLEST = 64
"""Minimum side of a scene in pixels, below which there is no room for a change."""

PART_PX = 1024
"""Side of the parts in which scenes are simulated. It bounds the memory and does not change any byte."""

CLOSE_UP_PX = 640
"""Scenes with a shorter side are centred near a change of a mine; larger ones on whole mines."""


def parts(
    options: SiteOptions, shape: Shape, days: tuple[float, ...], *, seed: int = 0, part_px: int = PART_PX
) -> Iterator[Part]:
    """Simulate a scene part by part, in rows of parts.

    Parameters
    ----------
    options : SiteOptions
        Site and radar.
    shape : (Y, X)
        Size of the scene in pixels.
    days : tuple of float
        Dates, days after the first.
    seed : int
        The same seed gives the same bytes.
    part_px : int
        Side of a part; it does not change any byte.

    Yields
    ------
    Part

    Raises
    ------
    OptionError
        If the scene is too small, or there are fewer than two days or they are not ascending.
    """
    if min(shape) < SMALLEST:
        raise OptionError(
            f"invalid size of {shape[0]} x {shape[1]} pixels", option="size", hint=f"use {SMALLEST} or more per side"
        )
    if len(days) < 2 or any(late <= early for early, late in pairwise(days)):
        raise OptionError("a pair needs two dates in ascending order", option="days", hint="use ascending numbers")
    streams = RandomStreams(seed, options.site)
    top, left = origin(streams, options, shape)
    for y in range(0, shape[0], part_px):
        for x in range(0, shape[1], part_px):
            region = Region(top + y, left + x, min(part_px, shape[0] - y), min(part_px, shape[1] - x))
            place = slice(y, y + region.height), slice(x, x + region.width)
            yield Making(streams, options, region, np.asarray(days, np.float64)).part(*place)


def simulate_arrays(
    options: SiteOptions, shape: Shape, days: tuple[float, ...], *, seed: int = 0, part_px: int = PART_PX
) -> Part:
    """Simulate a scene in memory; see `parts`."""
    whole: Part | None = None
    for part in parts(options, shape, days, seed=seed, part_px=part_px):
        if part.label.shape[1:] == tuple(shape):
            return part
        if whole is None:
            empty = {
                name: np.empty((*array.shape[:-2], *shape), array.dtype)
                for name, array in vars(part).items()
                if isinstance(array, np.ndarray)
            }
            whole = Part(slice(0, shape[0]), slice(0, shape[1]), **empty)
        for name, array in vars(part).items():
            if isinstance(array, np.ndarray):
                getattr(whole, name)[..., part.y, part.x] = array
    assert whole is not None  # a scene has pixels
    return whole


def origin(streams: RandomStreams, options: SiteOptions, shape: Shape) -> tuple[int, int]:
    """Return the origin of a scene in the plane: around whole mines or, for a small scene, near a change."""
    if min(shape) >= CLOSE_UP_PX:
        cells = [max(1, round(size / options.cell_px)) for size in shape]
        top, left = ((number * options.cell_px - size) // 2 for number, size in zip(cells, shape, strict=True))
        return top, left
    mine = draw_mine(streams, options, 0, 0)
    edits = draw_edits(streams, options, mine, 0)
    middle = mine.pit.outline.centre
    y, x = edits[0].centre if edits else middle
    depth = edits[0].level_px / mine.pit.bench_px * mine.pit.bench_m if edits else 0.0
    shift = (depth - mine.pit.rim_m) * options.view.shift_px
    x += shift if options.look == "right" else -shift
    # The change lies in a corner, and the pit in the rest.
    aside_y, aside_x = (size // 2 - min(size // 4, 40) for size in shape)
    y, x = y + math.copysign(aside_y, middle[0] - y), x + math.copysign(aside_x, middle[1] - x)
    return round(y) - shape[0] // 2, round(x) - shape[1] // 2
