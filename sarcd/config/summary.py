"""Options of the summary of many dates."""

from __future__ import annotations

from dataclasses import dataclass, field

from sarcd.config.values import SPARE
from sarcd.config.window import Window
from sarcd.errors import OptionError


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
                f"a rate of false alarms of {self.false_alarms}", where="false_alarms", mend="use one such as 0.01"
            )
        if self.looks is not None and not self.looks > 0:
            raise OptionError(f"{self.looks} looks", where="looks", mend="use a number above 0")
        if not 0 < self.min_valid <= 1:
            raise OptionError(f"min_valid is {self.min_valid}", where="min_valid", mend="use a share above 0, up to 1")
