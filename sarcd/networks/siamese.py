"""Siamese U-Net: one encoder for both dates, and a decoder that uses the features of both at every level."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from sarcd.errors import OptionError
from sarcd.networks.base import Network
from sarcd.networks.checks import MAX_CHANNELS, choice, fraction, whole

_WIDTHS = (16, 32, 64, 128)
_CONVOLUTIONS = (2, 2, 3, 3)  # of each level, in encoder and decoder


class SiameseUNet(Network):
    """FC-Siam-conc and FC-Siam-diff [1]_.

    The encoder takes one date after the other: 16, 16 | 32, 32 | 64, 64, 64 | 128, 128, 128 channels of [3 x 3
    convolution, batch norm, ReLU, dropout], with 2 x 2 max-pools in between. The decoder starts from the features of
    the second date, and joins the encoder's features at every level: those of both dates (``conc``), or their absolute
    difference (``diff``). Neither is therefore symmetric in time. With `coherence` ``stream`` a separate encoder
    processes the shared channels, and its features are joined too.

    Parameters
    ----------
    in_channels : int
        Amplitude before, amplitude after, and the channels that both dates share.
    fusion : {"conc", "diff"}
        Combination of the dates in the skip connections.
    coherence : {"date", "stream"}
        Input of the shared channels: with the amplitude of each date, or in a separate stream.
    dropout : float
        Fraction of the channels that is dropped in training after each convolution.

    References
    ----------
    .. [1] Caye Daudt et al. 2018, doi:10.1109/ICIP.2018.8451652.

    Examples
    --------
    >>> network = SiameseUNet(3, fusion="diff")
    >>> network(torch.zeros(1, 3, 16, 32)).shape
    torch.Size([1, 1, 16, 32])
    >>> network.stride, network.reach, network.tile_halo
    (16, 114, 112)
    """

    exact_tiles = True

    def __init__(
        self,
        in_channels: int,
        *,
        fusion: str = "conc",
        coherence: CoherenceInput = "date",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        per_date, shared = check_streams(in_channels, coherence)
        self.in_channels, self.coherence = in_channels, coherence
        self.fusion = choice("fusion", fusion, ("conc", "diff"))
        self.dropout = fraction("dropout", dropout)
        self.stride = 2 ** len(_WIDTHS)
        spans = [_seen(pixel) for pixel in range(self.stride)]
        self.reach = max(max(pixel - first, last - pixel) for pixel, (first, last) in enumerate(spans))
        self._aligned_reach = max(-spans[0][0], spans[-1][1] - (self.stride - 1))
        self.values_per_pixel = 115.0 + (45.0 if shared else 0.0)

        self.pool = nn.MaxPool2d(2)
        self.encoder = self._encoder(per_date)
        self.shared_encoder = self._encoder(shared) if shared else None
        joined = 1 + (2 if fusion == "conc" else 1) + (1 if shared else 0)  # the level below, and the skips
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(_WIDTHS))):
            width, below = _WIDTHS[level], _WIDTHS[level - 1]
            outs = [width] * (_CONVOLUTIONS[level] - 1) + ([below] if level else [])  # the very last one is the head
            self.up.append(nn.ConvTranspose2d(width, width, kernel_size=3, stride=2, padding=1, output_padding=1))
            self.decoder.append(self._convolutions(joined * width, outs))
        self.head = nn.Conv2d(_WIDTHS[0], 1, kernel_size=3, padding=1)

    @property
    def tile_halo(self) -> int:
        """Halo of a tile that starts and ends on multiples of `stride`."""
        return -(-self._aligned_reach // self.stride) * self.stride

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, 1, H, W) of an input (B, C, H, W) whose sides are multiples of `stride`."""
        self.check_sides(x)
        before, after, shared = split_dates(x, self.coherence)
        dates = self._encode(self.encoder, before), self._encode(self.encoder, after)
        third = [] if self.shared_encoder is None or shared is None else self._encode(self.shared_encoder, shared)
        x = self.pool(dates[1][-1])  # (B, 128, H / 16, W / 16)
        for up, level in zip(self.up, self.decoder, strict=True):
            first, last = dates[0].pop(), dates[1].pop()  # (B, width_l, H / 2^l, W / 2^l)
            skips = [first, last] if self.fusion == "conc" else [(first - last).abs()]
            if third:
                skips.append(third.pop())
            x = level(torch.cat([up(x), *skips], dim=1))  # (B, width_(l - 1), H / 2^l, W / 2^l)
        logits: Tensor = self.head(x)  # (B, 1, H, W)
        return logits

    def _encode(self, encoder: nn.ModuleList, x: Tensor) -> list[Tensor]:
        """Return the features of each level, the one at full resolution first."""
        found: list[Tensor] = []
        for level in encoder:
            found.append(level(self.pool(found[-1]) if found else x))
        return found

    def _encoder(self, in_channels: int) -> nn.ModuleList:
        ins = (in_channels, *_WIDTHS)
        counted = zip(ins, _WIDTHS, _CONVOLUTIONS, strict=False)
        return nn.ModuleList(self._convolutions(channels, [width] * count) for channels, width, count in counted)

    def _convolutions(self, in_channels: int, outs: list[int]) -> nn.Sequential:
        layers: list[nn.Module] = []
        for channels, width in zip([in_channels, *outs], outs, strict=False):
            layers += [nn.Conv2d(channels, width, kernel_size=3, padding=1), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), nn.Dropout2d(self.dropout)]
        return nn.Sequential(*layers)


