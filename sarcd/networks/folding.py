"""Optimisation of a network for prediction: the same function with less arithmetic."""

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

_MAX_GRAPHS = 64

Precision = Literal["float32", "bfloat16", "float16"]


def for_inference(network: Network, *, precision: Precision = "float32", compiled: bool = False) -> Network:
    """Return a copy of a network that predicts faster; the network itself is not changed.

    Batch norms are folded into the preceding convolutions, and weights are stored channels last, as the fastest
    convolutions of CPUs and GPUs need them.

    Parameters
    ----------
    network : Network
        In eval mode.
    precision : {"float32", "bfloat16", "float16"}
        Type of weights and activations. Only float32 gives the same map for any tile size.
    compiled : bool
        Compile with ``torch.compile``, which takes a minute or two and needs a C++ compiler if the device is a CPU.

    Returns
    -------
    Network
        In eval mode, on the same device. In float32 its logits equal those of the network up to rounding.

    Raises
    ------
    OptionError
        If the network cannot be compiled on this machine.
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
        raise ValueError("a network in training mode has no fixed batch norms to fold; call eval() first")
    device = next(network.parameters()).device
    quick = copy.deepcopy(network).requires_grad_(False).cpu()  # folded in float64, which not every device supports
    for module in quick.modules():
        _fold_batch_norms(module)
    dtype: torch.dtype = getattr(torch, precision)
    quick = quick.to(device, dtype).to(memory_format=torch.channels_last)
    if compiled:
        compile_network(quick, device)
    return quick


def compile_network(network: Network, device: torch.device) -> None:
    """Compile a network in place for inputs of any shape, such as tiles at the edges of a scene or last batches.

    Raises
    ------
    OptionError
        If the network cannot be compiled on this machine.
    """
    # A graph covers a range of sizes; the number of ranges depends on what the kernels of torch require of the sizes at
    # each level, and beyond the default limit of 8 torch would silently continue without compilation.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _MAX_GRAPHS)
    network.compile(dynamic=True)
    training = network.training
    network.eval()  # otherwise batch norms would update their statistics
    side = 4 * network.stride
    tile = torch.zeros(1, network.in_channels, side, side, device=device, dtype=next(network.parameters()).dtype)
    try:
        with torch.inference_mode():
            network(tile.to(memory_format=torch.channels_last))  # compiles now rather than in the middle of the work
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:120]
        hint = "install a C++ compiler (on a GPU: Triton), or omit --compile"
        raise OptionError(f"the network cannot be compiled here ({reason})", option="compiled", hint=hint) from error
    network.train(training)


def _fold_batch_norms(module: nn.Module) -> None:
    """Fold adjacent modules of a sequence, and by their names those of a residual block: bn1 follows conv1."""
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
