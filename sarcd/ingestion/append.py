"""Append later dates, or labels, to an existing scene.

New data are written beyond the published sizes, where readers do not see them, and published together at the end. Data
that a killed run has left there are removed by the next run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sarcd import schema
from sarcd.config import IngestOptions
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import InputError, MismatchError, OptionError
from sarcd.geography.georeference import Georeference, of_scene
from sarcd.ingestion.images import Written, level_of, warn_of_levels, write_image
from sarcd.ingestion.label_mapping import LabelSummary
from sarcd.ingestion.rasters import gdal_session
from sarcd.ingestion.scene import (
    IngestReport,
    create_labels,
    left_out,
    pair_text,
    report,
    source_attrs,
    warn_of_labels,
    write_labels,
)
from sarcd.ingestion.sources import DatedImage, PairLabels, check_same_grid, gather_images, gather_labels
from sarcd.store.coordinates import append_dates
from sarcd.store.pairs import Pair, consecutive, extend_pairs, fit_pairs
from sarcd.store.regions import sweep_partial_files
from sarcd.store.scene import SceneStore, completeness, open_scene, publish
from sarcd.store.storage import structure_lock, variable_locks


def append(
    images: Sequence[str | Path],
    scene: str | Path,
    options: IngestOptions | None = None,
    *,
    progress: Progress = silent,
) -> IngestReport:
    """Append later dates and their pairs to a scene; or, without images, labels of existing pairs.

    Every variable of pairs is extended by unlabelled, NaN or incomplete pairs. Amplitude statistics, and the dates that
    they were computed from, are not changed.

    Parameters
    ----------
    images : sequence of str or Path
        Images on the grid of the scene, later than its last date; empty to add labels only.
    scene : str or Path
        Path or URL of the scene.
    options : IngestOptions, optional
        As for `sarcd.ingestion.scene.ingest`, except that `chunk` and `shard` are those of the scene. `labels`
        belong to the new pairs. `overwrite` replaces existing labels.
    progress : callable
        See `sarcd.engine.tasks.Progress`; counts pixels.

    Returns
    -------
    IngestReport
        Report of the added images and labels.

    Raises
    ------
    InputError, OptionError
        If an image or label cannot be used or does not match the scene.
    LockedError
        If another process is writing to the scene.
    """
    options = options or IngestOptions()
    opened = open_scene(scene, chunks=None)
    name = str(schema.images_of(opened).name)
    store = SceneStore(scene)
    georeference = of_scene(opened)
    facts = {key: getattr(options, key) for key in ("incidence_deg", "range_spacing") if getattr(options, key)}
    if not images:
        done = _report(store, name, georeference) if facts and not options.labels else None
        done = done or _append_labels(store, name, georeference, options, progress)
        if facts:
            publish(store, attrs=facts)
        return done
    with gdal_session():
        dated = gather_images(images, options)
        for image in dated:
            check_same_grid(image, name, store.shape, georeference, first="the scene")
        with _locked(store, name):
            old = store.dates("time")
            _check_later(store, dated, old)
            times = np.concatenate([old, [image.date for image in dated]]).astype("datetime64[us]")
            pairs = consecutive(times)[-len(dated) :]
            labels = gather_labels(options, times, shape=store.shape, georeference=georeference, pairs=pairs)
            if not len(store.dates("before")):  # stores of others: no list means consecutive dates
                pairs = consecutive(times)
            pairs += [label.pair for label in labels if label.pair not in pairs]
            _check_new(store, labels, old)
            written, labelled = _grow(store, name, dated, labels, pairs, options, progress)
    if facts:
        publish(store, attrs=facts)
    warn_of_labels(labelled)
    return report(scene, dated, written, labelled, len(store.dates("before")))


@contextlib.contextmanager
def _locked(store: SceneStore, images: str) -> Iterator[None]:
    """Hold all locks, remove data of a killed run first, and those of this run if it fails."""
    paired = [name for name in store.members() if name not in schema.COORDINATES]
    with variable_locks(store.path, {images, "label", *paired}), structure_lock(store.path):
        _cut_back(store, images)
        try:
            yield
        except BaseException:
            _cut_back(store, images)
            raise


def _cut_back(store: SceneStore, images: str) -> None:
    """Reset images, dates and labels to their published sizes and attributes."""
    published = store.published()
    sweep_partial_files(store, [images, "time", "label"])
    for name in (images, "time"):
        array, shape = store.array(name), tuple(published[name]["shape"])
        if array.shape != shape:
            array.resize(shape)
        if store.read_json(f"{name}/zarr.json") != published[name]:
            store.write_json(f"{name}/zarr.json", published[name])
    if "label" not in store:
        return
    if "label" not in published:
        store.delete("label")
        return
    array, shape = store.array("label"), tuple(published["label"]["shape"])
    if array.shape != shape:
        array.resize(shape)
    attrs = published["label"]["attributes"]
    store.set_attrs("label", {schema.COMPLETE: [True] * shape[0], **attrs})


def _check_later(store: SceneStore, dated: Sequence[DatedImage], old: np.ndarray) -> None:
    if dated[0].date <= old[-1]:
        raise InputError(
            f"has the date {dated[0].date.astype('datetime64[s]')}, not later than the last date of the scene, "
            f"{old[-1].astype('datetime64[s]')}",
            source=dated[0].path,
            hint="ingest all images again as a new scene",
        )


def _check_new(store: SceneStore, labels: Sequence[PairLabels], old: np.ndarray) -> None:
    for label in labels:
        if label.pair[1] <= old[-1]:
            raise OptionError(
                f"{pair_text(label.pair)} is not a new pair",
                option="--label",
                hint="add labels of existing pairs in a separate run, without images",
            )


def _grow(
    store: SceneStore,
    name: str,
    dated: Sequence[DatedImage],
    labels: Sequence[PairLabels],
    pairs: Sequence[Pair],
    options: IngestOptions,
    progress: Progress,
) -> tuple[list[Written], list[LabelSummary]]:
    array, count, published = store.array(name), len(store.dates("time")), store.published()
    array.resize((count + len(dated), *array.shape[1:]))
    height, width = store.shape
    with progress("append", height * width * (len(dated) + len(labels))) as advance:
        written = [
            write_image(store, name, count + i, image, options.memory_bytes, advance) for i, image in enumerate(dated)
        ]
        grown, labelled = ["time", name], []
        if labels:
            total = len(store.dates("before")) + len(pairs)
            _fit_labels(store, name, total)
            for label in labels:
                index = total - len(pairs) + list(pairs).index(label.pair)
                labelled.append(write_labels(store, index, label, options.memory_bytes, advance))
            grown.append("label")
    before = published[name]["attributes"]
    store.set_attrs(name, source_attrs(dated, before) | left_out(written, before))
    append_dates(store, "time", np.array([image.date for image in dated], "datetime64[us]"))
    outdated = [known for known in published if "dates" in published[known].get("attributes", {})]
    for known in outdated:
        store.set_attrs(known, {"sarcd_stale": "dates were added since: run 'sarcd summarise --overwrite'"})
    extend_pairs(store, pairs, also=[*grown, *outdated])
    levels = [level_of(store, name, count - 1, options.memory_bytes), *(image.level_db for image in written)]
    warn_of_levels(["the last date", *(image.source for image in dated)], levels)
    return written, labelled


def _fit_labels(store: SceneStore, images: str, total: int) -> None:
    if "label" in store:
        fit_pairs(store, "label", total)
    else:
        create_labels(store, images, total)


def _append_labels(
    store: SceneStore, name: str, georeference: Georeference, options: IngestOptions, progress: Progress
) -> IngestReport:
    """Add labels of existing pairs, or of new pairs of existing dates."""
    if not options.labels:
        raise InputError("nothing to add", source=store.path, hint="pass later images, or labels with --label")
    with gdal_session(), _locked(store, name):
        times = store.dates("time")
        labels = gather_labels(options, times, shape=store.shape, georeference=georeference)
        listed = list(zip(store.dates("before"), store.dates("after"), strict=True))
        _refuse_labelled(store, labels, listed, overwrite=options.overwrite)
        extend_pairs(store, [label.pair for label in labels])
        listed = list(zip(store.dates("before"), store.dates("after"), strict=True))
        _fit_labels(store, name, len(listed))
        _unpublish_labels(store, [listed.index(label.pair) for label in labels])
        height, width = store.shape
        with progress("labels", height * width * len(labels)) as advance:
            labelled = [
                write_labels(store, listed.index(label.pair), label, options.memory_bytes, advance) for label in labels
            ]
        publish(store, add=["label"], locked=True)
    warn_of_labels(labelled)
    return _report(store, name, georeference, labelled)


def _report(
    store: SceneStore, name: str, georeference: Georeference, labelled: Sequence[LabelSummary] = ()
) -> IngestReport:
    """Return the report of a run without images."""
    return IngestReport(
        scene=store.path,
        images=name,
        size=store.shape,
        georeference=georeference.kind,
        sources=(),
        dates=(),
        valid=(),
        pairs=len(store.dates("before")),
        labelled=tuple(label.pair for label in labelled),
        labels=tuple(labelled),
    )


def _unpublish_labels(store: SceneStore, indices: Sequence[int]) -> None:
    """Mark pairs as unlabelled and delete their labels, but not those of other pairs."""
    flags = completeness(store.array("label"))
    labelled = [index for index in indices if flags[index]]
    if not labelled:
        return
    store.set_attrs("label", {schema.COMPLETE: [flag and i not in labelled for i, flag in enumerate(flags)]})
    publish(store, add=["label"], locked=True)
    array = store.array("label")
    for index in labelled:
        if (array.shards or array.chunks)[0] == 1:
            store.delete(f"label/c/{index}")
        else:  # stores of others may have several pairs per chunk
            array[index] = schema.NO_LABEL


def _refuse_labelled(
    store: SceneStore, labels: Sequence[PairLabels], listed: Sequence[Pair], *, overwrite: bool
) -> None:
    flags = completeness(store.array("label")) if "label" in store else []  # _cut_back has set them
    for label in labels:
        index = listed.index(label.pair) if label.pair in listed else len(flags)
        if index < len(flags) and flags[index] and not overwrite:
            raise MismatchError(
                f"{pair_text(label.pair)} is labelled already",
                source=f"{store.path}/label",
                hint="pass --overwrite to replace its labels",
            )
