"""Collect the content of the figure of a pair, reduced to the size of the figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.attributes import parameters_of
from sarcd.engine.lazy import is_lazy
from sarcd.errors import OptionError, SceneError
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.geography.ground import Ground, ground_of, pixel_area
from sarcd.metrics import evaluate
from sarcd.store.results import WhichPair, find_result, is_made, pair_position, pair_texts, pairs_in, sibling

LONGEST_IMAGE, LONGEST_MAP = 900, 1500
"""Maximum pixels a side. Images get no more than the largest panel shows, since averaging power reduces speckle; maps
get more, for smooth outlines."""

_DEFAULT_THRESHOLD = 0.5
_PLUMBING = {
    "batch",
    "device",
    "dtype",
    "threads",
    "tile",
    "coherence_from",
}  # execution details, which do not define the result


@dataclass(frozen=True)
class Extent:
    """Extent of the changes of a map in the full scene.

    Parameters
    ----------
    changed, known : int
        Number of pixels that are 1, and that are not 255.
    area_km2 : float or None
        Area of the changed pixels, if the pixel size is known.
    is_slant : bool
        Whether it is the area in slant range, because the incidence angle is unknown.
    unlabelled : int
        Number of changed pixels that are not labelled, and that no score counts.
    """

    changed: int
    known: int
    area_km2: float | None
    unlabelled: int = 0
    is_slant: bool = False

    def __str__(self) -> str:
        fraction = f"{self.changed / self.known:.2%} of the area" if self.known else "nothing known"
        unit = "km² in slant range" if self.is_slant else "km²"
        text = fraction if self.area_km2 is None else f"{self.area_km2:#.3g} {unit}, {fraction}"
        return f"{text}, {self.unlabelled / self.changed:.0%} of it without label" if self.unlabelled else text


@dataclass(frozen=True)
class View:
    """Content of the figure of a pair; images and maps are arrays (Y', X'), each reduced to their own size.

    Parameters
    ----------
    dates : tuple of str
        One or two dates.
    days : float or None
        Days between the dates.
    images : tuple of ndarray
        One image per date: float32 linear amplitude, NaN where invalid.
    layers : dict of ndarray
        `coherence` and `evidence` (float32), `mapped` and `labelled` (uint8), if the scene has them.
    names : dict of str
        Names of the layers in the scene.
    attrs : dict of dict
        Attributes of the layers.
    threshold : float or None
        Threshold of the evidence that the map was made with.
    extents : dict of Extent
        Extents of `mapped` and `labelled`.
    scores : dict of float
        F1, precision and recall of the map, if there are labels.
    ground : Ground
        Axes of the scene.
    factor : (int, int)
        Pixels of the scene per pixel of the images, along y and x.
    source : str or None
        Path of the scene.
    """

    dates: tuple[str, ...]
    days: float | None
    images: tuple[np.ndarray, ...]
    layers: dict[str, np.ndarray]
    names: dict[str, str]
    attrs: dict[str, dict[str, Any]]
    threshold: float | None
    extents: dict[str, Extent]
    scores: dict[str, float]
    ground: Ground
    factor: tuple[int, int]
    source: str | None


def view_of(scene: xr.Dataset, pair: WhichPair = 0, variable: str | None = None) -> View:
    """Collect the content of the figure of a pair, in one computation that never holds a whole layer.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with dimension `pair`, or without results.
    pair, variable
        As in `sarcd.figures.change_figure.plot`.
    """
    from dask.base import compute

    images = schema.images_of(scene)
    position, dates, indices = _dates(scene, pair)
    names = _choose(scene, variable, position)
    layers = {role: in_chunks(scene[name].isel(pair=position, drop=True)) for role, name in names.items()}
    attrs = {role: dict(layer.attrs) for role, layer in layers.items()}
    threshold = _threshold(attrs.get("mapped", {}))
    if "mapped" not in layers and schema.variable(names.get("evidence", "mask")).name == "change_probability":
        threshold = _DEFAULT_THRESHOLD
        layers["mapped"] = _cut(layers["evidence"], threshold)
        names = {**names, "mapped": f"{names['evidence']} from {threshold:g}"}

    shape = scene.sizes["y"], scene.sizes["x"]
    factor, finer = reduction_for(shape, LONGEST_IMAGE), reduction_for(shape, LONGEST_MAP)
    lazy: dict[str, Any] = {
        role: overview(layer, finer if layer.dtype.kind in "bui" else factor) for role, layer in layers.items()
    }
    lazy["images"] = [overview(in_chunks(images.isel(time=index, drop=True)), factor) for index in indices]
    lazy["counts"] = {
        role: ((layer == 1).sum().data, (layer != schema.NO_LABEL).sum().data)
        for role, layer in layers.items()
        if layer.dtype.kind in "bui"
    }
    if {"mapped", "labelled"} <= layers.keys():
        blind = (layers["mapped"] == 1) & (layers["labelled"] == schema.NO_LABEL)
        lazy["unlabelled"] = blind.sum().data
    (found,) = compute(lazy)
    counts, drawn, unlabelled = found.pop("counts"), tuple(found.pop("images")), int(found.pop("unlabelled", 0))
    ground = ground_of(scene)
    days = float((dates[1] - dates[0]) / np.timedelta64(1, "D")) if len(dates) == 2 else None
    return View(
        dates=pair_texts([(dates[0], dates[-1])])[0][: len(dates)],
        days=days,
        images=drawn,
        layers=found,
        names=names,
        attrs=attrs,
        threshold=threshold,
        extents=_extents(scene, counts, unlabelled),
        scores=_scores(scene, names, position),
        ground=ground,
        factor=factor,
        source=schema.source_of(scene),
    )


def made_by(attrs: dict[str, Any]) -> str:
    """Describe in one line how a variable was computed.

    Examples
    --------
    >>> made_by({"sarcd_operation": "coherence", "sarcd_parameters": {"window": [7, 7]}, "sarcd_version": "0.1.0"})
    'coherence (window 7 x 7), sarcd 0.1.0'
    """
    operation = attrs.get("sarcd_operation")
    if operation is None:
        return ""
    parts = [
        f"{key.replace('_', ' ')} {_short(value)}"
        for key, value in parameters_of(attrs).items()
        if key not in _PLUMBING and value is not None and (key == "window" or not isinstance(value, dict))
    ]
    listed = f" ({', '.join(parts)})" if parts else ""
    return f"{operation}{listed}, sarcd {attrs.get('sarcd_version', '?')}"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        joint = ", " if any(isinstance(part, str) for part in value) and isinstance(value, (list, tuple)) else " x "
        if isinstance(value, dict):  # y before x, in any order of the JSON
            value = [value[key] for key in sorted(value, key=lambda key: (key == "x", key))]
        return joint.join(map(_short, value))
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text.removeprefix('sha256:')[:12]}..."  # digests are abbreviated


def _dates(scene: xr.Dataset, pair: WhichPair) -> tuple[int, list[np.datetime64], list[int]]:
    """Return the position of a pair, its dates, and their positions along `time`; a single date is accepted."""
    times = schema.dates_of(scene, "time")
    if len(times) == 1 and "pair" not in scene.dims and pair == 0:
        return 0, [times[0]], [0]
    pairs = pairs_in(scene)
    position = pair_position(scene, pair)
    (indices,) = pairs_of(scene, [pairs[position]])
    return position, list(pairs[position]), list(indices)


def _choose(scene: xr.Dataset, variable: str | None, position: int) -> dict[str, str]:
    """Return the variable of each role."""
    evidences = ("change_probability", "change_score")
    names: dict[str, str | None] = {"coherence": find_result(scene, ["coherence"]), "labelled": "label"}
    if variable is None:
        mapped = find_result(scene, ["change"])
        evidence = find_result(scene, evidences) if mapped is None else _beside(scene, mapped, evidences)
        names |= {"mapped": mapped, "evidence": evidence}
    else:
        schema.require(scene, variable)
        wanted = schema.variable(variable)
        if "pair" not in wanted.dims:
            hint = "use a variable of pairs, such as change, change_probability or coherence"
            raise OptionError(f"'{variable}' is not a variable of pairs", option="variable", hint=hint)
        if not is_made(scene[variable], position):
            hint = "run the command that computes it with --pairs"
            raise SceneError(
                f"'{variable}' has not been computed for this pair", source=schema.source_of(scene), hint=hint
            )
        if wanted.name == "coherence":
            names["coherence"] = variable
        elif wanted.name == "label":
            names["labelled"] = variable
        elif wanted.dtype == "uint8":
            names |= {"mapped": variable, "evidence": _beside(scene, variable, evidences)}
        else:
            names |= {"mapped": sibling(variable, "change"), "evidence": variable}
    return {
        role: name
        for role, name in names.items()
        if name is not None and name in scene and "pair" in scene[name].dims and is_made(scene[name], position)
    }


def _beside(scene: xr.Dataset, mapped: str, evidences: tuple[str, ...]) -> str | None:
    """Return the evidence that a map was thresholded from, if it is stored."""
    if schema.variable(mapped).name != "change":
        return None
    return next((name for base in evidences if (name := sibling(mapped, base)) in scene), None)


def _threshold(attrs: dict[str, Any]) -> float | None:
    threshold = parameters_of(attrs).get("threshold")
    return float(threshold) if isinstance(threshold, (int, float)) else None


def _cut(evidence: xr.DataArray, threshold: float) -> xr.DataArray:
    """Return the map of a probability for which none is stored."""
    return (evidence >= threshold).where(evidence.notnull(), schema.NO_LABEL).astype(np.uint8)


def _extents(scene: xr.Dataset, counts: dict[str, tuple[Any, Any]], unlabelled: int) -> dict[str, Extent]:
    from sarcd.geography.georeference import of_scene

    try:
        area = pixel_area(scene, of_scene(scene))
    except SceneError:  # a figure without areas is still useful
        area = None
    return {
        role: Extent(
            int(changed),
            int(known),
            None if area is None else int(changed) * area.m2 / 1e6,
            unlabelled if role == "mapped" else 0,
            area is not None and area.is_slant,
        )
        for role, (changed, known) in counts.items()
    }


def _scores(scene: xr.Dataset, names: dict[str, str], position: int) -> dict[str, float]:
    """Return the scores of the map, empty if nothing is labelled."""
    variable = names.get("mapped")
    if variable is None or "labelled" not in names:
        return {}
    if variable not in scene:  # made here with the default threshold of `evaluate`
        variable = names["evidence"]
    try:
        result = evaluate(scene.isel(pair=[position]), variable=variable, truth=names["labelled"])
    except SceneError:
        return {}
    return {name: float(result[name][0]) for name in ("f1", "precision", "recall")}


Reduce = Callable[[np.ndarray], np.ndarray]


def overview(array: xr.DataArray, factor: tuple[int, int]) -> Any:
    """Reduce each block of pixels to one pixel, by a rule for the kind of data.

    Parameters
    ----------
    array : (y, x) DataArray
        Complex or real images (linear amplitude) become the root mean power, and other floats the mean, both over the
        valid pixels. Maps of 1, 0 and 255 become 1 if any pixel is 1, so that small changes stay visible, and 255 if
        all pixels are unknown.
    factor : (int, int)
        Block size in pixels along y and x; the last blocks may be smaller.

    Returns
    -------
    (ceil(Y / factor), ceil(X / factor)) dask array
        float32, or uint8 for a map.

    Examples
    --------
    >>> changes = xr.DataArray(np.array([[0, 1, 0], [0, 0, 255]], np.uint8), dims=("y", "x"), name="change")
    >>> overview(changes, (2, 2)).compute().tolist()
    [[1, 0]]
    """
    import dask.array as da

    steps = tuple(max(size, schema.CHUNK // size * size) for size in factor)
    lazy = da.asarray(in_chunks(array).data).rechunk(steps)  # no block may cross a chunk border
    reduce, dtype = _reduction(array)
    chunks = tuple(tuple(-(-size // block) for size in sizes) for sizes, block in zip(lazy.chunks, factor, strict=True))
    return lazy.map_blocks(_reduce_block, reduce, factor, chunks=chunks, dtype=dtype, meta=np.empty((0, 0), dtype))


def in_chunks(array: xr.DataArray) -> xr.DataArray:
    """Return an array as a lazy one, so that an array that is read when indexed is not read as a whole."""
    return array if is_lazy(array) else array.chunk({"y": schema.CHUNK, "x": schema.CHUNK})


def reduction_for(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the smallest block size (y, x) for an overview of at most `longest` pixels a side.

    Examples
    --------
    >>> reduction_for((8192, 1000), 1500)
    (6, 1)
    """
    return -(-shape[0] // longest), -(-shape[1] // longest)


def _reduction(array: xr.DataArray) -> tuple[Reduce, type]:
    if array.dtype.kind in "bui":
        return _any_change, np.uint8
    is_image = array.dtype.kind == "c" or array.name in schema.IMAGES
    return (_root_mean_power if is_image else _mean), np.float32


def _reduce_block(block: np.ndarray, reduce: Reduce, factor: tuple[int, int]) -> np.ndarray:
    missing = [(0, -size % step) for size, step in zip(block.shape, factor, strict=True)]
    if any(after for _, after in missing):
        block = np.pad(block, missing, constant_values=schema.NO_LABEL if block.dtype.kind in "bui" else np.nan)
    rows, columns = (size // step for size, step in zip(block.shape, factor, strict=True))
    return reduce(block.reshape(rows, factor[0], columns, factor[1]))


def _root_mean_power(blocks: np.ndarray) -> np.ndarray:
    power = blocks.real**2 + blocks.imag**2 if blocks.dtype.kind == "c" else blocks**2
    amplitude: np.ndarray = np.sqrt(_mean(power))
    return amplitude


def _mean(blocks: np.ndarray) -> np.ndarray:
    """Return the mean of the valid pixels, NaN if there are none."""
    valid = np.isfinite(blocks)
    count = valid.sum(axis=(1, 3))
    total = np.where(valid, blocks, 0).sum(axis=(1, 3), dtype=np.float64)
    mean: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return mean


def _any_change(blocks: np.ndarray) -> np.ndarray:
    result = np.where((blocks != schema.NO_LABEL).any(axis=(1, 3)), 0, schema.NO_LABEL)
    result[(blocks == 1).any(axis=(1, 3))] = 1
    return result.astype(np.uint8)
