"""Simulated sites as scenes: three mines with truth, for the demo, tests, benchmarks and first steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.simulate.classes import Cover
from sarcd.simulate.landcover import LandMix
from sarcd.simulate.options import SceneOptions
from sarcd.simulate.pseudo import Pseudo
from sarcd.simulate.scene import SimulatedScene, simulate

SiteName = Literal["A", "B", "C"]

WAVELENGTH_M = 0.0311
"""X-band."""

FIRST_DATE = {"A": "2023-03-04T05:43:00", "B": "2023-05-17T16:52:00", "C": "2023-06-09T05:31:00"}

_PAIR = (0.0, 11.0)
SITES: dict[str, SceneOptions] = {
    # Arid, one large pit, seen ascending.
    "A": SceneOptions(site="A", shape=(1024, 1024), days=_PAIR, mix=LandMix(vegetation=0.3, water=0.02)),
    # Farmland, a river and a town: the most varied, seen descending, brighter and noisier.
    "B": SceneOptions(
        site="B",
        shape=(1024, 1024),
        days=_PAIR,
        mix=LandMix(
            vegetation=0.3, water=0.03, fields=0.35, river=True, town=True, pit=0.22, dump=0.12, wet=0.6, relief_m=15.0
        ),
        moist_share=(0.14, 0.24),
        vehicles=90.0,
        gain_db=6.0,
        noise_db=-19.5,
        incidence_deg=29.0,
        look="left",
        oversampling=(1.3, 1.15),
        spacing_m=3.0,
        ramp=(-0.001, 0.003),
    ),
    # Wooded hills with lakes, seen ascending at a flat angle, darker.
    "C": SceneOptions(
        site="C",
        shape=(1024, 1024),
        days=_PAIR,
        mix=LandMix(vegetation=0.5, water=0.05, pit=0.25, dump=0.14, tailings=0.13, wet=0.35, relief_m=40.0),
        moist_share=(0.1, 0.2),
        vehicles=45.0,
        gain_db=-4.0,
        noise_db=-22.5,
        incidence_deg=42.0,
        oversampling=(1.15, 1.35),
        spacing_m=2.2,
        ramp=(0.001, 0.001),
    ),
}
"""The sites at their default size and dates."""


def site(
    name: SiteName = "A",
    *,
    size: int | tuple[int, int] = 1024,
    seed: int = 0,
    dates: int = 2,
    interval_days: float | Sequence[float] = 11,
    truth: bool = False,
    invalid: bool = False,
) -> xr.Dataset:
    """Simulate a site as a scene in memory.

    A and C are seen from an ascending orbit, B from a descending one and with the most varied land cover; their
    calibration, noise and sampling differ too. Labels mark changes of interest only: wet ground, vegetation, water,
    traffic and vehicles lose coherence or change brightness without being labelled.

    Parameters
    ----------
    name : {"A", "B", "C"}
        Which site.
    size : int or (y, x)
        In pixels, 64 or more a side; about one mine to each 1024 x 1024.
    seed : int
        The same seed gives the same bytes; another seed, another mine of the same kind.
    dates : int
        Number of images, 2 or more.
    interval_days : float or sequence of float
        Days between images: one for all, or one for each step.
    truth : bool
        Add what only a simulation knows: `true_coherence` (pair, y, x) float32, `pseudo_change` (pair, y, x) uint8
        and `land_cover` (y, x) uint8.
    invalid : bool
        Leave a border and a hole without data, as coregistration does.

    Returns
    -------
    xr.Dataset
        `slc` (time, y, x) complex64, linear amplitude, and `label` (pair, y, x) uint8, pairs being consecutive dates;
        y is azimuth and x is ground range, pixel centres in metres.

    Raises
    ------
    OptionError
        If the site is unknown, or size, dates or intervals cannot be used.

    Examples
    --------
    >>> scene = site("B", size=64, seed=1)
    >>> scene["slc"].dims, scene["slc"].shape, float(scene["label"].max())
    (('time', 'y', 'x'), (2, 64, 64), 1.0)
    """
    if name not in get_args(SiteName):
        raise OptionError(f"no site {name!r}", where="site", mend=f"use one of {', '.join(get_args(SiteName))}")
    shape = _shape(size)
    days = _days(dates, interval_days)
    options = replace(SITES[name], shape=shape, days=days, invalid=invalid)
    scene = simulate(options, seed=seed)

    start = np.datetime64(FIRST_DATE[name], "us")
    times = start + np.round(np.array(days) * 86_400e6).astype("timedelta64[us]")
    spacing = options.spacing_m
    dataset = xr.Dataset(
        {
            "slc": (schema.VARIABLES["slc"].dims, scene.slc, schema.VARIABLES["slc"].attrs()),
            "label": (schema.VARIABLES["label"].dims, scene.label, schema.VARIABLES["label"].attrs()),
        },
        coords={
            "time": times,
            "before": ("pair", times[:-1]),
            "after": ("pair", times[1:]),
            "y": ("y", (np.arange(shape[0]) + 0.5) * spacing, {"units": "m", "long_name": "azimuth"}),
            "x": ("x", (np.arange(shape[1]) + 0.5) * spacing, {"units": "m", "long_name": "ground range"}),
            "spatial_ref": ((), np.int64(0)),
        },
        attrs={
            "sarcd_schema": schema.VERSION,
            "simulated": "true",
            "site": name,
            "seed": int(seed),
            "wavelength_m": WAVELENGTH_M,
            "spacing_m": [spacing, spacing],
            "incidence_deg": options.incidence_deg,
            "orbit": "ascending" if options.look == "right" else "descending",
        },
    )
    if truth:
        dataset = dataset.assign(_truth(scene))
    for array in dataset.data_vars.values():
        array.attrs["grid_mapping"] = "spatial_ref"
    return dataset


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (y, x) in pixels."""
    sides = np.atleast_1d(size)
    if sides.size not in (1, 2) or sides.dtype.kind not in "iu":
        raise OptionError(f"size is {size!r}", where="size", mend="use one whole number of pixels, or (y, x)")
    return int(sides[0]), int(sides[-1])


