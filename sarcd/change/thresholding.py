"""Change maps from difference images: a thresholding rule fitted to the whole scene, applied to every part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import parameters_of
from sarcd.change.kernels.thresholds.histogram import Histogram, count_cells, histogram
from sarcd.config.detection import DECISIONS, Decision
from sarcd.engine.lazy import made_by_attrs, stack, window_map
from sarcd.errors import OptionError, StatisticsError
from sarcd.estimation.levels import sample_now

if TYPE_CHECKING:
    from sarcd.change.kernels.thresholds.histogram import Split, Tails
    from sarcd.change.kernels.thresholds.pca_kmeans import BlockSplit

    Rule = Split | BlockSplit

OPTIONS: dict[str, dict[str, float]] = {
    "kmeans": {"classes": 2},
    "hierarchical": {"classes": 2},
    "fuzzy": {"exponent": 1.01},
    "pca_kmeans": {"block": 2, "components": 1},
}
"""Further options of a method, and the minimum of each."""


def decide(
    difference: xr.DataArray,
    *,
    method: Decision = "otsu",
    tails: Tails | None = None,
    pooled: bool = False,
    **options: Any,
) -> xr.DataArray:
    """Threshold difference images into changed and unchanged ground, by the distribution of their values.

    Parameters
    ----------
    difference : (pair, y, x) float32 DataArray
        As returned by `sarcd.change.log_ratio`, larger where more changed, or signed; NaN where invalid. It is read
        immediately, once, one chunk at a time (``pca_kmeans`` reads a sample of it).
    method : str
        ``otsu``, ``kmeans`` (option `classes`), ``fuzzy`` (option `exponent`) and ``hierarchical`` (option `classes`)
        cluster the values, and always find changes. ``kittler`` and ``kittler_gg`` set minimum-error thresholds between
        Gaussian or generalised Gaussian classes, and find no change in a signed difference that one class describes
        well enough. ``pca_kmeans`` (options `block` and `components`) clusters blocks of pixels; it does not take
        signed differences.
    tails : {"upper", "both"}, optional
        Whether only large values are changes, or small ones too; by default both for a signed difference.
    pooled : bool
        Fit one rule to all pairs instead of one to each.
    **options
        Options of the method, as its function in `sarcd.change.kernels.thresholds` takes them.

    Returns
    -------
    (pair, y, x) uint8 DataArray
        `change`: 1 changed, 0 not, 255 where the difference is NaN. Lazy if the difference is. Its attributes hold the
        rule of each pair.

    Raises
    ------
    OptionError
        If an option cannot be used.
    StatisticsError
        If no pixel is valid.

    Examples
    --------
    >>> from sarcd import change
    >>> from sarcd.simulation import sites
    >>> from sarcd.attributes import parameters_of
    >>> change = decide(change.log_ratio(sites.simulate("A", size=64)), method="kmeans")
    >>> change.dims, parameters_of(change)["method"]
    (('pair', 'y', 'x'), 'kmeans')
    """
    rules = fit_rules(difference, method=method, tails=tails, pooled=pooled, **options)
    return apply_rules(difference, rules)


def fit_rules(
    difference: xr.DataArray,
    *,
    method: Decision = "otsu",
    tails: Tails | None = None,
    pooled: bool = False,
    **options: Any,
) -> tuple[Rule, ...]:
    """Fit the thresholding rule of each pair immediately, without applying it.

    Parameters
    ----------
    difference, method, tails, pooled, **options
        As in `decide`.

    Returns
    -------
    tuple of Split or BlockSplit
        One per pair, in order, or the same one for all.

    Raises
    ------
    OptionError, StatisticsError
        As in `decide`.

    Examples
    --------
    >>> from sarcd import change
    >>> from sarcd.simulation import sites
    >>> rules = fit_rules(change.log_ratio(sites.simulate("A", size=64)), method="otsu")
    >>> rules[0].above > 0, rules[0].found
    (True, True)
    """
    if method not in DECISIONS:
        raise OptionError(f"unknown method {method!r}", option="method", hint=f"use {', '.join(DECISIONS)}")
    if tails not in (None, "upper", "both"):
        raise OptionError(f"unknown tails {tails!r}", option="tails", hint="use upper or both")
    _check_options(method, tails, options)
    groups = [difference] if pooled else [difference[i : i + 1] for i in range(difference.sizes["pair"])]
    fit = _fit_blocks if method == "pca_kmeans" else _fit_values
    rules = tuple(fit(group, method, tails, options) for group in groups)
    return rules * difference.sizes["pair"] if pooled else rules


def apply_rules(difference: xr.DataArray, rules: Sequence[Rule]) -> xr.DataArray:
    """Apply thresholding rules to difference images, to those they were fitted to or to others.

    Parameters
    ----------
    difference : (pair, y, x) float32 DataArray
        NaN where invalid.
    rules : sequence of Split or BlockSplit
        One per pair.

    Returns
    -------
    (pair, y, x) uint8 DataArray
        As in `decide`.

    Raises
    ------
    OptionError
        If there are more or fewer rules than pairs.
    """
    if len(rules) != difference.sizes["pair"]:
        message = f"got {len(rules)} rules for {difference.sizes['pair']} pairs"
        raise OptionError(message, option="rules", hint="give one rule per pair")
    layers = [window_map(rule.apply, [difference[i]], halo=rule.halo, dtype="uint8") for i, rule in enumerate(rules)]
    parameters = {
        "method": rules[0].method,
        "difference": difference.attrs.get("sarcd_operation", str(difference.name)),
        "difference_parameters": parameters_of(difference),
        "rules": [rule.to_dict() for rule in rules],
    }
    grid_mapping = {key: difference.attrs[key] for key in ("grid_mapping",) if key in difference.attrs}
    attrs = schema.variable("change").attrs() | grid_mapping | made_by_attrs("decide", parameters)
    return xr.DataArray(stack(layers), dims=difference.dims, coords=difference.coords, name="change", attrs=attrs)


def rules_of(change: xr.DataArray) -> tuple[Rule, ...]:
    """Return the rules that the attributes of a `change` map hold.

    Examples
    --------
    >>> from sarcd import change
    >>> from sarcd.simulation import sites
    >>> difference = change.log_ratio(sites.simulate("A", size=64))
    >>> change = decide(difference)
    >>> bool((apply_rules(difference, rules_of(change)) == change).all())
    True
    """
    return tuple(read_rule(rule) for rule in parameters_of(change)["rules"])


def read_rule(values: dict[str, Any]) -> Rule:
    """Read a rule from the plain values stored in attributes."""
    from sarcd.change.kernels.thresholds.histogram import Split
    from sarcd.change.kernels.thresholds.pca_kmeans import BlockSplit

    return (BlockSplit if "basis" in values else Split).from_dict(values)


def _check_options(method: str, tails: Tails | None, options: dict[str, Any]) -> None:
    known = OPTIONS.get(method, {})
    for name, value in options.items():
        if name not in known:
            hint = f"use {', '.join(known)}" if known else "leave it out"
            raise OptionError(f"{method} has no option {name!r}", option=name, hint=hint)
        minimum = 3 if name == "classes" and tails == "both" else known[name]
        if value is not None and not value >= minimum:
            raise OptionError(f"invalid {name} {value!r}", option=name, hint=f"use {minimum} or more")
    block, components = options.get("block", 4), options.get("components", 3)
    if components > block**2:
        message = f"{components} components exceed the {block**2} pixels of a block"
        raise OptionError(message, option="components", hint="use fewer components, or a larger block")


def _fit_values(group: xr.DataArray, method: str, tails: Tails | None, options: dict[str, Any]) -> Split:
    values = histogram_of(group)
    # the magnitude may also carry the attributes of a signed difference
    chosen: Tails = tails or ("both" if is_signed(group) and values.low[0] < 0 else "upper")
    return _fits()[method](values, tails=chosen, **options)


def _fits() -> dict[str, Callable[..., Split]]:
    from sarcd.change.kernels.thresholds import clusters
    from sarcd.change.kernels.thresholds.kittler import kittler

    def gaussian(values: Histogram, *, tails: Tails) -> Split:
        return kittler(values, tails=tails, shape=2.0)

    def generalised(values: Histogram, *, tails: Tails) -> Split:
        return kittler(values, tails=tails)

    return {
        "otsu": clusters.otsu,
        "kmeans": clusters.kmeans,
        "fuzzy": clusters.fuzzy,
        "hierarchical": clusters.ward,
        "kittler": gaussian,
        "kittler_gg": generalised,
    }


def _fit_blocks(group: xr.DataArray, method: str, tails: Tails | None, options: dict[str, Any]) -> Rule:
    from sarcd.change.kernels.thresholds.histogram import Split
    from sarcd.change.kernels.thresholds.pca_kmeans import pca_kmeans

    blocks = [block for layer in group for block in sample_now(layer)]
    if not any(np.isfinite(block).any() for block in blocks):
        raise StatisticsError("no valid pixel in the sample of the difference image", hint="use an area with data")
    if tails == "both" or (is_signed(group) and any(np.nanmin(block, initial=0) < 0 for block in blocks)):
        raise OptionError("pca_kmeans needs magnitudes", option="method", hint="use a difference that is not signed")
    found = pca_kmeans(blocks, **options)
    return Split(method, None) if found is None else found


_FAN_IN = 16  # counts added in one task; each is a megabyte
_BAND = 4
"""Columns of chunks read at a time: halos keep some of their rows, which are as long as a band is wide."""


def histogram_of(array: xr.DataArray) -> Histogram:
    """Count the finite values of an array now, chunk by chunk.

    Raises
    ------
    StatisticsError
        If there is none.
    """
    counts = _counts(array.data)
    if not counts.any():
        raise StatisticsError(
            "no valid pixel in the difference image",
            source=None if array.name is None else str(array.name),
            hint="check the images and their no-data values",
        )
    return histogram(counts)


def is_signed(difference: xr.DataArray) -> bool:
    """Return whether both ends of a difference image mean change, from the attributes of what made it."""
    return bool(parameters_of(difference).get("signed", False))


def _counts(data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return count_cells(data)
    edges = np.cumsum([0, *data.chunks[-1]])[::_BAND].tolist()
    bands = zip(edges, [*edges[1:], None], strict=True)
    counts = [_count_band(data[..., start:stop]) for start, stop in bands if start < data.shape[-1]]
    return np.asarray(sum(counts))


def _count_band(data: Any) -> np.ndarray:
    from dask.delayed import delayed

    parts = [delayed(count_cells)(block) for block in data.to_delayed().ravel()]
    while len(parts) > 1:
        parts = [delayed(sum)(parts[i : i + _FAN_IN]) for i in range(0, len(parts), _FAN_IN)]
    return np.asarray(parts[0].compute())
