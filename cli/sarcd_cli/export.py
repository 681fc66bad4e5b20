"""``sarcd export``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, dask_progress, echo_result


@click.command("export")
@click.argument("scene")
@click.argument("out", type=click.Path(dir_okay=False))
@click.option("--variable", metavar="NAME", help="What to write [change_probability, else change; of polygons change].")
@click.option(
    "--pair", metavar="N|BEFORE:AFTER", help="The one pair to write [all, as bands or polygons; in a picture pair 0]."
)
@click.option("--min-pixels", type=int, metavar="N", help="Minimum size of a change in pixels, for polygons [1].")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@common_options(json=True)
def command(
    scene: str, out: str, variable: str | None, pair: str | None, min_pixels: int | None, overwrite: bool, json: bool
) -> None:
    """Write a result as a GeoTIFF, polygons or a picture, by the suffix of the file.

    .tif is a cloud-optimised GeoTIFF; .gpkg and .geojson hold the changes as polygons; .png explains one pair.
    """
    from sarcd.exporting.export_files import export
    from sarcd.store.scene import open_scene

    which = int(pair) if pair is not None and pair.lstrip("-").isdigit() else pair
    with dask_progress("exporting"):
        result = export(
            open_scene(scene), out, variable=variable, pair=which, min_pixels=min_pixels, overwrite=overwrite
        )
    entries = {
        "file": result.path,
        "bytes": result.path.stat().st_size,
        "variable": result.variable,
        "pairs": list(result.pairs),
        "polygons": result.polygons,
    }
    echo_result({name: value for name, value in entries.items() if value is not None}, json)
