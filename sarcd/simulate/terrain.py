"""What slopes do to brightness under a side-looking radar."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sarcd.simulate.fields import FloatArray

Look = Literal["right", "left"]
"""Which way along x the radar looks: towards growing x ("right") or falling x ("left")."""

BRIGHTEST_DB, DARKEST_DB = 6.0, -13.0


def slope_gain_db(
    height_m: FloatArray, *, spacing_m: float, incidence_deg: float, look: Look, power: float = 1.5
) -> FloatArray:
    """Return how much brighter each slope is than flat ground, dB.

    ``cos^power`` of the local incidence angle in the range plane, times the ground that foreshortening packs into a
    range cell, ``sin(incidence) / sin(local incidence)``; limited at `BRIGHTEST_DB` and `DARKEST_DB`, where layover
    and shadow would begin.

    Parameters
    ----------
    height_m : (Y, X) float32
        Terrain height, metres.
    spacing_m : float
        Ground spacing of the pixels along x, metres.
    incidence_deg : float
        Incidence angle on flat ground, degrees.
    look : {"right", "left"}
        Direction along x in which the radar looks.
    power : float
        Exponent of the cosine.

    Returns
    -------
    (Y, X) float32, dB

    Examples
    --------
    >>> ramp = np.repeat(np.arange(8, dtype=np.float32)[None], 3, axis=0)  # rises with x: faces a radar on the left
    >>> gain = slope_gain_db(ramp, spacing_m=3.0, incidence_deg=35, look="right")
    >>> bool((gain > 0).all())
    True
    """
    rise = np.gradient(height_m, axis=1) if height_m.shape[1] > 1 else np.zeros_like(height_m)
    towards = rise / np.float32(spacing_m if look == "right" else -spacing_m)
    flat = np.deg2rad(incidence_deg)
    # cos and sin of (incidence - slope angle), without the angle itself
    length = np.sqrt(1 + towards**2)
    cosine = (np.cos(flat) + towards * np.sin(flat)) / length
    sine = np.abs(np.sin(flat) - towards * np.cos(flat)) / length
    ratio = np.maximum(cosine / np.cos(flat), 1e-3) ** power * (np.sin(flat) / np.maximum(sine, 0.1))
    return np.asarray(np.clip(10 * np.log10(ratio), DARKEST_DB, BRIGHTEST_DB), np.float32)
