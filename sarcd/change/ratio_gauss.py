"""Gauss-log-ratio of a scene's pairs."""

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


def gauss_log_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 7,
    signed: bool = False,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Log-ratio of means with weights that fall from the centre of the window.

    Parameters
    ----------
    scene, signed, domain, floor, pairs, match_gain
        As in `sarcd.change.log_ratio`.
    window : int or Window
        Odd size in pixels; 4 standard deviations of the weights long.

    Returns
    -------
    (pair, y, x) float32
        As `sarcd.change.log_ratio`.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.log_ratio`.

    References
    ----------
    .. [1] Hou, Wei, Zheng and Wang 2014, IEEE J. Sel. Top. Appl. Earth Obs. Remote Sens. 7(8), 3297-3317.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> gauss_log_ratio(sites.site("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratio

    return difference(
        scene,
        "gauss_log_ratio",
        ratio.gauss_log_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"signed": signed, "match_gain": match_gain},
    )
