"""``sarcd ingest``."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from sarcd.config import IngestOptions, merge, read_toml
from sarcd_cli._frame import common_options, echo_result, note, progress
from sarcd_cli._options import options_of

_ONLY_NEW = ("chunk", "shard")


@click.command("ingest")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("-o", "--output", required=True, metavar="SCENE", help="The scene to make, or to grow with --append.")
@click.option(
    "--append", is_flag=True, help="Add later images to SCENE; labels or --incidence alone if no image is named."
)
@options_of(IngestOptions, without=("spacing_m", "overwrite", "memory_bytes"), given=True)
@click.option("--spacing", metavar="Y,X", help="Pixel spacing in metres, along y (azimuth) and x (range).")
@click.option(
    "--memory", type=click.FloatRange(min=0.01), metavar="GIB", help="Memory of one block of an image [0.25]."
)
@click.option("--config", type=click.Path(dir_okay=False), metavar="FILE", help="TOML file of options; flags win.")
@click.option("--overwrite", is_flag=True, help="Replace an existing scene, or existing labels with --append.")
@common_options(json=True)
def command(
    images: tuple[str, ...],
    output: str,
    append: bool,
    spacing: str | None,
    memory: float | None,
    config: str | None,
    overwrite: bool,
    json: bool,
    given: dict[str, Any],
) -> None:
    """Create a scene from two or more coregistered radar images.

    IMAGE is anything that GDAL opens. Dates come from --date, else from the file's metadata, else from its name; UTC.
    Of two times in a name within 15 minutes the first counts; two days, or a day that could be a month, are refused.
    Labels are rasters of the scene's size that hold 0 and 1, or vector files, FILE or 'FILE|layername=NAME': every
    shape is change, unless an attribute called label says otherwise, and ground outside all shapes is unchanged.
    """
    from sarcd.ingestion.append import append as append_images
    from sarcd.ingestion.images import causes_text, percent
    from sarcd.ingestion.scene import ingest

    if append and any(name in given for name in _ONLY_NEW):
        raise click.UsageError("--chunk and --shard are of a new scene; --append uses those of the scene")
    values = given | ({"overwrite": True} if overwrite else {})
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
