"""``sarcd detect``."""

from __future__ import annotations

import click

from sarcd_cli._frame import (
    common_options,
    echo_result,
    job_options,
    memory_option,
    note,
    parse_window,
    progress,
    scheduler_option,
    written,
)

METHODS = (
    "auto",
    "pretrained",
    "auto-label-free",
    "network",
    "log-ratio",
    "mean-ratio",
    "gauss-log-ratio",
    "neighbourhood-ratio",
    "coherence-loss",
    "ratio-test",
    "coherence-test",
    "combined-test",
    "coherence-network",
)


@click.command("detect")
@click.argument("scene")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="auto",
    show_default=True,
    help="auto chooses by what the scene holds and the options given, and says what and why.",
)
@click.option("--window", metavar="N|YxX", help="Odd size in pixels: 7, or 7x5 [what suits the method].")
@click.option(
    "--decision",
    type=click.Choice(["otsu", "kittler", "kittler_gg", "kmeans", "fuzzy", "hierarchical", "pca_kmeans"]),
    help="How a difference image (the ratios and coherence-loss) is split [what suits it].",
)
@click.option(
    "--false-alarms", type=float, default=0.001, show_default=True, help="Share of unchanged pixels that a test flags."
)
@click.option("--looks", type=float, help="Independent looks of a mean over the window, for tests [measured].")
@click.option(
    "--expected", type=float, help="Coherence of unchanged ground, for tests [each pixel's own in the pairs before]."
)
@click.option(
    "--match-gain",
    is_flag=True,
    help="Bring each image to the level of the one before, by the median ratio of their amplitudes (the ratios, "
    "ratio-test, combined-test): for images whose calibration differs.",
)
@click.option(
    "--exclude-date",
    "exclude_dates",
    multiple=True,
    metavar="DATE",
    help="Leave out a date, as of snow, and its pairs; may be given several times.",
)
@click.option(
    "--min-pixels", type=int, default=1, show_default=True, help="Pixels of the smallest change that is kept."
)
@click.option("--opening", type=int, default=0, metavar="RADIUS", help="Take out what a disc does not fit into.")
@click.option("--closing", type=int, default=0, metavar="RADIUS", help="Fill gaps that a disc does not fit into.")
@click.option("--max-hole", type=int, default=0, metavar="PIXELS", help="Fill holes in changes up to this size.")
@click.option("--rounds", type=int, default=0, show_default=True, help="Times that the network learns from this scene.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what the network learns from.")
@click.option(
    "--device", default="auto", show_default=True, help="Of the pretrained network: auto, cpu, cuda, cuda:N or mps."
)
@click.option("--uncertainty", is_flag=True, help="Keep how little each pixel is to be trusted, beside the map.")
@job_options
@memory_option
@scheduler_option
@common_options(json=True)
def command(
    scene: str,
    window: str | None,
    memory_bytes: int | None,
    pairs: str | None,
    name: str,
    device: str,
    overwrite: bool,
    json: bool,
    **knobs: object,
) -> None:
    """Find change by what suits the scene, without a model of your own.

    Writes change, and change_probability or change_score, region by region. Stopped at any moment, the same command
    resumes.
    """
    from sarcd import jobs
    from sarcd.config import DetectOptions, from_dict

    values = {**knobs, "window": None if window is None else parse_window(window)}
    result = jobs.detect(
        scene,
        from_dict(DetectOptions, values),
        pairs=pairs,
        name=name,
        device=device,
        overwrite=overwrite,
        memory_bytes=memory_bytes,
        progress=progress,
        note=note,
    )
    echo_result(written(result), json)
