"""What a simulated scene is made of: the site, and the radar that watches it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sarcd.errors import OptionError
from sarcd.simulate.fields import Shape
from sarcd.simulate.landcover import LandMix
from sarcd.simulate.terrain import Look

SMALLEST = 64
"""Least side of a scene in pixels: below it there is no room for a mine."""


@dataclass(frozen=True)
class SceneOptions:
    """A site and the radar that watches it.

    Parameters
    ----------
    site : str
        Name, part of every random stream.
    shape : (Y, X)
        Size in pixels.
    days : tuple of float
        Dates, days after the first.
    mix : LandMix
        Land cover.
    change_share : (float, float)
        Between these shares of the pixels hold a change of interest in a pair.
    moist_share : (float, float)
        Between these shares of the porous ground are wet at a date after the first.
    vehicles : float
        Vehicles a million pixels and date.
    gain_db, noise_db : float
        Calibration of the images and noise-equivalent sigma nought (before gain), dB.
    incidence_deg : float
        On flat ground.
    look : {"right", "left"}
        Direction along x in which the radar looks.
    oversampling : (y, x)
        Sampling rate over bandwidth.
    spacing_m : float
        Ground spacing of the pixels, metres.
    ramp : (y, x)
        Residual phase ramp from one date to the next, cycles a pixel.
    invalid : bool
        Whether a border and a hole of the scene are without data, as after coregistration.
    """

    site: str
    shape: Shape
    days: tuple[float, ...]
    mix: LandMix = field(default_factory=LandMix)
    change_share: tuple[float, float] = (0.04, 0.055)
    moist_share: tuple[float, float] = (0.12, 0.2)
    vehicles: float = 60.0
    gain_db: float = 0.0
    noise_db: float = -21.0
    incidence_deg: float = 35.0
    look: Look = "right"
    oversampling: tuple[float, float] = (1.2, 1.2)
    spacing_m: float = 2.5
    ramp: tuple[float, float] = (0.002, -0.001)
    invalid: bool = False

    def __post_init__(self) -> None:
        if min(self.shape) < SMALLEST:
            raise OptionError(f"scene of {self.shape} pixels", where="size", mend=f"use {SMALLEST} or more a side")
        if len(self.days) < 2 or any(late <= early for early, late in zip(self.days, self.days[1:], strict=False)):
            raise OptionError("a pair needs two dates, in order", where="days", mend="use rising numbers")
