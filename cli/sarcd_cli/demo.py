"""``sarcd demo``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, echo_result, note, progress


@click.command("demo")
@click.argument("folder", default="demo")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, another mine.")
@click.option("--overwrite", is_flag=True, help="Replace the results of an earlier run.")
@common_options(json=True)
def command(folder: str, seed: int, overwrite: bool, json: bool) -> None:
    """Map the changes of a simulated mine with the pretrained model, in less than a minute.

    Writes scene, GeoTIFF and picture into FOLDER [demo], and prints F1 against the simulation's truth beside
    that of a threshold on coherence and on the log-ratio, each at its best.
    """
    from sarcd.demo import run

    result = run(folder, seed=seed, overwrite=overwrite, progress=progress, note=note)
    echo_result({"f1": result.f1, "files": result.files, "seconds": round(result.seconds, 1)}, json)
