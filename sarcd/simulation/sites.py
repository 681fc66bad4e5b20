"""Simulated sites as scenes: three mines with truth, and random variants, in memory or streamed to a store."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from sarcd import schema
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import OptionError
from sarcd.simulation.core.classes import Cover
from sarcd.simulation.core.fields import RandomStreams
from sarcd.simulation.core.options import SITES, SiteOptions, varied, with_settings
from sarcd.simulation.core.parts import Part, parts, simulate_arrays
from sarcd.simulation.core.phase import WAVELENGTH_M
from sarcd.simulation.core.projection import LAYOVER, SHADOW
from sarcd.simulation.core.pseudo import Pseudo
from sarcd.store.create import NewScene, SceneLayout

SiteName = Literal["A", "B", "C"]

__all__ = ["FIRST_DATE", "SITES", "SiteName", "SiteOptions", "simulate", "varied", "with_settings", "write_site"]

FIRST_DATE = {"A": "2023-03-04T05:43:00", "B": "2023-05-17T16:52:00", "C": "2023-06-09T05:31:00"}


def simulate(
    name: SiteName | SiteOptions = "A",
    *,
    size: int | tuple[int, int] = 1024,
    seed: int = 0,
    dates: int = 2,
    interval_days: float | Sequence[float] = 11,
    truth: bool = False,
    invalid: bool = False,
) -> xr.Dataset:
    """Simulate a site as a scene in memory.

    A and C are imaged from an ascending orbit, B from a descending one and with the most varied land cover; their
    calibration, noise and sampling also differ. Labels mark changes of interest only: wet ground, vegetation, water,
    traffic and vehicles lose coherence or change intensity without being labelled.

    Parameters
    ----------
    name : {"A", "B", "C"} or SiteOptions
        Name of a site, or your own: ``dataclasses.replace(SITES["A"], incidence_deg=28.0)``, or `varied`.
    size : int or (y, x)
        Size in pixels, 64 or more per side. A small scene lies near a change; from 640 on scenes hold whole mines.
    seed : int
        The same seed gives the same bytes; another seed gives another mine of the same kind.
    dates : int
        Number of images, 2 or more.
    interval_days : float or sequence of float
        Days between images: one for all, or one for each step.
    truth : bool
        Add layers that only a simulation can provide: `true_coherence` (pair, y, x) float32, `pseudo_change`
        (pair, y, x) uint8 and `land_cover` (y, x) uint8.
    invalid : bool
        Leave a border and a hole without data, as coregistration does.

    Returns
    -------
    xr.Dataset
        `slc` (time, y, x) complex64, linear amplitude; `label` (pair, y, x) uint8, 255 on layover and shadow, for pairs
        of consecutive dates; `mask` (y, x) uint8, 1 layover and 2 shadow at any date. y is azimuth and x is slant
        range, pixel centres in metres.

    Raises
    ------
    OptionError
        If the site is unknown, or size, dates or intervals cannot be used.

    Examples
    --------
    >>> scene = simulate("B", size=64, seed=1)
    >>> scene["slc"].dims, scene["slc"].shape, bool((scene["label"] == 1).any())
    (('time', 'y', 'x'), (2, 64, 64), True)
    """
    options, shape, days = _options(name), _shape(size), _days(dates, interval_days)
    scene = simulate_arrays(options, shape, days, seed=seed)
    if invalid:
        _cut(scene, options, shape, seed)
    times = _times(options, days)
    layers = {"slc": scene.slc, "label": scene.label, "mask": scene.mask}
    if truth:
        layers["true_coherence"] = scene.coherence
    dataset = xr.Dataset(
        {key: (schema.VARIABLES[key].dims, array, _attrs(key)) for key, array in layers.items()},
        coords={
            "time": times,
            "before": ("pair", times[:-1]),
            "after": ("pair", times[1:]),
            "y": ("y", _side(options, shape, 0), {"units": "m", "long_name": "azimuth"}),
            "x": ("x", _side(options, shape, 1), {"units": "m", "long_name": "slant range"}),
            "spatial_ref": ((), np.int64(0)),
        },
        attrs={"sarcd_schema": schema.VERSION, **_facts(options, seed)},
    )
    if truth:
        dataset["pseudo_change"] = ("pair", "y", "x"), scene.pseudo_change, _flags("pseudo-change", Pseudo)
        dataset["land_cover"] = ("y", "x"), scene.cover, _flags("land cover at the first date", Cover)
    for array in dataset.data_vars.values():
        array.attrs["grid_mapping"] = "spatial_ref"
    return dataset


def write_site(
    path: str | Path,
    name: SiteName | SiteOptions = "A",
    *,
    size: int | tuple[int, int] = 1024,
    seed: int = 0,
    dates: int = 2,
    interval_days: float | Sequence[float] = 11,
    overwrite: bool = False,
    progress: Progress = silent,
) -> dict[str, float]:
    """Simulate a site into a new store, part by part, so that memory does not grow with the scene.

    The store has the images, `label`, `mask` and `true_coherence`, with the same bytes as `simulate`.

    Parameters
    ----------
    path : str or Path
        Path or URL of the store, which appears there once it is complete.
    name, size, seed, dates, interval_days
        As in `simulate`.
    overwrite : bool
        Replace an existing scene.
    progress : callable
        Called with a description and a total; returns a context manager whose value is called with each advance.

    Returns
    -------
    dict
        `changed_fraction` of the pixels that are not masked, and `masked_fraction` of all pixels, over all pairs.

    Raises
    ------
    OptionError
        If the site is unknown, or size, dates or intervals cannot be used.
    StoreError
        If `path` exists already.
    """
    options, shape, days = _options(name), _shape(size), _days(dates, interval_days)
    times = _times(options, days)
    layout = SceneLayout(
        times=times,
        y=_side(options, shape, 0),
        x=_side(options, shape, 1),
        attrs=_facts(options, seed),
        y_attrs={"units": "m", "long_name": "azimuth"},
        x_attrs={"units": "m", "long_name": "slant range"},
    )
    pairs, counts = len(days) - 1, np.zeros(3, np.int64)
    making = parts(options, shape, days, seed=seed, part_px=schema.CHUNK)
    first = next(making)  # invalid options are rejected before a store is created
    new = NewScene(path, layout, overwrite=overwrite)
    with new as store:
        new.create_image(store, "label", pairs, {schema.COMPLETE: [True] * pairs})
        new.create_image(store, "true_coherence", pairs, {schema.COMPLETE: [True] * pairs})
        chunks = [min(schema.CHUNK, side) for side in shape]
        store.create("mask", shape, {schema.COMPLETE: [True], **_attrs("mask")}, chunks=chunks)
        targets = {key: store.array(key) for key in ("slc", "label", "true_coherence", "mask")}
        with progress("simulate", math.prod(shape)) as advance:
            for part in chain((first,), making):
                for key, layers in (("slc", part.slc), ("label", part.label), ("true_coherence", part.coherence)):
                    for number, layer in enumerate(layers):
                        targets[key][number, part.y, part.x] = layer
                targets["mask"][part.y, part.x] = part.mask
                counts += [(part.label == 1).sum(), (part.label == schema.NO_LABEL).sum(), part.label.size]
                advance(part.mask.size)
    changed, masked, total = (int(count) for count in counts)
    return {"changed_fraction": changed / max(total - masked, 1), "masked_fraction": masked / total}


def _options(name: SiteName | SiteOptions) -> SiteOptions:
    if isinstance(name, SiteOptions):
        return name
    if name not in get_args(SiteName):
        raise OptionError(f"unknown site {name!r}", option="site", hint=f"use one of {', '.join(get_args(SiteName))}")
    return SITES[name]


def _shape(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (y, x) in pixels."""
    sides = np.atleast_1d(size)
    if sides.size not in (1, 2) or sides.dtype.kind not in "iu":
        raise OptionError(f"invalid size {size!r}", option="size", hint="use one whole number of pixels, or (y, x)")
    return int(sides[0]), int(sides[-1])


