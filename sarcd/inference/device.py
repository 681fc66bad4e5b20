"""Forward passes: one at a time per device, with the network's own precision."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

_owners: dict[str, ThreadPoolExecutor] = {}
_owners_lock = threading.Lock()


def forward(network: nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    """Run the network on a batch, one call at a time per device, in the precision of its weights.

    The call runs on a thread that belongs to the device, with torch's full thread count, while the calling threads of
    other regions read and prepare.

    Parameters
    ----------
    network : nn.Module
        On `device`, in eval mode.
    inputs : (B, C, H, W) float32
        Features without NaN.
    device : torch.device
        Where the network is.

    Returns
    -------
    (B, H, W) float32
        Logits.
    """
    with _owners_lock:
        owner = _owners.setdefault(str(device), ThreadPoolExecutor(1, thread_name_prefix=f"sarcd-{device}"))
    return owner.submit(_forward_now, network, inputs, device).result()


def _forward_now(network: nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    import torch

    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        kind = next(network.parameters()).dtype
        batch = torch.from_numpy(np.ascontiguousarray(inputs)).to(device, kind, memory_format=torch.channels_last)
        logits = network(batch)[:, 0]  # (B, H, W)
        return np.asarray(logits.float().cpu().numpy())
