"""Conversion of options to plain values and to TOML files."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sarcd.config.fields import EMPTY, HELP, SPARE, Options, from_dict
from sarcd.config.window import Window
from sarcd.errors import OptionError

if TYPE_CHECKING:
    from tomlkit.container import Container
    from tomlkit.items import Table

Kind = TypeVar("Kind")


def to_dict(options: Any) -> dict[str, Any]:
    """Return a frozen options dataclass as plain JSON and TOML values; tuples become lists.

    Examples
    --------
    >>> from sarcd.config import CoherenceOptions

    Fields added in later versions are omitted at their defaults, so that earlier results compare equal:

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


def read_toml(path: str | Path, kind: type[Kind], **overrides: Any) -> Kind:
    """Read options from a TOML file; keyword arguments other than None override the file."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read ({error.strerror})", source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"not a TOML file ({error})", source=str(path)) from error
    return merge(from_dict(kind, values, source=str(path)), **overrides)


def merge(options: Kind, **overrides: Any) -> Kind:
    """Return `options` with every override other than None applied."""
    given = {key: value for key, value in overrides.items() if value is not None}
    return dataclasses.replace(options, **given) if given else options  # type: ignore[type-var]


def with_keywords(kind: type[Kind], options: Kind | None, keywords: dict[str, Any]) -> Kind:
    """Return options in which keyword arguments take the place of single values.

    Parameters
    ----------
    kind : type
        The options class.
    options : instance of kind, optional
        By default every option has its default.
    keywords : dict
        Values by the names of the fields.

    Raises
    ------
    OptionError
        If there is no such option, or a value cannot be used.

    Examples
    --------
    >>> from sarcd.config import CoherenceOptions
    >>> with_keywords(CoherenceOptions, None, {"window": 7}).window
    Window(y=7, x=7)
    """
    known = [item.name for item in dataclasses.fields(cast(Any, kind))]
    for name in keywords:
        if name not in known:
            raise OptionError(f"there is no option {name!r}", hint=f"use {', '.join(known)}")
    changed: Kind = dataclasses.replace(cast(Any, options or kind()), **keywords)
    return changed


def change(options: Kind, settings: Sequence[str]) -> Kind:
    """Return `options` with individual values changed, each given as ``key=value`` with a TOML value.

    Parameters
    ----------
    options : dataclass
        Options such as `TrainOptions`.
    settings : sequence of str
        Settings such as ``epochs=10``, ``loss.dice=0.5`` or ``network.widths=[8, 16]``; a bare word is read as text.

    Raises
    ------
    OptionError
        If a key is unknown or a value is invalid.

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
            raise OptionError(f"{setting!r} is not KEY=VALUE with an option as the key", option=key.strip() or "--set")
        try:
            table[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            table[name] = text.strip()
    return from_dict(type(options), values, source="options")


def write_toml(options: Any, path: str | Path) -> None:
    """Write options as TOML; see `toml_text`."""
    Path(path).write_text(toml_text(options), encoding="utf-8")


def toml_text(options: Any) -> str:
    """Return options as TOML, with the help text of each key as a comment.

    Examples
    --------
    >>> from sarcd.config import CoherenceOptions
    >>> print(toml_text(CoherenceOptions()).splitlines()[1])
    window = [5, 5]
    """
    import tomlkit

    document = tomlkit.document()
    _fill(document, options)
    return tomlkit.dumps(document)


def _fill(table: Container | Table, options: Any) -> None:
    """Write options into a TOML table; nested tables come last, as the format requires."""
    from tomlkit import comment, nl
    from tomlkit import table as new_table

    nested: dict[str, Table] = {}
    for item in dataclasses.fields(options):
        name, value = item.name, getattr(options, item.name)
        if isinstance(value, Options):
            nested[name] = new_table()
            _fill(nested[name], value)
        elif isinstance(value, dict):
            nested[name] = new_table().add(comment(_comment(item)))
            nested[name].update(value)
        else:
            table.add(comment(_comment(item)))
            plain = [value.y, value.x] if isinstance(value, Window) else _plain(value)
            table.add(comment(f"{name} =")) if plain is None else table.add(name, plain)
    for name, inner in nested.items():
        table.add(nl())
        table.add(name, inner)


def _comment(item: dataclasses.Field[Any]) -> str:
    without = item.metadata.get(EMPTY)
    unset = "empty" if item.default in (None, "", ()) else str(item.default)
    return f"{item.metadata[HELP]}; {unset}: {without}" if without else str(item.metadata[HELP])
