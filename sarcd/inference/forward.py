"""Forward passes: one at a time per device, with the precision of the network, and shown the ground in several ways."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TTAView:
    """One way to show a network its input.

    Turned tiles stay exact: their sides are multiples of the stride, so the cells of every level of the network fall on
    the same pixels, and the result is that of one pass over the whole padded scene, turned round and turned back.

    Parameters
    ----------
    swap : bool
        The two dates exchanged.
    flip_azimuth, flip_range : bool
        Turned round along y, along x.

    Examples
    --------
    >>> tiles = np.arange(8).reshape(1, 2, 2, 2)
    >>> TTAView(swap=True, flip_azimuth=True).turn(tiles, ("before", "after")).ravel().tolist()
    [6, 7, 4, 5, 2, 3, 0, 1]
    """

    swap: bool = False
    flip_azimuth: bool = False
    flip_range: bool = False

    def turn(self, inputs: np.ndarray, channels: Sequence[str]) -> np.ndarray:
        """Return inputs (B, C, H, W) as this variant shows them."""
        if self.swap:
            other = {"before": "after", "after": "before"}
            inputs = inputs[:, [channels.index(other.get(name, name)) for name in channels]]
        return self.turn_back(inputs)

    def turn_back(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (..., H, W) turned as the ground lies."""
        y, x = (slice(None, None, -1 if flip else 1) for flip in (self.flip_azimuth, self.flip_range))
        return outputs[..., y, x]


PLAIN = TTAView()


def tta_views(*, swap: bool = False, flips: bool = False) -> list[list[TTAView]]:
    """Return the variants to take the mean over; those that differ in the order of the dates are together.

    Parameters
    ----------
    swap : bool
        Both orders of the dates.
    flips : bool
        As it lies, turned round along y, along x, and along both.

    Examples
    --------
    >>> [len(group) for group in tta_views(swap=True, flips=True)]
    [2, 2, 2, 2]
    """
    turns = [(False, False), (True, False), (False, True), (True, True)] if flips else [(False, False)]
    return [[TTAView(order, *turn) for order in ((False, True) if swap else (False,))] for turn in turns]
