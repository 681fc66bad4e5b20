"""What a method without labels knows of the whole scene, once it is fitted, and what a map says of that."""

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
"""Methods with one rule for all pairs: the first has no past, and so no values."""


@dataclass(frozen=True)
class Fitted:
    """A method that knows what it needs of the whole scene; small, and the same for any part of it.

    Parameters
    ----------
    options : DetectOptions
        With the method that ``auto`` came to.
    why : str
        Why it was chosen.
    pairs : tuple of (before, after)
        Dates of the pairs.
    floor : float or None
        Added to amplitudes before their logarithm; see `sarcd.change.log_ratio`.
    looks : WindowLooks or None
        Of a window, for tests.
    rules : tuple of Split or BlockSplit
        How the difference image of each pair is split.
    networks : tuple of SelfTrained
        Those fitted to each pair.
    groups : tuple of TwoGroups
        What tells the p-values of changed ground in each pair, where the uncertainty of a test is asked for.
    gains : tuple of float
        By what each image after is brighter than the one before, in amplitude, where the two are brought to one level.
    history : Histories or None
        How coherent the whole scene is in the pairs, where coherence is held against its own past.
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
        """Return what the result says of how it was made, for all pairs alike."""
        told = dict(self.options.used)
        told |= {"rule": self.rules[0].to_dict()} if self.rules and self.options.method in POOLED else {}
        told |= {"floor": self.floor} if self.floor is not None else {}
        told |= {"effective_looks": self.looks.power} if self.looks is not None else {}
        told |= {"history": MATCHED} if self.history is not None else {}
        return made_by_attrs(OPERATION, told) | {"why": self.why}

    def of_pairs(self, *, groups: bool = False) -> list[dict[str, Any]]:
        """Return what was fitted to each pair by itself, groups of p-values or not: later pairs have their own."""
        facts: list[dict[str, Any]] = [{"before": iso(before), "after": iso(after)} for before, after in self.pairs]
        if self.options.method not in POOLED:
            _add(facts, "rule", [rule.to_dict() for rule in self.rules])
        _add(facts, "coherence", self._scales())
        _add(facts, "network", [one.record for one in self.networks])
        _add(facts, "gain", self.gains)
        _add(facts, "groups", [asdict(one) for one in self.groups] if groups else [])
        return facts

    def _scales(self) -> list[float | str]:
        """Coherence of the scene in each pair over what it is as a rule."""
        known = () if self.history is None else self.history.of_pairs
        return [one.scales[-1] if one.scales else "unknown" for one in known]


def _add(facts: list[dict[str, Any]], name: str, values: Sequence[Any]) -> None:
    for fact, value in zip(facts, values, strict=False):  # none where the method fits no such thing
        fact[name] = value
