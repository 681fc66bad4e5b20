"""Rasters to a scene: opened, compared, and streamed into a new store chunk by chunk."""

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
    """What was written.

    Parameters
    ----------
    scene : str
        The store.
    images : str
        Name of the image variable.
    size : (y, x)
        Pixels.
    georeference : str
        ``transform``, ``gcps`` or ``none``.
    sources, dates : tuple of str
        Files and their dates, those written now.
    valid : tuple of float
        Share of valid pixels of each.
    pairs : int
        Pairs that the scene has now.
    labelled : tuple of str
        Pairs labelled now, as BEFORE:AFTER.
    labels : tuple of LabelSummary
        What was understood of the labels of each of them.
    invalid : tuple of dict
        Pixels of each image that are not valid, by what made them so: see `sarcd.ingestion.nodata.CAUSES`.
    notes : tuple of str
        What was taken for no-data although nobody had declared it.
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
    """Make a scene of two or more coregistered images.

    Parameters
    ----------
    images : sequence of str or Path
        Anything that GDAL opens, in any order.
    output : str or Path
        The scene to make. It is there when it is whole, or not at all.
    options : IngestOptions, optional
        What the pixels are, dates, labels, chunks.
    progress : callable
        See `sarcd.engine.tasks.Progress`; counts pixels.

    Returns
    -------
    IngestReport
        Dates, share of valid pixels, pairs.

    Raises
    ------
    InputError
        If an image or label cannot be used, or they do not fit one another.
    OptionError
        If the options do not fit the images.
    StoreError
        If something is at `output` already.

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
            f"{len(images)} image{'' if len(images) == 1 else 's'} given, change needs two",
            source=str(images[0]) if images else None,
            hint="name two or more, or add one to a scene with --append",
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
    """Warn of what label files lost on their way, and of those that hold one class alone; one line each."""
    for text in dict.fromkeys(text for label in labels for text in label.warnings):
        _LOG.warning("%s", text)


def report(
    output: str | Path,
    dated: Sequence[DatedImage],
    written: Sequence[Written],
    labels: Sequence[LabelSummary],
    pairs: int,
) -> IngestReport:
    """Return what is told of images that were written."""
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
    """Return a pair as BEFORE:AFTER, days only where they are enough.

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
    """Keep a second ingest, and writers of a scene that is being replaced, out of the way."""
    if is_url(output):
        with new_scene_lock(str(output)):
            yield
        return
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made ({error.strerror})", source=str(output), hint="name another place") from error
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
    if options.range_spacing or options.spacing_m:  # what a file says is of its own spacing
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


# -- what a new scene and a growing one share -----------------------------------------------------------------------


def source_attrs(dated: Sequence[DatedImage], before: Json | None = None) -> Json:
    """Return the attributes that tell where images came from, behind those of earlier images."""
    before = before or {}
    earlier = len(before.get("sources", []))
    attrs: Json = {
        "sources": [*before.get("sources", []), *(image.source for image in dated)],
        "source_kinds": [*before.get("source_kinds", []), *(image.image.kind for image in dated)],
    }
    gains = [*before.get("source_gain_db", [0.0] * earlier), *(image.image.gain_db for image in dated)]
    return attrs | ({"source_gain_db": gains} if any(gains) else {})


def left_out(written: Sequence[Written], before: Json | None = None) -> Json:
    """Return the attribute that tells what made pixels of each image invalid, as ``border=120,declared=7``."""
    before = before or {}
    earlier = before.get("source_invalid", [""] * len(before.get("sources", [])))
    now = [",".join(f"{name}={count}" for name, count in image.causes.items()) for image in written]
    return {"source_invalid": [*earlier, *now]} if any([*earlier, *now]) else {}


def create_labels(store: SceneStore, images: str, pairs: int) -> None:
    """Create `label` for so many pairs, none of them labelled, in the chunks of the images."""
    image = store.array(images)
    attrs = {schema.COMPLETE: [False] * pairs, "sources": [""] * pairs}
    shards = None if image.shards is None else (1, *image.shards[1:])
    store.create("label", (pairs, *image.shape[1:]), attrs, chunks=(1, *image.chunks[1:]), shards=shards)


def write_labels(
    store: SceneStore, index: int, labels: PairLabels, memory_bytes: int, advance: Advance
) -> LabelSummary:
    """Write the labels of a pair, mark it complete, and return what they hold; `publish` makes that seen."""
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
