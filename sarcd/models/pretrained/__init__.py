"""Pretrained models distributed with sarcd: a weights file and a card each.

The card is the file ``NAME.toml``. ``sarcd models`` lists the models; ``sarcd models NAME`` shows one card.
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
"""Small U-Net for complex images of open-pit mines, trained on simulated images only."""

AMPLITUDE = _FOLDER / "amplitude.safetensors"
"""Small U-Net for pairs of amplitude images, trained on simulated images only."""


@dataclass(frozen=True)
class Figure:
    """A measured figure: a description, the value as given in the documentation, and the command that prints it."""

    what: str
    value: str
    command: str


@dataclass(frozen=True)
class PretrainedModel:
    """Card of a pretrained model.

    Parameters
    ----------
    name : str
        Registered name.
    purpose : str
        Intended use, and the commands that use the model by default.
    file : str
        Name of the safetensors file beside the card.
    sha256 : str
        SHA-256 of that file.
    architecture : str
        Name in the registry of `sarcd.networks`.
    options : mapping
        Options of the network.
    channels : tuple of str
        Input features, in order.
    parameters : int
        Number of trainable parameters.
    licence : str
        SPDX identifier.
    trained_on : str
        Training images and the source of their labels.
    made_by : str
        Command that trains the model again.
    figures : tuple of Figure
        Measured performance.
    limits : tuple of str
        Known failures and untested conditions.
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
        """Path of the weights file."""
        return _FOLDER / self.file


@functools.cache
def pretrained_models() -> Mapping[str, PretrainedModel]:
    """Return all pretrained models, by name.

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
        If no model has that name.

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
