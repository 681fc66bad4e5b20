"""``sarcd threshold``."""

from __future__ import annotations

import dataclasses

import click

from sarcd_cli._frame import common_options, dask_progress, echo_result, note


@click.command("threshold")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option("--precision", type=float, metavar="FRACTION", help="Lowest threshold with at least this precision.")
@click.option(
    "--false-alarms-per-km2",
    type=float,
    metavar="N",
    help="Lowest threshold with at most N false objects per square kilometre without change, there and above.",
)
@click.option("--best-f1", is_flag=True, help="Threshold of the highest F1.")
@click.option(
    "--min-pixels",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Minimum size of an object in evaluated pixels.",
)
@click.option("--variable", default="change_probability", show_default=True, metavar="NAME", help="Score to evaluate.")
@click.option("--model", metavar="FILE", help="Model file to write it into: 'sarcd predict' then uses it.")
@common_options(json=True)
def command(
    scenes: tuple[str, ...],
    precision: float | None,
    false_alarms_per_km2: float | None,
    best_f1: bool,
    min_pixels: int,
    variable: str,
    model: str | None,
    json: bool,
) -> None:
    """Choose the threshold of a change probability on labelled scenes.

    The criterion is precision, false alarms per area, or F1, over all pairs of all scenes together. Use validation
    scenes, which the network was not trained on.
    """
    given = {"--precision": precision, "--false-alarms-per-km2": false_alarms_per_km2, "--best-f1": best_f1 or None}
    if sum(value is not None for value in given.values()) != 1:
        raise click.UsageError(f"give one of {', '.join(given)}")

    from sarcd.metrics import choose_threshold
    from sarcd.store.scene import open_scene

    if model is not None:
        from sarcd.models.file import load_model, save_model

        loaded = load_model(model)  # fails before the scenes are read
    with dask_progress("counting"):
        choice = choose_threshold(
            [open_scene(scene) for scene in scenes],
            precision=precision,
            false_alarms_per_km2=false_alarms_per_km2,
            best="f1" if best_f1 else None,
            min_pixels=min_pixels,
            variable=variable,
        )
    result = {"scenes": list(scenes), "variable": variable, **dataclasses.asdict(choice)}
    if model is not None:
        chosen = {"criterion": choice.criterion, "min_pixels": min_pixels, "scenes": list(scenes)}
        training = {**loaded.card.training, "threshold": chosen}
        card = dataclasses.replace(loaded.card, threshold=choice.threshold, training=training)
        save_model(model, loaded.network, card)
        note(f"{model}: threshold {loaded.card.threshold:g} is now {choice.threshold:.6g}")
        result["model"] = model
    if not json:
        result["threshold"] = f"{choice.threshold:.9g}"  # exact when it is passed to --threshold
    echo_result(result, json)
