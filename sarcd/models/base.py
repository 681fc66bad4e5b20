"""What every network of sarcd tells of itself."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn


class Network(nn.Module):
    """A network of one logit a pixel, (B, in_channels, H, W) to (B, 1, H, W).

    Attributes
    ----------
    exact_tiles : bool
        Whether, in eval mode, a pixel of the output depends on no more of the input than its surroundings.
    in_channels : int
        Channels of the input.
    stride : int
        Sides of the input must be multiples of it, and tiles that are to be exact must start on them.
    reach : int
        Farthest distance, along y or x, at which an input pixel can move an output pixel.
    head : nn.Conv2d
        Last layer, whose bias is the logit of a pixel of which nothing else is known.
    """

    exact_tiles: ClassVar[bool] = False
    in_channels: int
    stride: int
    reach: int
    head: nn.Conv2d

    @property
    def halo(self) -> int:
        """`reach` rounded up to a multiple of `stride`: what a tile needs around it, wherever it lies."""
        return -(-self.reach // self.stride) * self.stride

    @property
    def tile_halo(self) -> int:
        """What a tile needs around it that starts and ends on multiples of `stride`; `halo` unless less will do."""
        return self.halo

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W)."""
        raise NotImplementedError
