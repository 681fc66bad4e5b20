"""``sarcd coherence``."""

from __future__ import annotations

import click

from sarcd.config import CoherenceOptions
from sarcd_cli._frame import (
    common_options,
    echo_result,
    job_options,
    memory_option,
    note,
    progress,
    scheduler_option,
)
from sarcd_cli._options import options_of


@click.command("coherence")
@click.argument("scene")
@options_of(CoherenceOptions)
@click.option("--phase", is_flag=True, help="Keep the phase too, as coherence_phase.")
@job_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    options: CoherenceOptions,
    phase: bool,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Estimate the coherence of each pair, and store it in the scene.

    The result is written region by region. If the command is interrupted, run it again to resume.
    """
    from sarcd import jobs

    result = jobs.coherence(
        scene,
        options,
        pairs=pairs,
        name=f"coherence_{name}" if name else "coherence",
        phase=phase,
        overwrite=overwrite,
        memory_bytes=memory_bytes,
        progress=progress,
        note=note,
    )
    echo_result(
        {
            "variable": result.variables[0],
            **({"phase_variable": result.variables[1]} if phase else {}),
            "pairs": result.pairs,
            "regions_computed": result.computed,
            "regions_kept": result.kept,
        },
        json,
    )
