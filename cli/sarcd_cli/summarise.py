"""``sarcd summarise``."""

from __future__ import annotations

import click

from sarcd.config import SummaryOptions
from sarcd_cli._frame import (
    common_options,
    echo_result,
    memory_option,
    note,
    progress,
    result_options,
    scheduler_option,
    written,
)
from sarcd_cli._options import options_of


@click.command("summarise")
@click.argument("scene")
@options_of(SummaryOptions)
@result_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    options: SummaryOptions,
    memory_bytes: int | None,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Count the changes of three or more dates, with their times and whether they persisted.

    Writes change_count, first_change, last_change and persistence, and with omnibus also omnibus_score, region by
    region. If the command is interrupted, run it again to resume.
    """
    from sarcd import jobs

    result = jobs.summarise(
        scene,
        options,
        name=name,
        overwrite=overwrite,
        memory_bytes=memory_bytes,
        progress=progress,
        note=note,
    )
    echo_result(written(result), json)
