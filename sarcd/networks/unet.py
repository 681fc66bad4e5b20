"""Early-fusion U-Net: both dates and their coherence are channels of one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sarcd.errors import OptionError
from sarcd.networks.base import Network
from sarcd.networks.checks import MAX_CHANNELS, whole

_MAX_LEVELS, _MAX_CONVOLUTIONS = 8, 8

_VALUES_PER_PIXEL_AND_WIDTH = 5.5  # measured with 16 and 32 channels on a CPU: 20 to 23 bytes in float32


class UNet(Network):
    """U-Net with batch normalisation and one logit per pixel.

    Each level of the encoder is `convolutions` times [3 x 3 convolution, batch norm, ReLU], followed by a 2 x 2
    max-pool; each level of the decoder is a transposed convolution, concatenation with the encoder's output of that
    level, and convolutions again. A 1 x 1 convolution gives the logit.

    Parameters
    ----------
    in_channels : int
        Number of input channels.
    widths : sequence of int
        Channels of each encoder level, the one at full resolution first.
    bottleneck : int
        Channels of a level below the last pooling; 0 for none.
    convolutions : int
        Number of convolutions per level.

    References
    ----------
    .. [1] Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28.
    .. [2] Murdaca et al. 2023, doi:10.3390/rs15245664, section 2.3.

    Examples
    --------
    >>> network = UNet(3, widths=(4, 8))
    >>> network(torch.zeros(1, 3, 8, 12)).shape
    torch.Size([1, 1, 8, 12])
    >>> network.stride, network.reach, network.halo
    (4, 15, 16)
    """

    exact_tiles = True

    def __init__(
        self,
        in_channels: int,
        *,
        widths: Sequence[int] = (32, 64, 128, 256),
        bottleneck: int = 0,
        convolutions: int = 2,
    ) -> None:
        super().__init__()
        self.in_channels = whole("in_channels", in_channels, 1, MAX_CHANNELS)
        self.widths = _checked_widths(widths)
        self.bottleneck = whole("bottleneck", bottleneck, 0, MAX_CHANNELS)
        self.convolutions = whole("convolutions", convolutions, 1, _MAX_CONVOLUTIONS)
        self.stride = 2 ** len(self.widths)
        self.values_per_pixel = _VALUES_PER_PIXEL_AND_WIDTH * self.widths[0]
        self.reach = reach_of(len(self.widths), convolutions, convolutions if bottleneck else 0)

        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList()
        channels = self.in_channels
        for width in self.widths:
            self.encoder.append(_convolutions(channels, width, convolutions))
            channels = width
        self.bottom = _convolutions(channels, bottleneck, convolutions) if bottleneck else nn.Identity()
        channels = bottleneck or channels
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for width in reversed(self.widths):
            self.up.append(nn.ConvTranspose2d(channels, width, kernel_size=2, stride=2))
            self.decoder.append(_convolutions(2 * width, width, convolutions))
            channels = width
        self.head = nn.Conv2d(channels, 1, kernel_size=1)

    @property
    def tile_halo(self) -> int:
        """Halo of a tile that starts and ends on multiples of `stride`."""
        reach = aligned_reach_of(len(self.widths), self.convolutions, self.convolutions if self.bottleneck else 0)
        return -(-reach // self.stride) * self.stride

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of an input (B, C, H, W) whose sides are multiples of `stride`."""
        self.check_sides(x)
        skips = []
        for level in self.encoder:
            x = level(x)  # (B, width_l, H / 2^l, W / 2^l)
            skips.append(x)
            x = self.pool(x)  # (B, width_l, H / 2^(l + 1), W / 2^(l + 1))
        x = self.bottom(x)  # (B, bottleneck or width_last, H / stride, W / stride)
        for up, level in zip(self.up, self.decoder, strict=True):
            x = torch.cat([up(x), skips.pop()], dim=1)  # (B, 2 width_l, H / 2^l, W / 2^l); the skip is then freed
            x = level(x)  # (B, width_l, H / 2^l, W / 2^l)
        logits: Tensor = self.head(x)  # (B, 1, H, W)
        return logits


def reach_of(depth: int, convolutions: int, bottom_convolutions: int) -> int:
    """Return the reach of the output of a U-Net, in pixels along y or x.

    A 3 x 3 convolution at level l reaches 2^l pixels, in encoder and decoder; the poolings and their inverses together
    reach one pixel less than the stride, since the far corner of a cell affects its near corner.

    Parameters
    ----------
    depth : int
        Number of poolings.
    convolutions : int
        Number n of 3 x 3 convolutions per level.
    bottom_convolutions : int
        Number of those below the last pooling.

    Examples
    --------
    >>> reach_of(4, 2, 0), reach_of(4, 2, 2)
    (75, 107)
    """
    stride: int = 2**depth
    return (2 * convolutions + 1) * (stride - 1) + bottom_convolutions * stride


def aligned_reach_of(depth: int, convolutions: int, bottom_convolutions: int) -> int:
    """Return the reach before its start of a tile that starts on a multiple of the stride.

    Less than `reach_of`: the outputs with the largest reach lie inside a cell of the deepest level, while the first one
    of a cell reaches only whole cells. By symmetry the same holds beyond the end.

    Parameters
    ----------
    depth, convolutions, bottom_convolutions : int
        As in `reach_of`.

    Examples
    --------
    >>> aligned_reach_of(4, 2, 0), aligned_reach_of(4, 2, 2)
    (62, 94)
    """
    first = 0  # first cell within reach, at the current level, counted from the first cell of the tile
    for _ in range(depth):
        first = (first - convolutions) // 2  # through a level of the decoder, and down one level
    first -= bottom_convolutions
    for _ in range(depth):
        first = 2 * first - convolutions  # up one level, and through a level of the encoder
    return -first


def _convolutions(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        channels = out_channels if index else in_channels
        layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _checked_widths(widths: Any) -> tuple[int, ...]:
    if not isinstance(widths, (tuple, list)) or not 1 <= len(widths) <= _MAX_LEVELS:
        hint = f"use 1 to {_MAX_LEVELS} whole numbers, such as 16,32,64"
        raise OptionError(f"invalid widths {str(widths)[:60]}", option="widths", hint=hint)
    return tuple(whole("widths", width, 1, MAX_CHANNELS) for width in widths)
