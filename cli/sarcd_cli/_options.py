"""Options of commands, read from the fields of the options classes that they fill."""

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
    """Give a command an option for each field of an options class, and the options as its argument `options`.

    A field is called by its name, or by its ``flag``; its type, bounds and choices follow from its annotation, its
    help and what is done without it from its metadata, see `sarcd.config.fields.option`.

    Parameters
    ----------
    kind : type
        The options class.
    only, without : collection of str
        Names of the fields that are options; by default all of them.
    given : bool
        True if the command is to know what was given: its argument is then `given`, a dict of that alone, which wins
        over a configuration file.
    """
    fields = [item for item in dataclasses.fields(kind) if item.name in (only or annotations_of(kind))]
    fields = [item for item in fields if item.name not in without]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            values = {item.name: kwargs.pop(item.name) for item in fields}
            if given:
                told = {item.name: values[item.name] for item in fields if _is_given(item, values[item.name])}
                return function(*args, given=told, **kwargs)
            return function(*args, options=kind(**values), **kwargs)

        for item in reversed(fields):
            command = _option(item, annotations_of(kind)[item.name], given)(command)
        return command  # type: ignore[return-value]

    return decorate


def _is_given(item: dataclasses.Field[Any], value: Any) -> bool:
    """Tell whether a value is no option's absence: of a flag that has no negative that is False."""
    return value is not None and value != () and (value is not False or bool(item.default))


def _option(item: dataclasses.Field[Any], annotation: Any, given: bool) -> Callable[[Any], Any]:
    """Return the click option of a field, without a default where only what is given counts."""
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
    """Return click's type of an annotation."""
    if get_origin(kind) is Annotated:
        number, bounds, *_ = get_args(kind)
        if number is int and isinstance(bounds, Bounds):
            least, largest = (None if bound is None else int(bound) for bound in (bounds.ge, bounds.le))
            return click.IntRange(least, largest)
        return number
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind


def _help(item: dataclasses.Field[Any]) -> str:
    """Return a field's help as a sentence, with what is done without it in brackets."""
    text = item.metadata[HELP][0].upper() + item.metadata[HELP][1:]
    many = "; repeatable" if isinstance(item.default, tuple) else ""
    without = item.metadata.get(EMPTY) or _text(item.default)
    return f"{text}{many}{f' [{without}]' if without else ''}."


def _text(default: Any) -> str:
    """Return a default as it is given on a command line; empty where there is nothing to give."""
    if isinstance(default, Window):
        return str(default.y) if default.y == default.x else f"{default.y}x{default.x}"
    return "" if default is None or default == () or isinstance(default, bool) else str(default)


def parse_window(text: str) -> Window:
    """Return a window given as ``7`` or ``7x5`` (along y, along x).

    Examples
    --------
    >>> parse_window("7"), parse_window("7x5")
    (Window(y=7, x=7), Window(y=7, x=5))
    """
    parts = text.lower().split("x")
    if not all(part.strip().isdigit() for part in parts) or len(parts) > 2:
        raise click.BadParameter(f"{text!r} is no window; use an odd number such as 7, or 7x5 for y and x")
    return Window(int(parts[0]), int(parts[-1]))


def _window(_context: click.Context, _option: click.Parameter, text: str | None) -> Window | None:
    return None if text is None else parse_window(text)
