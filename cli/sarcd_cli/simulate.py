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
@click.option("--overwrite", is_flag=True, help="Replace a scene that is there.")
@common_options(json=True)
def command(output: str, site: str, size: str, seed: int, dates: int, overwrite: bool, json: bool) -> None:
    """Simulate a mine with known changes as a scene.

    Changes of interest are labelled; wet ground, vegetation, water and vehicles change too, and are not.
    """
    from sarcd.io.write import write_scene
    from sarcd.sites import site as make_site

    parts = size.lower().split("x")
    if not all(part.isdigit() for part in parts) or len(parts) > 2:
        raise click.BadParameter(f"{size!r} is no size; use 1024, or 1000x2000 for y and x", param_hint="--size")
    shape = int(parts[0]), int(parts[-1])
    scene = make_site(site, size=shape, seed=seed, dates=dates)  # type: ignore[arg-type]
    write_scene(scene, output, overwrite=overwrite, progress=progress)
    changed = float((scene["label"] == 1).mean())
    echo_result({"scene": output, "site": site, "shape": list(shape), "dates": dates, "changed_share": changed}, json)
