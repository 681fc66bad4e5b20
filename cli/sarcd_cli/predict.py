"""``sarcd predict``."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import click

from sarcd.config import PredictOptions
from sarcd_cli._frame import (
    common_options,
    echo_result,
    job_options,
    memory_option,
    note,
    progress,
    scheduler_option,
    written,
)
from sarcd_cli._options import options_of


class _Tiles(click.ParamType[int | str]):
    """Parameter type for a number of pixels, auto or whole."""

    name = "tiles"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the value, or explain the likely mistake: --tiles without a value takes the scene as its value."""
        text = str(value)
        if text in ("auto", "whole"):
            return text
        if text.isdigit() and int(text) > 0:
            return int(text)
        raise click.BadParameter(f"{text!r} is not a number of pixels, auto or whole; put the scene before --tiles")


@click.command("predict")
@click.argument("scene")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="FILE",
    help="Model file made by 'sarcd train'; given again, the mean of their probabilities is the map [the "
    "pretrained model, trained on simulated open-pit mines].",
)
@click.option(
    "--tiles",
    type=_Tiles(),
    is_flag=False,
    flag_value="auto",
    default="auto",
    metavar="[N|auto|whole]",
    help="Side of a tile in pixels, rounded up to the network's stride [auto: from the memory]. The map is the same, "
    "except for networks that cannot be tiled exactly: their tiles overlap and are blended [auto: as in training].",
)
@options_of(PredictOptions, without=("tiles", "memory_bytes"))
@memory_option
@job_options
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    models: tuple[str, ...],
    tiles: int | Literal["auto", "whole"],
    options: PredictOptions,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Map the changes of a scene with a network: the pretrained model or your own.

    Writes change_probability and change, region by region. If the command is interrupted, run it again to resume. The
    map does not depend on the tile size, except for networks that use the whole tile. Each model and each test-time
    augmentation takes one more pass.
    """
    from sarcd import jobs

    result = jobs.predict(
        scene,
        models or None,
        replace(options, tiles=tiles, memory_bytes=memory_bytes),
        pairs=pairs,
        name=name,
        overwrite=overwrite,
        progress=progress,
        note=note,
    )
    told = {"tile": result.tile, "batch": result.batch, "kept_share": result.kept_share}
    echo_result(written(result) | told, json)
