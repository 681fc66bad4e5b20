"""``sarcd evaluate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sarcd_cli._frame import common_options, dask_progress, echo_result, echo_table

if TYPE_CHECKING:
    from sarcd.metrics import Report

_SCORES = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "iou": "IoU",
    "kappa": "kappa",
    "overall_accuracy": "accuracy",
}
_COUNTS = {"fp": "FP", "fn": "FN", "overall_error": "OE", "labelled_pixels": "labelled", "masked_pixels": "masked"}
_OF_SCORES = {
    "average_precision": "AP",
    "expected_calibration_error": "ECE",
    "brier": "Brier",
    "log_loss": "log loss",
}
_OF_OBJECTS = {
    "object_f1": "object F1",
    "object_precision": "precision",
    "object_recall": "recall",
    "objects_detected": "detected",
    "objects_missed": "missed",
    "objects_false": "false",
    "false_objects_per_km2": "false/km2",
}


@click.command("evaluate")
@click.argument("scenes", nargs=-1, required=True, metavar="SCENE...")
@click.option("--variable", default="change", show_default=True, metavar="NAME", help="Map or score to evaluate.")
@click.option(
    "--threshold", type=float, metavar="T", help="Score from which a pixel counts as changed [0.5 for a probability]."
)
@click.option("--objects", is_flag=True, help="Count objects too: changed pixels that touch by side or corner.")
@click.option("--min-pixels", type=int, metavar="N", help="Minimum size of an object in evaluated pixels [1].")
@click.option("--min-area", type=float, metavar="M2", help="Minimum area of an object in square metres.")
@click.option(
    "--min-overlap",
    type=float,
    metavar="FRACTION",
    help="Minimum fraction of a reference object that must be detected [any overlap].",
)
@click.option(
    "--bootstrap", type=int, metavar="N", help="Confidence intervals from N resamples of patches of the scene."
)
@click.option("--patch", type=int, metavar="N", help="Side of the resampled patches in pixels [256].")
@click.option("--seed", type=int, help="Seed of the resampling [0].")
@click.option("--level", type=float, metavar="FRACTION", help="Fraction of the resamples within an interval [0.95].")
@click.option("--bins", type=int, default=15, show_default=True, help="Bins of the expected calibration error.")
@click.option("--picture", metavar="FILE.png", help="Draw hits, false alarms and misses of one pair of the scene.")
@click.option("--pair", metavar="N|BEFORE:AFTER", help="The pair of the picture [0].")
@common_options(json=True)
def command(
    scenes: tuple[str, ...],
    variable: str,
    threshold: float | None,
    objects: bool,
    min_pixels: int | None,
    min_area: float | None,
    min_overlap: float | None,
    bootstrap: int | None,
    patch: int | None,
    seed: int | None,
    level: float | None,
    bins: int,
    picture: str | None,
    pair: str | None,
    json: bool,
) -> None:
    """Score a change map against the labels of the scene.

    F1, precision, recall, IoU, Cohen's kappa and overall accuracy of each pair, of each scene, and of all together,
    over the pixels that are labelled. For a probability (--variable change_probability), also average precision
    and calibration, with the curves behind them in --json.
    """
    from sarcd.metrics import Bootstrap, ObjectRules, report
    from sarcd.optional import require
    from sarcd.store.scene import open_scene

    rules = _given(min_pixels=min_pixels, min_area_m2=min_area, min_overlap=min_overlap)
    draw = _given(patch=patch, seed=seed, level=level)
    if draw and bootstrap is None:
        raise click.UsageError(f"--{next(iter(draw))} requires --bootstrap")
    if picture is not None and len(scenes) > 1:
        raise click.UsageError("--picture draws one scene: name one")
    if pair is not None and picture is None:
        raise click.UsageError("--pair requires --picture")
    if picture is not None:
        require("matplotlib")  # fails before the scenes are read
    with dask_progress("counting"):
        result = report(
            [open_scene(scene) for scene in scenes],
            variable=variable,
            threshold=threshold,
            objects=ObjectRules(**rules) if objects or rules else False,
            bootstrap=None if bootstrap is None else Bootstrap(resamples=bootstrap, **draw),
            bins=bins,
        )
    if picture is not None:
        from sarcd.figures.error_map import write_errors

        write_errors(picture, open_scene(scenes[0]), pair=_which(pair), variable=variable)
    if json:
        place = {"scene": scenes[0]} if len(scenes) == 1 else {}
        echo_result({**place, **result.to_dict()}, json=True)
    else:
        _echo_tables(result)


def _which(pair: str | None) -> int | str:
    if pair is None:
        return 0
    return int(pair) if pair.lstrip("-").isdigit() else pair


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _echo_tables(result: Report) -> None:
    scores, attrs, entries = result.scores, result.scores.attrs, result.entries()
    names = scores["over"].values.tolist()
    if "pair" in scores.coords:
        pairs = scores["pair"].values.tolist()
        names = [f"  {pair}" if pair else name for name, pair in zip(names, pairs, strict=True)]
    at = f" at {attrs['threshold']:g}" if "threshold" in attrs else ""
    click.echo(f"{attrs['variable']}{at} against {attrs['truth']}")
    _echo_columns(names, entries, {**_SCORES, **_COUNTS})
    for columns in (_OF_SCORES, _OF_OBJECTS):
        there = {key: title for key, title in columns.items() if key in entries[0]}
        if there:
            click.echo()
            _echo_columns(names, entries, there)
    if "level" in attrs:
        patch = f"{attrs['patch']} x {attrs['patch']}"
        click.echo(
            f"\n{100 * attrs['level']:g} % intervals from {attrs['resamples']} resamples of {patch} pixel patches"
        )
        columns = {**_SCORES, "average_precision": "AP"}
        there = {key: title for key, title in columns.items() if f"{key}_low" in entries[0]}
        rows = [[f"{entry['patches']:,}", *(_range(entry, key) for key in there)] for entry in entries]
        echo_table(["over", "patches", *there.values()], [[name, *row] for name, row in zip(names, rows, strict=True)])


def _echo_columns(names: list[str], entries: list[dict[str, Any]], columns: dict[str, str]) -> None:
    rows = [[_text(entry[key]) for key in columns] for entry in entries]
    echo_table(["over", *columns.values()], [[name, *row] for name, row in zip(names, rows, strict=True)])


def _text(value: Any) -> str:
    if value.dtype.kind == "i":
        return f"{value:,}"
    return "-" if value != value else f"{value:.4f}"  # noqa: PLR0124  NaN: a pair without labels


def _range(entry: dict[str, Any], key: str) -> str:
    low, high = entry[f"{key}_low"], entry[f"{key}_high"]
    return "-" if low != low else f"{low:.3f}-{high:.3f}"  # noqa: PLR0124  NaN: too few patches
