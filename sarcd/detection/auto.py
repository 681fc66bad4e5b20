"""Choice of the method that suits a scene and the given options, with the reason."""

from __future__ import annotations

import xarray as xr

from sarcd import schema
from sarcd.config import DetectOptions
from sarcd.config.detection import names_of
from sarcd.errors import OptionError
from sarcd.optional import require

PRETRAINED = "complex images: the pretrained network, which was trained on simulated open-pit mines"


def is_pretrained(scene: xr.Dataset, options: DetectOptions) -> bool:
    """Return whether the pretrained network is used: named, or chosen for complex images without other options.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`.
    options : DetectOptions
        Method, and the given options.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> scene = sites.simulate("A", size=64)
    >>> is_pretrained(scene, DetectOptions()), is_pretrained(scene, DetectOptions(min_pixels=4))
    (True, False)
    """
    return options.method == "pretrained" or (options.method == "auto" and "slc" in scene and not options.given)


def require_networks() -> None:
    """Refuse a method that uses a network where PyTorch is not installed; another method would be another map.

    Raises
    ------
    MissingPackageError
        It names what to install, and a method that needs no network.
    """
    require("torch", "safetensors", instead="use --method ratio-test")


def refuse_device(device: str) -> None:
    """Raise if a device is given for a method other than the pretrained network, which would not use it."""
    if device != "auto":
        raise OptionError(
            f"{device} applies to the pretrained network only",
            option="device",
            hint="leave it out, or use method pretrained",
        )


def choose(scene: xr.Dataset, options: DetectOptions | None = None) -> tuple[str, str]:
    """Return a label-free method for a scene, and the reason in one sentence.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`.
    options : DetectOptions, optional
        Options; the method must use those that were given.

    Notes
    -----
    The order of preference was measured on simulated mines, see docs/detect.md.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> choose(sites.simulate("A", size=64, dates=3))[0]
    'coherence-network'
    >>> choose(sites.simulate("A", size=64), DetectOptions(false_alarms=0.01))[0]
    'ratio-test'
    """
    if "slc" not in scene:
        return (
            "network",
            "detected images have no coherence: a network that learnt from simulated pairs sees shapes too",
        )
    dates = len(schema.dates_of(scene, "time"))
    if dates > 2:
        return "coherence-network", (
            f"{dates} complex images: coherence decides where the pairs before say what to expect of it, "
            "and elsewhere a network that learnt from simulated pairs"
        )
    given = ", ".join(sorted((options or DetectOptions()).given - names_of("network")))
    if given:
        return "ratio-test", f"two complex images, and {given} given: brightness decides, by a test"
    return "network", (
        "two complex images: how coherent the ground was before is not known, "
        "so that a network decides that learnt from simulated pairs"
    )
