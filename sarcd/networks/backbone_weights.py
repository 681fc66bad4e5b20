"""Loading of backbone weights from a file given by the user; nothing is downloaded, and only weights are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcd.errors import ModelError
from sarcd.networks.backbones import Backbone
from sarcd.networks.base import Network

_COLOURS = 3
_COUNTER = "num_batches_tracked"  # of batch norms; older files lack it, and prediction does not need it


def load_backbone(network: Network, path: str | Path) -> None:
    """Load weights of a torchvision network, trained on photographs, into the backbone of a network, in place.

    The first convolution of the file has red, green and blue inputs. For dates with three channels its weights are
    used as they are; for C other channels, each gets the mean over the colours times 3 / C, so that an image that is
    the same in all channels gives the same response as a grey photograph did.

    Parameters
    ----------
    network : Network
        A network with a backbone: ``tinycd`` needs the weights of ``efficientnet_b4`` or ``efficientnet_b0``,
        ``changerex`` those of ``resnet18``. A separate stream for shared channels gets them too.
    path : str or Path
        State dict of the whole network with torchvision's names, saved by torch (``.pth``) or as ``.safetensors``. The
        weights of its classifier and later stages are ignored.

    Raises
    ------
    ModelError
        If the network has no backbone; if the file is absent, damaged, holds anything but weights, or belongs to
        another network.

    Examples
    --------
    ::

        network = create_model("changerex", 3)
        load_backbone(network, "resnet18-f37072fd.pth")
    """
    path = Path(path)
    if not network.backbones:
        raise ModelError(
            f"{type(network).__name__} has no backbone to load", source=str(path), hint="use it without weights"
        )
    tensors = _read(path)
    # All backbones are checked before any is changed.
    fitting = [_fit(backbone, tensors, path) for backbone in network.backbones]
    for backbone, weights in zip(network.backbones, fitting, strict=True):
        backbone.load_state_dict(weights)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name."""
    if not path.is_file():
        raise ModelError("is not a file" if path.exists() else "no such file", source=str(path))
    values: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", source=str(path)) from error
    except Exception as error:  # damaged or hostile files raise errors without a common base class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:80]
        hint = "save a complete state dict that holds nothing but weights"
        raise ModelError(f"cannot be read as weights ({reason})", source=str(path), hint=hint) from error
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ModelError("holds no state dict", source=str(path), hint="save only the state dict of the network")
    return {str(name): value for name, value in values.items()}


def _fit(backbone: Backbone, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the state of a backbone from the tensors of a file."""
    state = backbone.state_dict()
    wanted = [name for name in state if not name.endswith(_COUNTER)]
    lacking = [name for name in wanted if name not in tensors]
    if lacking:
        text = f"belongs to another network: {len(lacking)} of {len(wanted)} weights missing, such as {lacking[0]!r}"
        raise ModelError(text, source=str(path), hint=f"use {_source(backbone)}")
    for name in wanted:
        found, shape = tensors[name], list(state[name].shape)
        if name == backbone.first:
            shape[1] = _COLOURS
        if list(found.shape) != shape or not found.is_floating_point():
            kind = f"{_kind(found.shape)} {str(found.dtype).removeprefix('torch.')}"
            text = f"expected {_kind(shape)} floating-point numbers for {name!r}, got {kind}"
            raise ModelError(text, source=str(path), hint=f"use {_source(backbone)}")
        if not bool(torch.isfinite(found).all()) or (name.endswith("running_var") and bool((found < 0).any())):
            raise ModelError(f"{name!r} holds invalid values", source=str(path), hint="copy it again")
        state[name] = _adapt(found, state[name].shape[1]) if name == backbone.first else found.float()
    return state


def _adapt(colours: Tensor, channels: int) -> Tensor:
    """Return the weights of a first convolution for another number of channels; see `load_backbone`."""
    if channels == _COLOURS:
        return colours.float()
    mean = colours.float().mean(dim=1, keepdim=True)  # (K, 1, k, k)
    return (mean * (_COLOURS / channels)).expand(-1, channels, -1, -1).clone()


def _source(backbone: Backbone) -> str:
    return f"the state dict of torchvision's {backbone.source}"


def _kind(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "single"
