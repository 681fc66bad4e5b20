"""Settings of an evaluation beyond its threshold: intervals, and what makes an object."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sarcd.errors import OptionError

_LEAST_PATCH = 8


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: from patches of ground, since neighbouring pixels tell the same.

    Parameters
    ----------
    resamples : int
        How often the patches are drawn anew.
    patch : int
        Side of a patch in pixels, at least 8; wider than what a change or a false alarm covers as a rule.
    seed : int
        Of the draw.
    level : float
        Share of the resamples that an interval holds, between 0 and 1.

    Raises
    ------
    OptionError
        If a value cannot be used.
    """

    resamples: int = 1000
    patch: int = 256
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise OptionError(f"{self.resamples} resamples", where="bootstrap", mend="use 1000, or leave it out")
        if self.patch < _LEAST_PATCH:
            raise OptionError(f"patch is {self.patch}", where="patch", mend=f"use {_LEAST_PATCH} pixels or more")
        if self.seed < 0:
            raise OptionError(f"seed is {self.seed}", where="seed", mend="use a whole number from 0")
        if not 0 < self.level < 1:
            raise OptionError(f"level is {self.level}", where="level", mend="use a share such as 0.95")


@dataclass(frozen=True)
class ObjectRules:
    """What makes an object, and when it is found.

    Parameters
    ----------
    min_pixels : int
        Judged pixels from which an object counts, real or claimed.
    min_area_m2 : float, optional
        The same as an area, in place of `min_pixels`; the scene must know its pixel spacing.
    min_overlap : float
        Share of a real object that must be claimed for it to be found, 0 to 1; one pixel is the least.

    Raises
    ------
    OptionError
        If a value cannot be used.
    """

    min_pixels: int = 1
    min_area_m2: float | None = None
    min_overlap: float = 0.0

    def __post_init__(self) -> None:
        if self.min_pixels < 1:
            mend = "use a whole number from 1"
            raise OptionError(f"least size of {self.min_pixels} pixels", where="min_pixels", mend=mend)
        if self.min_area_m2 is not None:
            if not 0 < self.min_area_m2 < math.inf:
                mend = "use square metres above 0"
                raise OptionError(f"least area of {self.min_area_m2} m2", where="min_area_m2", mend=mend)
            if self.min_pixels > 1:
                raise OptionError("excludes min_pixels", where="min_area_m2", mend="give one of them")
        if not 0 <= self.min_overlap <= 1:
            mend = "use a share from 0 to 1"
            raise OptionError(f"least overlap is {self.min_overlap}", where="min_overlap", mend=mend)
