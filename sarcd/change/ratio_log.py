"""Log-ratio of a scene's pairs."""

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


def log_ratio(
    scene: xr.Dataset,
    *,
    window: int | Window = 5,
    signed: bool = False,
    domain: Domain | None = None,
    floor: float | None = None,
    pairs: str | Sequence[Pair] | None = None,
    match_gain: MatchGain = False,
) -> xr.DataArray:
    """Log-ratio of window means: how much the brightness of each place changed.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels over which brightness is averaged first.
    signed : bool
        Keep the sign, above 0 where it became brighter, instead of the magnitude.
    domain : {"power", "amplitude"}, optional
        What is averaged; by default power of complex images, and detected images as they are.
    floor : float, optional
        Amplitude added to every pixel (to power, its square) so that a dark 0 has a logarithm. By default 0 for complex
        images, where invalid pixels are NaN, and for detected ones the smallest amplitude above 0 in a fixed sample of
        the first two dates: one step of an 8-bit scale.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.estimation.coherence`.
    match_gain : bool or sequence of float
        Bring the image after to the level of the one before first, by the median ratio of their amplitudes: for images
        whose calibration differs. Numbers: that ratio for each pair.

    Returns
    -------
    (pair, y, x) float32
        ``abs(ln(after / before))`` of the means, natural logarithm; of power it is twice what it is of amplitude. NaN
        where invalid. Lazy if the images are.

    Raises
    ------
    SceneError
        If there are no images, or only one date.
    OptionError
        If an option cannot be used.

    Notes
    -----
    Of unchanged ground under speckle of L independent looks in the window, the signed log-ratio of power has mean 0 and
    variance ``2 psi1(L)``.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> log_ratio(sites.site("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    scene = take(scene)
    from sarcd.change.kernels import ratio

    return difference(
        scene,
        "log_ratio",
        ratio.log_ratio,
        window=window,
        domain=domain,
        floor=floor,
        pairs=pairs,
        options={"signed": signed, "match_gain": match_gain},
    )
