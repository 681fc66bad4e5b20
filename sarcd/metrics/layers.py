"""The two layers of an evaluation, checked: a map or score, and its labels."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.conform.values import as_map
from sarcd.errors import OptionError, SceneError
from sarcd.store.chunks import chunk_errors
from sarcd.store.openable import require_stored

Part = TypeVar("Part")

_LOG = logging.getLogger(__name__)

_WINDOW = 2048  # pixels along y and x that are read together, if the scene has no chunks of its own
_MERGED = 16  # parts that are merged by one task


@dataclass(frozen=True)
class Layers:
    """A map or score of a scene and the labels that it is evaluated against.

    Parameters
    ----------
    scene : xr.Dataset
        Scene of both layers.
    evaluated, labels : (pair, y, x) DataArray
        The two layers.
    variable, truth : str
        Their names.
    threshold : float or None
        Score from which a pixel counts as changed; None for a map.
    """

    scene: xr.Dataset
    evaluated: xr.DataArray
    labels: xr.DataArray
    variable: str
    truth: str
    threshold: float | None

    @property
    def source(self) -> str | None:
        """Path of the scene, if it is known."""
        return schema.source_of(self.scene)

    @property
    def kind(self) -> Literal["probability", "score"] | None:
        """Kind of the evaluated layer; None for a map."""
        if self.threshold is None:
            return None
        return "probability" if is_probability(self.variable) else "score"

    def wrong(self, name: str, what: str, hint: str | None = None) -> SceneError:
        """Return an error about one of the layers."""
        return SceneError(f"'{name}' {what}", source=self.source, hint=hint)


def is_probability(name: str) -> bool:
    """Return whether a score of this name is a probability: one by name, or a map of 0 and 1 that became floats."""
    known = schema.known(name)
    return known is not None and (known.name == "change_probability" or bool(known.flags))


def read_layers(
    scene: xr.Dataset, *, variable: str, truth: str, threshold: float | None, needs_threshold: bool = True
) -> Layers:
    """Find and check the evaluated layer and its labels.

    Parameters
    ----------
    scene : xr.Dataset
        A scene.
    variable, truth : str
        Names of the two layers.
    threshold : float or None
        Threshold given by the user.
    needs_threshold : bool
        Whether it is an error if a score has neither a threshold nor a default.
    """
    if variable == truth:
        raise OptionError(
            f"'{truth}' would be evaluated against itself", option="variable", hint="name a result, or other labels"
        )
    evaluated, labels = (_paired(scene, name) for name in (variable, truth))
    layers = Layers(scene, evaluated, labels, variable, truth, None)
    if labels.dtype.kind not in "bui":
        raise layers.wrong(
            truth, f"is {labels.dtype} and cannot be a map of 0, 1 and 255", f"convert it: {as_map(truth)}"
        )
    found = _threshold(layers, threshold) if needs_threshold else threshold
    return Layers(scene, evaluated, labels, variable, truth, found)


def _paired(scene: xr.Dataset, name: str) -> xr.DataArray:
    array = schema.require(scene, name)
    source = schema.source_of(scene)
    if set(array.dims) != {"pair", "y", "x"}:
        raise SceneError(f"'{name}' has dims {array.dims}, not ('pair', 'y', 'x')", source=source)
    if array.size == 0:
        raise SceneError(f"'{name}' is empty: shape {array.shape}", source=source)
    return array.transpose("pair", "y", "x")


def _threshold(layers: Layers, threshold: float | None) -> float | None:
    evaluated, name = layers.evaluated, layers.variable
    if evaluated.dtype.kind in "bui":
        if threshold is not None:
            raise OptionError(
                f"'{name}' is a map of 0 and 1 and takes no threshold",
                option="threshold",
                hint="leave it out, or evaluate 'change_probability'",
            )
        return None
    if evaluated.dtype.kind != "f":
        raise layers.wrong(name, f"is {evaluated.dtype}, neither a map nor a score")
    if threshold is None:
        known = schema.known(name)
        if known is None or known.name != "change_probability":
            hint = "give one in its units"
            if known is not None and known.flags:
                hint = f"give one, or convert it back to a map: {as_map(name)}"
            raise OptionError(f"the score '{name}' needs a threshold", option="threshold", hint=hint)
        return 0.5
    if not math.isfinite(threshold):
        raise OptionError(f"invalid threshold {threshold}", option="threshold", hint="use a number")
    return float(threshold)


def pair_names(scene: xr.Dataset) -> list[str]:
    """Return the pairs of a scene as ``before/after``, as short as possible while they differ."""
    before, after = schema.dates_of(scene, "before"), schema.dates_of(scene, "after")
    names: list[str] = []
    for unit in ("D", "s", "us"):
        ends = (np.datetime_as_string(dates, unit=unit) for dates in (before, after))
        names = ["/".join(dates) for dates in zip(*ends, strict=True)]
        if len(set(names)) == len(names):
            break
    return names


def pixel_area_m2(scene: xr.Dataset) -> float | None:
    """Return the mean area of a pixel in square metres; None where it is unknown.

    This is the ground area. If the incidence angle is unknown it is the slant-range area, with a warning.
    """
    from sarcd.geography.georeference import of_scene
    from sarcd.geography.ground import HOW_TO_SAY_INCIDENCE, pixel_area

    area = pixel_area(scene, of_scene(scene))
    if area is None:
        return None
    if area.is_slant:
        place = schema.source_of(scene)
        text = "areas and rates refer to slant range, not to the ground, since the incidence angle is unknown"
        _LOG.warning("%s%s: %s", f"{place}: " if place else "", text, HOW_TO_SAY_INCIDENCE)
    return area.m2


@contextlib.contextmanager
def whole(layers: Layers) -> Iterator[None]:
    """Read layers within this context: a missing or damaged chunk of a stored scene raises an error that names it."""
    source = layers.source
    require_stored(layers.scene, [layers.variable, layers.truth])
    with chunk_errors(source) if source else contextlib.nullcontext():
        yield


def gather(
    layers: Layers,
    look: Callable[[np.ndarray, np.ndarray, tuple[int, int]], Part],
    merge: Callable[[list[Part]], Part],
) -> list[Part]:
    """Process every block of both layers, and merge the results of each pair.

    Parameters
    ----------
    layers : Layers
        Lazy layers are read in one dask computation, others window by window, so neither need fit in memory.
    look : callable
        Takes labels and evaluated values of a block, (Y, X), and row and column of its first pixel.
    merge : callable
        Merges the parts of one pair, in any order.

    Returns
    -------
    list
        One result per pair.
    """
    labels, evaluated = layers.labels, layers.evaluated
    with whole(layers):
        if labels.chunks is None and evaluated.chunks is None:
            return [_of_windows(labels[pair], evaluated[pair], look, merge) for pair in range(labels.sizes["pair"])]
        return _of_chunks(labels, evaluated, look, merge)


def _of_windows(labels: xr.DataArray, evaluated: xr.DataArray, look: Any, merge: Any) -> Any:
    parts: list[Any] = []
    for y in range(0, labels.sizes["y"], _WINDOW):
        for x in range(0, labels.sizes["x"], _WINDOW):
            window = {"y": slice(y, y + _WINDOW), "x": slice(x, x + _WINDOW)}
            parts.append(look(labels.isel(window).values, evaluated.isel(window).values, (y, x)))
        if len(parts) > _MERGED:
            parts = [merge(parts)]
    return merge(parts)


def _of_chunks(labels: xr.DataArray, evaluated: xr.DataArray, look: Any, merge: Any) -> list[Any]:
    import dask.array as da
    from dask.base import compute
    from dask.delayed import delayed

    _, (lazy_labels, lazy_evaluated) = da.core.unify_chunks(
        da.asarray(labels.data), "pyx", da.asarray(evaluated.data), "pyx"
    )
    starts = [np.cumsum((0, *sizes[:-1])).tolist() for sizes in lazy_labels.chunks]
    look_at = delayed(partial(_look_at_pairs, look), pure=False)
    merge_all = delayed(partial(_merge_pairs, merge), pure=False)
    blocks = lazy_labels.to_delayed(), lazy_evaluated.to_delayed()
    found = []
    for pair in range(len(starts[0])):
        parts = [
            look_at(blocks[0][pair, i, j], blocks[1][pair, i, j], (y, x))
            for i, y in enumerate(starts[1])
            for j, x in enumerate(starts[2])
        ]
        while len(parts) > 1:
            parts = [merge_all(parts[first : first + _MERGED]) for first in range(0, len(parts), _MERGED)]
        found.append(merge_all(parts))
    return [of_pair for of_chunk in compute(*found) for of_pair in of_chunk]


def _look_at_pairs(look: Any, labels: np.ndarray, evaluated: np.ndarray, origin: tuple[int, int]) -> list[Any]:
    return [look(*layers, origin) for layers in zip(labels, evaluated, strict=True)]


def _merge_pairs(merge: Any, parts: list[list[Any]]) -> list[Any]:
    return [merge(list(of_pair)) for of_pair in zip(*parts, strict=True)]
