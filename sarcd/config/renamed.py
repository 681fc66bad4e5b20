"""Translation of options that earlier versions stored, applied when stored values are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TRAINING = {"draw": "sampling", "held_out": "val_fraction", "drop_at": "lr_milestone", "keep": "checkpoint"}
_PSEUDO_LABELS = {"share": "min_confident", "most": "max_patches"}
_DROPPED = {"rounds": 1, "first_epochs": None}
"""Removed options of pseudo-labels and the value that matches current behaviour; other values are kept."""
_OPERATIONS = {"predict": {"adapt": "adapt_batchnorm"}, "pseudo-label": _PSEUDO_LABELS}


_ABSENT = object()


def current_parameters(operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a stored result under the names of this version.

    Parameters
    ----------
    operation : str
        Operation that wrote the result, as given by its attribute ``sarcd_operation``.
    parameters : mapping
        Parameters as stored by any version.

    Examples
    --------
    >>> current_parameters("predict", {"adapt": {"pairs": [0]}, "tile": 512})
    {'adapt_batchnorm': {'pairs': [0]}, 'tile': 512}
    """
    return _renamed(parameters, _OPERATIONS.get(operation, {}))


def current_training(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training options of a model file or run directory under the names of this version.

    Parameters
    ----------
    options : mapping
        Options as stored by any version.

    Examples
    --------
    >>> current_training({"keep": "last", "epochs": 4, "pseudo": {"most": None, "rounds": 1}})
    {'checkpoint': 'last', 'epochs': 4, 'pseudo': {'max_patches': None}}

    Options that this version does not support are kept, so that comparisons detect them:

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
