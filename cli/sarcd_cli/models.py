"""``sarcd models``."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import click

from sarcd_cli._frame import common_options, echo_result, echo_table

if TYPE_CHECKING:
    from sarcd.models.pretrained import PretrainedModel

_WIDTH = 100


@click.command("models")
@click.argument("name", required=False)
@common_options(json=True)
def command(name: str | None, json: bool) -> None:
    """List the pretrained models, or show the card of one.

    A card says what a model is for, what it was trained on and by which command, what it was measured at and by which
    command, and where it fails.
    """
    from sarcd.models.pretrained import pretrained_model, pretrained_models

    if name is not None:
        model = pretrained_model(name)
        if json:
            echo_result(_values(model), json=True)
        else:
            _show(model)
        return
    models = pretrained_models()
    if json:
        echo_result({key: _values(model) for key, model in models.items()}, json=True)
        return
    rows = [
        [key, model.architecture, f"{model.parameters:,}", str(len(model.channels))] for key, model in models.items()
    ]
    echo_table(["model", "network", "parameters", "channels"], rows)
    for key, model in models.items():
        click.echo()
        click.echo(_wrapped(f"{key}: {model.purpose}"))


def _values(model: PretrainedModel) -> dict[str, Any]:
    from dataclasses import fields

    values = {item.name: getattr(model, item.name) for item in fields(model)}
    return values | {"path": model.path, "figures": [vars(figure) for figure in model.figures]}


def _show(model: PretrainedModel) -> None:
    click.echo(_wrapped(f"{model.name}: {model.purpose}"))
    click.echo()
    values = _values(model)
    echo_result(
        {key: values[key] for key in ("architecture", "channels", "parameters", "path", "sha256", "licence")}, False
    )
    for title, text in (("Trained on", model.trained_on), ("Made by", model.made_by)):
        click.echo(f"\n{title}")
        click.echo(_wrapped(text, "  "))
    click.echo("\nMeasured")
    for figure in model.figures:
        click.echo(f"  {figure.value:>8}  {figure.what}")
        click.echo(f"{'':12}{figure.command}")
    click.echo("\nLimits")
    for limit in model.limits:
        click.echo(_wrapped(limit, "- ", "  "))


def _wrapped(text: str, first: str = "", further: str | None = None) -> str:
    rest = first if further is None else further
    # Names of methods and options have hyphens, and are not broken there.
    return textwrap.fill(
        " ".join(text.split()), _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )
