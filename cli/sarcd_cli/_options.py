"""Options of commands, derived from the fields of the options classes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import click

from sarcd.config.fields import EMPTY, FLAG, HELP, METAVAR, Bounds, alternatives, annotations_of
from sarcd.config.window import Window

Function = TypeVar("Function", bound=Callable[..., Any])


def options_of(
    kind: type, *, only: Collection[str] = (), without: Collection[str] = (), given: bool = False
) -> Callable[[Function], Function]:
    """Add an option to a command for each field of an options class, which it receives as its argument `options`.

    The name of an option is that of its field, or its ``flag``. Type, bounds and choices follow from the annotation of
    the field; the help and the text for the default follow from its metadata, see `sarcd.config.fields.option`.

    Parameters
    ----------
    kind : type
        Options class.
    only, without : collection of str
        Names of the fields to include or to leave out; by default all fields are options.
    given : bool
        True if the command must know which options were given. Its argument is then `given`, a dict of these alone,
        which override a configuration file.
    """
    fields = [item for item in dataclasses.fields(kind) if item.name in (only or annotations_of(kind))]
    fields = [item for item in fields if item.name not in without]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            values = {item.name: kwargs.pop(item.name) for item in fields}
            if given:
                chosen = {item.name: values[item.name] for item in fields if _is_given(item, values[item.name])}
                return function(*args, given=chosen, **kwargs)
            return function(*args, options=kind(**values), **kwargs)

        for item in reversed(fields):
            command = _option(item, annotations_of(kind)[item.name], given)(command)
        return command  # type: ignore[return-value]

    return decorate


def _is_given(item: dataclasses.Field[Any], value: Any) -> bool:
    """Return whether an option was given; a flag without a negative form is False if it was not."""
    return value is not None and value != () and (value is not False or bool(item.default))


def _option(item: dataclasses.Field[Any], annotation: Any, given: bool) -> Callable[[Any], Any]:
    """Return the click option of a field, without a default if only given options count."""
    settings: dict[str, Any] = {"help": _help(item)}
    if item.metadata.get(METAVAR):
        settings["metavar"] = item.metadata[METAVAR]
    flag = item.metadata.get(FLAG) or f"--{item.name.replace('_', '-')}"
    (kind,) = alternatives(annotation)
    if kind is bool:
        both = f"{flag}/--no-{flag.removeprefix('--')}" if item.default else flag
        default = None if given and item.default else item.default
        return click.option(both, item.name, is_flag=True, default=default, **settings)
    if kind is Window:
        settings = {"metavar": "N|YxX", "callback": _window, **settings}
    elif get_origin(kind) is tuple:
        settings |= {"type": _type(get_args(kind)[0]), "multiple": True}
    else:
        settings["type"] = _type(kind)
    if not given and not settings.get("multiple"):
        settings["default"] = _text(item.default) if kind is Window and item.default is not None else item.default
    return click.option(flag, item.name, **settings)


def _type(kind: Any) -> Any:
    """Return the click type of an annotation."""
    if get_origin(kind) is Annotated:
        number, bounds, *_ = get_args(kind)
        if number is int and isinstance(bounds, Bounds):
            lowest, highest = (None if bound is None else int(bound) for bound in (bounds.ge, bounds.le))
            return click.IntRange(lowest, highest)
        return number
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind


def _help(item: dataclasses.Field[Any]) -> str:
    """Return the help of a field as a sentence, with the default in brackets."""
    text = item.metadata[HELP][0].upper() + item.metadata[HELP][1:]
    many = "; repeatable" if isinstance(item.default, tuple) else ""
    without = item.metadata.get(EMPTY) or _text(item.default)
    return f"{text}{many}{f' [{without}]' if without else ''}."


def _text(default: Any) -> str:
    """Return a default in command-line syntax; empty if it has none."""
    if isinstance(default, Window):
        return str(default.y) if default.y == default.x else f"{default.y}x{default.x}"
    return "" if default is None or default == () or isinstance(default, bool) else str(default)


def parse_window(text: str) -> Window:
    """Parse a window given as ``7`` or ``7x5`` (along y, along x).

    Examples
    --------
    >>> parse_window("7"), parse_window("7x5")
    (Window(y=7, x=7), Window(y=7, x=5))
    """
    parts = text.lower().split("x")
    if not all(part.strip().isdigit() for part in parts) or len(parts) > 2:
        raise click.BadParameter(f"{text!r} is not a window; use an odd number such as 7, or 7x5 for y and x")
    return Window(int(parts[0]), int(parts[-1]))


def _window(_context: click.Context, _option: click.Parameter, text: str | None) -> Window | None:
    return None if text is None else parse_window(text)
