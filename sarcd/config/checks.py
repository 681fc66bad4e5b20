"""Checks that several options share."""

from __future__ import annotations

from sarcd.errors import OptionError


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise if a word is none of those known."""
    if value not in known:
        raise OptionError(f"{name} is {value!r}", where=name, mend=f"use {' or '.join(known)}")


def at_least(least: int, name: str, value: int) -> None:
    """Raise if a whole number is too small."""
    if value < least:
        raise OptionError(f"{name} is {value}", where=name, mend=f"use a whole number from {least}")


def share(name: str, value: float) -> None:
    """Raise if a number is no share or probability."""
    if not 0 <= value <= 1:
        raise OptionError(f"{name} is {value}", where=name, mend="use a value from 0 to 1")
