"""Scores of a scene's change map against its labels."""

from __future__ import annotations

import contextlib
import math
from functools import partial

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError, SceneError
from sarcd.io.chunks import chunk_errors, require_chunks
from sarcd.io.store import SceneStore, completeness
from sarcd.kernels import scores as kernel

_LONG_NAMES = {
    "tp": "changes found",
    "fp": "false alarms",
    "fn": "changes missed",
    "tn": "pixels rightly left alone",
    "unjudged_pixels": "labelled pixels without a prediction, which are in no score",
    "labelled_pixels": "labelled pixels",
    "f1": "harmonic mean of precision and recall",
    "precision": "share of the claimed changes that are real",
    "recall": "share of the real changes that are claimed",
    "iou": "intersection over union of claimed and real changes",
    "kappa": "Cohen's kappa",
    "overall_accuracy": "share of the pixels that are judged rightly",
}


def evaluate(
    scene: xr.Dataset, *, variable: str = "change", truth: str = "label", threshold: float | None = None
) -> xr.Dataset:
    """Score a change map against labels, pair by pair and over all pairs [1]_.

    Lazy scenes are counted chunk by chunk in one dask computation, so that neither map need fit in memory.

    Parameters
    ----------
    scene : xr.Dataset
        With `truth` and `variable`, both (pair, y, x).
    variable : str
        What is judged: a map of 1 and 0, in which 255 is unknown, or a score (floating point), in which NaN is unknown.
    truth : str
        What it is judged by: 1 change, 0 none, 255 not labelled.
    threshold : float, optional
        Score from which a pixel counts as changed, in its own units: 0.5 for a probability by default. Any other
        score needs one, and a map takes none.

    Returns
    -------
    xr.Dataset
        Along `over`: ``pooled`` (the counts of all pairs added up), then each pair as ``before/after``, dates in
        ISO form, with the time of day where the days alone would not tell two pairs apart. Counts (int64): `tp`, `fp`,
        `fn`, `tn`, `labelled_pixels`, and `unjudged_pixels`, which are labelled but have no prediction and are in no
        score. Scores (float64): `f1`, `precision`, `recall`, `iou`, `kappa`, `overall_accuracy`.

        Where a ratio would be 0/0, F1 and IoU are 1 (there is nothing to find, and nothing is claimed); precision
        without any claim is 1 if nothing was missed, else 0; recall without any change is 1 if nothing was falsely
        claimed, else 0; kappa is 1 where all agree on one class. A pair without any labelled pixel that is judged has
        NaN.

    Raises
    ------
    SceneError
        If a variable is absent or of another shape or kind, a map holds values other than 0, 1 and 255, no pixel is
        labelled, or none of the labelled pixels has a prediction.
    CorruptChunkError
        If the scene is a stored one and a chunk is damaged or gone.
    OptionError
        If a threshold is given for a map, or none for a score that is no probability.

    References
    ----------
    .. [1] F1 of the change class at a threshold of 0.5: Murdaca et al. 2023, doi:10.3390/rs15245664, section 4.

    Examples
    --------
    >>> dates = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    >>> scene = xr.Dataset(
    ...     {
    ...         "label": (("pair", "y", "x"), np.array([[[1, 1, 0, 255]]], np.uint8)),
    ...         "change": (("pair", "y", "x"), np.array([[[1, 0, 0, 1]]], np.uint8)),
    ...     },
    ...     coords={"before": ("pair", dates[:1]), "after": ("pair", dates[1:])},
    ... )
    >>> result = evaluate(scene)
    >>> result["over"].values.tolist(), result["recall"].values.tolist()
    (['pooled', '2023-03-19/2023-03-31'], [0.5, 0.5])
    """
    judged, labels = (_layers(scene, name) for name in (variable, truth))
    if labels.dtype.kind not in "bui":
        raise _wrong(scene, truth, f"is {labels.dtype}, and cannot be a map of 0, 1 and 255")
    threshold = _threshold(scene, judged, variable, threshold)
    pairs = _pair_names(scene)
    source = schema.source_of(scene)
    if source and schema.COMPLETE in judged.attrs:
        stored = SceneStore(source)
        done = completeness(stored.array(variable))
        require_chunks(stored, variable, [pair for pair, whole in enumerate(done) if whole])  # else it reads as unknown
    with chunk_errors(source) if source else contextlib.nullcontext():
        counts = _count(labels, judged, threshold)
    counts = np.concatenate([counts.sum(axis=0, keepdims=True), counts])
    _check(scene, dict(zip(kernel.COUNTS, counts[0].tolist(), strict=True)), variable, truth)

    tp, fp, fn, tn, unjudged = counts[:, :5].T
    values = {
        **kernel.scores(tp, fp, fn, tn),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "tn": tn,
        "labelled_pixels": tp + fp + fn + tn + unjudged,
        "unjudged_pixels": unjudged,
    }
    attrs = {"variable": variable, "truth": truth} | ({} if threshold is None else {"threshold": threshold})
    return xr.Dataset(
        {name: ("over", value, {"long_name": _LONG_NAMES[name], "units": "1"}) for name, value in values.items()},
        coords={"over": ["pooled", *pairs]},
        attrs=attrs,
    )