def _days(dates: int, interval_days: float | Sequence[float]) -> tuple[float, ...]:
    """Return the dates in days after the first."""
    if dates < 2:
        raise OptionError(f"{dates} date makes no pair", where="dates", mend="use 2 or more")
    steps = [float(step) for step in np.atleast_1d(interval_days)]
    if np.ndim(interval_days) == 0:
        steps *= dates - 1
    if len(steps) != dates - 1:
        raise OptionError(
            f"{len(steps)} intervals for {dates} dates", where="interval_days", mend=f"give one, or {dates - 1}"
        )
    if any(not step > 0 for step in steps):
        raise OptionError("an interval is not above 0 days", where="interval_days", mend="use positive numbers")
    return (0.0, *(float(day) for day in np.cumsum(steps)))


def _truth(scene: SimulatedScene) -> dict[str, xr.Variable]:
    """Return what only a simulation knows."""
    return {
        "true_coherence": xr.Variable(
            ("pair", "y", "x"), scene.coherence, {"long_name": "expected coherence, 0 to 1", "units": "1"}
        ),
        "pseudo_change": xr.Variable(
            ("pair", "y", "x"), scene.pseudo_change, {"long_name": "pseudo-change", "units": "1", **_flags(Pseudo)}
        ),
        "land_cover": xr.Variable(
            ("y", "x"), scene.cover, {"long_name": "land cover before the first date", "units": "1", **_flags(Cover)}
        ),
    }


def _flags(classes: type[Cover] | type[Pseudo]) -> dict[str, object]:
    return {
        "flag_values": [int(item) for item in classes],
        "flag_meanings": " ".join(item.name.lower() for item in classes),
    }