def _days(dates: int, interval_days: float | Sequence[float]) -> tuple[float, ...]:
    """Return the dates in days after the first."""
    if dates < 2:
        raise OptionError(f"a pair needs two dates, got {dates}", option="dates", hint="use 2 or more")
    steps = [float(step) for step in np.atleast_1d(interval_days)]
    if np.ndim(interval_days) == 0:
        steps *= dates - 1
    if len(steps) != dates - 1:
        raise OptionError(
            f"got {len(steps)} intervals for {dates} dates", option="interval_days", hint=f"give one, or {dates - 1}"
        )
    if any(not step > 0 for step in steps):
        raise OptionError("an interval is not above 0 days", option="interval_days", hint="use positive numbers")
    return (0.0, *(float(day) for day in np.cumsum(steps)))


def _times(options: SiteOptions, days: tuple[float, ...]) -> NDArray[np.datetime64]:
    start = np.datetime64(FIRST_DATE.get(options.site, "2023-01-10T06:00:00"), "us")
    return np.asarray(start + np.round(np.array(days) * 86_400e6).astype("timedelta64[us]"))


def _side(options: SiteOptions, shape: tuple[int, int], axis: int) -> NDArray[np.float64]:
    return np.asarray((np.arange(shape[axis]) + 0.5) * _spacing_m(options)[axis], np.float64)


def _spacing_m(options: SiteOptions) -> list[float]:
    """Return the spacing along azimuth and slant range."""
    return [options.spacing_m, options.spacing_m * math.sin(math.radians(options.incidence_deg))]


def _facts(options: SiteOptions, seed: int) -> dict[str, Any]:
    return {
        "simulated": "true",
        "site": options.site,
        "seed": int(seed),
        "wavelength_m": WAVELENGTH_M,
        "spacing_m": _spacing_m(options),
        "incidence_deg": options.incidence_deg,
        "orbit": "ascending" if options.look == "right" else "descending",
    }


def _attrs(name: str) -> dict[str, Any]:
    attrs = schema.VARIABLES[name].attrs()
    if name == "mask":
        attrs |= {"flag_masks": [LAYOVER, SHADOW], "flag_meanings": "layover shadow"}
    return attrs


def _flags(long_name: str, classes: type[Cover] | type[Pseudo]) -> dict[str, object]:
    return {
        "long_name": long_name,
        "units": "1",
        "flag_values": [int(item) for item in classes],
        "flag_meanings": " ".join(item.name.lower() for item in classes),
    }


def _cut(scene: Part, options: SiteOptions, shape: tuple[int, int], seed: int) -> None:
    """Remove the data of a slanting border and of a hole, in place, as coregistration leaves them."""
    rng = RandomStreams(seed, options.site).stream("no data")
    height, width = shape
    y, x = np.ogrid[:height, :width]
    slant = rng.uniform(0.02, 0.05) * width * (0.3 + 0.7 * y / height)
    middle = rng.uniform(0.25, 0.75, 2) * shape
    radius = rng.uniform(0.03, 0.06) * min(shape)
    gone = (x < slant) | (np.hypot(y - middle[0], x - middle[1]) < radius)
    scene.slc[:, gone] = complex(np.nan, np.nan)
    scene.label[:, gone], scene.coherence[:, gone], scene.pseudo_change[:, gone] = schema.NO_LABEL, np.nan, 0
