"""A network made quick for prediction: the same function of its input, with less arithmetic."""

from __future__ import annotations

import copy
import re
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sarcd.errors import OptionError
from sarcd.networks.base import Network

_MOST_GRAPHS = 64

Precision = Literal["float32", "bfloat16", "float16"]


def for_inference(network: Network, *, precision: Precision = "float32", compiled: bool = False) -> Network:
    """Return a copy of a network that predicts faster; the network itself stays as it is.

    Batch norms are folded into the convolutions before them, and weights lie channels last, as the fastest convolutions
    of CPUs and GPUs want them.

    Parameters
    ----------
    network : Network
        In eval mode.
    precision : {"float32", "bfloat16", "float16"}
        Type of weights and activations. Only float32 gives the same map for any tile.
    compiled : bool
        Compile with ``torch.compile``, which takes a minute or two and needs a C++ compiler where the device is a CPU.

    Returns
    -------
    Network
        In eval mode, on the same device. In float32 its logits are the network's own but for rounding.

    Raises
    ------
    OptionError
        If it cannot be compiled on this machine.
    ValueError
        If the network is in training mode.

    Examples
    --------
    >>> from sarcd.networks import create_model
    >>> network = create_model("unet", in_channels=2, widths=(4, 8)).eval()
    >>> image = torch.rand(1, 2, 16, 16)
    >>> torch.allclose(for_inference(network)(image), network(image), atol=1e-5)
    True
    """
    if network.training:
        raise ValueError("a network in training has no fixed batch norms to fold; call eval() first")
    device = next(network.parameters()).device
    quick = copy.deepcopy(network).requires_grad_(False).cpu()  # folded in float64, which not every device has
    for module in quick.modules():
        _fold_batch_norms(module)
    dtype: torch.dtype = getattr(torch, precision)
    quick = quick.to(device, dtype).to(memory_format=torch.channels_last)
    if compiled:
        compile_network(quick, device)
    return quick


def compile_network(network: Network, device: torch.device) -> None:
    """Compile a network in place, for inputs of any shape: tiles at a scene's edges and last batches have their own.

    Raises
    ------
    OptionError
        If it cannot be compiled on this machine.
    """
    # One shape learnt becomes one graph for a range of sizes; how many ranges there are depends on what torch's kernels
    # ask of the sizes at each level, and past its limit of 8 torch would go on uncompiled without a word.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MOST_GRAPHS)
    network.compile(dynamic=True)
    training = network.training
    network.eval()  # else batch norms would remember what they see now
    side = 4 * network.stride
    tile = torch.zeros(1, network.in_channels, side, side, device=device, dtype=next(network.parameters()).dtype)
    try:
        with torch.inference_mode():
            network(tile.to(memory_format=torch.channels_last))  # now, and not when results are on their way
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:120]
        hint = "install a C++ compiler (on a GPU: Triton), or leave --compile out"
        raise OptionError(f"the network cannot be compiled here ({reason})", option="compiled", hint=hint) from error
    network.train(training)


def _fold_batch_norms(module: nn.Module) -> None:
    """Fold what follows each other in a sequence, and what is named so in a residual block: bn1 follows conv1."""
    children = dict(module.named_children())
    if isinstance(module, nn.Sequential):
        names = list(pairwise(children))
    else:
        names = [(name, name.replace("conv", "bn")) for name in children if re.fullmatch(r"conv\d", name)]
    for first, second in names:
        convolution, norm = getattr(module, first), getattr(module, second, None)
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, first, fuse_conv_bn_eval(convolution.double(), norm.double()).float())
            setattr(module, second, nn.Identity())
