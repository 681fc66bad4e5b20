"""Checks of network options, which may come from an untrusted file."""

from __future__ import annotations

from typing import Any

from sarcd.errors import OptionError

MAX_CHANNELS = 4096
"""Far above any practical value, but small enough that a model file cannot request an impossibly large network."""


def whole(name: str, value: Any, minimum: int, maximum: int) -> int:
    """Validate and return a whole number within bounds.

    Examples
    --------
    >>> whole("convolutions", 2, 1, 8)
    2
    """
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        hint = f"use a whole number from {minimum} to {maximum}"
        raise OptionError(f"invalid {name} {str(value)[:40]}", option=name, hint=hint)
    return value


def fraction(name: str, value: Any) -> float:
    """Validate and return a number from 0 up to, but not including, 1.

    Examples
    --------
    >>> fraction("dropout", 0)
    0.0
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise OptionError(f"invalid {name} {str(value)[:40]}", option=name, hint="use a number from 0 to below 1")
    return float(value)


def choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Validate and return one of several known words.

    Examples
    --------
    >>> choice("fusion", "diff", ("conc", "diff"))
    'diff'
    """
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"unknown {name} {str(value)[:40]!r}", option=name, hint=f"use {' or '.join(known)}")
    return value
