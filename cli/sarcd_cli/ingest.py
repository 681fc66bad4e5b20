"""``sarcd ingest``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from sarcd_cli._frame import common_options, echo_result, note, progress

_ONLY_NEW = ("chunk", "shard")


@click.command("ingest")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("-o", "--output", required=True, metavar="SCENE", help="The scene to make, or to grow with --append.")
@click.option("--append", is_flag=True, help="Add later images to SCENE, or labels alone if no image is named.")
@click.option(
    "--kind",
    type=click.Choice(["slc", "amplitude", "intensity", "db"]),
    help="What the pixels are; slc is for complex data, the others have to be said.",
)
@click.option(
    "--band",
    "bands",
    multiple=True,
    metavar="N|NAME",
    help="Band to read, for all images or once for each; 'I,Q' or '1,2' for two.",
)
@click.option(
    "--nodata",
    multiple=True,
    metavar="VALUE|none|auto",
    help="No-data beside what the files declare, for all images or once for each: a value as stored; none: nothing "
    "else (but exact zeros of complex images always are); auto: a border of exact zeros in floating-point amplitude or "
    "intensity, which is then said [auto].",
)
@click.option(
    "--gain",
    "gain_db",
    type=float,
    multiple=True,
    metavar="DB",
    help="Decibels to add to each image, in their order [0].",
)
@click.option("--iq", is_flag=True, help="The two bands are real and imaginary part.")
@click.option(
    "--date", "dates", multiple=True, metavar="DATE", help="Date of each image in their order, as 2023-03-19T05:58:00."
)
@click.option(
    "--label", "labels", multiple=True, metavar="FILE", help="Labels of each pair in order, or BEFORE:AFTER=FILE."
)
@click.option(
    "--label-change", metavar="VALUES", help="Values that mean change, as 255 or 1,128-255, or words of an attribute."
)
@click.option("--label-ignore", metavar="VALUES", help="Values or words that mean unlabelled.")
@click.option("--label-layer", metavar="NAME", help="Layer of vector label files [the only one with shapes].")
@click.option("--label-field", metavar="NAME", help="Attribute with the values of shapes [label, if there is one].")
@click.option("--wavelength", "wavelength_m", type=float, metavar="M", help="Wavelength in metres.")
@click.option("--spacing", metavar="Y,X", help="Pixel spacing in metres: azimuth, range.")
@click.option(
    "--range-spacing",
    type=click.Choice(["slant", "ground"]),
    help="What the spacing along x is of [slant for complex images, ground for others].",
)
@click.option(
    "--incidence",
    "incidence_deg",
    type=float,
    metavar="DEG",
    help="Incidence angle at mid-swath, for areas on the ground; --append alone adds it to a scene.",
)
@click.option("--looks", type=float, metavar="N", help="Number of looks.")
@click.option("--chunk", type=click.IntRange(1), metavar="N", help="Side of a stored chunk in pixels [1024].")
@click.option("--shard", type=click.IntRange(0), metavar="N", help="Side of a shard, a multiple of it [0: none].")
@click.option("--memory", type=click.FloatRange(min=0.01), metavar="GIB", help="Memory for one block [0.25].")
@click.option("--config", type=click.Path(dir_okay=False), metavar="FILE", help="TOML file of options; flags win.")
@click.option("--overwrite", is_flag=True, help="Replace a scene, or with --append labels, that is there already.")
@common_options(json=True)
def command(
    images: tuple[str, ...],
    output: str,
    append: bool,
    spacing: str | None,
    memory: float | None,
    config: str | None,
    json: bool,
    **given: Any,
) -> None:
    """Make a scene of two or more coregistered radar images.

    IMAGE is anything that GDAL opens. Dates come from --date, else from the file's metadata, else from its name; UTC.
    Of two times in a name within 15 minutes the first counts; two days, or a day that could be a month, are refused.
    Labels are rasters of the scene's size that hold 0 and 1, or vector files, FILE or 'FILE|layername=NAME': every
    shape is change, unless an attribute called label says otherwise, and ground outside all shapes is none.
    """
    from sarcd.config import IngestOptions, merge, read_toml
    from sarcd.ingestion.append import append as append_images
    from sarcd.ingestion.images import causes_text, percent
    from sarcd.ingestion.scene import ingest

    if append and any(given[name] is not None for name in _ONLY_NEW):
        raise click.UsageError("--chunk and --shard are of a new scene; --append uses those of the scene")
    values = {name: value for name, value in given.items() if value not in (None, (), False)}
    if spacing is not None:
        values["spacing_m"] = _two_numbers(spacing)
    if memory is not None:
        values["memory_bytes"] = int(memory * 2**30)
    options = merge(IngestOptions(), **values) if config is None else read_toml(config, IngestOptions, **values)
    report = (append_images if append else ingest)(images, output, options, progress=progress)
    if json:
        echo_result(dataclasses.asdict(report), json=True)
        return
    lines: dict[str, Any] = {"scene": report.scene}
    pixels = report.size[0] * report.size[1]
    for source, date, valid, causes in zip(report.sources, report.dates, report.valid, report.invalid, strict=True):
        why = f"; {causes_text(causes, pixels)}" if causes else ""
        lines[date.removesuffix("T00:00:00")] = f"{source}, {percent(valid)} valid{why}"
    lines[report.images] = f"{report.size[0]} x {report.size[1]} pixels, {report.pairs} pair{'s'[: report.pairs > 1]}"
    if report.labelled:
        lines["labelled"] = list(report.labelled)
        lines["labels"] = {label.pair: label.text() for label in report.labels}
    echo_result(lines, json=False)
    for text in report.notes:
        note(text)


def _two_numbers(text: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 2:
        raise click.BadParameter(f"{text!r} is not two numbers, as in 13.9,2.3", param_hint="'--spacing'")
    return numbers
