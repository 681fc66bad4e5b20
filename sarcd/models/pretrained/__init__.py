"""The pretrained models that come with sarcd, each a file of weights with a card beside it.

A card is the file ``NAME.toml``; ``sarcd models`` lists them, ``sarcd models NAME`` shows one.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sarcd.errors import ModelError

__all__ = ["AMPLITUDE", "MINES", "Figure", "PretrainedModel", "pretrained_model", "pretrained_models"]

_FOLDER = Path(__file__).parent

MINES = _FOLDER / "mines.safetensors"
"""A small U-Net for complex images of open-pit mines; it has seen simulated ones alone."""

AMPLITUDE = _FOLDER / "amplitude.safetensors"
"""A small U-Net for pairs of amplitude images; it has seen simulated ones alone."""


@dataclass(frozen=True)
class Figure:
    """A measured figure: what of, its value as the documentation has it, and the command that prints it."""

    what: str
    value: str
    command: str


@dataclass(frozen=True)
class PretrainedModel:
    """What is known of a pretrained model.

    Parameters
    ----------
    name : str
        By which it is registered.
    purpose : str
        What it is for, and where it is the default.
    file : str
        Name of its file of weights, safetensors, beside the card.
    sha256 : str
        Of that file.
    architecture : str
        Name in the registry of `sarcd.networks`.
    options : mapping
        Options of that network.
    channels : tuple of str
        Features that enter, in order.
    parameters : int
        Number of trained values.
    licence : str
        SPDX name.
    trained_on : str
        Images, and where their truth comes from.
    made_by : str
        Command that trains it anew.
    figures : tuple of Figure
        What it was measured at.
    limits : tuple of str
        Where it fails, or was never tried.
    """

    name: str
    purpose: str
    file: str
    sha256: str
    architecture: str
    options: Mapping[str, Any]
    channels: tuple[str, ...]
    parameters: int
    licence: str
    trained_on: str
    made_by: str
    figures: tuple[Figure, ...]
    limits: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where the file of weights is."""
        return _FOLDER / self.file


@functools.cache
def pretrained_models() -> Mapping[str, PretrainedModel]:
    """Return every pretrained model by its name.

    Examples
    --------
    >>> list(pretrained_models())
    ['amplitude', 'mines']
    >>> pretrained_models()["mines"].channels
    ('before', 'after', 'coherence')
    """
    found = [_read(card) for card in sorted(_FOLDER.glob("*.toml"))]
    return MappingProxyType({model.name: model for model in found})


def pretrained_model(name: str) -> PretrainedModel:
    """Return a pretrained model by its name.

    Parameters
    ----------
    name : str
        A key of `pretrained_models`.

    Raises
    ------
    ModelError
        If there is none of that name.

    Examples
    --------
    >>> pretrained_model("amplitude").parameters
    435873
    """
    models = pretrained_models()
    if name not in models:
        raise ModelError(f"no pretrained model is called {name!r}", hint=f"known are {', '.join(models)}")
    return models[name]


def _read(card: Path) -> PretrainedModel:
    values = tomllib.loads(card.read_text(encoding="utf-8"))
    lists = {key: tuple(values[key]) for key in ("channels", "limits")}
    texts = {key: values[key].strip() for key in ("purpose", "trained_on")}
    figures = tuple(Figure(**figure) for figure in values["figures"])
    options = MappingProxyType(values["options"])
    return PretrainedModel(**{**values, **lists, **texts, "figures": figures, "options": options})
