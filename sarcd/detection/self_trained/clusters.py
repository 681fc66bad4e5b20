"""A start from nothing: what the values of the pair alone say surely changed, surely did not, and is unsure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sarcd.change.kernels.thresholds.clusters import otsu
from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
from sarcd.change.kernels.thresholds.kittler import kittler
from sarcd.detection.kernels.pair_features import CHANNELS
from sarcd.detection.self_trained.crops import IGNORE

_RATIOS = CHANNELS.index("ratio_fine"), CHANNELS.index("ratio_coarse")


def sure_targets(features: Sequence[np.ndarray], valid: Sequence[np.ndarray]) -> list[np.ndarray] | None:
    """Cluster the size of the ratio at both scales: where the two agree, it is sure.

    Parameters
    ----------
    features : sequence of (7, Y, X) float32
        Parts of a pair, as `sarcd.detection.kernels.pair_features.pair_features` returns.
    valid : sequence of (Y, X) bool
        Where they hold values.

    Returns
    -------
    list of (Y, X) uint8, or None
        1 surely changed, 0 surely not, `IGNORE` unsure or invalid; None where the ratios are those of one kind of
        ground, of which clusters would make two all the same.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> features = rng.normal(0, 0.1, (7, 64, 64)).astype("float32")
    >>> sure_targets([features], [np.ones((64, 64), bool)]) is None
    True
    >>> features[:, :16] += 1
    >>> features[2, 0, 0] = 0
    >>> sure_targets([features], [np.ones((64, 64), bool)])[0][[0, 0, 40], [0, 1, 0]].tolist()
    [255, 1, 0]
    """
    changed = []
    for ratio in _RATIOS:
        values = np.concatenate([part[ratio][ok] for part, ok in zip(features, valid, strict=True)])
        split = otsu(histogram(count_cells(np.abs(values))))
        if not (split.found and kittler(histogram(count_cells(values))).found):
            return None
        changed.append([split.apply(np.abs(part[ratio])) == 1 for part in features])
    targets = []
    for fine, coarse, ok in zip(*changed, valid, strict=True):
        targets.append(np.where(ok & (fine == coarse), fine, IGNORE).astype(np.uint8))
    return targets
