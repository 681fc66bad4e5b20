"""Options as plain values, and the TOML files that hold them."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from sarcd.errors import OptionError

Options = TypeVar("Options")

SPARE = "spare"
"""Mark of a field that `to_dict` leaves out at its default: results and models older than it compare equal to it."""


def to_dict(options: Any) -> dict[str, Any]:
    """Return a frozen options dataclass as plain JSON / TOML values (tuples become lists).

    Examples
    --------
    >>> from sarcd.config import CoherenceOptions

    Fields that came later are left out at their defaults, so that what was made before them compares equal:

    >>> to_dict(CoherenceOptions()), to_dict(CoherenceOptions(debias=True))["debias"]
    ({'window': {'y': 5, 'x': 5}, 'estimator': 'boxcar', 'min_valid': 0.5}, True)
    """
    return {
        item.name: _plain(getattr(options, item.name))
        for item in dataclasses.fields(options)
        if not (item.metadata.get(SPARE) and getattr(options, item.name) == item.default)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def from_dict(kind: type[Options], values: dict[str, Any], *, source: str = "configuration") -> Options:
    """Build an options dataclass from plain values, refusing unknown keys and wrong types.

    Raises
    ------
    OptionError
        Naming the key and what it may be.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{kind.__name__} wants a table of keys", source=source)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise OptionError(f"unknown key {unknown[0]!r}", source=source, hint=f"known are {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    return kind(**{key: _convert(value, hints[key], f"{source}: {key}") for key, value in values.items()})


def _convert(value: Any, annotation: Any, source: str) -> Any:  # noqa: PLR0911  one return a kind of type
    """Check one value against a type hint of the small set that options use."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            try:
                return _convert(value, argument, source)
            except OptionError:
                continue
        raise OptionError(f"{value!r} cannot be used", source=source)
    if annotation is type(None) and value is None:
        return None
    if origin is Literal and value in arguments:
        return value
    if origin is dict and isinstance(value, dict):
        return {str(key): tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], source) for item in value)
    if annotation is Window:
        if isinstance(value, dict) and set(value) == {"y", "x"}:
            return Window(**value)
        return Window.of(tuple(value) if isinstance(value, list) else value)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        return from_dict(annotation, value, source=source)
    if annotation is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if (
        isinstance(annotation, type)
        and isinstance(value, annotation)
        and not (annotation is int and isinstance(value, bool))
    ):
        return value
    raise OptionError(
        f"{value!r} cannot be used", source=source, hint=f"it must be {getattr(annotation, '__name__', annotation)}"
    )


def read_toml(path: str | Path, kind: type[Options], **overrides: Any) -> Options:
    """Read options from a TOML file; keyword arguments that are not None win over the file."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read ({error.strerror})", source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"not a TOML file ({error})", source=str(path)) from error
    return merge(from_dict(kind, values, source=str(path)), **overrides)


def merge(options: Options, **overrides: Any) -> Options:
    """Return `options` with every override that is not None put in place."""
    given = {key: value for key, value in overrides.items() if value is not None}
    return dataclasses.replace(options, **given) if given else options  # type: ignore[type-var]


def change(options: Options, settings: typing.Sequence[str]) -> Options:
    """Return `options` with single values changed, each given as ``key=value`` with a value as in TOML.

    Parameters
    ----------
    options : dataclass
        Options, as of `TrainOptions`.
    settings : sequence of str
        Such as ``epochs=10``, ``loss.dice=0.5`` or ``network.widths=[8, 16]``; a bare word passes for text.

    Raises
    ------
    OptionError
        If a key is unknown, or a value cannot be used.

    Examples
    --------
    >>> from sarcd.config import TrainOptions
    >>> change(TrainOptions(), ["loss.dice=0.5", "sampling=all"]).loss.dice
    0.5
    """
    values = to_dict(options)
    for setting in settings:
        key, equals, text = setting.partition("=")
        *tables, name = key.strip().split(".")
        table = values
        for part in tables:
            table = table.get(part, {}) if isinstance(table, dict) else {}
        if not equals or not isinstance(table, dict) or (tables and not table and tables != ["network"]):
            raise OptionError(f"{setting!r} is no KEY=VALUE of the options", option=key.strip() or "--set")
        try:
            table[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            table[name] = text.strip()
    return from_dict(type(options), values, source="options")


def write_toml(options: Any, path: str | Path) -> None:
    """Write options as TOML; see `toml_text`."""
    Path(path).write_text(toml_text(options), encoding="utf-8")


def toml_text(options: Any) -> str:
    """Return options as TOML, each key with its help as a comment, so that the file explains itself."""
    return "\n".join(_toml_lines(options, "")) + "\n"


def _toml_lines(options: Any, table: str) -> list[str]:
    lines: list[str] = [f"[{table}]"] if table else []
    nested: list[str] = []
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, Window):
            nested += ["", *_toml_lines(value, f"{table}.{item.name}" if table else item.name)]
            continue
        if isinstance(value, dict):
            entries = [f"{key} = {_toml_value(entry)}" for key, entry in value.items()]
            nested += ["", f"[{table}.{item.name}]" if table else f"[{item.name}]"]
            nested += [f"# {item.metadata['help']}", *entries] if item.metadata.get("help") else entries
            continue
        if item.metadata.get("help"):
            lines.append(f"# {item.metadata['help']}")
        lines.append(f"# {item.name} =" if value is None else f"{item.name} = {_toml_value(value)}")
    return lines + nested


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, Window):
        return f"[{value.y}, {value.x}]"
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    return repr(value)


def one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise if a word is none of those known."""
    if value not in known:
        raise OptionError(f"{name} is {value!r}", option=name, hint=f"use {' or '.join(known)}")


def at_least(least: int, name: str, value: int) -> None:
    """Raise if a whole number is too small."""
    if value < least:
        raise OptionError(f"{name} is {value}", option=name, hint=f"use a whole number from {least}")


def share(name: str, value: float) -> None:
    """Raise if a number is no share or probability."""
    if not 0 <= value <= 1:
        raise OptionError(f"{name} is {value}", option=name, hint="use a value from 0 to 1")


@dataclass(frozen=True)
class Window:
    """Size of a rectangular window in pixels; both sides odd, so that it has a centre.

    Examples
    --------
    >>> Window(y=7, x=5).pixels
    35
    >>> Window.of(5)
    Window(y=5, x=5)
    """

    y: int
    x: int

    def __post_init__(self) -> None:
        for axis, size in (("y", self.y), ("x", self.x)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1 or size % 2 == 0:
                raise OptionError(
                    f"window size along {axis} is {size!r}",
                    option="window",
                    hint="use odd whole numbers such as 5, or Window(y=7, x=5)",
                )

    @classmethod
    def of(cls, window: int | Window | tuple[int, int]) -> Window:
        """Return a `Window` from a whole number, a (y, x) pair or a `Window`."""
        if isinstance(window, Window):
            return window
        if isinstance(window, (tuple, list)) and len(window) == 2:
            return cls(*window)
        return cls(window, window)

    @property
    def pixels(self) -> int:
        """Number of pixels in the window."""
        return self.y * self.x

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that the window reaches beyond its centre, along y and x."""
        return self.y // 2, self.x // 2
