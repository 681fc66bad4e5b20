"""Options under the names that earlier versions stored, translated where stored values are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRAINING = {"draw": "sampling", "held_out": "val_fraction", "drop_at": "lr_milestone", "keep": "checkpoint"}
_PSEUDO_LABELS = {"share": "min_confident", "most": "max_patches"}
_OPERATIONS = {"predict": {"adapt": "adapt_batchnorm"}, "pseudo-label": _PSEUDO_LABELS}


def current_parameters(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that a stored result was made with, by the names of this version.

    Parameters
    ----------
    operation : str
        What made the result, as its attribute ``sarcd_operation`` says.
    parameters : mapping
        As stored by any version.

    Examples
    --------
    >>> current_parameters("predict", {"adapt": {"pairs": [0]}, "tile": 512})
    {'adapt_batchnorm': {'pairs': [0]}, 'tile': 512}
    """
    return _renamed(parameters, _OPERATIONS.get(operation, {}))


def current_training(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return training options that a model file or a run directory holds, by the names of this version.

    Parameters
    ----------
    options : mapping
        As stored by any version.

    Examples
    --------
    >>> current_training({"keep": "last", "epochs": 4, "pseudo": {"most": None}})
    {'checkpoint': 'last', 'epochs': 4, 'pseudo': {'max_patches': None}}
    """
    found = _renamed(options, _TRAINING)
    if isinstance(found.get("pseudo"), Mapping):
        found["pseudo"] = _renamed(found["pseudo"], _PSEUDO_LABELS)
    return found


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
