"""Open the images and labels for a scene: determine their dates, order them, and compare their grids."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sarcd.config import IngestOptions
from sarcd.errors import InputError, OptionError
from sarcd.geography.georeference import Georeference
from sarcd.ingestion.dates import acquisition_date, from_names, parse_date
from sarcd.ingestion.files import source_name, split_path
from sarcd.ingestion.label_mapping import LabelMapping
from sarcd.ingestion.labels import LabelFile, RasterLabels, open_labels
from sarcd.ingestion.nodata import NoData
from sarcd.ingestion.pixels import Image, open_image
from sarcd.store.pairs import Pair, consecutive, select_pairs

_LOG = logging.getLogger(__name__)

_Value = TypeVar("_Value")

_EXPLICIT = re.compile(r"(?P<pair>\d{4}[\dTZ:.-]*:\d{4}[\dTZ:.-]*)=(?P<path>.+)")
_TWO_DATES = re.compile(r"(?P<before>\d{4}-?\d\d-?\d\d[\dTZ:.-]*):(?P<after>\d{4}-?\d\d-?\d\d[\dTZ:.-]*)")


@dataclass(frozen=True)
class DatedImage:
    """Image and its acquisition date, UTC, datetime64[us]."""

    image: Image
    date: np.datetime64

    @property
    def path(self) -> str:
        """Path as passed by the user."""
        return self.image.layer.path

    @property
    def source(self) -> str:
        """Name under which the scene records the file; see `sarcd.ingestion.files.source_name`."""
        return source_name(self.path)


def gather_images(paths: Sequence[str | Path], options: IngestOptions) -> list[DatedImage]:
    """Open images, determine their dates, and return them by date.

    Raises
    ------
    InputError
        If an image cannot be used, or two images differ in grid or have the same date.
    OptionError
        If the number of dates, bands or gains differs from that of the images, or the dtype of an image cannot
        represent the no-data value.
    """
    names = [str(path) for path in paths]
    bands = _one_each("--band", options.bands, names, shared=True)
    dates = _one_each("--date", options.dates, names)
    nodata = _one_each("--nodata", options.nodata, names, shared=True)
    gains = _one_each("--gain", options.gain_db, names)
    found = []
    for name, band, date, missing, gain in zip(names, bands, dates, nodata, gains, strict=True):
        image = open_image(name, kind=options.kind, band=band, iq=options.iq)
        image = replace(image, nodata=NoData.parse(missing), gain_db=gain or 0.0)
        image.nodata.check(image.layer)
        when = (
            parse_date(date) if date is not None else acquisition_date(name, image.layer.tags, inner=image.layer.names)
        )
        found.append(DatedImage(image, when))
    for other in found[1:]:
        check_same_grid(other, found[0].image.variable, found[0].image.layer.shape, found[0].image.layer.georeference)
    found.sort(key=lambda image: image.date)
    for before, after in itertools.pairwise(found):
        if before.date == after.date:
            raise InputError(
                f"has the same date as {before.path}, {_short(after.date)}",
                source=after.path,
                hint="pass --date once for each image, in their order, with times of day if necessary",
            )
    _warn_of_repeated_images(names, bands)
    return found


def _warn_of_repeated_images(names: Sequence[str], bands: Sequence[Any]) -> None:
    """Warn if an image is used for two dates; that is allowed, for example in a test, but shows no change."""
    seen: set[tuple[str, Any]] = set()
    for name, band in zip(names, bands, strict=True):
        image = (str(Path(name).resolve()) if Path(name).exists() else name), band
        if image in seen:
            _LOG.warning("%s is used for two dates; compared with itself, it shows no change", name)
        seen.add(image)


def _one_each(
    option: str, values: Sequence[_Value], names: Sequence[str], *, shared: bool = False
) -> Sequence[_Value | None]:
    if not values:
        return [None] * len(names)
    if shared and len(values) == 1:
        return list(values) * len(names)
    if len(values) != len(names):
        once = " or once for all" if shared else ""
        raise OptionError(
            f"is passed {len(values)} times for {len(names)} images",
            option=option,
            hint=f"pass it once for each image, in their order{once}",
        )
    return values


def check_same_grid(
    image: DatedImage,
    variable: str,
    shape: tuple[int, int],
    georeference: Georeference,
    *,
    first: str = "the first image",
) -> None:
    """Raise unless an image has the grid and kind of the others.

    Raises
    ------
    InputError
        The error says what differs.
    """
    layer = image.image.layer
    hint = "coregister the images to one grid first"
    if image.image.variable != variable:
        kinds = {"slc": "complex", "amplitude": "an amplitude image"}
        raise InputError(
            f"is {kinds[image.image.variable]}, but {first} is {kinds[variable]}",
            source=image.path,
            hint="use images of one kind, or pass --kind amplitude to use complex ones as well",
        )
    if layer.shape != shape:
        size = f"{layer.shape[0]} x {layer.shape[1]} pixels, but {first} has {shape[0]} x {shape[1]}"
        raise InputError(f"has {size}", source=image.path, hint=hint)
    difference = georeference.difference(layer.georeference, shape)
    if difference:
        if {layer.georeference.kind, georeference.kind} == {"transform"} and None in (
            layer.georeference.crs,
            georeference.crs,
        ):
            hint = "assign the CRS of the other to the file that has none, for example with 'gdal_edit.py -a_srs'"
        raise InputError(f"differs from {first} in {difference}", source=image.path, hint=hint)


@dataclass(frozen=True)
class PairLabels:
    """Labels of one pair."""

    pair: Pair
    labels: LabelFile

    @property
    def source(self) -> str:
        """As in `DatedImage`."""
        return source_name(self.labels.path)


def gather_labels(
    options: IngestOptions,
    times: np.ndarray,
    *,
    shape: tuple[int, int],
    georeference: Georeference,
    pairs: Sequence[Pair] | None = None,
) -> list[PairLabels]:
    """Open label files and assign them to pairs.

    Parameters
    ----------
    options : IngestOptions
        Options with `labels` as passed by the user.
    times : ndarray of datetime64
        All dates of the scene.
    shape, georeference
        Size and georeference of the scene.
    pairs : sequence of (before, after), optional
        Pairs for labels without dates, in order; consecutive dates by default.

    Raises
    ------
    OptionError
        If it is unclear which label belongs to which pair.
    InputError
        If a file cannot be used.
    """
    if not options.labels:
        if options.label_change is not None or options.label_ignore is not None:
            raise OptionError(
                "requires --label", option="--label-change" if options.label_change is not None else "--label-ignore"
            )
        for option, value in _of_vectors(options):
            if value is not None:
                raise OptionError("requires --label", option=option)
        return []
    words = LabelMapping.parse(options.label_change, options.label_ignore)
    wanted = _label_pairs(options.labels, times, consecutive(times) if pairs is None else list(pairs))
    chosen = {"layer": options.label_layer, "field": options.label_field}
    found = [
        PairLabels(pair, open_labels(path, shape=shape, georeference=georeference, words=words, pair=pair, **chosen))
        for pair, path in wanted
    ]
    for one in found:
        if isinstance(one.labels, RasterLabels) and one.labels.path in options.labels:  # without dates in the option
            _refuse_other_dates(one.pair, one.labels.path, times, names=one.labels.layer.names)
    for option, value in _of_vectors(options):
        if value is not None and all(isinstance(one.labels, RasterLabels) for one in found):
            raise OptionError(
                "applies to vector files, but every --label is a raster", option=option, hint="leave it out"
            )
    return found


def _of_vectors(options: IngestOptions) -> list[tuple[str, str | None]]:
    return [("--label-layer", options.label_layer), ("--label-field", options.label_field)]


def _label_pairs(labels: Sequence[str], times: np.ndarray, pairs: Sequence[Pair]) -> list[tuple[Pair, str]]:
    matches = [_EXPLICIT.fullmatch(text) for text in labels]
    for text, match in zip(labels, matches, strict=True):
        if match is None:
            _refuse_unread_dates(text)
    explicit = [match for match in matches if match is not None]
    if explicit and len(explicit) < len(labels):
        raise OptionError("some labels have dates and some do not", option="--label", hint="add dates to all or none")
    if explicit:
        found = [(_pair_of(match["pair"], times), match["path"]) for match in explicit]
    elif len(labels) != len(pairs):
        raise OptionError(
            f"{len(labels)} label files for {len(pairs)} pairs of consecutive dates",
            option="--label",
            hint="pass one for each pair, or specify the pairs, as in --label 2023-03-19:2023-03-31=FILE",
        )
    else:
        found = list(zip(pairs, labels, strict=True))
        for pair, path in found:
            _refuse_other_dates(pair, path, times)
    for pair, _ in found:
        files = [path for other, path in found if other == pair]
        if len(files) > 1:
            raise OptionError(
                f"a pair is labelled twice: {_short(pair[0])} to {_short(pair[1])} by {' and '.join(files)}",
                option="--label",
                hint="merge the two files",
            )
    return found


def _refuse_unread_dates(text: str) -> None:
    """Raise if a label begins with something like dates, which would be read as a file name."""
    head, equals, _ = text.partition("=")
    if equals and ":" in head and not re.search(r"[/\\]", head) and sum(c.isdigit() for c in head) >= 8:
        raise OptionError(
            f"{head!r} is not BEFORE:AFTER", option="--label", hint="write --label 2023-03-19:2023-03-31=FILE"
        )


def _refuse_other_dates(pair: Pair, path: str, times: np.ndarray, names: Sequence[str] | None = None) -> None:
    """Raise if a file assigned by order has the two dates of another pair in its name, or that of its band."""
    named = [date.astype("datetime64[D]") for date in from_names(names or [split_path(path)[0].name])]
    days = [date.astype("datetime64[D]") for date in pair]
    if len(named) == 2 and named != days and set(named) <= set(times.astype("datetime64[D]")):
        raise OptionError(
            f"is assigned to {days[0]} to {days[1]}, but its name contains {named[0]} to {named[1]}",
            source=path,
            hint=f"pass files in the order of pairs, or specify the pair, as in --label {named[0]}:{named[1]}=FILE",
        )


def _pair_of(text: str, times: np.ndarray) -> Pair:
    # A time of day may contain colons, which also separate the two dates.
    dates = _TWO_DATES.fullmatch(text)
    if dates is not None:
        text = ":".join(dates[end].replace(":", "-") for end in ("before", "after"))
    try:
        return select_pairs(text, times)[0]
    except OptionError as error:
        raise OptionError(error.error, option="--label", hint=error.hint) from error


def _short(date: np.datetime64) -> Any:
    day = date.astype("datetime64[D]")
    return day if day == date else date.astype("datetime64[s]")
