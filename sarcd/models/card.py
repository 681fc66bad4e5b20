"""The card of a model: all that is needed, besides the weights, to use a network again."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import sarcd
from sarcd import config
from sarcd.config import CoherenceOptions
from sarcd.errors import ModelError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.channels import AMPLITUDES, WITH_COHERENCE

FORMAT = 1
"""Version of the metadata; files of a later one are refused."""

_LARGEST_WINDOW = 1023
_ABSENT = object()

Json = dict[str, Any]


@dataclass(frozen=True)
class ModelCard:
    """What must be known of a network to feed it and to read its output.

    Parameters
    ----------
    architecture : str
        Name in the registry of `sarcd.networks`.
    options : dict
        Every option of the network.
    channels : tuple of str
        Features that enter, in order.
    coherence : CoherenceOptions or None
        How the coherence it learnt from was estimated; None for networks that take none.
    statistics_policy : {"scene", "model"}
        Whose median and MAD normalise the amplitudes: those of the scene at hand, or `statistics`.
    statistics : AmplitudeStatistics, optional
        Those of the training set.
    threshold : float
        Probability from which a pixel counts as changed.
    training : dict
        Facts of its training, as JSON values.
    version : str
        Version of sarcd that made it.
    """

    architecture: str
    options: Json
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None
    statistics_policy: Literal["scene", "model"] = "scene"
    statistics: AmplitudeStatistics | None = None
    threshold: float = 0.5
    training: Json = field(default_factory=dict)
    version: str = sarcd.__version__

    def to_json(self) -> Json:
        """Return plain values, as a file keeps them."""
        return {
            "format": FORMAT,
            "version": self.version,
            "architecture": self.architecture,
            "options": {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()},
            "channels": list(self.channels),
            "coherence": None if self.coherence is None else config.to_dict(self.coherence),
            "statistics_policy": self.statistics_policy,
            "statistics": None if self.statistics is None else replace(self.statistics, level=(), valid=()).to_json(),
            "threshold": self.threshold,
            "training": self.training,
        }

    @classmethod
    def from_json(cls, values: Any) -> ModelCard:
        """Read what `to_json` returned, believing nothing.

        Raises
        ------
        ModelError
            Naming the entry that cannot be used.
        """
        if not isinstance(values, dict):
            raise ModelError("metadata are no JSON object")
        version = _entry(values, "format", int)
        if version != FORMAT:
            raise ModelError(
                f"file is of format {version}, this sarcd reads format {FORMAT}",
                mend="update sarcd" if version > FORMAT else "train it again",
            )
        channels = tuple(_entry(values, "channels", list))
        if channels not in (WITH_COHERENCE, AMPLITUDES):
            raise ModelError(f"metadata: unknown channels {str(channels)[:80]}")
        policy = _entry(values, "statistics_policy", str)
        if policy not in ("scene", "model"):
            raise ModelError(f"metadata: unknown statistics_policy {policy[:40]!r}")
        statistics = _statistics(_entry(values, "statistics", (dict, type(None))))
        if policy == "model" and (statistics is None or statistics.per_date):
            raise ModelError("metadata: 'statistics' hold no median and MAD of the training set")
        coherence = _coherence(_entry(values, "coherence", (dict, type(None))))
        if (coherence is None) == ("coherence" in channels):
            raise ModelError("metadata: 'coherence' does not fit 'channels'")
        threshold = _entry(values, "threshold", float)
        if not 0 < threshold < 1:
            raise ModelError(f"metadata: threshold is {threshold}")
        options = _entry(values, "options", dict)
        return cls(
            architecture=_entry(values, "architecture", str),
            options={key: tuple(value) if isinstance(value, list) else value for key, value in options.items()},
            channels=channels,
            coherence=coherence,
            statistics_policy=policy,
            statistics=statistics,
            threshold=threshold,
            training=_entry(values, "training", dict),
            version=_entry(values, "version", str),
        )


def _entry(values: Json, key: str, kind: Any) -> Any:
    """Return an entry of the type wanted; whole numbers pass for float, bool for nothing but itself."""
    value = values.get(key, _ABSENT)
    if value is _ABSENT:
        raise ModelError(f"metadata: {key!r} is missing")
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ModelError(f"metadata: {key!r} is {value!r:.40}")
    return value


def _statistics(values: Json | None) -> AmplitudeStatistics | None:
    try:
        return None if values is None else AmplitudeStatistics.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("metadata: 'statistics' cannot be read") from error


def _coherence(values: Json | None) -> CoherenceOptions | None:
    if values is None:
        return None
    options = config.from_dict(CoherenceOptions, values, where="metadata: coherence")
    if max(options.window.y, options.window.x) > _LARGEST_WINDOW:
        raise ModelError(f"metadata: coherence window is {options.window.y} x {options.window.x}")
    return options
