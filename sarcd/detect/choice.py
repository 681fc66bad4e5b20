"""``auto``: which method suits what a scene holds, and why."""

from __future__ import annotations

import xarray as xr

from sarcd import schema


def choose(scene: xr.Dataset) -> tuple[str, str]:
    """Return a method without labels for a scene, and the reason in one sentence.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`.

    Examples
    --------
    >>> from sarcd import sites
    >>> choose(sites.site("A", size=64, dates=3))[0]
    'combined-test'
    """
    if "slc" not in scene:
        return (
            "network",
            "detected images have no coherence: a network that learnt from simulated pairs sees shapes too",
        )
    dates = len(schema.dates_of(scene, "time"))
    if dates < 3:
        return "ratio-test", (
            "two complex images: how coherent the ground was before is not known, "
            "so that brightness decides, held against the coherence of the pair"
        )
    return "combined-test", (
        f"{dates} complex images: brightness decides, and coherence where it is lower than in the pairs before"
    )
