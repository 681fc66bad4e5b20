"""Ingest rasters: open and compare them, and write them to a new store chunk by chunk."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from sarcd import schema
from sarcd.attributes import Json
from sarcd.config import IngestOptions
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import InputError, StoreError
from sarcd.geography.georeference import to_coordinates
from sarcd.ingestion.images import Advance, Written, warn_of_levels, windows, write_image
from sarcd.ingestion.label_mapping import LabelSummary, summarise
from sarcd.ingestion.rasters import gdal_session
from sarcd.ingestion.sensor import common_facts, sensor_facts
from sarcd.ingestion.sources import DatedImage, PairLabels, gather_images, gather_labels
from sarcd.store.create import NewScene, SceneLayout, refuse_existing
from sarcd.store.pairs import Pair, consecutive
from sarcd.store.scene import SceneStore
from sarcd.store.storage import is_url, new_scene_lock, variable_locks

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class IngestReport:
    """Report of an ingest.

    Parameters
    ----------
    scene : str
        Path or URL of the store.
    images : str
        Name of the image variable.
    size : (y, x)
        Size in pixels.
    georeference : str
        ``transform``, ``gcps`` or ``none``.
    sources, dates : tuple of str
        Files written by this run, and their dates.
    valid : tuple of float
        Fraction of valid pixels of each image.
    pairs : int
        Number of pairs of the scene.
    labelled : tuple of str
        Pairs labelled by this run, as BEFORE:AFTER.
    labels : tuple of LabelSummary
        Summary of the labels of each of these pairs.
    invalid : tuple of dict
        Number of invalid pixels of each image by cause; see `sarcd.ingestion.nodata.CAUSES`.
    notes : tuple of str
        Undeclared pixels that are treated as no-data.
    """

    scene: str
    images: str
    size: tuple[int, int]
    georeference: str
    sources: tuple[str, ...]
    dates: tuple[str, ...]
    valid: tuple[float, ...]
    pairs: int
    labelled: tuple[str, ...]
    labels: tuple[LabelSummary, ...] = ()
    invalid: tuple[dict[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def ingest(
    images: Sequence[str | Path],
    output: str | Path,
    options: IngestOptions | None = None,
    *,
    progress: Progress = silent,
) -> IngestReport:
    """Ingest two or more coregistered images as a new scene.

    Parameters
    ----------
    images : sequence of str or Path
        Anything that GDAL can open, in any order.
    output : str or Path
        Path or URL of the new scene, which is created atomically.
    options : IngestOptions, optional
        Kind of pixels, dates, labels, chunks.
    progress : callable
        See `sarcd.engine.tasks.Progress`; counts pixels.

    Returns
    -------
    IngestReport
        Dates, fraction of valid pixels, pairs.

    Raises
    ------
    InputError
        If an image or label cannot be used, or they do not match.
    OptionError
        If the options do not match the images.
    StoreError
        If `output` already exists.

    Examples
    --------
    ::

        ingest(["20230319.tif", "20230331.tif"], "scene.zarr")
        ingest(["a.bmp", "b.bmp"], "scene.zarr", IngestOptions(kind="amplitude", dates=("2008-06-01", "2009-06-01")))
    """
    options = options or IngestOptions()
    refuse_existing(output, overwrite=options.overwrite)
    if len(images) < 2:
        raise InputError(
            f"{len(images)} image{'' if len(images) == 1 else 's'} given, but change needs two",
            source=str(images[0]) if images else None,
            hint="pass two or more, or add one to a scene with --append",
        )
    with gdal_session():
        dated = gather_images(images, options)
        layer = dated[0].image.layer
        times = np.array([image.date for image in dated], "datetime64[us]")
        labels = gather_labels(options, times, shape=layer.shape, georeference=layer.georeference)
        layout = _layout(dated, labels, options)
        with _hold_output(output), NewScene(output, layout, overwrite=options.overwrite) as store:
            written, labelled = _write_all(store, layout, dated, labels, options, progress)
    warn_of_labels(labelled)
    return report(output, dated, written, labelled, len(layout.pairs or ()))


def warn_of_labels(labels: Sequence[LabelSummary]) -> None:
    """Log the warnings of label files, one line each."""
    for text in dict.fromkeys(text for label in labels for text in label.warnings):
        _LOG.warning("%s", text)


def report(
    output: str | Path,
    dated: Sequence[DatedImage],
    written: Sequence[Written],
    labels: Sequence[LabelSummary],
    pairs: int,
) -> IngestReport:
    """Return the report of the written images."""
    layer = dated[0].image.layer
    return IngestReport(
        scene=str(output),
        images=dated[0].image.variable,
        size=layer.shape,
        georeference=layer.georeference.kind,
        sources=tuple(image.source for image in dated),
        dates=tuple(str(image.date.astype("datetime64[s]")) for image in dated),
        valid=tuple(image.valid for image in written),
        pairs=pairs,
        labelled=tuple(label.pair for label in labels),
        labels=tuple(labels),
        invalid=tuple(image.causes for image in written),
        notes=tuple(text for image in written for text in image.notes),
    )


def pair_text(pair: Pair) -> str:
    """Return a pair as BEFORE:AFTER, with times of day unless they are midnight.

    Examples
    --------
    >>> pair_text((np.datetime64("2023-03-19", "us"), np.datetime64("2023-03-31T05:50:32", "us")))
    '2023-03-19:2023-03-31T05-50-32'
    """
    days = [date.astype("datetime64[D]") for date in pair]
    texts = [
        str(day) if day == date else str(date.astype("datetime64[s]")).replace(":", "-")
        for day, date in zip(days, pair, strict=True)
    ]
    return ":".join(texts)


@contextlib.contextmanager
def _hold_output(output: str | Path) -> Iterator[None]:
    """Hold the locks against another ingest, and against writers of a scene that is replaced."""
    if is_url(output):
        with new_scene_lock(str(output)):
            yield
        return
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot be created ({error.strerror})", source=str(output), hint="use another path"
        ) from error
    replaced = set(SceneStore(path).members()) - set(schema.COORDINATES) if path.exists() else set()
    with new_scene_lock(str(path)), variable_locks(str(path), replaced):
        yield


def _layout(dated: Sequence[DatedImage], labels: Sequence[PairLabels], options: IngestOptions) -> SceneLayout:
    layer = dated[0].image.layer
    times = np.array([image.date for image in dated], "datetime64[us]")
    pairs = consecutive(times)
    pairs += [label.pair for label in labels if label.pair not in pairs]
    coordinates = to_coordinates(layer.georeference, layer.shape)
    facts = common_facts([sensor_facts(image.image.layer.tags) for image in dated])
    given = {key: getattr(options, key) for key in ("wavelength_m", "spacing_m", "looks", "incidence_deg")}
    facts.update({key: value for key, value in given.items() if value is not None})
    if options.range_spacing or options.spacing_m:  # metadata describe the spacing of the file
        facts.pop("range_spacing", None)
    if "spacing_m" in facts and layer.georeference.kind != "transform":
        facts.setdefault("range_spacing", options.range_spacing or ("slant" if layer.is_complex else "ground"))
    if "spacing_m" in facts:
        facts["spacing_m"] = [float(side) for side in facts["spacing_m"]]
    return SceneLayout(
        times=times,
        y=coordinates.y,
        x=coordinates.x,
        images=dated[0].image.variable,
        spatial_ref=coordinates.spatial_ref,
        attrs=facts,
        y_attrs=coordinates.y_attrs,
        x_attrs=coordinates.x_attrs,
        pairs=pairs,
        chunk=options.chunk,
        shard=options.shard,
    )


def _write_all(
    store: SceneStore,
    layout: SceneLayout,
    dated: Sequence[DatedImage],
    labels: Sequence[PairLabels],
    options: IngestOptions,
    progress: Progress,
) -> tuple[list[Written], list[LabelSummary]]:
    name, pairs = layout.images, list(layout.pairs or ())
    store.set_attrs(name, source_attrs(dated))
    if labels:
        create_labels(store, name, len(pairs))
    pixels = dated[0].image.layer.shape[0] * dated[0].image.layer.shape[1]
    with progress("ingest", pixels * (len(dated) + len(labels))) as advance:
        written = [write_image(store, name, i, image, options.memory_bytes, advance) for i, image in enumerate(dated)]
        labelled = [
            write_labels(store, pairs.index(label.pair), label, options.memory_bytes, advance) for label in labels
        ]
    store.set_attrs(name, left_out(written))
    warn_of_levels([image.source for image in dated], [image.level_db for image in written])
    return written, labelled


# -- shared by new scenes and append -------------------------------------------------------------------------------


def source_attrs(dated: Sequence[DatedImage], before: Json | None = None) -> Json:
    """Return the attributes with the sources of images, appended to those of earlier images."""
    before = before or {}
    earlier = len(before.get("sources", []))
    attrs: Json = {
        "sources": [*before.get("sources", []), *(image.source for image in dated)],
        "source_kinds": [*before.get("source_kinds", []), *(image.image.kind for image in dated)],
    }
    gains = [*before.get("source_gain_db", [0.0] * earlier), *(image.image.gain_db for image in dated)]
    return attrs | ({"source_gain_db": gains} if any(gains) else {})


def left_out(written: Sequence[Written], before: Json | None = None) -> Json:
    """Return the attribute with the causes of invalid pixels of each image, as ``border=120,declared=7``."""
    before = before or {}
    earlier = before.get("source_invalid", [""] * len(before.get("sources", [])))
    now = [",".join(f"{name}={count}" for name, count in image.causes.items()) for image in written]
    return {"source_invalid": [*earlier, *now]} if any([*earlier, *now]) else {}


def create_labels(store: SceneStore, images: str, pairs: int) -> None:
    """Create `label` for a number of unlabelled pairs, with the chunks of the images."""
    image = store.array(images)
    attrs = {schema.COMPLETE: [False] * pairs, "sources": [""] * pairs}
    shards = None if image.shards is None else (1, *image.shards[1:])
    store.create("label", (pairs, *image.shape[1:]), attrs, chunks=(1, *image.chunks[1:]), shards=shards)


def write_labels(
    store: SceneStore, index: int, labels: PairLabels, memory_bytes: int, advance: Advance
) -> LabelSummary:
    """Write the labels of a pair, mark it complete, and return a summary; readers see them after `publish`."""
    array = store.array("label")
    counts = np.zeros(256, np.int64)
    with labels.labels.open() as reader, zarr.config.set({"async.concurrency": 4}):
        for y, x in windows(array, 16, memory_bytes):
            values = reader.read(y, x)
            array[index, y, x] = values
            counts += np.bincount(values.ravel(), minlength=256)
            advance(values.size)
    attrs: Json = dict(array.attrs)
    flags, sources = list(attrs[schema.COMPLETE]), list(attrs.get("sources", []))
    sources += [""] * (len(flags) - len(sources))
    flags[index], sources[index] = True, labels.source
    store.set_attrs("label", {schema.COMPLETE: flags, "sources": sources})
    return summarise(
        labels.labels.understood,
        pair=pair_text(labels.pair),
        source=labels.source,
        counts=(int(counts[1]), int(counts[0]), int(counts[schema.NO_LABEL])),
    )
