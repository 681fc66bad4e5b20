"""A decision by thresholds: what it keeps, and how it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np

Tails = Literal["upper", "both"]

UNKNOWN = 255


@dataclass(frozen=True)
class Split:
    """Values at or above one threshold, or below another, are changed.

    Parameters
    ----------
    method : str
        What found the thresholds.
    above : float or None
        Change begins here; None where no class of larger values was found.
    below : float or None
        Change ends here, for a signed difference; None where there is none.
    facts : dict of str to float
        What else is known of the fit, such as the criterion and the centres of the classes.
    """

    method: str
    above: float | None
    below: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is a second class at all; without one nothing is changed."""
        return self.above is not None or self.below is not None

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels that the decision looks beyond its own."""
        return 0, 0

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Decide.

        Parameters
        ----------
        values : ndarray of float32
            Difference image; NaN where invalid.

        Returns
        -------
        ndarray of uint8
            1 changed, 0 not, 255 where invalid.

        Examples
        --------
        >>> Split("otsu", above=1.0).apply(np.array([0.5, 1.0, np.nan])).tolist()
        [0, 1, 255]
        """
        changed = np.zeros(values.shape, bool)
        if self.above is not None:
            changed |= values >= self.above
        if self.below is not None:
            changed |= values < self.below
        return np.where(np.isnan(values), np.uint8(UNKNOWN), changed.astype(np.uint8))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as attributes keep them."""
        return {"method": self.method, "above": self.above, "below": self.below, "facts": dict(self.facts)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `to_dict` returned."""
        return cls(values["method"], values["above"], values["below"], dict(values["facts"]))


def split_of(
    method: str, borders: Sequence[float], shares: Sequence[float], tails: Tails, facts: dict[str, Any]
) -> Split:
    """Return the decision from the borders between classes, ascending, and the classes' shares of the pixels.

    The highest class is changed; with both tails, all but the largest one.

    Examples
    --------
    >>> split_of("kmeans", [-1.0, 2.0], [0.1, 0.8, 0.1], "both", {}).below
    -1.0
    >>> split_of("kmeans", [-1.0, 2.0], [0.1, 0.8, 0.1], "upper", {}).below is None
    True
    """
    if not borders:
        return Split(method, None, facts=facts)
    if tails == "upper":
        return Split(method, float(borders[-1]), facts=facts)
    largest = int(np.argmax(shares))
    above = float(borders[largest]) if largest < len(borders) else None
    return Split(method, above, float(borders[largest - 1]) if largest else None, facts)
