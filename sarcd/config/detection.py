"""Options of change detection without labels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from sarcd.config.coherence import FalseAlarmRate, refuse_one_pixel
from sarcd.config.fields import Bounds, Count, Options, Positive, Whole, option
from sarcd.config.values import to_dict
from sarcd.config.window import Window
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
METHODS: tuple[Method, ...] = get_args(Method)

OF_COHERENCE = ("coherence-loss", "coherence-test", "combined-test", "coherence-network")
"""Methods that use coherence, which is undefined for a one-pixel window."""

OF_NETWORK = ("network", "coherence-network")
"""Methods that use the pretrained amplitude network."""

STORED_START = "prior"
"""Value of ``start`` stored in maps of `OF_NETWORK`; earlier versions could start from clusters of the scene."""

CHOOSING = ("auto", "auto-label-free")
"""Methods that select another one, depending on the scene and the options given."""

Decision = Literal["otsu", "kittler", "kittler_gg", "kmeans", "fuzzy", "hierarchical", "pca_kmeans"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

WINDOWS = {
    "log-ratio": 5,
    "mean-ratio": 5,
    "gauss-log-ratio": 7,
    "neighbourhood-ratio": 3,
    "coherence-loss": 7,
    "coherence-test": 9,  # about 50 looks; fewer have no power at coherence 0.6 and a false-alarm rate of 0.001
    "combined-test": 9,  # likewise; at 5, coherence contributes on only a twentieth of simulated mines
    "coherence-network": 9,
}
"""Default window sides in pixels; the other tests use 5."""

SIGNED = ("log-ratio", "gauss-log-ratio")
"""Signed differences, which separate increases from decreases if the thresholding rule uses both."""

BOTH_WAYS = ("kittler", "kittler_gg")
"""Thresholding rules that use both signs, through the densities of the classes."""


@dataclass(frozen=True)
class _OfMethod(Options):
    method: Method = option(
        "auto", "method; auto and auto-label-free choose by what the scene holds and the options given, and say why"
    )


@dataclass(frozen=True)
class _OfWindow(Options):
    window: Window | None = option(
        None, "odd size of the window in pixels, along y and x", empty="what suits the method"
    )


@dataclass(frozen=True)
class _OfDecision(Options):
    decision: Decision | None = option(
        None,
        "thresholding rule or clustering that splits a difference image (the ratios and coherence-loss)",
        empty="what suits it",
    )


@dataclass(frozen=True)
class _OfTest(Options):
    false_alarms: FalseAlarmRate = option(0.001, "false-alarm rate of a test, before the map is cleaned")
    looks: Positive | None = option(None, "independent looks of a mean over the window, for tests", empty="measured")
    expected: Annotated[float, Bounds(ge=0, lt=1)] | None = option(
        None, "coherence of unchanged ground, for tests", empty="each pixel's own in the pairs before"
    )


@dataclass(frozen=True)
class _OfLevels(Options):
    match_gain: bool = option(
        False,
        "bring each image to the level of the one before, by the median ratio of their amplitudes (the ratios, "
        "ratio-test, combined-test): for images whose calibration differs",
        spare=True,
    )


@dataclass(frozen=True)
class _OfMap(Options):
    min_pixels: Count = option(1, "pixels of the smallest change that is kept")
    opening: Whole = option(
        0, "remove what a disc of this radius in pixels does not fit into", empty="nothing", metavar="RADIUS"
    )
    closing: Whole = option(
        0, "fill gaps that a disc of this radius in pixels does not fit into", empty="none", metavar="RADIUS"
    )
    max_hole: Whole = option(0, "fill holes in changes up to this number of pixels", empty="none", metavar="PIXELS")


@dataclass(frozen=True)
class _OfNetwork(Options):
    rounds: Whole = option(0, "network: times that it is trained on the confident pixels of this scene")
    seed: int = option(0, "network: seed of what it is trained on")


@dataclass(frozen=True)
class _OfAll(Options):
    uncertainty: bool = option(False, "keep the probability that each decision is wrong beside the map")
    exclude_dates: tuple[str, ...] = option(
        (),
        "dates to leave out with their pairs, for example with snow",
        flag="--exclude-date",
        metavar="DATE",
        spare=True,
    )


# Options of each method. Fields come in the order of the bases, from the last to the first.


@dataclass(frozen=True)
class PretrainedOptions(_OfMethod):
    """Options of the pretrained network."""


@dataclass(frozen=True)
class RatioOptions(_OfAll, _OfMap, _OfLevels, _OfDecision, _OfWindow, _OfMethod):
    """Options of the difference images of two amplitude images."""


@dataclass(frozen=True)
class CoherenceLossOptions(_OfAll, _OfMap, _OfDecision, _OfWindow, _OfMethod):
    """Options of the coherence difference image."""


@dataclass(frozen=True)
class IntensityTestOptions(_OfAll, _OfMap, _OfLevels, _OfTest, _OfWindow, _OfMethod):
    """Options of the tests that use intensity."""


@dataclass(frozen=True)
class CoherenceTestOptions(_OfAll, _OfMap, _OfTest, _OfWindow, _OfMethod):
    """Options of the coherence test."""


@dataclass(frozen=True)
class NetworkOptions(_OfAll, _OfNetwork, _OfMap, _OfMethod):
    """Options of the pretrained amplitude network."""


@dataclass(frozen=True)
class CoherenceNetworkOptions(_OfAll, _OfNetwork, _OfMap, _OfTest, _OfWindow, _OfMethod):
    """Options of the coherence test combined with the network where the test cannot decide."""


MethodOptions = (
    PretrainedOptions
    | RatioOptions
    | CoherenceLossOptions
    | IntensityTestOptions
    | CoherenceTestOptions
    | NetworkOptions
    | CoherenceNetworkOptions
)

OPTIONS: dict[str, type[MethodOptions]] = {
    "pretrained": PretrainedOptions,
    "network": NetworkOptions,
    "log-ratio": RatioOptions,
    "mean-ratio": RatioOptions,
    "gauss-log-ratio": RatioOptions,
    "neighbourhood-ratio": RatioOptions,
    "coherence-loss": CoherenceLossOptions,
    "ratio-test": IntensityTestOptions,
    "coherence-test": CoherenceTestOptions,
    "combined-test": IntensityTestOptions,
    "coherence-network": CoherenceNetworkOptions,
}
"""Options class of each method."""

DIFFERENCES = tuple(name for name, kind in OPTIONS.items() if issubclass(kind, _OfDecision))
"""Methods that compute a difference image, which is then thresholded."""

OF_LEVELS = tuple(name for name, kind in OPTIONS.items() if issubclass(kind, _OfLevels))
"""Methods that compare the intensities of two dates without normalising them."""


@dataclass(frozen=True)
class DetectOptions(_OfAll, _OfNetwork, _OfMap, _OfLevels, _OfTest, _OfDecision, _OfWindow, _OfMethod):
    """Options of change detection: those of all methods, of which each uses a subset (`for_method`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and self.method in OF_COHERENCE:
            refuse_one_pixel(self.window)
        if self.uncertainty and self.method in DIFFERENCES and self.rule not in BOTH_WAYS:
            raise OptionError(
                f"{self.rule} draws a line and knows nothing of how likely each side is",
                option="uncertainty",
                hint="use the decision kittler or kittler_gg, or another method",
            )
        if self.method not in CHOOSING:
            for name in sorted(self.given - names_of(self.method)):
                raise OptionError(
                    f"{self.method} does not look at it", option=name, hint="leave it out, or use another method"
                )

    @property
    def size(self) -> Window:
        """Window, defaulting to that of the method."""
        return self.window or Window.of(WINDOWS.get(self.method, 5))

    @property
    def rule(self) -> Decision:
        """Thresholding rule, defaulting to that of the difference image.

        For signed differences `kittler_gg` recognises the absence of change. No rule does for magnitudes, where
        `pca_kmeans` gives the best segmentation.
        """
        return self.decision or ("kittler_gg" if self.method in (*SIGNED, "coherence-loss") else "pca_kmeans")

    def for_method(self) -> MethodOptions:
        """Return the options that the method uses, with its default window and thresholding rule where none is given.

        Examples
        --------
        >>> DetectOptions("network", seed=3).for_method()  # doctest: +ELLIPSIS
        NetworkOptions(method='network', min_pixels=1, ..., seed=3, uncertainty=False, exclude_dates=())
        >>> DetectOptions("combined-test").for_method().window  # the default
        Window(y=9, x=9)
        """
        if self.method in CHOOSING:
            raise OptionError(f"{self.method} has not chosen yet", option="method", hint="name another method")
        kind = OPTIONS[self.method]
        values = {item.name: getattr(self, item.name) for item in fields(kind)}
        filled = {"window": self.size, "decision": self.rule}
        return kind(**{name: filled.get(name, value) for name, value in values.items()})

    @property
    def used(self) -> dict[str, Any]:
        """Options that the method uses, as plain values, by which maps are compared."""
        values = to_dict(self.for_method())
        values.pop("uncertainty", None)  # adds a layer and leaves the map unchanged
        if self.method not in OF_NETWORK:
            return values
        before = list(values).index("seed")  # its position in maps of earlier versions
        items = list(values.items())
        return dict([*items[:before], ("start", STORED_START), *items[before:]])

    @property
    def given(self) -> set[str]:
        """Names of the options that differ from their default."""
        return {item.name for item in fields(self) if getattr(self, item.name) != item.default}


def names_of(method: str) -> set[str]:
    """Return the names of the options that a method uses.

    Examples
    --------
    >>> "window" in names_of("ratio-test"), "window" in names_of("network")
    (True, False)
    """
    return {item.name for item in fields(OPTIONS[method])}
