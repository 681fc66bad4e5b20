"""TinyCD: first stages of an EfficientNet, and channelwise mixing of the features of both dates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sarcd.networks.backbones import Backbone, EfficientNetBackbone
from sarcd.networks.base import Network
from sarcd.networks.checks import choice
from sarcd.networks.siamese import CoherenceInput, check_streams, split_dates

_DECODER = (64, 64, 32)


class TinyCD(Network):
    """TinyCD [1]_: 285,128 parameters with three channels per date, 79,208 with the smaller backbone.

    A backbone of the first stages of an EfficientNet processes one date after the other. At the input, at H / 2 and at
    H / 4 the mixed features of the two dates give a mask of one channel; starting from the mixed features at H / 8, the
    decoder goes up and multiplies by the mask of each level. Its instance norms and squeeze-excitations depend on the
    whole input.

    With `coherence` ``stream`` a separate backbone processes the shared channels, and three streams are mixed.

    Parameters
    ----------
    in_channels : int
        Amplitude before, amplitude after, and the channels that both dates share.
    backbone : {"b4", "b0"}
        Variant of the EfficientNet.
    coherence : {"date", "stream"}
        Input of the shared channels: with the amplitude of each date, or in a separate stream.

    References
    ----------
    .. [1] Codegoni et al. 2022, doi:10.1007/s00521-022-08122-3.

    Examples
    --------
    >>> network = TinyCD(3, backbone="b0")
    >>> network(torch.zeros(1, 3, 32, 48)).shape, network.exact_tiles
    (torch.Size([1, 1, 32, 48]), False)
    """

    exact_tiles = False
    stride = 16  # two cells per side at H / 8: instance norm needs more than one
    reach = None

    def __init__(self, in_channels: int, *, backbone: str = "b4", coherence: CoherenceInput = "date") -> None:
        super().__init__()
        per_date, shared = check_streams(in_channels, coherence)
        self.in_channels, self.coherence = in_channels, coherence
        self.backbone = choice("backbone", backbone, ("b4", "b0"))
        self.trunk = EfficientNetBackbone(backbone, per_date)
        self.shared_trunk = EfficientNetBackbone(backbone, shared) if shared else None
        self.values_per_pixel = 310.0 + (20.0 if shared else 0.0)
        streams = 3 if shared else 2
        fine, coarse, coarsest = self.trunk.widths[1:]
        self.masks = nn.ModuleList(
            [
                # at the input the streams may differ in width: with a third stream, a date has a single channel
                _Mask(2 * per_date + shared, per_date, [per_date, 10, 5, 1]),
                _Mask(streams * fine, fine, [fine, fine // 2, fine // 4, 1]),
                _Mask(streams * coarse, coarse, [coarse, coarse // 2, coarse // 4, 1]),
            ]
        )
        self.mixing = _Mixing(streams * coarsest, coarsest)
        widths = (coarsest, *_DECODER)
        self.up = nn.ModuleList(_UpMask(*pair) for pair in pairwise(widths))
        self.last = _pixelwise([_DECODER[-1], 16, 8])
        self.head = nn.Conv2d(8, 1, kernel_size=1)

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """Parts whose weights can be loaded from a network trained on photographs."""
        return (self.trunk,) if self.shared_trunk is None else (self.trunk, self.shared_trunk)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of an input (B, C, H, W) whose sides are multiples of `stride`."""
        self.check_sides(x)
        before, after, shared = split_dates(x, self.coherence)
        streams = [self.trunk(before), self.trunk(after)]  # each: the input, (B, width, H / 2), H / 4, H / 8
        if self.shared_trunk is not None and shared is not None:
            streams.append(self.shared_trunk(shared))
        levels = list(zip(*streams, strict=True))
        x = self.mixing(levels.pop())  # (B, width_3, H / 8, W / 8)
        for up, mask in zip(self.up, reversed(self.masks), strict=True):
            x = up(x, mask(levels.pop()))  # (B, 64, 64, 32 channels, H / 4, H / 2, H)
        logits: Tensor = self.head(self.last(x))  # (B, 1, H, W)
        return logits


class _Mixing(nn.Module):
    """Channelwise mixing of streams: each output channel is a convolution of one channel of every stream."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, groups=out_channels),
            nn.PReLU(),
            nn.InstanceNorm2d(out_channels),
        )

    def forward(self, streams: Sequence[Tensor]) -> Tensor:
        """Mix streams (B, C, H, W); at the input they may be (B, 1, H, W) per date and others."""
        first = streams[0]
        if all(stream.shape[1] == first.shape[1] for stream in streams):
            mixed = torch.stack(list(streams), dim=2).flatten(1, 2)  # (B, C x streams, H, W), streams in turn
        else:
            mixed = torch.cat(list(streams), dim=1)  # a single group
        y: Tensor = self.layers(mixed)
        return y


class _Mask(nn.Module):
    """Mixing followed by a pixelwise reduction to one channel."""

    def __init__(self, in_channels: int, out_channels: int, widths: list[int]) -> None:
        super().__init__()
        self.mixing = _Mixing(in_channels, out_channels)
        self.thin = _pixelwise(widths)

    def forward(self, streams: Sequence[Tensor]) -> Tensor:
        """Return the mask (B, 1, H, W)."""
        mask: Tensor = self.thin(self.mixing(streams))
        return mask


class _UpMask(nn.Module):
    """Upsampling by two, multiplication by a mask, and depthwise and pixelwise convolution."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, kernel_size=3, padding=1, groups=in_channels),
            nn.PReLU(),
            nn.InstanceNorm2d(in_channels),
            nn.Conv2d(in_channels, out_channels, kernel_size=1),
            nn.PReLU(),
            nn.InstanceNorm2d(out_channels),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (B, out_channels, 2 H, 2 W) from (B, in_channels, H, W) and a mask (B, 1, 2 H, 2 W)."""
        y: Tensor = self.convolutions(self.up(x) * mask)
        return y


def _pixelwise(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels, width in pairwise(widths):
        layers += [nn.Conv2d(channels, width, kernel_size=1), nn.PReLU()]
    return nn.Sequential(*layers)
