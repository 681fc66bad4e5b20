"""Options of coherence and of multi-date summaries, stored in results and model files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from sarcd.config.fields import Bounds, Options, Positive, option
from sarcd.config.window import Window
from sarcd.errors import OptionError

Estimator = Literal["boxcar", "gaussian", "fringe", "adaptive"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)

FREQUENCY_WINDOW = 3
"""`fringe`: side of the window for frequency estimation, as a multiple of that of the coherence window."""

BRIGHTNESS_WINDOW = 3
"""`adaptive`: side in pixels of the window in which amplitudes are averaged before they are compared."""

ValidFraction = Annotated[float, Bounds(gt=0, le=1)]
FalseAlarmRate = Annotated[float, Bounds(gt=0, lt=0.5)]


@dataclass(frozen=True)
class CoherenceOptions(Options):
    """Options of coherence estimation, stored with each `coherence` and in each model file."""

    window: Window = option(Window(5, 5), "odd size of the window in pixels, along y and x")
    estimator: Estimator = option(
        "boxcar",
        "weights of the pixels in the window: equal (boxcar), falling from the centre (gaussian), equal once local "
        "phase ramps are removed (fringe), equal for pixels as bright as the centre (adaptive)",
    )
    min_valid: ValidFraction = option(
        0.5, "minimum fraction of valid pixels in the window, as the scene's border cuts it; NaN below"
    )
    debias: bool = option(False, "remove the bias that few looks give low coherence", spare=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_one_pixel(self.window)

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels by which the estimate reaches beyond the centre pixel, along y and x."""
        if self.estimator == "fringe":
            return Window(FREQUENCY_WINDOW * self.window.y, FREQUENCY_WINDOW * self.window.x).halo
        more = BRIGHTNESS_WINDOW // 2 if self.estimator == "adaptive" else 0
        return self.window.y // 2 + more, self.window.x // 2 + more


def refuse_one_pixel(window: Window) -> None:
    """Raise `OptionError` if a coherence window is a single pixel."""
    if window.pixels < 2:
        raise OptionError("coherence over one pixel is always 1", option="window", hint="use 3 or more")


@dataclass(frozen=True)
class SummaryOptions(Options):
    """Options of a summary of many dates: the maps it combines and how dates are compared; stored with the result."""

    of: str | None = option(
        None,
        "maps of the consecutive dates, such as change or change_probability_night, or omnibus: one test of the "
        "intensity of all dates",
        empty="change_probability, else change, else omnibus",
        metavar="NAME|omnibus",
    )
    threshold: float | None = option(
        None, "probability from which a pixel counts as changed", empty="the threshold of its map"
    )
    persistence: bool = option(True, "follow each change to the last date")
    window: Window = option(Window(5, 5), "odd size in pixels, along y and x, of the window that compares dates")
    false_alarms: FalseAlarmRate = option(
        0.01, "false-alarm rate of the omnibus test, and of the comparison for the persistence"
    )
    looks: Positive | None = option(None, "independent looks of a mean over the window", empty="measured")
    min_valid: ValidFraction = option(0.5, "minimum fraction of valid pixels in the window")
    exclude_dates: tuple[str, ...] = option(
        (),
        "dates to leave out, for example with snow: changes are then those of the pairs across",
        flag="--exclude-date",
        metavar="DATE",
        spare=True,
    )
