"""``sarcd statistics``."""

from __future__ import annotations

from typing import Any

import click

from sarcd_cli._frame import common_options, echo_result, memory_option, note, progress, scheduler_option


@click.command("statistics")
@click.argument("scene")
@click.option(
    "--per-date/--pooled",
    default=None,
    help="One median and MAD per date, or one for all dates [per date if their medians differ by more than 1 dB].",
)
@click.option("--refresh", is_flag=True, help="Compute them again, and mark results that used the old ones as stale.")
@memory_option
@scheduler_option
@common_options(json=True)
def command(scene: str, per_date: bool | None, refresh: bool, memory_bytes: int | None, json: bool) -> None:
    """Compute the median and MAD of the amplitudes, and store them in the scene.

    They are exact, over the valid pixels of all dates. Dates that are appended later do not change them, and get their
    own where statistics are per date.
    """
    from sarcd import jobs
    from sarcd.config.ingest import LEVEL_JUMP_DB
    from sarcd.ingestion.images import causes_text, percent, stored_causes
    from sarcd.schema import images_of
    from sarcd.store.scene import SceneStore, open_scene

    statistics, computed = jobs.statistics(
        scene, per_date=per_date, refresh=refresh, memory_bytes=memory_bytes, progress=progress
    )
    if not computed:
        note("they are in the scene already; --refresh computes them again")
    if statistics.jump_db > LEVEL_JUMP_DB:
        kept = "one median and MAD a date are" if statistics.per_date else "one median and MAD for all dates are"
        other = "--pooled" if statistics.per_date else "--per-date"
        note(
            f"the median amplitudes of the dates differ by {statistics.jump_db:.1f} dB: {kept} kept; "
            f"{other} --refresh keeps the other"
        )
    result: dict[str, Any] = {
        "median": list(statistics.median) if statistics.per_date else statistics.median[0],
        "mad": list(statistics.mad) if statistics.per_date else statistics.mad[0],
        "dates": list(statistics.dates),
    }
    if statistics.valid:
        images = images_of(open_scene(scene, chunks=None))
        height, width = SceneStore(scene).shape
        causes = stored_causes(images.attrs, len(statistics.dates))
        shares = [round(1 - valid, 9) for valid in statistics.valid]
        result["invalid"] = shares if json else [percent(share) for share in shares]
        if any(causes):
            result["invalid_why"] = causes if json else [causes_text(one, height * width) or "-" for one in causes]
    echo_result(result | ({"per_date": statistics.per_date, "level": list(statistics.level)} if json else {}), json)
