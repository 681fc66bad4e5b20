"""Several networks, each shown the ground in several ways: their mean, and how far they are from agreeing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarcd.engine.rectangles import Rectangle, grow, inside
from sarcd.inference.kernels.rim import near_holes, rim_halo
from sarcd.inference.predictor import AnyTiling, Predictor, sigmoid
from sarcd.inference.tta import PLAIN, Variant


def blocks_of(tilings: Sequence[AnyTiling], grid: tuple[int, int]) -> tuple[int, int]:
    """Return how many stored chunks along y and x are predicted as one by several networks together."""
    counts = [tiling.blocks(grid) for tiling in tilings]
    return max(y for y, _ in counts), max(x for _, x in counts)


class Ensemble:
    """Networks that predict regions of one scene together; one network alone is the usual case.

    They work in turn, so that no more memory is taken than by one, and a few values a pixel besides.

    Parameters
    ----------
    predictors : sequence of Predictor
        All with the same channels, each with tiles of its own.
    groups : sequence of sequences of Variant
        Ways to show each network its input; see `variants`.
    rim : (int, int)
        Pixels along y and x around a hole within which nothing is claimed; see `rim_of`. 0 for no rim.

    Notes
    -----
    The mean is of probabilities, not logits: it is calibrated where its members are, and `uncertainty` is the spread
    about it. Variants of a group are added first. So with both orders of the dates, which a group holds, a pair and the
    same pair reversed add the same two numbers, and their maps are equal to the last bit.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        groups: Sequence[Sequence[Variant]] = ((PLAIN,),),
        *,
        rim: tuple[int, int] = (0, 0),
    ) -> None:
        self.predictors = list(predictors)
        self.groups = [list(group) for group in groups]
        self.rim = rim

    @property
    def passes(self) -> int:
        """Probabilities that the mean is taken over."""
        return len(self.predictors) * sum(len(group) for group in self.groups)

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region."""
        windows = [predictor.tiling.window(region) for predictor in self.predictors]
        if any(self.rim):
            windows.append(grow(region, rim_halo(self.rim), self.predictors[0].tiling.shape))
        y, x = (
            slice(min(window[axis].start for window in windows), max(window[axis].stop for window in windows))
            for axis in (0, 1)
        )
        return y, x

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the pixels of the map by those that a network computes for one variant, over all networks."""
        return len(self.predictors) / sum(1 / predictor.tiling.kept_share(grid) for predictor in self.predictors)

    def predict(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        """Predict a region.

        Parameters
        ----------
        features : (C, h, w) float32
            Features of ``window(region)``, NaN where invalid.
        region : (slice, slice)
            Rectangle of the scene.

        Returns
        -------
        probability : float32
            Mean over networks and variants, NaN where any channel is invalid, and at the rim of holes.
        uncertainty : float32
            Standard deviation among them, from 0 to 0.5; 0 where there is but one.
        """
        found = self._mean(features, region)
        if any(self.rim):
            near = near_holes(~np.isnan(features).any(axis=0), self.rim)[inside(region, self.window(region))]
            for layer in found:
                layer[near] = np.nan
        return found

    def _mean(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        window = self.window(region)
        total = np.zeros((region[0].stop - region[0].start, region[1].stop - region[1].start))
        squares = np.zeros_like(total)
        for predictor in self.predictors:
            seen = tuple(
                slice(part.start - around.start, part.stop - around.start)
                for part, around in zip(predictor.tiling.window(region), window, strict=True)
            )
            part = features[(slice(None), *seen)]
            for group in self.groups:
                found = [sigmoid(predictor.logits(part, region, variant=variant)) for variant in group]
                if self.passes == 1:
                    return found[0], np.where(np.isnan(found[0]), found[0], np.float32(0))
                total += np.sum(found, axis=0, dtype=np.float64)
                squares += np.sum(np.square(found, dtype=np.float64), axis=0)
        mean = total / self.passes
        spread = np.sqrt(np.maximum(squares / self.passes - mean**2, 0))
        return mean.astype(np.float32), spread.astype(np.float32)
