"""Mean ratio of a scene's pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from sarcd.change.difference import difference
from sarcd.config import Window
from sarcd.estimation.levels import MatchGain
from sarcd.store.intake import take
from sarcd.store.pairs import Pair

if TYPE_CHECKING:
    from sarcd.change.kernels.ratio import Domain


def mean_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Mean ratio: one less the ratio of the darker to the brighter window mean.

    Parameters
    ----------
    scene, window, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.

    Returns
    -------
    (pair, y, x) float32
        ``1 - min(m1 / m2, m2 / m1)``, from 0, unchanged, to 1; NaN where invalid or without power. Lazy if the images
        are.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.log_ratio`.

    References
    ----------
    .. [1] Inglada and Mercier 2007, doi:10.1109/TGRS.2007.893568, Eq. 1.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> mean_ratio(sites.site("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratio

    return difference(
        scene,
        "mean_ratio",
        ratio.mean_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"match_gain": match_gain},
    )
