"""``sarcd remove``."""

from __future__ import annotations

import click

from sarcd_cli._frame import common_options, echo_result


@click.command("remove")
@click.argument("scene")
@click.argument("variables", nargs=-1, required=True, metavar="VARIABLE...")
@common_options(json=True)
def command(scene: str, variables: tuple[str, ...], json: bool) -> None:
    """Remove results from a scene, finished or unfinished.

    'sarcd info' lists them. Images and labels are never removed.
    """
    from sarcd.store.results import remove

    echo_result({"scene": scene, "removed": remove(scene, variables)}, json)
