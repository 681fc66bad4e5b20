"""``sarcd predict``."""

from __future__ import annotations

import click

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


class _Tiles(click.ParamType[int | str]):
    """A number of pixels, auto or whole."""

    name = "tiles"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the value, or explain the likely slip: a bare --tiles has swallowed the scene."""
        text = str(value)
        if text in ("auto", "whole"):
            return text
        if text.isdigit() and int(text) > 0:
            return int(text)
        raise click.BadParameter(f"{text!r} is no number of pixels, auto or whole; put the scene before --tiles")


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
    "but of networks that cannot be tiled exactly: their tiles overlap and are blended [auto: as in training].",
)
@click.option("--batch", type=click.IntRange(0), default=0, help="Tiles in one forward pass [0: from the memory].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option(
    "--statistics",
    type=click.Choice(["scene", "model"]),
    help="Whose median and MAD normalise the amplitudes [what the model says, as a rule the scene's].",
)
@click.option("--threshold", type=float, help="Probability from which a pixel counts as changed [the model's].")
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of the network. The others may be faster; how far they move the map is told.",
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first, which takes a minute or two.")
@click.option("--swap", is_flag=True, help="Mean over both orders of the dates: a map symmetric in time.")
@click.option("--flips", is_flag=True, help="Mean over the ground as it lies and turned round along y, x and both.")
@click.option("--adapt-batchnorm", is_flag=True, help="Estimate batch-norm statistics anew on a sample of the scene.")
@click.option("--uncertainty", is_flag=True, help="Keep the spread among models, --swap and --flips beside the map.")
@memory_option
@job_options
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    models: tuple[str, ...],
    tiles: int | str,
    batch: int,
    device: str,
    statistics: str | None,
    threshold: float | None,
    precision: str,
    compiled: bool,
    swap: bool,
    flips: bool,
    adapt_batchnorm: bool,
    uncertainty: bool,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Map the changes of a scene with a network, the pretrained one or your own.

    Writes change_probability and change, region by region; stopped at any moment, the same command resumes. The map
    does not depend on the tiles, except of networks that look at the whole of a tile. Each model, and each
    test-time augmentation, costs one more pass.
    """
    from sarcd import jobs
    from sarcd.config import PredictOptions, from_dict

    values = {
        "tiles": tiles,
        "batch": batch,
        "device": device,
        "statistics": statistics,
        "threshold": threshold,
        "precision": precision,
        "compiled": compiled,
        "swap": swap,
        "flips": flips,
        "adapt_batchnorm": adapt_batchnorm,
        "uncertainty": uncertainty,
        "memory_bytes": memory_bytes,
    }
    result = jobs.predict(
        scene,
        models or None,
        from_dict(PredictOptions, values),
        pairs=pairs,
        name=name,
        overwrite=overwrite,
        progress=progress,
        note=note,
    )
    told = {"tile": result.tile, "batch": result.batch, "kept_share": result.kept_share}
    echo_result(written(result) | told, json)
