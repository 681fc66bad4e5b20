"""Options as earlier versions stored them, translated where stored values are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRAINING = {"draw": "sampling", "held_out": "val_fraction", "drop_at": "lr_milestone", "keep": "checkpoint"}
_PSEUDO_LABELS = {"share": "min_confident", "most": "max_patches"}
_DROPPED = {"rounds": 1, "first_epochs": None}
"""Options of pseudo-labels that are no more, with the value that means what is done now; any other value is kept."""
_OPERATIONS = {"predict": {"adapt": "adapt_batchnorm"}, "pseudo-label": _PSEUDO_LABELS}


_ABSENT = object()


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
    >>> current_training({"keep": "last", "epochs": 4, "pseudo": {"most": None, "rounds": 1}})
    {'checkpoint': 'last', 'epochs': 4, 'pseudo': {'max_patches': None}}

    What this version cannot do stays, so that whoever compares sees it:

    >>> current_training({"pseudo": {"rounds": 2}})
    {'pseudo': {'rounds': 2}}
    """
    found = _renamed(options, _TRAINING)
    if isinstance(found.get("pseudo"), Mapping):
        pseudo = _renamed(found["pseudo"], _PSEUDO_LABELS)
        found["pseudo"] = {key: value for key, value in pseudo.items() if _DROPPED.get(key, _ABSENT) != value}
    return found


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in values.items()}
