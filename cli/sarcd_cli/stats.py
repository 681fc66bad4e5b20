"""``sarcd stats``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, echo_result, memory_option, note, progress, scheduler_option


@click.command("stats")
@click.argument("scene")
@click.option("--per-date", is_flag=True, help="One median and MAD a date instead of one for all dates together.")
@click.option("--refresh", is_flag=True, help="Compute them again, and mark what was made with the old ones as stale.")
@memory_option
@scheduler_option
@common_options(json=True)
def command(scene: str, per_date: bool, refresh: bool, memory_bytes: int | None, json: bool) -> None:
    """Compute the median and MAD of the amplitudes, and keep them in the scene.

    Exact, over the valid pixels of all dates, and frozen: dates that are appended later do not change them.
    """
    from sarcd.jobs import write_statistics

    statistics, computed = write_statistics(
        scene, per_date=per_date, refresh=refresh, memory_bytes=memory_bytes, progress=progress
    )
    if not computed:
        note("they are in the scene already; --refresh computes them again")
    echo_result(
        {
            "median": list(statistics.median) if per_date else statistics.median[0],
            "mad": list(statistics.mad) if per_date else statistics.mad[0],
            "dates": list(statistics.dates),
        },
        json,
    )
