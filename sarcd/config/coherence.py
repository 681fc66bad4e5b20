"""Options of coherence and of the summary of many dates, which stored results and model files keep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sarcd.config.values import SPARE, Window
from sarcd.errors import OptionError

Estimator = Literal["boxcar", "gaussian", "fringe", "adaptive"]
ESTIMATORS: tuple[Estimator, ...] = ("boxcar", "gaussian", "fringe", "adaptive")

FREQUENCY_WINDOW = 3
"""`fringe`: side of the window that frequencies are estimated in, over that of the coherence window."""

BRIGHTNESS_WINDOW = 3
"""`adaptive`: side in pixels of the window that brightness is averaged over before it is compared."""


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
        metadata={"help": "remove the bias that few looks give low coherence", SPARE: True},
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", Window.of(self.window))
        if self.window.pixels < 2:
            raise OptionError("coherence over one pixel is always 1", option="window", hint="use 3 or more")
        if not 0 < self.min_valid <= 1:
            raise OptionError(f"min_valid is {self.min_valid}", option="min_valid", hint="use a share above 0, up to 1")
        if self.estimator not in ESTIMATORS:
            hint = f"use {', '.join(ESTIMATORS)}"
            raise OptionError(f"unknown estimator {self.estimator!r}", option="estimator", hint=hint)

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that the estimate reaches beyond its own, along y and x."""
        if self.estimator == "fringe":
            return Window(FREQUENCY_WINDOW * self.window.y, FREQUENCY_WINDOW * self.window.x).halo
        more = BRIGHTNESS_WINDOW // 2 if self.estimator == "adaptive" else 0
        return self.window.y // 2 + more, self.window.x // 2 + more


@dataclass(frozen=True)
class SummaryOptions:
    """What a summary of many dates is made of, and how dates are compared; kept with the result."""

    of: str | None = field(
        default=None,
        metadata={"help": "maps of the consecutive dates, by their name, or omnibus; empty: what the scene holds"},
    )
    threshold: float | None = field(
        default=None, metadata={"help": "from which probability on there is a change; empty: as the map was cut"}
    )
    persistence: bool = field(default=True, metadata={"help": "whether changes are followed to the last date"})
    window: Window = field(
        default=Window(5, 5), metadata={"help": "in pixels, [y, x], odd, over which dates are compared"}
    )
    false_alarms: float = field(
        default=0.01, metadata={"help": "of the omnibus test, and of the comparison for the persistence"}
    )
    looks: float | None = field(
        default=None, metadata={"help": "independent looks of a mean over the window; empty: measured"}
    )
    min_valid: float = field(default=0.5, metadata={"help": "least share of valid pixels in the window"})

    exclude_dates: tuple[str, ...] = field(
        default=(),
        metadata={"help": "dates that are left out, as of snow: changes are those of pairs across", SPARE: True},
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "exclude_dates", tuple(self.exclude_dates))
        object.__setattr__(self, "window", Window.of(self.window))
        if not 0 < self.false_alarms < 0.5:
            raise OptionError(
                f"a rate of false alarms of {self.false_alarms}", option="false_alarms", hint="use one such as 0.01"
            )
        if self.looks is not None and not self.looks > 0:
            raise OptionError(f"{self.looks} looks", option="looks", hint="use a number above 0")
        if not 0 < self.min_valid <= 1:
            raise OptionError(f"min_valid is {self.min_valid}", option="min_valid", hint="use a share above 0, up to 1")
