"""A network that predicts regions of a scene, and what becomes of its logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sarcd.engine.tasks import Rectangle
from sarcd.errors import ModelError
from sarcd.estimation.channels import FILL, fill_holes
from sarcd.inference.forward import PLAIN, TTAView, forward
from sarcd.inference.tiling import BlendedTiling, Tiling

if TYPE_CHECKING:
    import torch
    from torch import nn

AnyTiling = Tiling | BlendedTiling


class Predictor:
    """A network that predicts regions of one scene.

    Parameters
    ----------
    network : nn.Module
        In eval mode, with `exact_tiles`; takes (B, C, H, W), gives logits (B, 1, H, W). One that
        `sarcd.networks.folding.for_inference` made quick does it in less time.
    channels : sequence of str
        Its input channels.
    tiling : Tiling or BlendedTiling
        Tiles of the scene; see `tiling_of`.
    batch : int
        Tiles in one forward pass, at most.
    device : torch.device
        Where the network is.
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
        variant : TTAView
            How the network is shown its input.

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
        """Group the region's tiles of one shape, in an order that depends on nothing but the region and the tiling."""
        groups: dict[tuple[int, int], list[Rectangle]] = {}
        for core in self.tiling.cores(region):
            source = self.tiling.source(core)
            groups.setdefault((source[0].stop - source[0].start, source[1].stop - source[1].start), []).append(core)
        for group in groups.values():
            for start in range(0, len(group), self.batch):
                yield group[start : start + self.batch]

    def _cut(self, filled: np.ndarray, window: Rectangle, source: Rectangle) -> np.ndarray:
        """Cut a tile's input out of the window, continued by the fill constants beyond the scene's end."""
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


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities from logits, NaN kept."""
    with np.errstate(over="ignore"):  # exp of a large number is inf, and 1 / inf the 0 that is meant
        return (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)


def decide(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 where the probability reaches the threshold, 0 where not, 255 where it is NaN."""
    change = (probability >= threshold).astype(np.uint8)
    change[np.isnan(probability)] = 255
    return change
