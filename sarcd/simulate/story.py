"""What happens to the ground of a site between its dates, and what coherence that leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sarcd.simulate import pseudo
from sarcd.simulate.changes import Patch, draw_changes
from sarcd.simulate.fields import FloatArray, fractal, stream
from sarcd.simulate.mine import Ground
from sarcd.simulate.options import SceneOptions
from sarcd.simulate.pseudo import Pseudo, Vehicles, Wetness
from sarcd.simulate.speckle import temporal_coherence

VARIATION = 0.1
"""Relative standard deviation of coherence within a class."""


class Story:
    """Changes of interest of each pair, wetness and vehicles of each date.

    Parameters
    ----------
    options : SceneOptions
        Site and dates.
    seed : int
        The user's seed.
    ground : Ground
        Before the first date.
    """

    patches: list[list[Patch]]
    """Changes of interest, by pair."""
    changed: NDArray[np.bool_]
    """(P, Y, X): where ground was moved."""
    wet: list[Wetness]
    """State of the surface, by date; the first is dry."""
    vehicles: list[Vehicles]
    """Point targets, by date."""

    def __init__(self, options: SceneOptions, seed: int, ground: Ground) -> None:
        site, dates = options.site, len(options.days)
        self.cover = ground.cover
        self.days = np.asarray(options.days, np.float64)
        self.patches = []
        self.changed = np.zeros((dates - 1, *options.shape), bool)
        self._left = np.ones((dates - 1, *options.shape), np.float32)
        for pair in range(dates - 1):
            rng = stream(seed, site, "changes", pair)
            self.patches.append(draw_changes(rng, ground, share=rng.uniform(*options.change_share)))
            for patch in self.patches[pair]:
                self.changed[pair][patch.box][patch.inside] = True
                self._left[pair][patch.box][patch.inside] = patch.coherence
        self.wet = [pseudo.dry(options.shape)]
        for date in range(1, dates):
            rng = stream(seed, site, "wetness", date)
            state = pseudo.wetness(rng, ground.cover, share=rng.uniform(*options.moist_share), before=self.wet[-1])
            # Moved ground is fresh: moisture must not add to the brightness of a change, in either of its pairs.
            moved = np.any(self.changed[date - 1 : date + 1], axis=0)
            self.wet.append(state.dried(np.asarray(moved, bool)))
        self.vehicles = [
            pseudo.vehicles(stream(seed, site, "vehicles", date), ground.cover, per_megapixel=options.vehicles)
            for date in range(dates)
        ]
        variety = fractal(stream(seed, site, "coherence"), options.shape, coarsest=64, finest=4, roughness=0.6)
        self._variety = np.clip(1 + np.float32(VARIATION) * variety, 0.7, 1.1)

    def coherence(self, rows: slice) -> FloatArray:
        """Return the coherence between all dates from time and causes, without thermal noise.

        Parameters
        ----------
        rows : slice
            Part of the scene.

        Returns
        -------
        (T, T, h, X) float32
            Positive semi-definite at each pixel: a product of such matrices, one a cause.
        """
        matrix = temporal_coherence(self.days, self.cover[rows])
        dates = len(matrix)
        for i in range(dates):
            for j in range(i):
                matrix[i, j] *= self._variety[rows]
        for pair in range(dates - 1):
            # Moved ground keeps the patch's coherence, whatever its class would have kept.
            factor = np.minimum(self._left[pair, rows] / np.maximum(matrix[pair + 1, pair], 1e-3), 1)
            factor[~self.changed[pair, rows]] = 1
            for i in range(pair + 1, dates):
                for j in range(pair + 1):
                    matrix[i, j] *= factor
        for i in range(dates):
            for j in range(i):
                matrix[i, j] *= self.wet[i].keeps[rows] * self.wet[j].keeps[rows]
                matrix[j, i] = matrix[i, j]
        return matrix

    def pseudo_change(self, pair: int) -> NDArray[np.uint8]:
        """Return the (Y, X) uint8 map of pseudo-changes (`Pseudo`) of a pair; changes of interest win over them."""
        kind = np.maximum(self.wet[pair].kind, self.wet[pair + 1].kind)
        for trucks in self.vehicles[pair : pair + 2]:
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    y, x = trucks.y + dy, trucks.x + dx
                    inside = (y >= 0) & (y < kind.shape[0]) & (x >= 0) & (x < kind.shape[1])
                    kind[y[inside], x[inside]] = Pseudo.VEHICLE
        kind[self.changed[pair]] = Pseudo.NONE
        return kind
