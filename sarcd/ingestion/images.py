"""Stream images into a store window by window; no-data is masked, counted and reported."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import zarr

from sarcd import schema
from sarcd.config.ingest import LEVEL_JUMP_DB, LEVEL_PIXELS
from sarcd.errors import InputError
from sarcd.ingestion.labels import Window
from sarcd.ingestion.nodata import CAUSES, EdgeAreas, number, repeated_corners, where_value
from sarcd.ingestion.pixels import Decoded, Image
from sarcd.ingestion.rasters import LayerReader
from sarcd.ingestion.sources import DatedImage
from sarcd.store.scene import SceneStore

_LOG = logging.getLogger(__name__)

Advance = Callable[[int], None]

BORDER_SHARE = 0.01
"""Areas of one value at the edge of an image are a filled border if they cover more than this fraction of it."""

DUST_DB = -100.0
"""Amplitudes this far below the median, in dB, are artefacts of resampling no-data, and hardly ever speckle."""

_LOPSIDED = 10  # ratio of zeros in one part of complex pixels to those in the other, above which they are not by chance
_SAMPLE = 2**20  # approximate number of pixels from which the level of an image is estimated
_LABEL_BYTES = 12  # per pixel: labels of areas, and masks


@dataclass(frozen=True)
class Written:
    """Statistics of a written image.

    Parameters
    ----------
    valid : float
        Fraction of valid pixels.
    causes : dict of str to int
        Number of invalid pixels by cause; see `sarcd.ingestion.nodata.CAUSES`.
    level_db : float
        Median amplitude of a sample of the valid pixels, in decibels.
    notes : tuple of str
        Decisions about no-data that the file does not declare.
    """

    valid: float
    causes: dict[str, int]
    level_db: float
    notes: tuple[str, ...] = ()


def write_image(
    store: SceneStore, name: str, index: int, dated: DatedImage, memory_bytes: int, advance: Advance
) -> Written:
    """Write an image to one date of the store, window by window.

    Exact zeros of floating-point amplitude or intensity that are connected to the edge are no-data if they cover more
    than `BORDER_SHARE` of the image, or whole rows or columns. They are known after the last window, and windows that
    contain some are then read and written again.

    Raises
    ------
    InputError
        If the image cannot be read completely, or has no valid pixel.

    Notes
    -----
    Pixels that look like no-data but are kept are reported in the log.
    """
    array, image = store.array(name), dated.image
    size = image.layer.shape[0] * image.layer.shape[1]
    causes: dict[str, int] = {}
    sample, parts_lost = _LevelSample(image.layer.shape), _LostParts()
    with LayerReader(image.layer) as reader, zarr.config.set({"async.concurrency": 4}):
        suspects = _suspects(image, reader)
        pixel_bytes = image.layer.pixel_bytes + _LABEL_BYTES * len(suspects)
        parts = list(windows(array, pixel_bytes, memory_bytes))
        for window in parts:
            decoded = _decode(image, reader, window, suspects)
            for suspect in suspects:
                suspect.add(window, decoded.invalid)
            parts_lost.add(decoded.values)
            array[(index, *window)] = decoded.values
            for cause, count in decoded.causes.items():
                causes[cause] = causes.get(cause, 0) + count
            sample.add(window, decoded.values)
            advance(decoded.values.size)
        found = {suspect: suspect.areas.close() for suspect in suspects}
        borders = {each: count for each, count in found.items() if count > BORDER_SHARE * size or each.fills_lines()}
        for suspect, count in borders.items():
            if suspect.hide:
                causes["border"] = count
                _hide_border(array, index, image, reader, parts, suspect)
    valid = size - sum(causes.values())
    if not valid:
        raise InputError(
            f"has no valid pixel: {causes_text(causes, size)}",
            source=dated.path,
            hint=_hint_for_no_valid_pixel(image, causes),
        )
    suspicious = _suspicious(dated, suspects, borders, causes, sample, size)
    for text in suspicious or parts_lost.warnings(dated.path, size):
        _LOG.warning("%s", text)
    level = sample.level_db(with_zeros="border" not in causes)
    return Written(valid / size, causes, level, tuple(_notes(dated, causes, size)))


def windows(array: zarr.Array[Any], pixel_bytes: int, memory_bytes: int) -> Iterator[Window]:
    """Yield windows of whole chunks (or shards) that fit in memory, as wide as possible.

    Most files store pixels by rows, so a window as wide as the image reads each of them once.
    """
    step_y, step_x = (array.shards or array.chunks)[1:]
    height, width = array.shape[1:]
    columns = max(1, memory_bytes // (step_y * step_x * pixel_bytes))
    wide = min(columns * step_x, -(-width // step_x) * step_x)
    tall = max(1, min(columns * step_x // wide, schema.CHUNK // step_y)) * step_y
    for y in range(0, height, tall):
        for x in range(0, width, wide):
            yield slice(y, min(y + tall, height)), slice(x, min(x + wide, width))


# -- undeclared borders ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Suspect:
    """Stored value that may fill the border of an image."""

    value: float | complex
    hide: bool  # otherwise only warn
    areas: EdgeAreas
    lines: tuple[np.ndarray, np.ndarray]  # for each row and column: pixels with the value, and invalid pixels
    count: int = 0  # valid pixels with the value
    mask: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), bool))  # such pixels of the current window

    @classmethod
    def of(cls, value: float | complex, shape: tuple[int, int], *, hide: bool) -> _Suspect:
        """Return a suspect without counts."""
        height, width = shape
        return cls(value, hide, EdgeAreas(width, height), (np.zeros((2, height), int), np.zeros((2, width), int)))

    def add(self, window: Window, invalid: np.ndarray) -> None:
        """Count the pixels of `mask` in a window."""
        self.areas.add(window, self.mask | invalid, self.mask)
        self.count += int(np.count_nonzero(self.mask))
        for axis, (own, part) in enumerate(zip(self.lines, window, strict=True)):
            own[:, part] += [np.count_nonzero(where, axis=1 - axis) for where in (self.mask, invalid)]

    def fills_lines(self) -> bool:
        """Return whether a row or column has no other valid pixels and is mostly this value: a lost line."""
        return any(((has + lacks == across) & (2 * has > across)).any() for (has, lacks), across in self._across())

    def _across(self) -> list[tuple[np.ndarray, int]]:
        rows, columns = self.lines
        return [(rows, columns.shape[1]), (columns, rows.shape[1])]


def _suspects(image: Image, reader: LayerReader) -> list[_Suspect]:
    """Return the values to check: zero, and the values that are repeated in corners."""
    layer = image.layer
    if not image.nodata.guess:
        return []
    if layer.is_complex:  # exact zeros of complex images are no-data anywhere
        return [_Suspect.of(value, layer.shape, hide=False) for value in _corner_values(image, reader)]
    is_float = np.dtype(layer.dtype).kind == "f" and layer.palette is None
    hide = is_float and image.kind in ("amplitude", "intensity")  # 0 dB is valid data, and so is 0 in 8-bit images
    others = [value for value in _corner_values(image, reader, zeros=not hide) if value != 0]
    return [_Suspect.of(value, layer.shape, hide=hide and value == 0) for value in (0.0, *others)]


def _corner_values(image: Image, reader: LayerReader, *, zeros: bool = True) -> list[float | complex]:
    """Return the stored values that are repeated in corners, except no-data and invalid amplitudes."""
    corners = []
    ends = [((slice(0, min(2, side)), 1), (slice(max(0, side - 2), side), -1)) for side in image.layer.shape]
    for (y, turn_y), (x, turn_x) in product(*ends):
        bands, masked = reader.read(y, x)
        turned = [band[::turn_y, ::turn_x].copy() for band in bands]  # decoding may modify the bands
        corner = image.decode(bands, masked).values[::turn_y, ::turn_x][0, 0]
        if not np.isnan(corner) and (zeros or corner != 0):
            corners.append(turned)
    return repeated_corners(corners)


def _decode(image: Image, reader: LayerReader, window: Window, suspects: Sequence[_Suspect]) -> Decoded:
    """Decode a window, and set the mask of each suspect."""
    bands, masked = reader.read(*window)
    raw = [where_value(bands, suspect.value) for suspect in suspects]  # decoding may modify the bands
    decoded = image.decode(bands, masked)
    for suspect, found in zip(suspects, raw, strict=True):
        mask = np.zeros(decoded.values.shape, bool) if found is None else found
        if suspect.hide and image.layer.offset:
            mask |= decoded.values == 0  # filled before or after scaling
        suspect.mask = mask & ~decoded.invalid
    return decoded


def _hide_border(
    array: zarr.Array[Any],
    index: int,
    image: Image,
    reader: LayerReader,
    parts: Sequence[Window],
    suspect: _Suspect,
) -> None:
    for number_, window in enumerate(parts):
        if suspect.areas.reaches(number_):
            decoded = _decode(image, reader, window, [suspect])
            border = suspect.areas.connected(number_, suspect.mask | decoded.invalid)
            decoded.values[border & suspect.mask] = np.nan
            array[(index, *window)] = decoded.values


def _suspicious(
    dated: DatedImage,
    suspects: Sequence[_Suspect],
    borders: Mapping[_Suspect, int],
    causes: Mapping[str, int],
    sample: _LevelSample,
    size: int,
) -> list[str]:
    """Return warnings of pixels that look like no-data but are kept."""
    found = []
    for suspect in suspects:
        value = number(suspect.value)
        if not suspect.hide and suspect in borders:
            found.append(
                f"{percent(borders[suspect] / size)} of the image is an area of the single value {value} at its edge, "
                f"which is kept as data. Pass --nodata {value} if it is no-data, otherwise --nodata none."
            )
        within = suspect.count - causes.get("border", 0)
        if suspect.hide and within > BORDER_SHARE * size:
            found.append(
                f"{percent(within / size)} of the image is exact zeros that are not part of a border, and is kept as "
                f"data. Pass --nodata 0 if they are no-data, otherwise --nodata none."
            )
    dust = sample.dust_fraction()
    if dated.image.nodata.guess and not found and dust > BORDER_SHARE:
        found.append(
            f"{percent(dust)} of the pixels are over {-DUST_DB:.0f} dB below the median, which is implausible, but are "
            f"kept as data. If they fill a border, set them to NaN or the no-data value of the file, otherwise pass "
            f"--nodata none."
        )
    return [f"{dated.path}: {text}" for text in found]


class _LostParts:
    """Pixels of complex images that lack one of their parts."""

    def __init__(self) -> None:
        self._lost = {"real": 0, "imaginary": 0}

    def add(self, values: np.ndarray) -> None:
        if values.dtype.kind == "c":
            self._lost["real"] += int(np.count_nonzero((values.real == 0) & (values.imag != 0)))
            self._lost["imaginary"] += int(np.count_nonzero((values.imag == 0) & (values.real != 0)))

    def warnings(self, path: str, size: int) -> list[str]:
        """Return a warning of the missing part; zeros of small integers are as frequent in both."""
        (_, few), (part, many) = sorted(self._lost.items(), key=lambda item: item[1])
        if many <= BORDER_SHARE * size or many < _LOPSIDED * few:
            return []
        return [
            f"{path}: in {percent(many / size)} of the pixels only the {part} part is exactly zero, so it and the "
            f"phase were lost. Read the image again, or pass --kind amplitude if it has no phase."
        ]


def _hint_for_no_valid_pixel(image: Image, causes: Mapping[str, int]) -> str:
    """Return the hint for an image without a valid pixel."""
    most = max(causes, key=lambda name: causes[name])
    if most == "impossible" and image.kind in ("amplitude", "intensity"):
        return "pass --kind db if the values are decibels"
    hints = {"declared": "check its no-data value and mask", "option": "check --nodata"}
    return hints.get(most, "check whether the file was written completely")


def _notes(dated: DatedImage, causes: dict[str, int], size: int) -> Iterator[str]:
    image = dated.image
    if "border" in causes:
        count = causes["border"]
        yield (
            f"{dated.source}: exact zeros that touch the edge, {count} pixels, {percent(count / size)} of the image, "
            f"are treated as no-data; --nodata none keeps them as values"
        )
        declared = [number(value) for value in image.layer.nodata if value is not None]
        if declared and "declared" not in causes:
            yield f"{dated.source}: the file declares {declared[0]} as no-data, but no pixel has this value"
    if image.nodata.value is not None and "option" not in causes:
        yield f"{dated.source}: no further pixel has the value {number(image.nodata.value)} of --nodata"
    if "impossible" in causes:
        what = {"slc": "complex amplitude", "db": "decibels"}.get(image.kind, image.kind)
        yield (
            f"{dated.source}: {causes['impossible']} pixels, {percent(causes['impossible'] / size)} of the image, are "
            f"impossible as {what} (negative, or far too large) and treated as no-data"
        )


def percent(fraction: float) -> str:
    """Return a fraction as text; 100 % and 0 % are exact.

    Examples
    --------
    >>> percent(0.99999), percent(1.0), percent(1e-7)
    ('99.99 %', '100 %', '< 0.01 %')
    """
    rounded = math.floor(fraction * 10_000) / 100
    return f"{rounded:g} %" if rounded or not fraction else "< 0.01 %"


def causes_text(causes: dict[str, int], size: int) -> str:
    """Return the causes of invalid pixels as text.

    Examples
    --------
    >>> causes_text({"declared": 5, "border": 20}, 100)
    '20 % a border of zeros, 5 % declared no-data'
    """
    ordered = sorted(causes.items(), key=lambda item: -item[1])
    return ", ".join(f"{percent(count / size)} {CAUSES[name]}" for name, count in ordered)


def stored_causes(attrs: Mapping[str, Any], dates: int) -> list[dict[str, int]]:
    """Return the causes of invalid pixels of each date, as recorded when the images were ingested.

    Examples
    --------
    >>> stored_causes({"source_invalid": ["border=120,declared=7", ""]}, 2)
    [{'border': 120, 'declared': 7}, {}]
    """
    texts = list(attrs.get("source_invalid", []))[:dates]
    parsed = [dict(part.split("=") for part in text.split(",") if part) for text in texts]
    counts = [{name: int(count) for name, count in one.items()} for one in parsed]
    return counts + [{}] * (dates - len(counts))


# -- levels of dates ------------------------------------------------------------------------------------------------


class _LevelSample:
    """Sample of amplitudes on a regular grid of pixels, which is independent of the windows."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._step = max(1, math.ceil(math.sqrt(shape[0] * shape[1] / _SAMPLE)))
        self._values: list[np.ndarray] = []

    def add(self, window: Window, values: np.ndarray) -> None:
        first_y, first_x = (-part.start % self._step for part in window)
        taken = np.abs(values[first_y :: self._step, first_x :: self._step]).ravel()
        self._values.append(taken[np.isfinite(taken)])

    def level_db(self, *, with_zeros: bool) -> float:
        """Return the median in decibels; NaN if it is 0, or too few pixels are valid."""
        values = np.concatenate(self._values)
        values = values if with_zeros else values[values > 0]
        middle = np.median(values) if len(values) >= LEVEL_PIXELS else 0.0
        return float(20 * np.log10(middle)) if middle > 0 else math.nan

    def dust_fraction(self) -> float:
        """Return the fraction of the values above 0 that are too far below their median to be data."""
        values = np.concatenate(self._values)
        values = values[values > 0]
        if not len(values):
            return 0.0
        return float(np.mean(values < np.float32(10 ** (DUST_DB / 20)) * np.median(values)))


def level_of(store: SceneStore, name: str, index: int, memory_bytes: int) -> float:
    """Return the median amplitude of a stored date in decibels, from the same sample as for new images."""
    array = store.array(name)
    sample = _LevelSample(array.shape[1:])
    for window in windows(array, 2 * array.dtype.itemsize, memory_bytes):
        sample.add(window, np.asarray(array[(index, *window)]))
    return sample.level_db(with_zeros=True)


def warn_of_levels(names: Sequence[str], levels_db: Sequence[float]) -> None:
    """Warn if the levels of dates differ by more than `LEVEL_JUMP_DB`, as with a lost scale or another gain."""
    known = [(level, name) for level, name in zip(levels_db, names, strict=True) if math.isfinite(level)]
    if len(known) < 2:
        return
    (low, darkest), (high, brightest) = min(known), max(known)
    if high - low > LEVEL_JUMP_DB:
        _LOG.warning(
            "the median amplitudes of %s and %s are %.1f dB apart. If their calibration differs, pass --gain, in dB, "
            "once for each image.",
            darkest, brightest, high - low,
        )  # fmt: skip
