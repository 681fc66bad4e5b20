"""Optional packages, and how to install them."""

from __future__ import annotations

import importlib.util
from typing import NamedTuple

from sarcd.errors import MissingPackageError


class _Extra(NamedTuple):
    extra: str
    error: str


_EXTRAS = {
    "torch": _Extra("learn", "networks need PyTorch, which is not installed"),
    "torchvision": _Extra("learn", "this part of a network needs torchvision, which is not installed"),
    "safetensors": _Extra("learn", "model files need safetensors, which is not installed"),
    "matplotlib": _Extra("plot", "pictures need matplotlib, which is not installed"),
    "distributed": _Extra("cluster", "a cluster needs dask.distributed, which is not installed"),
    "obstore": _Extra("s3", "object storage needs obstore, which is not installed"),
}


def require(*packages: str, source: str | None = None, instead: str | None = None) -> None:
    """Raise an error that explains the installation if an optional package is missing, before it is imported.

    Parameters
    ----------
    *packages : str
        ``torch``, ``torchvision``, ``safetensors``, ``matplotlib``, ``distributed`` or ``obstore``.
    source : str, optional
        File or address that needs the packages.
    instead : str, optional
        Alternative that needs no package, such as ``use --method ratio-test``.

    Raises
    ------
    MissingPackageError
        If one of them is not installed; the hint is the command that installs it.

    Examples
    --------
    >>> require("torch")
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            extra, error = _EXTRAS[package]
            hint = f"install it with: pip install 'sarcd[{extra}]'"
            raise MissingPackageError(error, source=source, hint=f"{hint}, or {instead}" if instead else hint)
