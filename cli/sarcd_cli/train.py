"""``sarcd train``."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import click

from sarcd.config import TrainOptions, change, merge, read_toml, toml_text
from sarcd_cli._frame import common_options, echo_result, note, progress
from sarcd_cli._options import options_of, parse_window

FLAGS = (
    "model",
    "patch",
    "batch",
    "epochs",
    "learning_rate",
    "schedule",
    "val_fraction",
    "cache",
    "cache_dir",
    "workers",
    "seed",
    "device",
)
"""Options with their own flag; `--set` gives any other."""


@click.command("train")
@click.argument("scenes", nargs=-1, required=False, metavar="SCENE...")
@click.option(
    "--val",
    "validation",
    multiple=True,
    metavar="SCENE",
    help="Labelled scene for validation; repeatable.",
)
@click.option("--pseudo", multiple=True, metavar="SCENE", help="Scene with pseudo-labels to train on; repeatable.")
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="SCENE",
    help="Scene to label with a first network and then to train on (Algorithm 1); repeatable.",
)
@click.option("-o", "--output", metavar="FILE", help="Model file to write, ending in .safetensors.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file of options; flags win over it.")
@click.option("--print-config", is_flag=True, help="Print the options as a TOML file, each explained, and stop.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Any option of the TOML file, such as loss.dice=1 or augment.shear=0; repeatable.",
)
@options_of(TrainOptions, only=FLAGS, given=True)
@click.option("--widths", metavar="N,N,...", help="Channels of each encoder level.")
@click.option("--no-coherence", is_flag=True, help="Two channels, the amplitudes alone.")
@click.option("--window", metavar="N|YxX", help="Odd size of the coherence window in pixels: 7, or 7x5.")
@click.option("--overwrite", is_flag=True, help="Train from the start, and replace an existing model file.")
@common_options(json=True)
def command(
    scenes: tuple[str, ...],
    validation: tuple[str, ...],
    pseudo: tuple[str, ...],
    unlabelled: tuple[str, ...],
    output: str | None,
    config_file: str | None,
    print_config: bool,
    settings: tuple[str, ...],
    given: dict[str, Any],
    widths: str | None,
    no_coherence: bool,
    window: str | None,
    overwrite: bool,
    json: bool,
) -> None:
    """Train a network on labelled scenes.

    Trains on all patches with change and as many without; all patches of --val scenes are for validation. The
    defaults are the paper's. A directory .run beside the model file holds the complete configuration, a log and its
    plot. If the command is interrupted, run it again to resume. 'torchrun --nproc-per-node N -m sarcd train' trains on
    N GPUs.
    """
    options = read_toml(config_file, TrainOptions) if config_file else TrainOptions()
    options = merge(change(options, settings), **given)
    if widths is not None:
        options = replace(options, network={**options.network, "widths": _numbers(widths)})
    if no_coherence:
        options = replace(options, use_coherence=False)
    if window is not None:
        options = replace(options, coherence=replace(options.coherence, window=parse_window(window)))
    if print_config:
        sys.stdout.write(toml_text(options))
        return
    if not scenes:
        raise click.UsageError("Missing argument 'SCENE...'.")
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if not validation and not options.val_fraction:
        note("no --val scene and val_fraction is 0: nothing evaluates the network during training")

    if pseudo and unlabelled:
        raise click.UsageError("--pseudo and --unlabelled: labels are there already, or are to be made.")
    if unlabelled:
        from sarcd.jobs.stored_pseudo_labels import self_train

        result = self_train(
            options, scenes, validation, unlabelled, output, overwrite=overwrite, progress=progress, note=note
        )
    else:
        from sarcd.training.trainer import train

        result = train(
            options, scenes, validation, output, pseudo=pseudo, overwrite=overwrite, progress=progress, note=note
        )
    if not result.digest:
        return  # one of several processes of torchrun, of which only the first writes and prints
    echo_result(
        {
            "model": str(result.path),
            "run": str(result.run),
            "digest": result.digest,
            "patches": result.patches,
            "changed_patches": result.changed_patches,
            "pseudo_patches": result.pseudo_patches,
            "validation_patches": result.validation_patches,
            "epoch": result.epoch,
            "loss": result.loss,
            "validation": result.scores,
            "calibration": result.calibration,
        },
        json,
    )


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise click.BadParameter(f"{text!r} is not a list of whole numbers such as 16,32,64,128", param_hint="--widths")
    return tuple(int(part) for part in parts)