def _layers(scene: xr.Dataset, name: str) -> xr.DataArray:
    array = schema.require(scene, name)
    if set(array.dims) != {"pair", "y", "x"}:
        raise _wrong(scene, name, f"has dims {array.dims}, should be ('pair', 'y', 'x')")
    if array.size == 0:
        raise _wrong(scene, name, f"is empty: shape {array.shape}")
    return array.transpose("pair", "y", "x")


def _threshold(scene: xr.Dataset, judged: xr.DataArray, name: str, threshold: float | None) -> float | None:
    if judged.dtype.kind in "bui":
        if threshold is not None:
            raise OptionError(
                f"'{name}' is a map of 0 and 1 and takes no threshold",
                where="threshold",
                mend="leave it out, or evaluate 'change_probability'",
            )
        return None
    if judged.dtype.kind != "f":
        raise _wrong(scene, name, f"is {judged.dtype}, neither a map nor a score")
    if threshold is None:
        if not name.startswith("change_probability"):
            raise OptionError(f"the score '{name}' needs a threshold", where="threshold", mend="give one in its units")
        return 0.5
    if not math.isfinite(threshold):
        raise OptionError(f"threshold is {threshold}", where="threshold", mend="use a number")
    return float(threshold)


def _wrong(scene: xr.Dataset, name: str, what: str) -> SceneError:
    return SceneError(f"'{name}' {what}", where=schema.source_of(scene))


def _pair_names(scene: xr.Dataset) -> list[str]:
    before, after = schema.dates_of(scene, "before"), schema.dates_of(scene, "after")
    names: list[str] = []
    for unit in ("D", "s", "us"):
        ends = (np.datetime_as_string(dates, unit=unit) for dates in (before, after))
        names = ["/".join(dates) for dates in zip(*ends, strict=True)]
        if len(set(names)) == len(names):
            break
    return names


def _count(labels: xr.DataArray, judged: xr.DataArray, threshold: float | None) -> np.ndarray:
    """Return the counts of `kernel.COUNTS` for each pair: (P, 7) int64."""
    if labels.chunks is None and judged.chunks is None:
        pairs = range(labels.sizes["pair"])  # one at a time: arrays that are read when indexed need not all fit
        return np.stack(
            [kernel.confusion_counts(labels[pair].values, judged[pair].values, threshold=threshold) for pair in pairs]
        )
    import dask.array as da

    _, blocks = da.core.unify_chunks(da.asarray(labels.data), "pyx", da.asarray(judged.data), "pyx")
    partial_counts = da.map_blocks(
        partial(_count_block, threshold=threshold),
        *blocks,
        new_axis=3,
        chunks=(blocks[0].chunks[0], *((1,) * len(sizes) for sizes in blocks[0].chunks[1:]), (len(kernel.COUNTS),)),
        dtype=np.int64,
        meta=np.empty((0, 0, 0, 0), np.int64),
    )
    counts: np.ndarray = partial_counts.sum(axis=(1, 2)).compute()
    return counts


def _count_block(labels: np.ndarray, judged: np.ndarray, *, threshold: float | None) -> np.ndarray:
    counts = [kernel.confusion_counts(*layers, threshold=threshold) for layers in zip(labels, judged, strict=True)]
    return np.stack(counts)[:, np.newaxis, np.newaxis]  # (pairs, 1, 1, 7)


def _check(scene: xr.Dataset, total: dict[str, int], variable: str, truth: str) -> None:
    for name, key in ((truth, "foreign_truth"), (variable, "foreign_prediction")):
        if total[key]:
            raise _wrong(scene, name, f"holds values other than 0, 1 and 255 in {total[key]} pixels")
    judged = sum(total[key] for key in ("tp", "fp", "fn", "tn"))
    if judged + total["unjudged"] == 0:
        mend = "add labels with 'sarcd ingest --label'"
        raise SceneError(f"no pixel of '{truth}' is labelled", where=schema.source_of(scene), mend=mend)
    if judged == 0:
        raise _wrong(scene, variable, f"is unknown at every one of the {total['unjudged']} labelled pixels")
