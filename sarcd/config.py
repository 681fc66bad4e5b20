"""Options of every operation as frozen dataclasses, and the TOML files that hold them."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from sarcd.errors import OptionError

Options = TypeVar("Options")

StatisticsPolicy = Literal["scene", "model", "given"]

Estimator = Literal["boxcar", "gaussian", "fringe", "adaptive"]
ESTIMATORS: tuple[Estimator, ...] = ("boxcar", "gaussian", "fringe", "adaptive")

FREQUENCY_WINDOW = 3
"""`fringe`: side of the window that frequencies are estimated in, over that of the coherence window."""

BRIGHTNESS_WINDOW = 3
"""`adaptive`: side in pixels of the window that brightness is averaged over before it is compared."""

_SPARE = "spare"
"""Mark of a field that `to_dict` leaves out at its default: results and models older than it compare equal to it."""


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
        return cls(window, window)

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
    estimator: Estimator = field(
        default="boxcar",
        metadata={
            "help": "boxcar: equal weights; gaussian: falling weights; fringe: local phase ramps removed first; "
            "adaptive: pixels as bright as the centre"
        },
    )
    min_valid: float = field(
        default=0.5,
        metadata={"help": "least share of valid pixels in the window (as cut by the scene's border); below it, NaN"},
    )
    debias: bool = field(
        default=False,
        metadata={"help": "remove the bias that few looks give low coherence", _SPARE: True},
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", Window.of(self.window))
        if self.window.pixels < 2:
            raise OptionError("coherence over one pixel is always 1", where="window", mend="use 3 or more")
        if not 0 < self.min_valid <= 1:
            raise OptionError(f"min_valid is {self.min_valid}", where="min_valid", mend="use a share above 0, up to 1")
        if self.estimator not in ESTIMATORS:
            mend = f"use {', '.join(ESTIMATORS)}"
            raise OptionError(f"unknown estimator {self.estimator!r}", where="estimator", mend=mend)

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that the estimate reaches beyond its own, along y and x."""
        if self.estimator == "fringe":
            return Window(FREQUENCY_WINDOW * self.window.y, FREQUENCY_WINDOW * self.window.x).halo
        more = BRIGHTNESS_WINDOW // 2 if self.estimator == "adaptive" else 0
        return self.window.y // 2 + more, self.window.x // 2 + more


@dataclass(frozen=True)
class TrainOptions:
    """Training of a change network; the defaults are Table 4 of Murdaca et al. 2023 where it gives a value."""

    model: str = field(default="unet", metadata={"help": "network, by name"})
    widths: tuple[int, ...] | None = field(
        default=None, metadata={"help": "channels of each encoder level; empty for what the network's name says"}
    )
    bottleneck: int | None = field(
        default=None, metadata={"help": "channels of a level below the last one, 0 for none; empty as above"}
    )
    convolutions: int | None = field(default=None, metadata={"help": "3 x 3 convolutions a level; empty as above"})
    use_coherence: bool = field(default=True, metadata={"help": "coherence as third input channel (Eq. 5)"})
    coherence: CoherenceOptions = field(default_factory=CoherenceOptions)
    statistics: Literal["scene", "model"] = field(
        default="scene",
        metadata={"help": "whose median and MAD normalise: each scene's own, or those of all training scenes together"},
    )
    patch: int = field(default=256, metadata={"help": "patch side in pixels; patches do not overlap"})
    batch: int = field(default=64, metadata={"help": "patches a step"})
    epochs: int = field(default=300, metadata={"help": "passes over the training patches"})
    learning_rate: float = field(default=1e-3, metadata={"help": "AdamW's rate"})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's decay"})
    schedule: Literal["step", "one-cycle"] = field(
        default="step",
        metadata={"help": "of the rate: one fall to a tenth, or a rise and a long fall, which suits short training"},
    )
    drop_at: float = field(default=0.9, metadata={"help": "step: share of the epochs after which the rate falls"})
    flip_azimuth: float = field(default=0.5, metadata={"help": "probability that a patch is turned round along y"})
    flip_range: float = field(default=0.5, metadata={"help": "probability that a patch is turned round along x"})
    swap_dates: float = field(default=0.5, metadata={"help": "probability that a patch's two dates change places"})
    precision: Literal["float32", "bfloat16"] = field(
        default="float32", metadata={"help": "of the forward pass; bfloat16 pays where the hardware has it"}
    )
    threshold: float = field(default=0.5, metadata={"help": "probability from which a pixel counts as changed"})
    score_every: int = field(default=1, metadata={"help": "epochs from one validation to the next"})
    keep: Literal["last", "best"] = field(
        default="last", metadata={"help": "weights to keep: of the last epoch, or of the best validation F1"}
    )
    seed: int = field(default=0, metadata={"help": "seed of weights, patch draw, order and augmentation"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    memory_bytes: int = field(
        default=2**31, metadata={"help": "patches are kept in memory up to this; beyond, they are read each time"}
    )
    workers: int = field(default=0, metadata={"help": "processes that read patches where memory does not hold them"})

    def __post_init__(self) -> None:
        for name in ("patch", "batch", "epochs", "score_every"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}", where=name, mend="use a whole number from 1")
        for name in ("seed", "memory_bytes", "workers"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} is {getattr(self, name)}", where=name, mend="use a whole number from 0")
        for name in ("flip_azimuth", "flip_range", "swap_dates"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}", where=name, mend="use a probability from 0 to 1")
        if not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}", where="threshold", mend="use a value between 0 and 1")
        if not 0 < self.drop_at <= 1:
            raise OptionError(f"drop_at is {self.drop_at}", where="drop_at", mend="use a share above 0, up to 1")
        if not 0 < self.learning_rate < math.inf:
            raise OptionError(
                f"learning_rate is {self.learning_rate}", where="learning_rate", mend="use a number above 0"
            )
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay is {self.weight_decay}", where="weight_decay", mend="use 0 or more")
        _one_of("statistics", self.statistics, ("scene", "model"))
        _one_of("precision", self.precision, ("float32", "bfloat16"))
        _one_of("keep", self.keep, ("last", "best"))
        _one_of("schedule", self.schedule, ("step", "one-cycle"))


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(f"{name} is {value!r}", where=name, mend=f"use {' or '.join(known)}")


@dataclass(frozen=True)
class PredictOptions:
    """Tiled prediction of a whole scene."""

    tiles: int | Literal["auto", "whole"] = field(
        default="auto",
        metadata={"help": "side of a tile in pixels (rounded up to the network's stride), auto or whole"},
    )
    batch: int = field(default=0, metadata={"help": "tiles a forward pass; 0 chooses from the memory budget"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    statistics: StatisticsPolicy | None = field(
        default=None, metadata={"help": "whose median and MAD normalise: scene, model; empty for what the model says"}
    )
    threshold: float | None = field(default=None, metadata={"help": "empty for what the model says"})
    precision: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "of the network; only float32 gives the same map for any tile"}
    )
    compiled: bool = field(
        default=False, metadata={"help": "compile the network: slower to start, faster on GPUs, needs a C++ compiler"}
    )
    memory_bytes: int | None = field(
        default=None,
        metadata={
            "help": "memory of the whole process; empty for half of what is free, at most 1 GiB, beyond what it has"
        },
    )

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}", where="threshold", mend="use a value between 0 and 1")
        _one_of("precision", self.precision, ("float32", "bfloat16", "float16"))


