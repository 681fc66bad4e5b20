"""ChangerEx: a shared ResNet for two dates with feature exchange, and a decoder that aligns them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sarcd.networks.backbones import RESNET_WIDTHS, Backbone, ResNetBackbone
from sarcd.networks.base import Network
from sarcd.networks.checks import fraction
from sarcd.networks.siamese import CoherenceInput, check_streams, split_dates

_WIDTH = 128


class ChangerEx(Network):
    """ChangerEx [1]_ with ResNet-18, about 11.37 million parameters.

    The backbone processes one date after the other. After its second stage the dates exchange their even columns, after
    the third and the fourth their even channels. The features of all stages are joined at H / 4 for each date; each
    date is warped by a predicted flow and the other date subtracted, and both differences together give the logits,
    which are upsampled four times at the end. The instance norm of the flow depends on the whole input.

    With `coherence` ``stream`` a separate backbone processes the shared channels without exchange, and its features are
    joined with the differences.

    Parameters
    ----------
    in_channels : int
        Amplitude before, amplitude after, and the channels that both dates share.
    coherence : {"date", "stream"}
        Input of the shared channels: with the amplitude of each date, or in a separate stream.
    dropout : float
        Fraction of the channels before the last convolution that is dropped in training.

    References
    ----------
    .. [1] Fang et al. 2023, doi:10.1109/TGRS.2023.3277496.

    Examples
    --------
    >>> network = ChangerEx(3).eval()
    >>> network(torch.zeros(1, 3, 32, 64)).shape, network.exact_tiles
    (torch.Size([1, 1, 32, 64]), False)
    """

    exact_tiles = False
    stride = 32
    reach = None

    def __init__(self, in_channels: int, *, coherence: CoherenceInput = "date", dropout: float = 0.1) -> None:
        super().__init__()
        per_date, shared = check_streams(in_channels, coherence)
        self.in_channels, self.coherence = in_channels, coherence
        self.dropout = fraction("dropout", dropout)
        self.values_per_pixel = 95.0 + (30.0 if shared else 0.0)
        self.trunk, self.neck = ResNetBackbone(per_date), _Neck()
        self.shared_trunk = ResNetBackbone(shared) if shared else None
        self.shared_neck = _Neck() if shared else None
        self.align = _Alignment(_WIDTH // 2)
        joined = _WIDTH + (_WIDTH // 2 if shared else 0)
        self.mix = _MixFeedForward(joined)
        self.leave_out = nn.Dropout2d(self.dropout)
        self.head = nn.Conv2d(joined, 1, kernel_size=1)

    @property
    def backbones(self) -> tuple[Backbone, ...]:
        """Parts whose weights can be loaded from a network trained on photographs."""
        return (self.trunk,) if self.shared_trunk is None else (self.trunk, self.shared_trunk)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of an input (B, C, H, W) whose sides are multiples of `stride`."""
        self.check_sides(x)
        before, after, shared = split_dates(x, self.coherence)
        dates = self._stages(before, after)
        found = list(self.align(self.neck(dates[0]), self.neck(dates[1])))  # 2 of (B, 64, H / 4, W / 4)
        if self.shared_trunk is not None and self.shared_neck is not None and shared is not None:
            found.append(self.shared_neck(self.shared_trunk(shared)))
        y = self.mix(torch.cat(found, dim=1))  # (B, 128 or 192, H / 4, W / 4)
        logits = self.head(self.leave_out(y))  # (B, 1, H / 4, W / 4)
        return functional.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)

    def _stages(self, before: Tensor, after: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the features of each stage for each date, after exchange: (B, 64, H / 4) to (B, 512, H / 32)."""
        found: tuple[list[Tensor], list[Tensor]] = [], []
        dates = self.trunk.stem(before), self.trunk.stem(after)
        for number, stage in enumerate(self.trunk.stages()):
            dates = stage(dates[0]), stage(dates[1])
            if number:
                dates = exchange(*dates, axis=-1 if number == 1 else -3)
            for kept, x in zip(found, dates, strict=True):
                kept.append(x)
        return found


def exchange(first: Tensor, second: Tensor, *, axis: int) -> tuple[Tensor, Tensor]:
    """Exchange the features of two dates at even positions along an axis.

    Parameters
    ----------
    first, second : (B, C, H, W)
        Features of the two dates.
    axis : int
        -1 for columns, -3 for channels.

    Examples
    --------
    >>> first, second = exchange(torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4), axis=-1)
    >>> first.ravel().tolist(), second.ravel().tolist()
    ([1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0])
    """
    size = first.shape[axis]
    even = (torch.arange(size, device=first.device) % 2 == 0).reshape(size, *[1] * (-axis - 1))
    return torch.where(even, second, first), torch.where(even, first, second)


class _Neck(nn.Module):
    """Features of all stages of one date, joined at one width and at the size of the first stage."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce = nn.ModuleList(_pixelwise(width, _WIDTH) for width in RESNET_WIDTHS)
        self.join = _pixelwise(_WIDTH * len(RESNET_WIDTHS), _WIDTH // 2)

    def forward(self, found: list[Tensor]) -> Tensor:
        """Return (B, 64, H / 4, W / 4)."""
        size = found[0].shape[-2:]
        reduced = [reduce(x) for reduce, x in zip(self.reduce, found, strict=True)]  # (B, 128, H / 4 ... H / 32)
        level = [functional.interpolate(x, size=size, mode="bilinear", align_corners=False) for x in reduced[1:]]
        y: Tensor = self.join(torch.cat([reduced[0], *level], dim=1))
        return y


class _Alignment(nn.Module):
    """Flow dual alignment: each date is warped towards the other, and the other subtracted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        both = 2 * channels
        self.flow = nn.Sequential(
            nn.Conv2d(both, both, kernel_size=5, padding=2, groups=both),
            nn.InstanceNorm2d(both),
            nn.GELU(),
            nn.Conv2d(both, 4, kernel_size=1, bias=False),
        )

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Return both differences, (B, channels, H, W) each."""
        flow = self.flow(torch.cat([first, second], dim=1))  # (B, 4, H, W)
        return _warp(first, flow[:, :2]) - second, _warp(second, flow[:, 2:]) - first


def _warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample (B, C, H, W) at a flow (B, 2, H, W) in half pixels, along x then y; in float32 or better."""
    height, width = x.shape[-2:]
    kind = torch.promote_types(x.dtype, torch.float32)  # lower precision cannot distinguish the columns of a wide tile
    columns = torch.linspace(-1, 1, width, device=x.device, dtype=kind).expand(height, width)
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=kind)[:, None].expand(height, width)
    shift = flow.to(kind).movedim(1, -1)  # (B, H, W, 2)
    grid = torch.stack([columns + shift[..., 0] / width, rows + shift[..., 1] / height], dim=-1)
    return functional.grid_sample(x.to(kind), grid, align_corners=True).to(x.dtype)


class _MixFeedForward(nn.Module):
    """Pixelwise, depthwise 3 x 3 and pixelwise convolution with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=1),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, groups=channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, kernel_size=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of the same shape."""
        y: Tensor = x + self.layers(x)
        return y


def _pixelwise(in_channels: int, out_channels: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))
