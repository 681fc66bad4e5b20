"""Weights of a backbone from a file that the user names; nothing is fetched, and nothing but weights is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sarcd.errors import ModelError
from sarcd.networks.backbones import Backbone
from sarcd.networks.base import Network

_COLOURS = 3
_COUNTER = "num_batches_tracked"  # of batch norms, which older files lack and prediction does not need


def load_backbone(network: Network, path: str | Path) -> None:
    """Give a network's backbone the weights that torchvision's network learnt from photographs, in place.

    The file's first convolution sees red, green and blue. Where a date has three channels its weights are taken as they
    are; where it has C others, each gets the mean over the colours times 3 / C. So an image that is the same in all
    channels makes the same response as a grey photograph did.

    Parameters
    ----------
    network : Network
        One that has a backbone: ``tinycd`` wants the weights of ``efficientnet_b4`` or ``efficientnet_b0``,
        ``changerex`` those of ``resnet18``. A stream of its own for shared channels gets them as well.
    path : str or Path
        State dict of the whole network as torchvision names it: saved by torch (``.pth``), or ``.safetensors``. What
        belongs to its classifier and later stages is passed over.

    Raises
    ------
    ModelError
        If the network has no backbone; if the file is absent, damaged, holds anything but weights, or those of another
        network.

    Examples
    --------
    ::

        network = create_model("changerex", 3)
        load_backbone(network, "resnet18-f37072fd.pth")
    """
    path = Path(path)
    if not network.backbones:
        raise ModelError(
            f"{type(network).__name__} takes no such weights", source=str(path), hint="use it without them"
        )
    tensors = _read(path)
    # Every backbone is checked before any is changed.
    fitting = [_fit(backbone, tensors, path) for backbone in network.backbones]
    for backbone, weights in zip(network.backbones, fitting, strict=True):
        backbone.load_state_dict(weights)


def _read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name."""
    if not path.is_file():
        raise ModelError("is no file" if path.exists() else "no such file", source=str(path))
    values: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            values = load_file(path)
        else:
            values = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror or error})", source=str(path)) from error
    except Exception as error:  # what a damaged or hostile file makes the readers raise has no common family
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:80]
        hint = "it must be a state dict, whole, with nothing but weights in it"
        raise ModelError(f"cannot be read as weights ({reason})", source=str(path), hint=hint) from error
    if not isinstance(values, dict) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ModelError("holds no table of weights", source=str(path), hint="save the state dict of the network alone")
    return {str(name): value for name, value in values.items()}


def _fit(backbone: Backbone, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the state of a backbone out of a file's tensors."""
    state = backbone.state_dict()
    wanted = [name for name in state if not name.endswith(_COUNTER)]
    lacking = [name for name in wanted if name not in tensors]
    if lacking:
        text = f"is of another network: {len(lacking)} of {len(wanted)} weights are missing, such as {lacking[0]!r}"
        raise ModelError(text, source=str(path), hint=f"{_source(backbone)} is wanted")
    for name in wanted:
        found, shape = tensors[name], list(state[name].shape)
        if name == backbone.first:
            shape[1] = _COLOURS
        if list(found.shape) != shape or not found.is_floating_point():
            text = f"{name!r} is {_kind(found.shape)}, and {_kind(shape)} numbers are wanted"
            raise ModelError(text, source=str(path), hint=f"{_source(backbone)} is wanted")
        if not bool(torch.isfinite(found).all()) or (name.endswith("running_var") and bool((found < 0).any())):
            raise ModelError(f"{name!r} holds values that no weights have", source=str(path), hint="copy it again")
        state[name] = _adapt(found, state[name].shape[1]) if name == backbone.first else found.float()
    return state


def _adapt(colours: Tensor, channels: int) -> Tensor:
    """Return the weights of a first convolution for images of other channels; see `load_backbone`."""
    if channels == _COLOURS:
        return colours.float()
    mean = colours.float().mean(dim=1, keepdim=True)  # (K, 1, k, k)
    return (mean * (_COLOURS / channels)).expand(-1, channels, -1, -1).clone()


def _source(backbone: Backbone) -> str:
    return f"the state dict of torchvision's {backbone.source}"


def _kind(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "single"
