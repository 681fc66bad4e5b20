"""``sarcd simulate``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, echo_result, progress


@click.command("simulate")
@click.argument("output")
@click.option("--site", type=click.Choice(["A", "B", "C"]), default="A", show_default=True, help="Which mine.")
@click.option("--size", default="1024", show_default=True, metavar="N|YxX", help="Pixels along y and x.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same bytes.")
@click.option("--dates", type=click.IntRange(2), default=2, show_default=True, help="Number of images.")
@click.option(
    "--interval", type=float, default=11.0, show_default=True, metavar="DAYS", help="Days from one image to the next."
)
@click.option("--no-change", is_flag=True, help="Pseudo-changes alone: moisture, vegetation, water, traffic.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another value of an option of the site, as in incidence_deg=28 or changes=2,5; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing scene.")
@common_options(json=True)
def command(
    output: str,
    site: str,
    size: str,
    seed: int,
    dates: int,
    interval: float,
    no_change: bool,
    settings: tuple[str, ...],
    overwrite: bool,
    json: bool,
) -> None:
    """Simulate a mine with known changes as a scene.

    Changes of interest are labelled; wet ground, vegetation, water and vehicles change too, and are not. The store also
    holds the expected coherence, and a layover and shadow mask.
    """
    from sarcd.simulation.sites import SITES, with_settings, write_site

    parts = size.lower().split("x")
    if not all(part.isdigit() for part in parts) or len(parts) > 2:
        raise click.BadParameter(f"{size!r} is not a size; use 1024, or 1000x2000 for y and x", param_hint="--size")
    shape = int(parts[0]), int(parts[-1])
    options = with_settings(SITES[site], settings)
    if no_change:
        options = with_settings(options, ["changes=0,0"])
    shares = write_site(
        output,
        options,
        size=shape,
        seed=seed,
        dates=dates,
        interval_days=interval,
        overwrite=overwrite,
        progress=progress,
    )
    echo_result({"scene": output, "site": site, "shape": list(shape), "dates": dates, **shares}, json)
