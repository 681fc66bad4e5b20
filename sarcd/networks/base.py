"""What every network of sarcd tells of itself."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from sarcd.networks.backbones import Backbone


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
    reach : int or None
        Farthest distance, along y or x, at which an input pixel can move an output pixel; None where that is any.
    values_per_pixel : float
        Values that a forward pass in eval mode holds at its peak per input pixel, besides the input, as measured.
    head : nn.Conv2d
        Last convolution, of one channel: in it the logits are linear, and its bias is the logit of a pixel of which
        nothing else is known.
    """

    exact_tiles: ClassVar[bool] = False
    in_channels: int
    stride: int
    reach: int | None
    values_per_pixel: float
    head: nn.Conv2d

    @property
    def halo(self) -> int:
        """`reach` rounded up to a multiple of `stride`: what a tile needs around it, wherever it lies.

        0 for a network without `exact_tiles`, to which no halo is enough.
        """
        return 0 if self.reach is None else -(-self.reach // self.stride) * self.stride

    @property
    def tile_halo(self) -> int:
        """What a tile needs around it that starts and ends on multiples of `stride`; `halo` unless less will do."""
        return self.halo

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """Parts whose weights can come from a network trained on photographs; none as a rule."""
        return ()

    def check_sides(self, x: Tensor) -> None:
        """Raise ValueError unless the sides of an input are multiples of `stride`."""
        if x.shape[-2] % self.stride or x.shape[-1] % self.stride:
            raise ValueError(f"sides {tuple(x.shape[-2:])} are no multiples of the network's stride {self.stride}")

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W)."""
        raise NotImplementedError
