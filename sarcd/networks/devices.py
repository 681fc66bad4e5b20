"""Choice of the device that a network runs on."""

from __future__ import annotations

import re

import torch

from sarcd.errors import OptionError


def choose_device(name: str = "auto") -> torch.device:
    """Return an available device.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda``, ``cuda:N``, ``mps``, or ``auto``: the first CUDA device, otherwise mps, otherwise the CPU.

    Raises
    ------
    OptionError
        If the name is none of these, or the device is not available.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if re.fullmatch(r"cpu|mps|cuda(:[0-9]{1,3})?", name) is None:
        raise OptionError(f"unknown device {name!r}", option="device", hint="use auto, cpu, cuda, cuda:N or mps")
    kind, _, number = name.partition(":")
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise OptionError("no mps device is available", option="device", hint="use auto or cpu")
        return torch.device("mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise OptionError("no CUDA device is available", option="device", hint="use auto or cpu")
    if int(number or 0) >= count:
        raise OptionError(f"device {name} is not available", option="device", hint=f"use cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", int(number or 0))
