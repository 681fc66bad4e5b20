"""``sarcd coherence``."""

from __future__ import annotations

import click

from sarcd_cli._frame import (
    common_options,
    echo_result,
    job_options,
    memory_option,
    note,
    parse_window,
    progress,
    scheduler_option,
)


@click.command("coherence")
@click.argument("scene")
@click.option("--window", default="5", show_default=True, metavar="N|YxX", help="Odd size in pixels: 7, or 7x5.")
@click.option(
    "--estimator",
    type=click.Choice(["boxcar", "gaussian", "fringe", "adaptive"]),
    default="boxcar",
    show_default=True,
    help="Equal weights; falling weights; local phase ramps removed first; only pixels as bright as the centre.",
)
@click.option("--debias", is_flag=True, help="Remove the bias that few looks give low coherence.")
@click.option("--phase", is_flag=True, help="Keep the phase too, as coherence_phase.")
@click.option(
    "--min-valid", type=float, default=0.5, show_default=True, help="Least share of valid pixels in a window."
)
@job_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    window: str,
    estimator: str,
    debias: bool,
    phase: bool,
    min_valid: float,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Estimate coherence, how alike two radar echoes are, and keep it in the scene.

    Written region by region; stopped at any moment, the same command resumes.
    """
    from sarcd import jobs
    from sarcd.config import CoherenceOptions, from_dict

    values = {"window": parse_window(window), "estimator": estimator, "min_valid": min_valid, "debias": debias}
    result = jobs.coherence(
        scene,
        from_dict(CoherenceOptions, values),
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
