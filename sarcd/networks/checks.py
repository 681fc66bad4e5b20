"""Checks of the options of networks, which may come from a file that anybody made."""

from __future__ import annotations

from typing import Any

from sarcd.errors import OptionError

MOST_CHANNELS = 4096
"""Far beyond any use, and small enough that a model file cannot ask for a network that nobody could hold."""


def whole(name: str, value: Any, least: int, most: int) -> int:
    """Return a whole number within bounds, or say which it may be.

    Examples
    --------
    >>> whole("convolutions", 2, 1, 8)
    2
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise OptionError(
            f"{name} is {str(value)[:40]}", option=name, hint=f"use a whole number from {least} to {most}"
        )
    return value


def share(name: str, value: Any) -> float:
    """Return a number from 0, up to but not 1, or say what it may be.

    Examples
    --------
    >>> share("dropout", 0)
    0.0
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
        raise OptionError(f"{name} is {str(value)[:40]}", option=name, hint="use a number from 0, below 1")
    return float(value)


def choice(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Return a word that is known, or say which are.

    Examples
    --------
    >>> choice("fusion", "diff", ("conc", "diff"))
    'diff'
    """
    if not isinstance(value, str) or value not in known:
        raise OptionError(f"{name} is {str(value)[:40]!r}", option=name, hint=f"use {' or '.join(known)}")
    return value
