"""What pixels mean: complex images, amplitude, intensity and decibels, each to the scene's own units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sarcd.errors import InputError
from sarcd.io.rasters import Layer, LayerReader, is_declared_nodata, open_layer

Kind = Literal["slc", "amplitude", "intensity", "db"]

_INVALID = complex(np.nan, np.nan)


@dataclass(frozen=True)
class Image:
    """A layer of pixels and what they are.

    Parameters
    ----------
    layer : Layer
    kind : {"slc", "amplitude", "intensity", "db"}
    """

    layer: Layer
    kind: Kind

    @property
    def variable(self) -> str:
        """Name of the scene's variable that such an image belongs to."""
        return "slc" if self.kind == "slc" else "amplitude"

    def read(self, reader: LayerReader, y: slice, x: slice) -> np.ndarray:
        """Return a window as (y, x) complex64 or float32, linear amplitude, invalid pixels NaN."""
        bands, masked = reader.read(y, x)
        invalid = [] if masked is None else [masked]
        declared = [is_declared_nodata(band, value) for band, value in zip(bands, self.layer.nodata, strict=False)]
        if all(found is not None for found in declared):
            invalid.append(np.logical_and.reduce([found for found in declared if found is not None]))
        if self.layer.is_complex:
            values = _complex(bands, self.layer.scale)
            if self.kind == "slc":
                return _hide_complex(values, invalid)
            return _hide(np.abs(values), [*invalid, values == 0])
        return _hide(_amplitude(self._real(bands[0]), self.kind), invalid)

    def _real(self, values: np.ndarray) -> np.ndarray:
        layer = self.layer
        if layer.palette is not None:
            table = np.zeros(np.iinfo(values.dtype).max + 1, "float32")
            table[: len(layer.palette)] = layer.palette
            values = table[values]
        # Small numbers are exact in float32; wider ones are rounded once, at the end.
        working = "float32" if values.dtype.itemsize <= 2 or values.dtype == np.float32 else "float64"
        values = values.astype(working, copy=False)
        if (layer.scale, layer.offset) != (1.0, 0.0):
            values = values * layer.scale + layer.offset
        return values


def open_image(path: str, *, kind: Kind | None = None, band: str | None = None, iq: bool = False) -> Image:
    """Find the image that a raster holds.

    Parameters
    ----------
    path, band, iq
        See `sarcd.io.rasters.open_layer`.
    kind : {"slc", "amplitude", "intensity", "db"}, optional
        What the pixels are; has to be said of real ones. ``amplitude`` of a complex image is its modulus.

    Raises
    ------
    InputError
        If the file cannot be read, leaves a choice open, or its pixels are not what is claimed.
    """
    layer = open_layer(path, band=band, iq=iq)
    if layer.is_complex and kind in ("intensity", "db"):
        raise InputError(
            f"is complex ({layer.dtype}), not {kind}",
            where=path,
            mend="leave --kind out, or use --kind amplitude for its modulus",
        )
    if not layer.is_complex and kind in (None, "slc"):
        claimed = "" if kind is None else ", claimed to be complex"
        raise InputError(
            f"holds real numbers ({layer.dtype}){claimed}",
            where=path,
            mend="say what they are with --kind amplitude, intensity or db, or name two bands with --iq --band I,Q",
        )
    if layer.palette == ():
        raise InputError("its pixels are numbers of colours", where=path, mend="convert it to grey values")
    return Image(layer, kind or "slc")


def _complex(bands: list[np.ndarray], scale: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # beyond float32 is invalid, and found so below
        if len(bands) == 1:
            values = bands[0].astype("complex64", copy=False)
        else:
            values = np.empty(bands[0].shape, "complex64")
            values.real, values.imag = bands
        return values if scale == 1.0 else values * np.float32(scale)


def _hide_complex(values: np.ndarray, invalid: list[np.ndarray]) -> np.ndarray:
    hidden = ~np.isfinite(values)
    hidden |= values == 0
    for found in invalid:
        hidden |= found
    values[hidden] = _INVALID
    return values


def _hide(values: np.ndarray, invalid: list[np.ndarray]) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = values.astype("float32", copy=False)
    hidden = ~np.isfinite(values)
    for found in invalid:
        hidden |= found
    values[hidden] = np.nan
    return values


def _amplitude(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Return linear amplitude, NaN where a value is impossible."""
    if kind == "db":
        with np.errstate(over="ignore", invalid="ignore"):
            decibels = np.where(np.isfinite(values), values, np.nan)  # minus infinity would pass for darkness
            return np.asarray(np.power(values.dtype.type(10), decibels / 20))
    with np.errstate(invalid="ignore"):
        if kind == "intensity":
            return np.asarray(np.sqrt(values))
        return np.where(values < 0, np.nan, values)
