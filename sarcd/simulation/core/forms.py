"""The forms of a mine: heights and classes of pits, dumps and ponds by how far inside their edge a pixel lies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sarcd.simulation.core.fields import FloatArray, Region
from sarcd.simulation.core.outlines import turned
from sarcd.simulation.core.plan import Dump, Pit, Pond

FACE_DEG, DUMP_DEG = 65.0, 37.0
"""Slopes of bench faces, and of tipped waste (its angle of repose)."""

LIFT_PX = 0.35
"""The second lift of a dump begins at this share of its radius."""


def stairs_m(pit: Pit, inward_px: FloatArray, spacing_m: float) -> FloatArray:
    """Return the height of a pit's benches at so many pixels inside its rim; it goes on rising outside."""
    face_px = np.float32(pit.bench_m / math.tan(math.radians(FACE_DEG)) / spacing_m)
    steps = np.minimum(inward_px / np.float32(pit.bench_px), np.float32(pit.benches))
    whole = np.floor(steps)
    fall = whole + np.minimum((steps - whole) * np.float32(pit.bench_px) / face_px, 1)
    return np.asarray(np.float32(pit.rim_m) - np.float32(pit.bench_m) * np.minimum(fall, pit.benches), np.float32)


def classes_of(pit: Pit, inward_px: FloatArray, spacing_m: float) -> tuple[NDArray[np.bool_], FloatArray]:
    """Return where a pit has faces, and the brightness of the rock of its benches, dB."""
    face_px = max(pit.bench_m / math.tan(math.radians(FACE_DEG)) / spacing_m, 1.5)
    steps = inward_px / np.float32(pit.bench_px)
    whole = np.floor(steps)
    face = ((steps - whole) * np.float32(pit.bench_px) < face_px) & (steps < pit.benches)
    return face, pit.tone_db[np.clip(whole, 0, len(pit.tone_db) - 1).astype(np.int64)]


def heap_m(dump: Dump, inward_px: FloatArray, spacing_m: float) -> FloatArray:
    """Return the height of a dump at so many pixels inside its edge: two lifts with slopes at the angle of repose."""
    rise = np.float32(math.tan(math.radians(DUMP_DEG)) * spacing_m)
    lift = np.float32(dump.lift_m)
    second = inward_px - np.float32(LIFT_PX * dump.outline.radius_px)
    return np.asarray(
        np.float32(dump.base_m) + np.minimum(rise * inward_px, lift) + np.clip(rise * second, 0, lift), np.float32
    )


def pond_frame(pond: Pond, region: Region, warp: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return coordinates along and across a pond, and how far inside its edge each pixel lies, all in pixels."""
    along, across = turned(region, pond.centre, pond.turn)
    edge = np.minimum(np.float32(pond.long_px) - np.abs(along), np.float32(pond.short_px) - np.abs(across))
    return along, across, np.asarray(edge + 3 * warp, np.float32)
