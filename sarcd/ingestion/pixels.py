"""Decode pixels of complex, amplitude, intensity and decibel images to linear amplitude."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sarcd.errors import InputError
from sarcd.ingestion.nodata import GUESSED, LARGEST_AMPLITUDE, LARGEST_DECIBELS, NoData, where_value
from sarcd.ingestion.rasters import Layer, LayerReader, is_declared_nodata, open_layer

Kind = Literal["slc", "amplitude", "intensity", "db"]

_INVALID = complex(np.nan, np.nan)


@dataclass(frozen=True)
class Decoded:
    """Decoded window of an image.

    Parameters
    ----------
    values : (y, x) complex64 or float32
        Linear amplitude, NaN where invalid.
    invalid : (y, x) bool
        Invalid pixels.
    causes : dict of str to int
        Number of invalid pixels by cause; see `sarcd.ingestion.nodata.CAUSES`.
    """

    values: np.ndarray
    invalid: np.ndarray
    causes: dict[str, int]


@dataclass(frozen=True)
class Image:
    """Layer of pixels, and its kind.

    Parameters
    ----------
    layer : Layer
    kind : {"slc", "amplitude", "intensity", "db"}
    nodata : NoData
        User settings for no-data.
    gain_db : float
        Gain in dB that is added to the image.
    """

    layer: Layer
    kind: Kind
    nodata: NoData = GUESSED
    gain_db: float = 0.0

    @property
    def variable(self) -> str:
        """Name of the variable of the scene for this kind of image."""
        return "slc" if self.kind == "slc" else "amplitude"

    def read(self, reader: LayerReader, y: slice, x: slice) -> np.ndarray:
        """Return a window of linear amplitude, (y, x) complex64 or float32, NaN where invalid."""
        return self.decode(*reader.read(y, x)).values

    def decode(self, bands: list[np.ndarray], masked: np.ndarray | None) -> Decoded:
        """Convert a window of stored values to linear amplitude.

        Parameters
        ----------
        bands, masked
            As returned by `LayerReader.read`.
        """
        causes = {"declared": self._declared(bands, masked)}
        if self.nodata.value is not None:
            causes["option"] = where_value(bands, self.nodata.value)
        if self.layer.is_complex:
            values = _complex(bands, self.layer.scale)
            causes |= _impossible_complex(values)
            if self.kind != "slc":
                values = np.abs(values)
        else:
            values = self._real(bands[0])
            causes |= _impossible(values, self.kind)
            values = _amplitude(values, self.kind)
        if self.gain_db:
            values = values * np.float32(10 ** (self.gain_db / 20))
        return _hide(values, causes)

    def _declared(self, bands: list[np.ndarray], masked: np.ndarray | None) -> np.ndarray | None:
        """Return where the file declares no-data."""
        found = [is_declared_nodata(band, value) for band, value in zip(bands, self.layer.nodata, strict=False)]
        known = [one for one in found if one is not None]
        declared: np.ndarray | None = np.logical_and.reduce(known) if known and len(known) == len(found) else None
        if masked is None or declared is None:
            return declared if masked is None else masked
        return np.asarray(declared | masked)

    def _real(self, values: np.ndarray) -> np.ndarray:
        layer = self.layer
        if layer.palette is not None:
            table = np.zeros(np.iinfo(values.dtype).max + 1, "float32")
            table[: len(layer.palette)] = layer.palette
            values = table[values]
        # 16-bit values are exact in float32; wider ones are rounded once at the end.
        working = "float32" if values.dtype.itemsize <= 2 or values.dtype == np.float32 else "float64"
        values = values.astype(working, copy=False)
        if (layer.scale, layer.offset) != (1.0, 0.0):
            values = values * layer.scale + layer.offset
        return values


def open_image(path: str, *, kind: Kind | None = None, band: str | None = None, iq: bool = False) -> Image:
    """Open the image in a raster.

    Parameters
    ----------
    path, band, iq
        See `sarcd.ingestion.rasters.open_layer`.
    kind : {"slc", "amplitude", "intensity", "db"}, optional
        Kind of pixels, required for real ones. ``amplitude`` of a complex image is its modulus.

    Raises
    ------
    InputError
        If the file cannot be read, the choice of bands is ambiguous, or the pixels are not of this kind.
    """
    layer = open_layer(path, band=band, iq=iq)
    if layer.is_complex and kind in ("intensity", "db"):
        raise InputError(
            f"is complex ({layer.dtype}), not {kind}",
            source=path,
            hint="leave --kind out, or use --kind amplitude for its modulus",
        )
    if not layer.is_complex and kind in (None, "slc"):
        expected = "" if kind is None else ", not complex ones"
        raise InputError(
            f"contains real numbers ({layer.dtype}){expected}",
            source=path,
            hint="pass --kind amplitude, intensity or db, or select two bands with --iq --band I,Q",
        )
    if layer.palette == ():
        raise InputError("its pixels are colour indices", source=path, hint="convert it to grey values")
    return Image(layer, kind or "slc")


def _complex(bands: list[np.ndarray], scale: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # values beyond float32 are masked below
        if len(bands) == 1:
            values = bands[0].astype("complex64", copy=False)
        else:
            values = np.empty(bands[0].shape, "complex64")
            values.real, values.imag = bands
        return values if scale == 1.0 else values * np.float32(scale)


def _hide(values: np.ndarray, causes: dict[str, np.ndarray | None]) -> Decoded:
    """Set invalid pixels to NaN, and count them by the first cause that applies."""
    with np.errstate(over="ignore"):
        values = values.astype("complex64" if values.dtype.kind == "c" else "float32", copy=False)
    hidden = np.zeros(values.shape, bool)
    counts: dict[str, int] = {}
    for name, where in [*causes.items(), ("not_finite", ~np.isfinite(values))]:
        if where is None or not where.any():
            continue
        before = np.count_nonzero(hidden)
        hidden |= where
        counts[name] = counts.get(name, 0) + int(np.count_nonzero(hidden) - before)
    values[hidden] = _INVALID if values.dtype.kind == "c" else np.nan
    return Decoded(values, hidden, {name: count for name, count in counts.items() if count})


def _impossible_complex(values: np.ndarray) -> dict[str, np.ndarray | None]:
    finite = np.isfinite(values)
    large = np.maximum(np.abs(values.real), np.abs(values.imag)) > LARGEST_AMPLITUDE
    return {"not_finite": ~finite, "impossible": large, "zero": values == 0}


def _impossible(values: np.ndarray, kind: Kind) -> dict[str, np.ndarray | None]:
    """Return where real values are impossible for their kind."""
    with np.errstate(invalid="ignore"):
        if kind == "db":
            wrong = np.abs(values) > LARGEST_DECIBELS
        else:
            wrong = (values < 0) | (values > LARGEST_AMPLITUDE ** (2 if kind == "intensity" else 1))
    return {"not_finite": ~np.isfinite(values), "impossible": wrong}


def _amplitude(values: np.ndarray, kind: Kind) -> np.ndarray:
    """Return linear amplitude, NaN where a value is impossible."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if kind == "db":
            return np.asarray(np.power(values.dtype.type(10), values / 20))
        return np.asarray(np.sqrt(values)) if kind == "intensity" else values
