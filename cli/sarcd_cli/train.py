"""``sarcd train``."""

from __future__ import annotations

import sys

import click

from sarcd_cli._frame import common_options, echo_result, note, parse_window, progress


@click.command("train")
@click.argument("scenes", nargs=-1, required=False, metavar="SCENE...")
@click.option("--val", "validation", multiple=True, metavar="SCENE", help="Labelled scene to judge on; repeatable.")
@click.option("--pseudo", multiple=True, metavar="SCENE", help="Scene with pseudo-labels to learn from; repeatable.")
@click.option(
    "--unlabelled",
    multiple=True,
    metavar="SCENE",
    help="Scene to label with a first network and to learn from then (Algorithm 1); repeatable.",
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
@click.option("--model", help="Network, by name: unet, unet-small, unet-classic, siamese-unet, tinycd, changerex.")
@click.option("--widths", metavar="N,N,...", help="Channels of each encoder level.")
@click.option("--no-coherence", is_flag=True, help="Two channels, the amplitudes alone.")
@click.option("--window", metavar="N|YxX", help="Coherence window: 7, or 7x5.")
@click.option("--patch", type=click.IntRange(1), help="Side of a patch in pixels.")
@click.option("--batch", type=click.IntRange(1), help="Patches a step.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training patches.")
@click.option("--learning-rate", type=float, help="AdamW's rate.")
@click.option("--schedule", type=click.Choice(["step", "one-cycle"]), help="Of the rate.")
@click.option("--val-fraction", type=float, help="Share of the scenes' ground that is kept for validation.")
@click.option("--cache", type=click.Choice(["auto", "memory", "disk", "none"]), help="Where patches are kept.")
@click.option("--cache-dir", metavar="FOLDER", help="Where they are kept on disk, for other runs too.")
@click.option("--workers", type=click.IntRange(0), help="Processes that read patches where they are not in memory.")
@click.option("--seed", type=click.IntRange(0), help="Of weights, draw, order and augmentation.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--overwrite", is_flag=True, help="Begin anew, and replace a model file that is there.")
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
    model: str | None,
    widths: str | None,
    no_coherence: bool,
    window: str | None,
    patch: int | None,
    batch: int | None,
    epochs: int | None,
    learning_rate: float | None,
    schedule: str | None,
    val_fraction: float | None,
    cache: str | None,
    cache_dir: str | None,
    workers: int | None,
    seed: int | None,
    device: str | None,
    overwrite: bool,
    json: bool,
) -> None:
    """Train a network on labelled scenes.

    Learns from every patch with change, and as many without; all patches of --val scenes are judged. The defaults are
    the paper's. Beside the model file appears a folder .run with the filled configuration, a log and its picture.
    Stopped at any moment, the same command resumes. 'torchrun --nproc-per-node N -m sarcd train'
    trains on N GPUs.
    """
    from dataclasses import replace

    from sarcd.config import TrainOptions, Window, change, merge, read_toml, toml_text

    options = read_toml(config_file, TrainOptions) if config_file else TrainOptions()
    options = merge(
        change(options, settings),
        model=model,
        network={**options.network, "widths": _numbers(widths)} if widths is not None else None,
        use_coherence=False if no_coherence else None,
        patch=patch,
        batch=batch,
        epochs=epochs,
        learning_rate=learning_rate,
        schedule=schedule,
        val_fraction=val_fraction,
        cache=cache,
        cache_dir=cache_dir,
        workers=workers,
        seed=seed,
        device=device,
    )
    if window is not None:
        size = parse_window(window)
        size_y_x = Window.of(tuple(size) if isinstance(size, list) else size)  # type: ignore[arg-type]
        options = replace(options, coherence=replace(options.coherence, window=size_y_x))
    if print_config:
        sys.stdout.write(toml_text(options))
        return
    if not scenes:
        raise click.UsageError("Missing argument 'SCENE...'.")
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if not validation and not options.val_fraction:
        note("no --val scene and val_fraction is 0: nothing evaluates the network as it learns")

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
        return  # one of several processes that torchrun started; the first one writes and speaks
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


def _numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdigit() for part in parts):
        raise click.BadParameter(f"{text!r} is no list of whole numbers such as 16,32,64,128", param_hint="--widths")
    return tuple(int(part) for part in parts)
