"""Options of ingest."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from sarcd.errors import OptionError

LEVEL_JUMP_DB = 1.0
"""Difference between the median amplitudes of dates above which more than the ground is taken to have changed."""

LEVEL_PIXELS = 1000
"""Valid pixels below which a median says little of the level: of single-look speckle two of them are 0.3 dB apart."""


@dataclass(frozen=True)
class IngestOptions:
    """How rasters become a scene."""

    kind: Literal["slc", "amplitude", "intensity", "db"] | None = field(
        default=None, metadata={"help": "what the pixels are: slc, amplitude, intensity or db; slc for complex data"}
    )
    bands: tuple[str, ...] = field(
        default=(), metadata={"help": "band of every image, or one an image: number, name, or two as in '1,2' for I, Q"}
    )
    iq: bool = field(default=False, metadata={"help": "two bands are real and imaginary part of one complex image"})
    nodata: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "no-data of every image, or one an image: a stored value, none, or auto for undeclared borders"
        },
    )
    gain_db: tuple[float, ...] = field(
        default=(), metadata={"help": "decibels that are added to each image, in their order"}
    )
    dates: tuple[str, ...] = field(default=(), metadata={"help": "date of each image, ISO 8601, in their order"})
    labels: tuple[str, ...] = field(
        default=(), metadata={"help": "label file of each pair in order, or BEFORE:AFTER=FILE"}
    )
    label_change: str | None = field(
        default=None, metadata={"help": "values of label files that mean change, such as '255', '1,128-255' or 'slide'"}
    )
    label_ignore: str | None = field(default=None, metadata={"help": "values of label files that mean unlabelled"})
    label_layer: str | None = field(
        default=None, metadata={"help": "layer of vector label files; the only one with shapes by default"}
    )
    label_field: str | None = field(
        default=None,
        metadata={"help": "attribute with the values of shapes; 'label' by default, if there is one"},
    )
    wavelength_m: float | None = field(default=None, metadata={"help": "wavelength in metres"})
    spacing_m: tuple[float, ...] | None = field(default=None, metadata={"help": "pixel spacing [y, x] in metres"})
    range_spacing: Literal["slant", "ground"] | None = field(
        default=None,
        metadata={"help": "what the spacing along x is of: slant for complex images, else ground, by default"},
    )
    incidence_deg: float | None = field(
        default=None,
        metadata={"help": "incidence angle at mid-swath in degrees, for areas on the ground"},
    )
    looks: float | None = field(default=None, metadata={"help": "number of looks"})
    chunk: int = field(default=1024, metadata={"help": "side of a stored chunk in pixels"})
    shard: int = field(default=0, metadata={"help": "side of a shard in pixels, a multiple of chunk; 0 for none"})
    overwrite: bool = field(default=False, metadata={"help": "replace a scene that is there already"})
    memory_bytes: int = field(default=2**28, metadata={"help": "memory that one block of an image may take"})

    def __post_init__(self) -> None:
        for name in ("wavelength_m", "looks"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value}", option=name, hint="use a number above 0")
        if self.spacing_m is not None and (
            len(self.spacing_m) != 2 or not all(0 < s < math.inf for s in self.spacing_m)
        ):
            raise OptionError(
                f"spacing_m is {self.spacing_m}", option="spacing_m", hint="use two lengths above 0: y, x"
            )
        if self.range_spacing not in (None, "slant", "ground"):
            hint = "use slant or ground"
            raise OptionError(f"range_spacing is {self.range_spacing!r}", option="range_spacing", hint=hint)
        if self.incidence_deg is not None and not 0 < self.incidence_deg < 90:
            hint = "use degrees above 0 and below 90"
            raise OptionError(f"incidence_deg is {self.incidence_deg}", option="incidence_deg", hint=hint)
        for text in self.nodata:
            _check_nodata(text)
        if not all(math.isfinite(gain) for gain in self.gain_db):
            raise OptionError(f"gain_db is {self.gain_db}", option="gain_db", hint="use decibels, such as -3.5")
        if self.chunk < 1 or self.memory_bytes < 1:
            raise OptionError("chunk and memory_bytes must be above 0", option="chunk")
        if self.shard < 0 or self.shard % self.chunk:
            raise OptionError(
                f"shard is {self.shard}, which is no multiple of chunk, {self.chunk}",
                option="shard",
                hint="use a multiple, or 0 for none",
            )


def _check_nodata(text: str) -> None:
    if text in ("auto", "none"):
        return
    try:
        complex(text)
    except ValueError as error:
        raise OptionError(
            f"{text!r} is no value of pixels", option="nodata", hint="use a number as stored in the file, none or auto"
        ) from error
