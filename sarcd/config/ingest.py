"""Options of ingest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sarcd.config.fields import Bounds, Count, Options, Positive, Whole, option
from sarcd.errors import OptionError

LEVEL_JUMP_DB = 1.0
"""Difference between median amplitudes of two dates above which a calibration difference is assumed."""

LEVEL_PIXELS = 1000
"""Minimum valid pixels for a reliable median: with single-look speckle, two such medians differ by 0.3 dB."""


@dataclass(frozen=True)
class IngestOptions(Options):
    """Options for making a scene from rasters."""

    kind: Literal["slc", "amplitude", "intensity", "db"] | None = option(
        None, "what the pixels are; for real data it has to be said", empty="slc for complex data"
    )
    bands: tuple[str, ...] = option(
        (),
        "band to read, for all images or one per image: number, name, or two as in '1,2' for real and imaginary part",
        flag="--band",
        metavar="N|NAME",
    )
    iq: bool = option(False, "the two bands are real and imaginary part")
    nodata: tuple[str, ...] = option(
        (),
        "no-data besides that declared by the files, for all images or one per image: a value as stored; none: nothing "
        "else, except exact zeros of complex images; auto: a border of exact zeros in floating-point amplitude or "
        "intensity, which is then reported",
        empty="auto",
        metavar="VALUE|none|auto",
    )
    gain_db: tuple[float, ...] = option(
        (), "decibels to add to each image, in their order", empty="0", flag="--gain", metavar="DB"
    )
    dates: tuple[str, ...] = option(
        (), "date of each image in their order, as 2023-03-19T05:58:00", flag="--date", metavar="DATE"
    )
    labels: tuple[str, ...] = option(
        (), "labels of each pair in order, or BEFORE:AFTER=FILE", flag="--label", metavar="FILE"
    )
    label_change: str | None = option(
        None, "values that mean change, as 255 or 1,128-255, or words of an attribute", metavar="VALUES"
    )
    label_ignore: str | None = option(None, "values or words that mean unlabelled", metavar="VALUES")
    label_layer: str | None = option(
        None, "layer of vector label files", empty="the only one with shapes", metavar="NAME"
    )
    label_field: str | None = option(
        None, "attribute with the values of shapes", empty="label, if there is one", metavar="NAME"
    )
    wavelength_m: Positive | None = option(None, "wavelength in metres", flag="--wavelength", metavar="M")
    spacing_m: tuple[Positive, ...] | None = option(None, "pixel spacing in metres, along y and x")
    range_spacing: Literal["slant", "ground"] | None = option(
        None, "geometry of the spacing along x", empty="slant for complex images, ground for others"
    )
    incidence_deg: Annotated[float, Bounds(gt=0, lt=90)] | None = option(
        None,
        "incidence angle at mid-swath in degrees, for areas on the ground",
        flag="--incidence",
        metavar="DEG",
    )
    looks: Positive | None = option(None, "number of looks", metavar="N")
    chunk: Count = option(1024, "side of a stored chunk in pixels", metavar="N")
    shard: Whole = option(0, "side of a shard in pixels, a multiple of chunk", empty="none", metavar="N")
    overwrite: bool = option(False, "replace an existing scene, or existing labels where labels are added")
    memory_bytes: Count = option(2**28, "memory of one block of an image in bytes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spacing_m is not None and len(self.spacing_m) != 2:
            hint = "use two lengths above 0: y, x"
            raise OptionError(f"spacing_m is {self.spacing_m}", option="spacing_m", hint=hint)
        for text in self.nodata:
            _check_nodata(text)
        if self.shard % self.chunk:
            raise OptionError(
                f"shard is {self.shard}, which is not a multiple of chunk, {self.chunk}",
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
            f"{text!r} is not a pixel value", option="nodata", hint="use a number as stored in the file, none or auto"
        ) from error
