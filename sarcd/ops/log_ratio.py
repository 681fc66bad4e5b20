"""Log-ratio of a scene's pairs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import xarray as xr

from sarcd import schema
from sarcd.config import Window
from sarcd.io.pairs import Pair
from sarcd.ops._lazy import made_by_attrs, paired_array, stack, window_map
from sarcd.ops.pairs import pairs_of


def log_ratio(
    scene: xr.Dataset, *, window: int | Window = 5, pairs: str | Sequence[Pair] | None = None
) -> xr.DataArray:
    """Magnitude of the log-ratio of window means of power: how much the brightness of each place changed.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude` (time, y, x), linear.
    window : int or Window
        Odd size in pixels over which power is averaged first.
    pairs : str or sequence of (before, after), optional
        As in `sarcd.ops.coherence`.

    Returns
    -------
    (pair, y, x) float32
        ``abs(ln(after / before))`` of mean powers, 0 or above, natural logarithm; NaN where invalid. Lazy if the images
        are.

    Examples
    --------
    >>> from sarcd import sites
    >>> log_ratio(sites.site("A", size=64)).dims
    ('pair', 'y', 'x')
    """
    from sarcd.kernels import ratio

    images = schema.images_of(scene)
    size = Window.of(window)
    chosen = pairs_of(scene, pairs)
    kernel = partial(ratio.log_ratio, window=(size.y, size.x))
    layers = [
        window_map(kernel, [images[before], images[after]], halo=size.halo, dtype="float32") for before, after in chosen
    ]
    attrs = made_by_attrs("log_ratio", {"window": {"y": size.y, "x": size.x}})
    return paired_array(scene, "change_score", stack(layers), chosen, attrs).rename("log_ratio")
