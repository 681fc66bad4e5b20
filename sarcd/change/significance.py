"""Shared parts of the change tests: looks of their windows, the layers of a pair, and the layout of a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.pair_scores import WindowLooks
from sarcd.config import Window
from sarcd.engine.lazy import is_lazy, made_by_attrs, paired_array, pointwise, stack
from sarcd.errors import OptionError
from sarcd.estimation.looks import looks_sample, measure_correlation, no_looks

FALSE_ALARMS = "false_alarms"
"""Attribute of a result: its false-alarm rate."""


def check_rate(false_alarms: float) -> float:
    """Validate and return a false-alarm rate.

    Raises
    ------
    OptionError
        If it is not above 0 and below 1/2.
    """
    if not 0 < false_alarms < 0.5:
        raise OptionError(
            f"invalid false-alarm rate {false_alarms}", option="false_alarms", hint="use a rate above 0, such as 0.01"
        )
    return float(false_alarms)


def check_fraction(min_valid: float) -> float:
    """Validate and return a minimum fraction of valid pixels."""
    if not 0 < min_valid <= 1:
        raise OptionError(
            f"invalid fraction of valid pixels {min_valid}", option="min_valid", hint="use a fraction above 0, up to 1"
        )
    return float(min_valid)


def check_two_pixels(window: Window) -> Window:
    """Validate and return a window in which coherence can be estimated."""
    if window.pixels < 2:
        raise OptionError("coherence over one pixel is always 1", option="window", hint="use a window of 3 or more")
    return window


def window_looks(
    scene: xr.Dataset, window: Window, looks: float | WindowLooks | None, false_alarms: float, dates: int = 2
) -> Any:
    """Return the `WindowLooks` of a window: as given, or measured on a sample of the scene (a dask task if lazy).

    Measured looks also apply to tests of that number of dates, if it exceeds 2.

    Raises
    ------
    OptionError
        If the given looks are not above 0, or none are given for amplitude images.
    """
    if isinstance(looks, WindowLooks):
        return looks  # measured before
    if looks is not None:
        if not looks > 0:
            raise OptionError(f"invalid number of looks {looks}", option="looks", hint="use a number above 0")
        return WindowLooks(float(looks), float(looks))
    if "slc" not in scene:
        raise OptionError(
            "the looks of amplitude images are unknown",
            option="looks",
            hint=f"give those of a mean over the window: {window.pixels} times a pixel's if pixels are independent",
        )
    blocks = looks_sample(scene)
    if all(isinstance(block, np.ndarray) for block in blocks):
        return _measure(blocks, window, false_alarms, dates)
    from dask.delayed import delayed

    return delayed(_measure, pure=True)(blocks, window, false_alarms, dates)


def _measure(blocks: Sequence[np.ndarray], window: Window, false_alarms: float, dates: int) -> WindowLooks:
    from sarcd.change.kernels.significance.looks import StackLooks, ratio_looks, stack_looks
    from sarcd.estimation.kernels.looks import floor_looks

    correlation = measure_correlation(blocks, (max(window.y, 2), max(window.x, 2)))
    if correlation is None:
        raise no_looks()
    weights = np.ones(window.y), np.ones(window.x)
    # the last bits depend on the number of threads, but a result must be the same wherever it was made
    stack = None
    if dates > 2:
        found = stack_looks(weights, correlation, dates, false_alarms)
        stack = StackLooks(*(tuple(round(n, 6) for n in looks) for looks in (found.whole, found.one_more)))
    power = ratio_looks(weights, correlation, false_alarms)
    return WindowLooks(round(power, 6), round(floor_looks(weights, correlation), 6), stack)


def decide(scores: xr.DataArray, false_alarms: float, attrs: Mapping[str, Any]) -> xr.DataArray:
    """Threshold scores into `change`: 1 where the p-value is at most the rate, 255 where it is unknown."""
    threshold = np.float32(-np.log10(false_alarms))
    change = pointwise(lambda block: _at_least(block, threshold), scores, dtype=np.uint8).rename("change")
    kept = {key: value for key, value in scores.attrs.items() if key == "grid_mapping"}
    change.attrs = {**schema.variable("change").attrs(), **kept, **attrs}
    return change


def _at_least(block: np.ndarray, threshold: np.float32) -> np.ndarray:
    return np.where(np.isnan(block), schema.NO_LABEL, block >= threshold).astype(np.uint8)


def result_of(
    scene: xr.Dataset,
    operation: str,
    parameters: dict[str, Any],
    layers: Sequence[Any],
    pairs: Sequence[tuple[int, int]],
    looks: Any,
) -> xr.Dataset:
    """Return `change_score` and `change` of pairs from layers (Y, X) of scores."""
    attrs = made_by_attrs(operation, parameters)
    if isinstance(looks, WindowLooks):
        attrs["effective_looks"] = looks.power
    scores = paired_array(scene, "change_score", stack(layers), pairs, attrs)
    scores.attrs["long_name"] = "evidence of change, -log10 of the p-value"
    return xr.Dataset(
        {"change_score": scores, "change": decide(scores, parameters[FALSE_ALARMS], attrs)},
        attrs={FALSE_ALARMS: parameters[FALSE_ALARMS]},
    )


def aligned(images: xr.DataArray, layers: xr.DataArray, name: str, pairs: int) -> list[xr.DataArray]:
    """Return one layer (y, x) per pair of an array (pair, y, x) or (y, x) that matches the images, chunked like them.

    Raises
    ------
    OptionError
        If its shape differs from that of the images.
    """
    wanted = {"y": images.sizes["y"], "x": images.sizes["x"]}
    if {key: layers.sizes.get(key) for key in wanted} != wanted or layers.sizes.get("pair", pairs) != pairs:
        raise OptionError(
            f"{dict(layers.sizes)} does not match {pairs} pairs of {wanted}",
            option=name,
            hint="give one value, or a layer for each pair",
        )
    planes = [layers.isel(pair=i) if "pair" in layers.dims else layers for i in range(pairs)]
    planes = [plane.transpose("y", "x") for plane in planes]
    if any(is_lazy(plane) for plane in planes) or is_lazy(images):
        chunks = {dim: images.chunksizes.get(dim, -1) for dim in ("y", "x")}
        planes = [plane.chunk(chunks) for plane in planes]
    return planes


def parameters_of(
    window: Window, false_alarms: float, min_valid: float, looks: float | None, kind: str | None = None
) -> dict[str, Any]:
    """Return the options of a test as they are recorded with its result."""
    parameters = {
        "window": {"y": window.y, "x": window.x},
        FALSE_ALARMS: check_rate(false_alarms),
        "min_valid": check_fraction(min_valid),
        "looks": looks,
    }
    return parameters if kind is None else parameters | {"kind": kind}
