"""Fields of options: what each holds is declared beside it, and one routine holds every options class to that.

A field says everything about its option once: its type is its annotation, with `Bounds` where a number has any and a
`Literal` where it is one of a few words; its help, and how a command line calls it, are given to `option`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from sarcd.config.window import Window
from sarcd.errors import OptionError

Kind = TypeVar("Kind")

HELP, EMPTY, FLAG, METAVAR = "help", "empty", "flag", "metavar"
"""Entries of a field's metadata: see `option`."""

SPARE = "spare"
"""Mark of a field that `to_dict` leaves out at its default: results and models older than it compare equal to it."""

MACHINE = "machine"
"""Mark of a field that says where and how a job runs: what it makes does not depend on it but for rounding."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number, as an annotation of its type: closed by `ge` and `le`, open by `gt` and `lt`.

    Examples
    --------
    >>> Bounds(gt=0, le=1).hint(float)
    'use a number above 0, up to 1'
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def hold(self, value: float) -> bool:
        """Tell whether a number lies within; NaN does not."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def hint(self, kind: type) -> str:
        """Say which numbers of a type can be used."""
        parts = (("from", self.ge), ("above", self.gt), ("up to", self.le), ("below", self.lt))
        number = "a whole number" if kind is int else "a number"
        return f"use {number} " + ", ".join(f"{word} {bound:g}" for word, bound in parts if bound is not None)


Count = Annotated[int, Bounds(ge=1)]
Whole = Annotated[int, Bounds(ge=0)]
Positive = Annotated[float, Bounds(gt=0)]
NonNegative = Annotated[float, Bounds(ge=0)]
Probability = Annotated[float, Bounds(ge=0, le=1)]
InnerProbability = Annotated[float, Bounds(gt=0, lt=1)]
Precision = Literal["float32", "bfloat16", "float16"]


def option(
    default: Any,
    text: str,
    *,
    empty: str = "",
    flag: str = "",
    metavar: str = "",
    spare: bool = False,
    machine: bool = False,
) -> Any:
    """Return a field of an options class.

    Parameters
    ----------
    default : object
        Its value where nothing is given.
    text : str
        Help: a noun phrase or an imperative without a full stop, with the unit.
    empty : str
        What is done where the value is None or empty.
    flag : str
        Its flag on a command line, where that is not ``--`` and the field's name.
    metavar : str
        What stands for its value in the help of a command line.
    spare, machine : bool
        See `SPARE` and `MACHINE`.
    """
    told = {HELP: text, EMPTY: empty, FLAG: flag, METAVAR: metavar, SPARE: spare, MACHINE: machine}
    return field(default=default, metadata={key: value for key, value in told.items() if value})


class Options:
    """Base of frozen options classes: what each field holds is checked against its annotation.

    Lists become tuples, whole numbers fractions where the field is one, NumPy's scalars Python's, and tables of keys
    the options that they stand for.

    Raises
    ------
    OptionError
        If a value has another type, lies out of bounds, or is NaN or infinite.

    Examples
    --------
    >>> @dataclass(frozen=True)
    ... class Tolerance(Options):
    ...     shift: Annotated[float, Bounds(ge=0)] = option(0.5, "shift in pixels")
    >>> Tolerance(shift=1).shift
    1.0
    >>> Tolerance(shift=-1)
    Traceback (most recent call last):
    ...
    sarcd.errors.OptionError: shift: shift is -1.0. Use a number from 0.
    """

    def __post_init__(self) -> None:
        for name, annotation in annotations_of(typing.cast(Any, type(self))).items():
            object.__setattr__(self, name, checked(getattr(self, name), annotation, name))


@functools.cache
def annotations_of(kind: Any) -> dict[str, Any]:
    """Return the annotation of each field of an options class, with its bounds."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {item.name: found[item.name] for item in dataclasses.fields(kind)}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the annotations that a union is of, None's left out; of any other, itself.

    Examples
    --------
    >>> alternatives(int | Literal["auto"] | None)
    (<class 'int'>, typing.Literal['auto'])
    """
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(one for one in typing.get_args(annotation) if one is not type(None))
    return (annotation,)


def checked(value: Any, annotation: Any, name: str) -> Any:
    """Return a value as an annotation has it.

    Parameters
    ----------
    value : object
        Whatever was given.
    annotation : type
        Of the set that options use: numbers, text, booleans, `Literal`, tuples, `Window`, options, tables of values,
        unions and `Annotated` with `Bounds`.
    name : str
        Of the option, for the error.

    Raises
    ------
    OptionError
        If the value is none of those.
    """
    kinds = alternatives(annotation)
    if value is None and kinds != (annotation,):
        return None
    if len(kinds) == 1:
        return _as(kinds[0], value, name)
    hints = []
    for kind in kinds:
        try:
            return _as(kind, value, name)
        except OptionError as error:
            hints.append(error.hint or "")
    raise OptionError(f"{value!r} cannot be used", option=name, hint=", or ".join(filter(None, hints)))


def _as(kind: Any, value: Any, name: str) -> Any:
    """Return a value as one kind of annotation, which is no union."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _within(arguments[1], arguments[0], value, name)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            *others, last = arguments
            hint = f"use {', '.join(others)} or {last}" if others else f"use {last}"
            raise OptionError(f"{value!r} cannot be used", option=name, hint=hint)
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(checked(item, arguments[0], name) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {str(key): tuple(item) if isinstance(item, list) else item for key, item in value.items()}
    if kind is Window:
        return Window(**value) if isinstance(value, dict) and set(value) == {"y", "x"} else Window.of(value)
    if dataclasses.is_dataclass(kind) and not isinstance(value, typing.cast(type, kind)):
        return from_dict(typing.cast(type, kind), value, source=name)
    return _plain(kind, value, name)


def _plain(kind: Any, value: Any, name: str, hint: str = "use a finite number") -> Any:
    """Return a number, a text or a boolean as Python has it; True is no number, and no number is NaN or infinite."""
    if hasattr(value, "dtype") and value.ndim == 0:
        value = str(value) if value.dtype.kind == "M" else value.item()
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise OptionError(f"{name} is {value}", option=name, hint=hint)
        return float(value)
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(kind, type) or not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        hint = f"it must be {getattr(kind, '__name__', kind)}"
        raise OptionError(f"{value!r} cannot be used", option=name, hint=hint)
    return value


def _within(bounds: Bounds, kind: type, value: Any, name: str) -> Any:
    number = _plain(kind, value, name, hint=bounds.hint(kind))
    if not bounds.hold(number):
        raise OptionError(f"{name} is {number}", option=name, hint=bounds.hint(kind))
    return number


def from_dict(kind: type[Kind], values: dict[str, Any], *, source: str = "configuration") -> Kind:
    """Return options from a table of keys, refusing unknown ones.

    Parameters
    ----------
    kind : type
        The options class.
    values : dict
        Plain values by the names of its fields.
    source : str
        What the table is, for errors: a file, or the option that holds it.

    Raises
    ------
    OptionError
        Naming the key and what it may be.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{kind.__name__} wants a table of keys", source=source)
    known = [item.name for item in dataclasses.fields(typing.cast(Any, kind))]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"unknown key {unknown[0]!r}", source=source, hint=f"known are {', '.join(known)}")
    try:
        return kind(**values)
    except OptionError as error:
        within = f"{source}: {error.source}" if error.source else source
        raise OptionError(error.error, source=within, option=error.option, hint=error.hint) from error
