"""``sarcd evaluate``."""

from __future__ import annotations

from typing import Any

import click

from sarcd_cli._frame import common_options, dask_progress, echo_result, echo_table

_SCORES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "iou": "IoU",
    "kappa": "kappa",
    "overall_accuracy": "accuracy",
}
_COUNTS = {"labelled_pixels": "labelled", "unjudged_pixels": "unjudged"}


@click.command("evaluate")
@click.argument("scene")
@click.option("--variable", default="change", show_default=True, metavar="NAME", help="Map or score that is judged.")
@click.option(
    "--threshold", type=float, metavar="T", help="Score from which a pixel counts as changed [0.5 for a probability]."
)
@common_options(json=True)
def command(scene: str, variable: str, threshold: float | None, json: bool) -> None:
    """Score a change map against the labels of the scene.

    F1, precision, recall, IoU, Cohen's kappa and overall accuracy of each pair, and of all pairs together, over the
    pixels that are labelled.
    """
    from sarcd.evaluate import evaluate
    from sarcd.io.store import open_scene

    with dask_progress("counting"):
        result = evaluate(open_scene(scene), variable=variable, threshold=threshold)
    over = result["over"].values.tolist()
    entries: list[dict[str, Any]] = [
        {str(name): array.values[i] for name, array in result.data_vars.items()} for i in range(len(over))
    ]
    if json:
        pairs = [{"pair": name, **entry} for name, entry in zip(over[1:], entries[1:], strict=True)]
        echo_result({"scene": scene, **result.attrs, "pooled": entries[0], "pairs": pairs}, json=True)
        return
    at = f" at {result.attrs['threshold']:g}" if "threshold" in result.attrs else ""
    click.echo(f"{variable}{at} against {result.attrs['truth']}")
    echo_table(
        ["over", *_SCORES.values(), *_COUNTS.values()],
        [
            [name, *(_share(entry[key]) for key in _SCORES), *(f"{entry[key]:,}" for key in _COUNTS)]
            for name, entry in zip(over, entries, strict=True)
        ],
    )


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"  # noqa: PLR0124  NaN: a pair without labels