@dataclass(frozen=True)
class IngestOptions:
    """How rasters become a scene."""

    kind: Literal["slc", "amplitude", "intensity", "db"] | None = field(
        default=None, metadata={"help": "what the pixels are: slc, amplitude, intensity or db; slc for complex data"}
    )
    bands: tuple[str, ...] = field(
        default=(), metadata={"help": "band of every image, or one an image: number, name, or two as in '1,2' for I, Q"}
    )
    iq: bool = field(default=False, metadata={"help": "two bands are real and imaginary part of one complex image"})
    dates: tuple[str, ...] = field(default=(), metadata={"help": "date of each image, ISO 8601, in their order"})
    labels: tuple[str, ...] = field(
        default=(), metadata={"help": "label file of each pair in order, or BEFORE:AFTER=FILE"}
    )
    label_change: str | None = field(
        default=None, metadata={"help": "values of label files that mean change, such as '255' or '1,128-255'"}
    )
    label_ignore: str | None = field(default=None, metadata={"help": "values of label files that mean unlabelled"})
    wavelength_m: float | None = field(default=None, metadata={"help": "wavelength in metres"})
    spacing_m: tuple[float, ...] | None = field(default=None, metadata={"help": "pixel spacing [y, x] in metres"})
    looks: float | None = field(default=None, metadata={"help": "number of looks"})
    chunk: int = field(default=1024, metadata={"help": "side of a stored chunk in pixels"})
    shard: int = field(default=0, metadata={"help": "side of a shard in pixels, a multiple of chunk; 0 for none"})
    overwrite: bool = field(default=False, metadata={"help": "replace a scene that is there already"})
    memory_bytes: int = field(default=2**28, metadata={"help": "memory that one block of an image may take"})

    def __post_init__(self) -> None:
        for name in ("wavelength_m", "looks"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise OptionError(f"{name} is {value}", where=name, mend="use a number above 0")
        if self.spacing_m is not None and (
            len(self.spacing_m) != 2 or not all(0 < s < math.inf for s in self.spacing_m)
        ):
            raise OptionError(f"spacing_m is {self.spacing_m}", where="spacing_m", mend="use two lengths above 0: y, x")
        if self.chunk < 1 or self.memory_bytes < 1:
            raise OptionError("chunk and memory_bytes must be above 0", where="chunk")
        if self.shard < 0 or self.shard % self.chunk:
            raise OptionError(
                f"shard is {self.shard}, which is no multiple of chunk, {self.chunk}",
                where="shard",
                mend="use a multiple, or 0 for none",
            )


def to_dict(options: Any) -> dict[str, Any]:
    """Return a frozen options dataclass as plain JSON / TOML values (tuples become lists).

    Examples
    --------
    Fields that came later are left out at their defaults, so that what was made before them compares equal:

    >>> to_dict(CoherenceOptions()), to_dict(CoherenceOptions(debias=True))["debias"]
    ({'window': {'y': 5, 'x': 5}, 'estimator': 'boxcar', 'min_valid': 0.5}, True)
    """
    return {
        item.name: _plain(getattr(options, item.name))
        for item in dataclasses.fields(options)
        if not (item.metadata.get(_SPARE) and getattr(options, item.name) == item.default)
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return to_dict(value)
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


def _convert(value: Any, hint: Any, where: str) -> Any:  # noqa: PLR0911  one return a kind of type
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
