"""``sarcd pseudo-label``."""

from __future__ import annotations

from typing import Any

import click

from sarcd.config import PredictOptions, PseudoOptions
from sarcd_cli._frame import common_options, echo_result, note, progress, scheduler_option
from sarcd_cli._options import options_of


@click.command("pseudo-label")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option("--model", required=True, metavar="FILE", help="Model file made by 'sarcd train'.")
@options_of(PseudoOptions, given=True)
@click.option("--patch", type=click.IntRange(1), help="Side of a patch in pixels [that of the training].")
@options_of(PredictOptions, only=("device",))
@click.option("--name", default="", metavar="SUFFIX", help="Keep map and labels beside others, as VARIABLE_SUFFIX.")
@click.option("--overwrite", is_flag=True, help="Replace a map and labels that were made with other settings.")
@scheduler_option
@common_options(json=True)
def command(
    scenes: tuple[str, ...],
    model: str,
    given: dict[str, Any],
    patch: int | None,
    options: PredictOptions,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Label the patches of scenes where a model is confident, for further training.

    Writes change_probability, change and pseudo_label; 'sarcd train --pseudo SCENE' then trains on them too. Manual
    labels are neither read nor touched. If the command is interrupted, run it
    again to resume.
    """
    from sarcd.jobs.stored_pseudo_labels import pseudo_label

    result = pseudo_label(
        scenes,
        model,
        PseudoOptions(**given),
        predict=options,
        patch=patch,
        name=name,
        overwrite=overwrite,
        progress=progress,
        note=note,
    )
    echo_result(
        {
            "variable": result.variable,
            "patches": result.patches,
            "qualified": result.qualified,
            "chosen": result.chosen,
            "with_change": result.with_change,
        },
        json,
    )
