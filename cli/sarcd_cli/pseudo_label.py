"""``sarcd pseudo-label``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, echo_result, note, progress, scheduler_option


@click.command("pseudo-label")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option("--model", required=True, metavar="FILE", help="Model file made by 'sarcd train'.")
@click.option("--confidence", type=float, help="Probability from which a pixel is confident [0.85].")
@click.option("--min-confident", type=float, help="Share of confident pixels that a patch must exceed [0.9].")
@click.option(
    "--reading",
    type=click.Choice(["either", "change"]),
    help="Confident of change or of none, or of change alone as the paper prints it [either].",
)
@click.option("--max-patches", type=click.IntRange(1), help="Patches at most [as many as the model learnt from].")
@click.option(
    "--choice",
    type=click.Choice(["stratified", "random"]),
    help="Where more qualify: half with change, the surest first, and half without; or all by seed [stratified].",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the choice [0].")
@click.option("--patch", type=click.IntRange(1), help="Side of a patch in pixels [the one the model learnt from].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--name", default="", metavar="SUFFIX", help="Keep map and labels beside others, as VARIABLE_SUFFIX.")
@click.option("--overwrite", is_flag=True, help="Replace a map and labels that were made with other settings.")
@scheduler_option
@common_options(json=True)
def command(
    scenes: tuple[str, ...],
    model: str,
    confidence: float | None,
    min_confident: float | None,
    reading: str | None,
    max_patches: int | None,
    choice: str | None,
    seed: int | None,
    patch: int | None,
    device: str,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Let a model label the patches of scenes that it is sure of, for another training.

    Writes change_probability, change and pseudo_label; 'sarcd train --pseudo SCENE' then learns from them too. Manual
    labels are neither read nor touched. Stopped at any moment, the same command resumes.
    """
    from sarcd.config import PredictOptions, PseudoOptions, from_dict, merge
    from sarcd.jobs.stored_pseudo_labels import pseudo_label

    options = merge(
        PseudoOptions(),
        confidence=confidence,
        min_confident=min_confident,
        reading=reading,
        max_patches=max_patches,
        choice=choice,
        seed=seed,
    )
    result = pseudo_label(
        scenes,
        model,
        options,
        predict=from_dict(PredictOptions, {"device": device}),
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
