"""Base class of all networks."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from sarcd.networks.backbones import Backbone


class Network(nn.Module):
    """Network with one logit per pixel, (B, in_channels, H, W) to (B, 1, H, W).

    Attributes
    ----------
    exact_tiles : bool
        Whether, in eval mode, an output pixel depends only on input pixels within `reach`.
    in_channels : int
        Channels of the input.
    stride : int
        Sides of the input must be multiples of it, and exact tiles must start at multiples of it.
    reach : int or None
        Maximum distance, along y or x, at which an input pixel affects an output pixel; None if it is unlimited.
    values_per_pixel : float
        Measured peak number of values that a forward pass in eval mode holds per input pixel, besides the input.
    head : nn.Conv2d
        Last convolution, of one channel: the logits are linear in it, and its bias is the logit of a pixel without
        other information.
    """

    exact_tiles: ClassVar[bool] = False
    in_channels: int
    stride: int
    reach: int | None
    values_per_pixel: float
    head: nn.Conv2d

    @property
    def halo(self) -> int:
        """`reach` rounded up to a multiple of `stride`: the halo that a tile at any position needs.

        0 for a network without `exact_tiles`, for which no halo is sufficient.
        """
        return 0 if self.reach is None else -(-self.reach // self.stride) * self.stride

    @property
    def tile_halo(self) -> int:
        """Halo of a tile that starts and ends on multiples of `stride`; `halo` unless less is sufficient."""
        return self.halo

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """Parts whose weights can be loaded from a network trained on photographs; empty by default."""
        return ()

    def check_sides(self, x: Tensor) -> None:
        """Raise ValueError unless the sides of an input are multiples of `stride`."""
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(f"sides {tuple(x.shape[-2:])} are not multiples of the network's stride {self.stride}")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W)."""
        raise NotImplementedError
