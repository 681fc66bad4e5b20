"""Input features of the networks for any part of a stored scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sarcd import schema
from sarcd.config import CoherenceOptions
from sarcd.engine.tasks import Opened, Rectangle, grow, inside
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.channels import block_layers
from sarcd.estimation.looks import Calibration
from sarcd.store.reader import SceneReader


@dataclass(frozen=True)
class SceneFeatures:
    """Reader of the features of any rectangle; thread-safe.

    Parameters
    ----------
    reader : Opened of SceneReader
        Reader of the scene.
    dates : list of (int, int)
        Positions along time of the two dates of each pair in the store.
    statistics : AmplitudeStatistics
        Statistics that normalise the amplitudes.
    channels : tuple of str
        Names of the features.
    coherence : CoherenceOptions or None
        How coherence is estimated; None if it is not a feature.
    calibration : Calibration
        Scene-wide measurements that coherence needs.
    stored : bool
        Whether coherence is read from the store.
    """

    reader: Opened[SceneReader]
    dates: list[tuple[int, int]]
    statistics: AmplitudeStatistics
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None
    calibration: Calibration
    stored: bool

    def __call__(self, pair: int, wanted: Rectangle) -> np.ndarray:
        """Return the features (C, h, w) of a pair in a rectangle, NaN where invalid."""
        reader = self.reader()
        computed = self.coherence is not None and not self.stored
        window = grow(wanted, self.coherence.halo if self.coherence is not None and computed else (0, 0), reader.shape)
        dates = self.dates[pair]
        before, after = reader.pair_images(dates, *window)
        times = schema.dates_of(reader.scene, "time")
        layers = block_layers(
            (before, after),
            (self.statistics.at(times[dates[0]]), self.statistics.at(times[dates[1]])),
            stored=reader.plane("coherence", pair, *window) if self.stored else None,
            coherence=self.coherence if computed else None,
            looks=self.calibration.looks if computed else None,
            ramp=self.calibration.ramp(reader.scene, *dates) if computed else None,
            first_row=window[0].start,
        )
        part = inside(wanted, window)
        return np.stack([layer[part] for layer in layers])
