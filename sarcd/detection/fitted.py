"""Label-free methods fitted to a whole scene, and the attributes that record the fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sarcd.change.coherence_past import MATCHED
from sarcd.change.pair_scores import Histories, WindowLooks
from sarcd.config import DetectOptions
from sarcd.engine.lazy import made_by_attrs
from sarcd.estimation.amplitudes import iso
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.kernels.significance.history import TwoGroups
    from sarcd.change.thresholding import Rule
    from sarcd.detection.self_trained import SelfTrained

OPERATION = "detect"
POOLED = ("coherence-loss",)
"""Methods with one rule for all pairs, since the first pair has no history and so no values."""


@dataclass(frozen=True)
class Fitted:
    """A method together with what it needs of the whole scene; small, and valid for any part of it.

    Parameters
    ----------
    options : DetectOptions
        With the method that ``auto`` resolved to.
    why : str
        Reason for the choice.
    pairs : tuple of (before, after)
        Dates of the pairs.
    floor : float or None
        Value added to amplitudes before the logarithm; see `sarcd.change.log_ratio`.
    looks : WindowLooks or None
        Looks of a window, for tests.
    rules : tuple of Split or BlockSplit
        Thresholding rule for the difference image of each pair.
    networks : tuple of SelfTrained
        Networks fitted to each pair.
    groups : tuple of TwoGroups
        Mixture of p-values of each pair, if the uncertainty of a test is requested.
    gains : tuple of float
        Amplitude gain of each image after relative to the one before, if levels are matched.
    history : Histories or None
        Coherence of the whole scene in the pairs, if coherence is compared with its own history.
    """

    options: DetectOptions
    why: str
    pairs: tuple[Pair, ...]
    floor: float | None = None
    looks: WindowLooks | None = None
    rules: tuple[Rule, ...] = ()
    networks: tuple[SelfTrained, ...] = ()
    groups: tuple[TwoGroups, ...] = ()
    gains: tuple[float, ...] = ()
    history: Histories | None = None

    def attrs(self) -> dict[str, Any]:
        """Return attributes that record how the result was made, common to all pairs."""
        parameters = dict(self.options.used)
        parameters |= {"rule": self.rules[0].to_dict()} if self.rules and self.options.method in POOLED else {}
        parameters |= {"floor": self.floor} if self.floor is not None else {}
        parameters |= {"effective_looks": self.looks.power} if self.looks is not None else {}
        parameters |= {"history": MATCHED} if self.history is not None else {}
        return made_by_attrs(OPERATION, parameters) | {"why": self.why}

    def of_pairs(self, *, groups: bool = False) -> list[dict[str, Any]]:
        """Return what was fitted to each pair separately, with or without the mixtures of p-values."""
        facts: list[dict[str, Any]] = [{"before": iso(before), "after": iso(after)} for before, after in self.pairs]
        if self.options.method not in POOLED:
            _add(facts, "rule", [rule.to_dict() for rule in self.rules])
        _add(facts, "coherence", self._scales())
        _add(facts, "network", [one.record for one in self.networks])
        _add(facts, "gain", self.gains)
        _add(facts, "groups", [asdict(one) for one in self.groups] if groups else [])
        return facts

    def _scales(self) -> list[float | str]:
        """Return the coherence of the scene in each pair relative to its usual value."""
        known = () if self.history is None else self.history.of_pairs
        return [one.scales[-1] if one.scales else "unknown" for one in known]


def _add(facts: list[dict[str, Any]], name: str, values: Sequence[Any]) -> None:
    for fact, value in zip(facts, values, strict=False):  # empty if the method does not fit them
        fact[name] = value
