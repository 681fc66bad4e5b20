"""Options of change detection without labels."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from sarcd.config.values import SPARE, Window, one_of, to_dict
from sarcd.errors import OptionError

Method = Literal[
    "auto",
    "pretrained",
    "auto-label-free",
    "network",
    "log-ratio",
    "mean-ratio",
    "gauss-log-ratio",
    "neighbourhood-ratio",
    "coherence-loss",
    "ratio-test",
    "coherence-test",
    "combined-test",
    "coherence-network",
]

DIFFERENCES = ("log-ratio", "mean-ratio", "gauss-log-ratio", "neighbourhood-ratio", "coherence-loss")
"""Methods that make a difference image, which a decision then splits."""

TESTS = ("ratio-test", "coherence-test", "combined-test")
"""Methods with a chosen rate of false alarms."""

OF_LEVELS = ("log-ratio", "mean-ratio", "gauss-log-ratio", "neighbourhood-ratio", "ratio-test", "combined-test")
"""Methods that compare the brightness of two dates as it is."""

OF_COHERENCE = ("coherence-loss", "coherence-test", "combined-test", "coherence-network")
"""Methods that look at coherence, which one pixel has none of."""

OF_NETWORK = ("network", "coherence-network")
"""Methods that look with the pretrained amplitude network."""

STORED_START = "prior"
"""What maps of `OF_NETWORK` keep as ``start``, an option while a network could start from clusters of the scene."""

CHOOSING = ("auto", "auto-label-free")
"""Methods that choose another one, by the scene and the options given."""

METHODS = ("auto", "pretrained", "auto-label-free", "network", *DIFFERENCES, *TESTS, "coherence-network")

Decision = Literal["otsu", "kittler", "kittler_gg", "kmeans", "fuzzy", "hierarchical", "pca_kmeans"]
DECISIONS: tuple[Decision, ...] = ("otsu", "kittler", "kittler_gg", "kmeans", "fuzzy", "hierarchical", "pca_kmeans")

WINDOWS = {
    "log-ratio": 5,
    "mean-ratio": 5,
    "gauss-log-ratio": 7,
    "neighbourhood-ratio": 3,
    "coherence-loss": 7,
    "coherence-test": 9,  # some 50 looks: fewer cannot tell of ground of coherence 0.6 at a rate of 0.001
    "combined-test": 9,  # likewise: at 5, coherence has a say on a twentieth of simulated mines
    "coherence-network": 9,
}
"""Windows by default; of the other tests it is 5."""

SIGNED = ("log-ratio", "gauss-log-ratio")
"""Differences that tell brighter ground from darker, where the decision can look at both."""

BOTH_WAYS = ("kittler", "kittler_gg")
"""Decisions that look at both, by the densities of the classes."""


@dataclass(frozen=True)
class DetectOptions:
    """How change is found; kept with the result."""

    method: Method = field(
        default="auto",
        metadata={"help": "auto and auto-label-free choose by what the scene holds and by the options given"},
    )
    window: Window | None = field(
        default=None, metadata={"help": "in pixels, [y, x], odd; empty for what suits the method"}
    )
    decision: Decision | None = field(
        default=None,
        metadata={"help": "how a difference image is split into changed and unchanged ground; empty: what suits it"},
    )
    false_alarms: float = field(
        default=0.001, metadata={"help": "share of unchanged pixels that a test flags, before the map is cleaned"}
    )
    looks: float | None = field(
        default=None, metadata={"help": "independent looks of a mean over the window, for tests; empty: measured"}
    )
    expected: float | None = field(
        default=None,
        metadata={"help": "coherence of unchanged ground, for tests; empty: each pixel's own in the pairs before"},
    )
    match_gain: bool = field(
        default=False,
        metadata={"help": "bring each image after to the level of the one before, for images of unlike calibration"},
    )
    min_pixels: int = field(default=1, metadata={"help": "pixels of the smallest change that is kept"})
    opening: int = field(default=0, metadata={"help": "radius in pixels of the disc that changes must hold; 0: any"})
    closing: int = field(default=0, metadata={"help": "radius in pixels of the disc that gaps must hold; 0: any"})
    max_hole: int = field(default=0, metadata={"help": "pixels of the largest hole in a change that is filled"})
    rounds: int = field(
        default=0, metadata={"help": "network: times that it learns from what it is sure of in this scene"}
    )
    seed: int = field(default=0, metadata={"help": "network: of what it learns from"})
    uncertainty: bool = field(
        default=False, metadata={"help": "keep how little each pixel's decision is to be trusted, beside the map"}
    )

    exclude_dates: tuple[str, ...] = field(
        default=(), metadata={"help": "dates that are left out, with their pairs, as of snow", SPARE: True}
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "exclude_dates", tuple(self.exclude_dates))
        one_of("method", self.method, METHODS)
        if self.decision is not None:
            one_of("decision", self.decision, DECISIONS)
        if self.window is not None:
            object.__setattr__(self, "window", Window.of(self.window))
            if self.window.pixels < 2 and self.method in OF_COHERENCE:
                raise OptionError("coherence over one pixel is always 1", option="window", hint="use 3 or more")
        if not 0 < self.false_alarms < 0.5:
            raise OptionError(
                f"a rate of false alarms of {self.false_alarms}", option="false_alarms", hint="use one such as 0.001"
            )
        if self.looks is not None and not self.looks > 0:
            raise OptionError(f"{self.looks} looks", option="looks", hint="use a number above 0")
        if self.expected is not None and not 0 <= self.expected < 1:
            raise OptionError(f"a coherence of {self.expected}", option="expected", hint="use one from 0, below 1")
        for name, least in (("min_pixels", 1), ("rounds", 0), ("opening", 0), ("closing", 0), ("max_hole", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}", option=name, hint=f"use {least} or more")
        if self.uncertainty and self.method in DIFFERENCES and self.rule not in BOTH_WAYS:
            raise OptionError(
                f"{self.rule} draws a line and knows nothing of how likely each side is",
                option="uncertainty",
                hint="use the decision kittler or kittler_gg, or another method",
            )
        if self.method not in CHOOSING:
            for name in sorted(self.given - options_of_method(self.method)):
                raise OptionError(
                    f"{self.method} does not look at it", option=name, hint="leave it out, or use another method"
                )

    @property
    def size(self) -> Window:
        """The window, or what suits the method."""
        return self.window or Window.of(WINDOWS.get(self.method, 5))

    @property
    def rule(self) -> Decision:
        """The decision, or what suits the difference.

        Of values on both sides of 0 `kittler_gg` tells when nothing changed; of magnitudes nothing does, and
        `pca_kmeans` is the best segmenter.
        """
        return self.decision or ("kittler_gg" if self.method in (*SIGNED, "coherence-loss") else "pca_kmeans")

    @property
    def used(self) -> dict[str, Any]:
        """The options that the method heeds, by name, as plain values."""
        filled = {name: value for name, value in to_dict(self).items() if name != "uncertainty"}  # changes no other map
        if not self.match_gain:
            filled.pop("match_gain")  # what was made before there was such a thing compares equal
        filled |= {"window": to_dict(self.size), "decision": self.rule}
        names, heeded = options_of_method(self.method), {}
        for name, value in filled.items():
            if name == "seed" and self.method in OF_NETWORK:
                heeded["start"] = STORED_START
            if name in names:
                heeded[name] = value
        return heeded

    @property
    def given(self) -> set[str]:
        """Names of the options that are not at their default."""
        return {item.name for item in fields(self) if getattr(self, item.name) != item.default}


def options_of_method(method: str) -> set[str]:
    """Return the names of the options that a method looks at.

    Examples
    --------
    >>> "window" in options_of_method("ratio-test"), "window" in options_of_method("network")
    (True, False)
    """
    if method == "pretrained":
        return {"method"}
    names = {"method", "min_pixels", "opening", "closing", "max_hole", "uncertainty", "exclude_dates"}
    if method in OF_NETWORK:
        names |= {"seed", "rounds"}
    if method in (*TESTS, "coherence-network"):
        names |= {"false_alarms", "looks", "expected"}
    if method in OF_LEVELS:
        names.add("match_gain")
    return names | ({"window"} if method != "network" else set()) | ({"decision"} if method in DIFFERENCES else set())
