"""What the networks see of any part of a stored scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarcd.config import CoherenceOptions
from sarcd.io.reader import SceneReader
from sarcd.jobs._run import Rectangle, grow, inside
from sarcd.jobs._task import Opened
from sarcd.ops.features import features
from sarcd.ops.looks import Calibration
from sarcd.ops.statistics import AmplitudeStatistics


@dataclass(frozen=True)
class SceneFeatures:
    """Reads and prepares the features of any rectangle, from any thread.

    Parameters
    ----------
    reader : Opened of SceneReader
        Of the scene.
    dates : list of (int, int)
        Positions along time of the two dates of each pair of the store.
    statistics : AmplitudeStatistics
        What normalises the amplitudes.
    channels : tuple of str
        Names of the features.
    coherence : CoherenceOptions or None
        How coherence is estimated; None where it is no feature.
    calibration : Calibration
        What coherence takes from the whole scene.
    stored : bool
        Whether coherence is read from the scene.
    """

    reader: Opened[SceneReader]
    dates: list[tuple[int, int]]
    statistics: AmplitudeStatistics
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None
    calibration: Calibration
    stored: bool

    def __call__(self, pair: int, wanted: Rectangle) -> np.ndarray:
        """Return the features (C, h, w) of a rectangle of a pair, NaN where invalid."""
        reader = self.reader()
        halo = (0, 0) if self.coherence is None or self.stored else self.coherence.halo
        window = grow(wanted, halo, reader.shape)
        also = ["coherence"] if self.stored else []
        sub = reader.window(self.dates[pair], *window, also=also, position=pair)
        seen = features(
            sub,
            channels=self.channels,
            statistics=self.statistics,
            coherence=self.coherence,
            calibration=self.calibration,
        )
        values: np.ndarray = seen.values[0][(slice(None), *inside(wanted, window))]
        return values
