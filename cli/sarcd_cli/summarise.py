"""``sarcd summarise``."""

from __future__ import annotations

import click

from sarcd_cli._frame import (
    common_options,
    echo_result,
    memory_option,
    note,
    parse_window,
    progress,
    result_options,
    scheduler_option,
    written,
)


@click.command("summarise")
@click.argument("scene")
@click.option(
    "--of",
    metavar="NAME|omnibus",
    help="Maps of the consecutive dates, such as change or change_probability_night, or omnibus: one test of the "
    "brightness of all dates [change_probability, else change, else omnibus].",
)
@click.option("--threshold", type=float, help="Probability from which on there is a change [as its map was cut].")
@click.option(
    "--persistence/--no-persistence", default=True, help="Follow each change to the last date, or not [persistence]."
)
@click.option("--window", metavar="N|YxX", default="5", show_default=True, help="Odd size in pixels: 7, or 7x5.")
@click.option(
    "--false-alarms",
    type=float,
    default=0.01,
    show_default=True,
    help="Rate of the omnibus test, and of what the persistence compares.",
)
@click.option("--looks", type=float, help="Independent looks of a mean over the window [measured].")
@click.option("--min-valid", type=float, default=0.5, show_default=True, help="Least share of a window that is valid.")
@click.option(
    "--exclude-date",
    "exclude_dates",
    multiple=True,
    metavar="DATE",
    help="Leave out a date, as of snow: changes are those of the pairs across; may be given several times.",
)
@result_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    window: str,
    memory_bytes: int | None,
    name: str,
    overwrite: bool,
    json: bool,
    **knobs: object,
) -> None:
    """Tell of three or more dates how often the ground changed, when, and whether it came back.

    Writes change_count, first_change, last_change and persistence, of omnibus also omnibus_score, region by region;
    stopped at any moment, the same command resumes.
    """
    from sarcd import jobs
    from sarcd.config import SummaryOptions, from_dict

    result = jobs.summarise(
        scene,
        from_dict(SummaryOptions, {**knobs, "window": parse_window(window)}),
        name=name,
        overwrite=overwrite,
        memory_bytes=memory_bytes,
        progress=progress,
        note=note,
    )
    echo_result(written(result), json)