def _seen(pixel: int) -> tuple[int, int]:
    """Return the first and the last input pixel, along one axis, that affect an output pixel.

    Down through the decoder: a convolution widens the span by one at each end; the transposed convolution (k3, s2, p1,
    one more at the end) computes an even cell from the cell it lies in, and an odd one from that and the next. Up
    through the encoder: a pooled cell is two, and convolutions widen again. The deepest level has the widest span.
    """
    first = last = pixel
    for count in _CONVOLUTIONS:
        first, last = (first - count) // 2, -((-last - count) // 2)
    for count in reversed(_CONVOLUTIONS):
        first, last = 2 * first - count, 2 * last + 1 + count
    return first, last


CoherenceInput = Literal["date", "stream"]
"""Input of the shared channels: with the amplitude of each date, or in a separate stream."""


def check_streams(in_channels: Any, coherence: Any) -> tuple[int, int]:
    """Return the number of channels of each date, and of a third stream (0 for none).

    Parameters
    ----------
    in_channels : int
        Number of input channels: one for each of the two dates, then those that both share, such as coherence.
    coherence : {"date", "stream"}
        Input of the shared channels.

    Raises
    ------
    OptionError
        If there are fewer than two channels, or none for a separate stream.

    Examples
    --------
    >>> check_streams(3, "date"), check_streams(3, "stream"), check_streams(2, "date")
    ((2, 0), (1, 1), (1, 0))
    """
    shared = whole("in_channels", in_channels, 2, MAX_CHANNELS) - 2
    if choice("coherence", coherence, ("date", "stream")) == "date":
        return 1 + shared, 0
    if not shared:
        raise OptionError("coherence is 'stream', but the input has no coherence", option="coherence", hint="use date")
    return 1, shared


def split_dates(x: Tensor, coherence: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Split an input into dates and shared channels.

    Parameters
    ----------
    x : (B, 2 + S, H, W)
        Amplitude before, amplitude after, and S channels that both dates share.
    coherence : {"date", "stream"}
        As in `check_streams`.

    Returns
    -------
    before, after : (B, 1 + S, H, W), or (B, 1, H, W) with ``stream``
    shared : (B, S, H, W), or None with ``date``

    Examples
    --------
    >>> before, after, shared = split_dates(torch.arange(3.0).reshape(1, 3, 1, 1), "date")
    >>> before.ravel().tolist(), after.ravel().tolist(), shared
    ([0.0, 2.0], [1.0, 2.0], None)
    """
    before, after, shared = x[:, :1], x[:, 1:2], x[:, 2:]
    if coherence == "stream":
        return before, after, shared
    return torch.cat([before, shared], dim=1), torch.cat([after, shared], dim=1), None
