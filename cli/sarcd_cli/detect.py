"""``sarcd detect``."""

from __future__ import annotations

import click

from sarcd.config import DetectOptions
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


@click.command("detect")
@click.argument("scene")
@options_of(DetectOptions)
@click.option(
    "--device", default="auto", help="Device of the pretrained network: auto, cpu, cuda, cuda:N or mps [auto]."
)
@job_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    options: DetectOptions,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    device: str,
    overwrite: bool,
    json: bool,
) -> None:
    """Detect changes without a model of your own, by the method that suits the scene.

    Writes change, and change_probability or change_score, region by region. If the command is
    interrupted, run it again to resume.
    """
    from sarcd import jobs

    result = jobs.detect(
        scene,
        options,
        pairs=pairs,
        name=name,
        device=device,
        overwrite=overwrite,
        memory_bytes=memory_bytes,
        progress=progress,
        note=note,
    )
    echo_result(written(result), json)
