"""How a Siamese network takes one image of many channels apart: into what it sees of each date, and what both share."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from sarcd.errors import OptionError
from sarcd.networks.checks import MOST_CHANNELS, choice, whole

CoherenceInput = Literal["date", "stream"]
"""Where shared channels go: beside each date's amplitude, or into a stream of their own."""


def check_streams(in_channels: Any, coherence: Any) -> tuple[int, int]:
    """Return the channels that a network sees of each date, and those of a third stream (0 for none).

    Parameters
    ----------
    in_channels : int
        Channels of the input: those of the two dates, one each, then those that both dates share, such as coherence.
    coherence : {"date", "stream"}
        Where shared channels go.

    Raises
    ------
    OptionError
        If there are fewer than two channels, or none to make a stream of.

    Examples
    --------
    >>> check_streams(3, "date"), check_streams(3, "stream"), check_streams(2, "date")
    ((2, 0), (1, 1), (1, 0))
    """
    shared = whole("in_channels", in_channels, 2, MOST_CHANNELS) - 2
    if choice("coherence", coherence, ("date", "stream")) == "date":
        return 1 + shared, 0
    if not shared:
        raise OptionError("coherence is 'stream', and the input has none", where="coherence", mend="use date")
    return 1, shared


def split_dates(x: Tensor, coherence: str) -> tuple[Tensor, Tensor, Tensor | None]:
    """Take an input apart.

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
