"""Prediction of a region: forward passes, one at a time per device, over tiles, views and networks, and their mean."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sarcd.config import CoherenceOptions
from sarcd.engine.tasks import Rectangle, grow, inside
from sarcd.errors import ModelError
from sarcd.estimation.channels import FILL, fill_holes
from sarcd.inference.kernels import near_holes, rim_halo
from sarcd.inference.tiling import AnyTiling, Tiling

if TYPE_CHECKING:
    import torch
    from torch import nn

_owners: dict[str, ThreadPoolExecutor] = {}
_owners_lock = threading.Lock()


def forward(network: nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    """Run the network on a batch, one call at a time per device, in the precision of its weights.

    The call runs on a thread that belongs to the device, with all threads of torch, while the callers for other regions
    read and prepare their input.

    Parameters
    ----------
    network : nn.Module
        Network on `device`, in eval mode.
    inputs : (B, C, H, W) float32
        Features without NaN.
    device : torch.device
        Device of the network.

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
    """View of a network's input, for test-time augmentation.

    Flipped tiles remain exact: their sides are multiples of the stride, so the cells of every level of the network
    cover the same pixels, and the result is that of one pass over the whole padded scene, flipped and flipped back.

    Parameters
    ----------
    swap : bool
        Whether the two dates are swapped.
    flip_azimuth, flip_range : bool
        Whether the images are flipped along y, along x.

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
        """Return inputs (B, C, H, W) in this view."""
        if self.swap:
            other = {"before": "after", "after": "before"}
            inputs = inputs[:, [channels.index(other.get(name, name)) for name in channels]]
        return self.turn_back(inputs)

    def turn_back(self, outputs: np.ndarray) -> np.ndarray:
        """Return outputs (..., H, W) flipped back to the orientation of the scene."""
        y, x = (slice(None, None, -1 if flip else 1) for flip in (self.flip_azimuth, self.flip_range))
        return outputs[..., y, x]


PLAIN = TTAView()


def tta_views(*, swap: bool = False, flips: bool = False) -> list[list[TTAView]]:
    """Return the views to average over, in groups that differ only in the order of the dates.

    Parameters
    ----------
    swap : bool
        Use both orders of the dates.
    flips : bool
        Use the images as they are, flipped along y, along x, and along both.

    Examples
    --------
    >>> [len(group) for group in tta_views(swap=True, flips=True)]
    [2, 2, 2, 2]
    """
    turns = [(False, False), (True, False), (False, True), (True, True)] if flips else [(False, False)]
    return [[TTAView(order, *turn) for order in ((False, True) if swap else (False,))] for turn in turns]


class Predictor:
    """Network that predicts regions of one scene.

    Parameters
    ----------
    network : nn.Module
        Network in eval mode that takes (B, C, H, W) and returns logits (B, 1, H, W); with `exact_tiles` if `tiling` is
        a `Tiling`. It is faster after `sarcd.networks.folding.for_inference`.
    channels : sequence of str
        Names of its input channels.
    tiling : Tiling or BlendedTiling
        Tiles of the scene; see `tiling_of`.
    batch : int
        Maximum number of tiles in a forward pass.
    device : torch.device
        Device of the network.
    """

    def __init__(
        self, network: nn.Module, channels: Sequence[str], tiling: AnyTiling, *, batch: int, device: torch.device
    ) -> None:
        if isinstance(tiling, Tiling) and not getattr(network, "exact_tiles", False):
            raise ModelError(f"{type(network).__name__} cannot be tiled exactly", hint="use tiles that are blended")
        self.network = network
        self.channels = tuple(channels)
        self.tiling = tiling
        self.batch = batch
        self.device = device

    def logits(self, features: np.ndarray, region: Rectangle, *, view: TTAView = PLAIN) -> np.ndarray:
        """Predict a region.

        Parameters
        ----------
        features : (C, h, w) float32
            Features of ``tiling.window(region)``, NaN where invalid.
        region : (slice, slice)
            Rectangle of the scene.
        view : TTAView
            View of the input.

        Returns
        -------
        float32
            Logits of the region's shape, NaN where any channel is invalid.
        """
        window = self.tiling.window(region)
        filled, valid = fill_holes(features, self.channels)
        out = np.zeros((region[0].stop - region[0].start, region[1].stop - region[1].start), np.float32)
        for batch in self._batches(region):
            inputs = np.stack([self._cut(filled, window, self.tiling.source(core)) for core in batch])
            turned = forward(self.network, view.turn(inputs, self.channels), self.device)
            for core, tile in zip(batch, view.turn_back(turned), strict=True):
                self.tiling.paste(out, region, core, tile)
        inside = tuple(
            slice(part.start - seen.start, part.stop - seen.start) for part, seen in zip(region, window, strict=True)
        )
        out[~valid[inside]] = np.nan
        return out

    def _batches(self, region: Rectangle) -> Iterator[list[Rectangle]]:
        """Yield batches of tiles of the same shape, in an order that depends only on the region and the tiling."""
        groups: dict[tuple[int, int], list[Rectangle]] = {}
        for core in self.tiling.cores(region):
            source = self.tiling.source(core)
            groups.setdefault((source[0].stop - source[0].start, source[1].stop - source[1].start), []).append(core)
        for group in groups.values():
            for start in range(0, len(group), self.batch):
                yield group[start : start + self.batch]

    def _cut(self, filled: np.ndarray, window: Rectangle, source: Rectangle) -> np.ndarray:
        """Cut a tile's input out of the window, padded with the fill constants beyond the scene's end."""
        seen = tuple(
            slice(part.start - start.start, min(part.stop, size) - start.start)
            for part, start, size in zip(source, window, self.tiling.shape, strict=True)
        )
        tile = filled[(slice(None), *seen)]
        missing = [part.stop - part.start - have for part, have in zip(source, tile.shape[1:], strict=True)]
        if not any(missing):
            return tile
        out = np.empty((len(tile), source[0].stop - source[0].start, source[1].stop - source[1].start), np.float32)
        out[:] = np.array([FILL[name] for name in self.channels], np.float32)[:, None, None]
        out[:, : tile.shape[1], : tile.shape[2]] = tile
        return out


class Ensemble:
    """Networks that predict regions of one scene together; usually a single network.

    The networks run one after another, so that they need the memory of one, plus a few values per pixel.

    Parameters
    ----------
    predictors : sequence of Predictor
        Networks with the same channels, each with its own tiles.
    groups : sequence of sequences of TTAView
        Views of the input for test-time augmentation; see `tta_views`.
    rim : (int, int)
        Distance from a hole, in pixels along y and x, up to which the result is NaN; see `rim_of`. 0 for no rim.

    Notes
    -----
    Probabilities are averaged, not logits: their mean is calibrated where the members are, and `uncertainty` is the
    spread about it. The views of a group are summed first. If the groups contain both orders of the dates, a pair and
    its reverse therefore add the same two numbers, and their maps are equal to the last bit.
    """

    def __init__(
        self,
        predictors: Sequence[Predictor],
        groups: Sequence[Sequence[TTAView]] = ((PLAIN,),),
        *,
        rim: tuple[int, int] = (0, 0),
    ) -> None:
        self.predictors = list(predictors)
        self.groups = [list(group) for group in groups]
        self.rim = rim

    @property
    def passes(self) -> int:
        """Number of probabilities in the mean."""
        return len(self.predictors) * sum(len(group) for group in self.groups)

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region."""
        return window_of(region, [predictor.tiling for predictor in self.predictors], self.rim)

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the pixels of the map divided by those computed per view, over all networks."""
        return len(self.predictors) / sum(1 / predictor.tiling.kept_share(grid) for predictor in self.predictors)

    def predict(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        """Predict a region.

        Parameters
        ----------
        features : (C, h, w) float32
            Features of ``window(region)``, NaN where invalid.
        region : (slice, slice)
            Rectangle of the scene.

        Returns
        -------
        probability : float32
            Mean over networks and views, NaN where any channel is invalid and in the rim around holes.
        uncertainty : float32
            Standard deviation over networks and views, in [0, 0.5]; 0 if there is only one of each.
        """
        found = self._mean(features, region)
        if any(self.rim):
            near = near_holes(~np.isnan(features).any(axis=0), self.rim)[inside(region, self.window(region))]
            for layer in found:
                layer[near] = np.nan
        return found

    def _mean(self, features: np.ndarray, region: Rectangle) -> tuple[np.ndarray, np.ndarray]:
        window = self.window(region)
        total = np.zeros((region[0].stop - region[0].start, region[1].stop - region[1].start))
        squares = np.zeros_like(total)
        for predictor in self.predictors:
            seen = tuple(
                slice(part.start - around.start, part.stop - around.start)
                for part, around in zip(predictor.tiling.window(region), window, strict=True)
            )
            part = features[(slice(None), *seen)]
            for group in self.groups:
                found = [sigmoid(predictor.logits(part, region, view=view)) for view in group]
                if self.passes == 1:
                    return found[0], np.where(np.isnan(found[0]), found[0], np.float32(0))
                total += np.sum(found, axis=0, dtype=np.float64)
                squares += np.sum(np.square(found, dtype=np.float64), axis=0)
        mean = total / self.passes
        spread = np.sqrt(np.maximum(squares / self.passes - mean**2, 0))
        return mean.astype(np.float32), spread.astype(np.float32)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits; NaN is preserved."""
    with np.errstate(over="ignore"):  # exp of a large number is inf, and 1 / inf the intended 0
        return (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)


