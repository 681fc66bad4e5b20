"""Networks by name, which work on tensors and are independent of scenes, files and dask."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sarcd.errors import OptionError
from sarcd.optional import require

require("torch", "safetensors")  # before the modules below import it

from sarcd.networks.base import Network
from sarcd.networks.changerex import ChangerEx
from sarcd.networks.siamese import SiameseUNet
from sarcd.networks.tinycd import TinyCD
from sarcd.networks.unet import UNet

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "ChangerEx",
    "Network",
    "SiameseUNet",
    "TinyCD",
    "UNet",
    "create_model",
    "model_options",
]


@dataclass(frozen=True)
class Architecture:
    """How a network is built: its class, and the options that differ from the defaults of the class.

    The class takes the number of input channels, then keyword-only options of plain values, which it checks.
    """

    build: Callable[..., Network]
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "unet": Architecture(UNet),
        "unet-small": Architecture(UNet, MappingProxyType({"widths": (16, 32, 64, 128)})),
        "unet-classic": Architecture(UNet, MappingProxyType({"widths": (64, 128, 256, 512), "bottleneck": 1024})),
        "siamese-unet": Architecture(SiameseUNet),
        "tinycd": Architecture(TinyCD),
        "changerex": Architecture(ChangerEx),
    }
)


def create_model(name: str, in_channels: int, **options: Any) -> Network:
    """Build a network with random weights, from torch's global generator.

    Parameters
    ----------
    name : str
        A key of `ARCHITECTURES`.
    in_channels : int
        Number of input channels: 3 with coherence, 2 without.
    **options
        Options of the network, such as ``widths``; others have the defaults of the name.

    Returns
    -------
    Network
        Maps (B, in_channels, H, W) to logits (B, 1, H, W).

    Raises
    ------
    OptionError
        If the name or an option is unknown, or a value cannot be used.

    Examples
    --------
    >>> create_model("unet-small", 3).widths
    (16, 32, 64, 128)
    """
    options = model_options(name, **options)
    return ARCHITECTURES[name].build(in_channels, **options)


def model_options(name: str, **options: Any) -> dict[str, Any]:
    """Return every option of a network, given or default, as a model file stores them.

    Raises
    ------
    OptionError
        If the name or an option is unknown.

    Examples
    --------
    >>> model_options("unet-small", bottleneck=256)
    {'widths': (16, 32, 64, 128), 'bottleneck': 256, 'convolutions': 2}
    """
    if name not in ARCHITECTURES:
        raise OptionError(f"unknown network {name!r}", option="model", hint=f"use one of {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    parameters = inspect.signature(architecture.build).parameters.values()
    known = {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise OptionError(f"{name} has no option {unknown[0]!r}", option="model", hint=f"use one of {', '.join(known)}")
    return {**known, **architecture.options, **options}
