"""Declarations of option fields, and the validation that all options classes share.

Each field declares its option once: the annotation gives the type, with `Bounds` for a bounded number and a
`Literal` for one of a few words; `option` takes the help text and the form on the command line.
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
"""Keys of a field's metadata; see `option`."""

SPARE = "spare"
"""Marks a field that `to_dict` omits at its default, so that results and models older than it compare equal."""

MACHINE = "machine"
"""Marks a field that controls where and how a job runs; results depend on it only by rounding."""


@dataclass(frozen=True)
class Bounds:
    """Bounds of a number, for use in an annotation: inclusive `ge` and `le`, exclusive `gt` and `lt`.

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
        """Return whether a number is within the bounds; NaN is not."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def hint(self, kind: type) -> str:
        """Return a hint that describes the valid numbers of a type."""
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
    """Return a dataclass field for an option.

    Parameters
    ----------
    default : object
        Default value.
    text : str
        Help text: a noun phrase or an imperative without a full stop, with the unit.
    empty : str
        Behaviour when the value is None or empty.
    flag : str
        Command-line flag, if it is not ``--`` and the field's name.
    metavar : str
        Placeholder for the value in the command-line help.
    spare, machine : bool
        See `SPARE` and `MACHINE`.
    """
    told = {HELP: text, EMPTY: empty, FLAG: flag, METAVAR: metavar, SPARE: spare, MACHINE: machine}
    return field(default=default, metadata={key: value for key, value in told.items() if value})


class Options:
    """Base of frozen options classes; validates each field against its annotation.

    Values are converted: lists to tuples, whole numbers to floats for float fields, NumPy scalars to Python numbers,
    and dicts to nested options.

    Raises
    ------
    OptionError
        If a value has the wrong type, is out of bounds, or is NaN or infinite.

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
    """Return the annotation of each field of an options class, including bounds."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {item.name: found[item.name] for item in dataclasses.fields(kind)}


def alternatives(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union without None; for any other annotation, the annotation itself.

    Examples
    --------
    >>> alternatives(int | Literal["auto"] | None)
    (<class 'int'>, typing.Literal['auto'])
    """
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(one for one in typing.get_args(annotation) if one is not type(None))
    return (annotation,)


def checked(value: Any, annotation: Any, name: str) -> Any:
    """Convert a value to the type of an annotation.

    Parameters
    ----------
    value : object
        The value given.
    annotation : type
        One of the annotations that options use: numbers, text, booleans, `Literal`, tuples, `Window`, options, dicts,
        unions and `Annotated` with `Bounds`.
    name : str
        Name of the option, for the error.

    Raises
    ------
    OptionError
        If the value does not match the annotation.
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
    """Convert a value to an annotation that is not a union."""
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
    """Return a Python number, text or boolean; True is not a number, and numbers are never NaN or infinite."""
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
    """Create options from a dict, refusing unknown keys.

    Parameters
    ----------
    kind : type
        The options class.
    values : dict
        Plain values by field name.
    source : str
        Origin of the values, for errors: a file, or the option that contains them.

    Raises
    ------
    OptionError
        If a key is unknown; names the key and the valid ones.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{kind.__name__} must be a table of keys", source=source)
    known = [item.name for item in dataclasses.fields(typing.cast(Any, kind))]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"unknown key {unknown[0]!r}", source=source, hint=f"known are {', '.join(known)}")
    try:
        return kind(**values)
    except OptionError as error:
        within = f"{source}: {error.source}" if error.source else source
        raise OptionError(error.error, source=within, option=error.option, hint=error.hint) from error