def decide(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 where the probability reaches the threshold, 0 where it is below, and 255 where it is NaN."""
    change = (probability >= threshold).astype(np.uint8)
    change[np.isnan(probability)] = 255
    return change


def window_of(region: Rectangle, tilings: Sequence[AnyTiling], rim: tuple[int, int]) -> Rectangle:
    """Return the part of the scene that must be read to predict a region with networks of different tilings."""
    windows = [tiling.window(region) for tiling in tilings]
    if any(rim):
        windows.append(grow(region, rim_halo(rim), tilings[0].shape))
    y, x = (
        slice(min(window[axis].start for window in windows), max(window[axis].stop for window in windows))
        for axis in (0, 1)
    )
    return y, x


_BEYOND = 6
"""Width of the rim in pixels beyond half the coherence window. With the pretrained network and a 5 x 5 window, 20 % of
unchanged simulated ground was flagged at 1 pixel from a gap 15 pixels wide, 6 % at 2, 1 % at 5, and 0.2 to 0.6 % from 8
on; 0.1 % without a gap."""


def rim_of(channels: Sequence[str], coherence: CoherenceOptions | None) -> tuple[int, int]:
    """Return the distance from a hole, in pixels along y and x, up to which the result of a network is invalid.

    Parameters
    ----------
    channels : sequence of str
        Features of the network. In coherence a hole looks like change. In amplitudes alone it looks the same on both
        dates, and needs no rim.
    coherence : CoherenceOptions or None
        How coherence is estimated.

    Examples
    --------
    >>> rim_of(("before", "after", "coherence"), CoherenceOptions()), rim_of(("before", "after"), None)
    ((8, 8), (0, 0))
    """
    if "coherence" not in channels or coherence is None:
        return 0, 0
    return coherence.window.y // 2 + _BEYOND, coherence.window.x // 2 + _BEYOND
