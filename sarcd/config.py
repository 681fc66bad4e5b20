"""Options of every operation as frozen dataclasses, and the TOML files that hold them."""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sarcd.errors import OptionError

Options = TypeVar("Options")

StatisticsPolicy = Literal["scene", "model", "given"]


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
                    where="window",
                    mend="use odd whole numbers such as 5, or Window(y=7, x=5)",
                )

    @classmethod
    def of(cls, window: int | Window | tuple[int, int]) -> Window:
        """Return a `Window` from a whole number, a (y, x) pair or a `Window`."""
        if isinstance(window, Window):
            return window
        if isinstance(window, (tuple, list)) and len(window) == 2:
            return cls(*window)
        return cls(window, window)  # type: ignore[arg-type]

    @property
    def pixels(self) -> int:
        """Number of pixels in the window."""
        return self.y * self.x

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that the window reaches beyond its centre, along y and x."""
        return self.y // 2, self.x // 2


@dataclass(frozen=True)
class CoherenceOptions:
    """How coherence is estimated; kept with every stored `coherence` and in every model file."""

    window: Window = field(default=Window(5, 5), metadata={"help": "window in pixels, [y, x], odd"})
    estimator: Literal["boxcar"] = field(default="boxcar", metadata={"help": "weights within the window"})
    min_valid: float = field(
        default=0.5,
        metadata={"help": "least share of valid pixels in the window (as cut by the scene's border); below it, NaN"},
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", Window.of(self.window))
        if self.window.pixels < 2:
            raise OptionError("coherence over one pixel is always 1", where="window", mend="use 3 or more")
        if not 0 < self.min_valid <= 1:
            raise OptionError(f"min_valid is {self.min_valid}", where="min_valid", mend="use a share above 0, up to 1")
        if self.estimator != "boxcar":
            raise OptionError(f"unknown estimator {self.estimator!r}", where="estimator", mend="use 'boxcar'")


@dataclass(frozen=True)
class TrainOptions:
    """Training of a change network; the defaults are Table 4 of Murdaca et al. 2023 where it gives a value."""

    model: str = field(default="unet", metadata={"help": "network, by name"})
    widths: tuple[int, ...] = field(default=(32, 64, 128, 256), metadata={"help": "channels of each encoder level"})
    bottleneck: int = field(default=0, metadata={"help": "channels of a level below the last one; 0 for none"})
    convolutions: int = field(default=2, metadata={"help": "3 x 3 convolutions a level"})
    use_coherence: bool = field(default=True, metadata={"help": "coherence as third input channel (Eq. 5)"})
    coherence: CoherenceOptions = field(default_factory=CoherenceOptions)
    patch: int = field(default=256, metadata={"help": "patch side in pixels; patches do not overlap"})
    batch: int = field(default=64, metadata={"help": "patches a step"})
    epochs: int = field(default=300, metadata={"help": "passes over the training patches"})
    learning_rate: float = field(default=1e-3, metadata={"help": "AdamW's rate"})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's decay"})
    drop_at: float = field(default=0.9, metadata={"help": "share of the epochs after which the rate falls to a tenth"})
    flips: bool = field(default=True, metadata={"help": "random flips along azimuth and range, each at 0.5"})
    swap_dates: bool = field(default=True, metadata={"help": "random swap of the two dates at 0.5"})
    threshold: float = field(default=0.5, metadata={"help": "probability from which a pixel counts as changed"})
    seed: int = field(default=0, metadata={"help": "seed of weights, patch draw and order"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})

    def __post_init__(self) -> None:
        for name in ("patch", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}", where=name, mend="use a whole number from 1")
        if not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}", where="threshold", mend="use a value between 0 and 1")
        if not 0 < self.drop_at <= 1:
            raise OptionError(f"drop_at is {self.drop_at}", where="drop_at", mend="use a share above 0, up to 1")
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise OptionError("learning_rate must be above 0 and weight_decay not below it", where="learning_rate")


@dataclass(frozen=True)
class PredictOptions:
    """Tiled prediction of a whole scene."""

    tiles: int | Literal["auto", "whole"] = field(
        default="auto", metadata={"help": "side of a tile in pixels (rounded up to the network's stride), auto or whole"}
    )
    batch: int = field(default=0, metadata={"help": "tiles a forward pass; 0 chooses from the memory budget"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    statistics: StatisticsPolicy | None = field(
        default=None, metadata={"help": "whose median and MAD normalise: scene, model; empty for what the model says"}
    )
    threshold: float | None = field(default=None, metadata={"help": "empty for what the model says"})
    memory_bytes: int = field(default=2**30, metadata={"help": "memory that tiles in flight may take"})


def to_dict(options: Any) -> dict[str, Any]:
    """Return a frozen options dataclass as plain JSON / TOML values (tuples become lists)."""
    values = dataclasses.asdict(options)
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def from_dict(kind: type[Options], values: dict[str, Any], *, where: str = "configuration") -> Options:
    """Build an options dataclass from plain values, refusing unknown keys and wrong types.

    Raises
    ------
    OptionError
        Naming the key and what it may be.
    """
    if not isinstance(values, dict):
        raise OptionError(f"{kind.__name__} wants a table of keys", where=where)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise OptionError(f"unknown key {unknown[0]!r}", where=where, mend=f"known are {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    return kind(**{key: _convert(value, hints[key], f"{where}: {key}") for key, value in values.items()})


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check one value against a type hint of the small set that options use."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for argument in arguments:
            try:
                return _convert(value, argument, where)
            except OptionError:
                continue
        raise OptionError(f"{value!r} cannot be used", where=where)
    if hint is type(None) and value is None:
        return None
    if origin is Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(item, arguments[0], where) for item in value)
    if hint is Window:
        if isinstance(value, dict) and set(value) == {"y", "x"}:
            return Window(**value)
        return Window.of(tuple(value) if isinstance(value, list) else value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, value, where=where)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise OptionError(f"{value!r} cannot be used", where=where, mend=f"it must be {getattr(hint, '__name__', hint)}")


def read_toml(path: str | Path, kind: type[Options], **overrides: Any) -> Options:
    """Read options from a TOML file; keyword arguments that are not None win over the file."""
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise OptionError(f"cannot read ({error.strerror})", where=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"not a TOML file ({error})", where=str(path)) from error
    return merge(from_dict(kind, values, where=str(path)), **overrides)


def merge(options: Options, **overrides: Any) -> Options:
    """Return `options` with every override that is not None put in place."""
    given = {key: value for key, value in overrides.items() if value is not None}
    return dataclasses.replace(options, **given) if given else options  # type: ignore[type-var]


def write_toml(options: Any, path: str | Path) -> None:
    """Write options as TOML, each key with its help as a comment, so that the file explains itself."""
    Path(path).write_text("\n".join(_toml_lines(options, "")) + "\n", encoding="utf-8")


def _toml_lines(options: Any, table: str) -> list[str]:
    lines: list[str] = [f"[{table}]"] if table else []
    nested: list[str] = []
    for item in dataclasses.fields(options):
        value = getattr(options, item.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, Window):
            nested += ["", *_toml_lines(value, f"{table}.{item.name}" if table else item.name)]
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
