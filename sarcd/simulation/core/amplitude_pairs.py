"""Simulated pairs of amplitude images of the same ground and what changed between them, to train networks on.

All properties in which public two-date scenes differ are drawn at random: ground (fields, natural cover, water, rivers,
roads, buildings), kind, fraction, sign and strength of the change, looks of each date, correlation and resampling of
the speckle, misregistration, intensity variations that are not labelled as change, and conversion to 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

from sarcd.errors import OptionError
from sarcd.simulation.core.pair_ground import (
    KINDS,
    Floats,
    Rng,
    Shape,
    as_drawn,
    change,
    fractal,
    ground,
    stream,
    unlabelled,
)

_MIN_DB = 1.5  # weaker changes are not labelled
_HARDLY_DB = 0.5


@dataclass(frozen=True)
class Wanted:
    """Prescribed properties of a pair; those that are None are drawn at random.

    Parameters
    ----------
    share : float, optional
        Approximate fraction of the ground that changes, 0 to 0.7; drawn from 0.4 % to 35 %, 0 in one pair of ten.
    contrast_db : float, optional
        Magnitude of the change in dB; drawn from 2 to 13.
    looks : (float, float), optional
        Equivalent number of looks before and after; drawn from 1 to 25, equal or not.
    kind : str, optional
        ``flood``, ``parcels``, ``blobs``, ``stripes``, ``shapes`` or ``lines``.
    sign : int, optional
        1 for an increase of intensity, -1 for a decrease, 0 for both.
    """

    share: float | None = None
    contrast_db: float | None = None
    looks: tuple[float, float] | None = None
    kind: str | None = None
    sign: int | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not 0 <= self.share <= 0.7:
            raise OptionError(f"invalid share {self.share}", option="share", hint="use 0 to 0.7")
        if self.looks is not None and not min(self.looks) >= 1:
            raise OptionError(f"invalid looks {self.looks}", option="looks", hint="use 1 or more")
        if self.kind is not None and self.kind not in KINDS:
            raise OptionError(f"unknown kind of change {self.kind!r}", option="kind", hint=f"use {', '.join(KINDS)}")
        if self.sign is not None and self.sign not in (-1, 0, 1):
            raise OptionError(f"invalid sign {self.sign}", option="sign", hint="use -1, 0 or 1")


@dataclass(frozen=True)
class SimulatedPair:
    """Two simulated images and their change.

    Parameters
    ----------
    before, after : (Y, X) float32
        Amplitude images.
    label : (Y, X) uint8
        1 change, 0 no change, 255 too weak to label.
    wanted : Wanted
        Properties of the pair, with those drawn filled in.
    """

    before: Floats
    after: Floats
    label: NDArray[np.uint8]
    wanted: Wanted


def amplitude_pair(seed: int, shape: Shape = (256, 256), wanted: Wanted | None = None) -> SimulatedPair:
    """Simulate two amplitude images of the same ground.

    Parameters
    ----------
    seed : int
        The same seed, shape and prescribed properties give the same pair.
    shape : (int, int)
        Rows and columns.
    wanted : Wanted, optional
        Properties that are not drawn at random.

    Returns
    -------
    SimulatedPair

    Raises
    ------
    OptionError
        If a prescribed property is invalid.

    Examples
    --------
    >>> pair = amplitude_pair(1, (64, 96), Wanted(share=0.1, looks=(1, 4)))
    >>> pair.before.shape, pair.wanted.looks
    ((64, 96), (1, 4))
    """
    rng = stream(seed, "amplitude pair")
    wanted = wanted or Wanted()
    sigma0, elevation = ground(rng, shape)
    kind = wanted.kind or str(rng.choice(tuple(KINDS), p=tuple(KINDS.values())))
    share = wanted.share if wanted.share is not None else _share(rng)
    contrast = wanted.contrast_db or _between(rng, 2.0, 13.0)
    sign = int(rng.choice((-1, 0, 1), p=(0.35, 0.3, 0.35))) if wanted.sign is None else wanted.sign
    changed, label = sigma0, np.zeros(shape, np.uint8)
    if share:
        delta = change(rng, elevation, kind=kind, fraction=share, contrast_db=contrast, sign=sign)
        changed = sigma0 + delta
        if rng.random() < 0.5 and kind in ("flood", "lines", "stripes"):
            changed = np.where(delta != 0, _of_one_kind(rng, sigma0, contrast, sign), sigma0)
        label = _label(rng, delta != 0, np.abs(changed - sigma0), contrast)
    more = unlabelled(rng, sigma0, contrast)
    before_db, after_db = sigma0 + more[0], changed + more[1]
    if rng.random() < 0.5:
        before_db, after_db = after_db, before_db
    off = rng.uniform(-1, 1, 2) if rng.random() < 0.5 else rng.uniform(-0.3, 0.3, 2)
    after_db = ndimage.shift(after_db, off, order=1, mode="nearest")
    looks = wanted.looks or _looks(rng)
    before, after = detected_pair(rng, before_db, after_db, looks)
    return SimulatedPair(before, after, label, Wanted(share, contrast, looks, kind, sign))


def _between(rng: Rng, low: float, high: float) -> float:
    """Draw a number with a uniform logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _share(rng: Rng) -> float:
    return 0.0 if rng.random() < 0.1 else _between(rng, 0.004, 0.35)


def _looks(rng: Rng) -> tuple[float, float]:
    first = _between(rng, 1, 25)
    first = 1.0 if rng.random() < 0.1 else first
    return (first, first) if rng.random() < 0.6 else (first, _between(rng, 1, 25))


def _of_one_kind(rng: Rng, sigma0: Floats, contrast_db: float, sign: int) -> Floats:
    """Return homogeneous ground, such as water over what it floods; (Y, X) float32 in dB."""
    level = float(np.median(sigma0)) + (sign or int(rng.choice((-1, 1)))) * contrast_db
    return np.asarray(level + 0.4 * fractal(rng, sigma0.shape, coarsest=16), np.float32)


def _label(rng: Rng, outline: NDArray[np.bool_], size_db: Floats, contrast_db: float) -> NDArray[np.uint8]:
    """Label a change as a visible outline would be drawn; 255 where it is too weak to label."""
    label = as_drawn(rng, outline & (size_db > _MIN_DB))
    weak = outline & (size_db <= min(_MIN_DB, 0.5 * contrast_db)) & (size_db > _HARDLY_DB) & ~label
    return np.where(weak, 255, label).astype(np.uint8)


def detected_pair(rng: Rng, before_db: Floats, after_db: Floats, looks: tuple[float, float]) -> tuple[Floats, Floats]:
    """Simulate two amplitude images of the ground.

    Parameters
    ----------
    before_db, after_db : (Y, X) float32
        Backscatter in dB at the two dates.
    looks : (float, float)
        Equivalent number of looks of each image, 1 or more.

    Returns
    -------
    before, after : (Y, X) float32
        Amplitude, scaled and rounded in one of the ways of public images.
    """
    blur, resampled = rng.choice((0.0, rng.uniform(0.35, 0.9))), rng.random() < 0.25
    shared = rng.uniform(0, 0.6) if rng.random() < 0.2 else 0.0  # coherent ground
    step = rng.uniform(1.05, 1.7) if resampled else 1.0
    normal = _normal(rng, before_db.shape, blur, step)
    other = shared * normal + np.sqrt(1 - shared**2) * _normal(rng, after_db.shape, blur, step)
    spread = rng.uniform(0, 1.1) if rng.random() < 0.7 else 0.0  # point spread: bright ground leaks into dark ground
    images = [
        np.sqrt(ndimage.gaussian_filter(10 ** (sigma0 / 10), spread) * _gamma(field, n)).astype(np.float32)
        for sigma0, field, n in zip((before_db, after_db), (normal, other), looks, strict=True)
    ]
    if rng.random() < 0.2:  # dropped pixels of old products
        at = int(rng.integers(2))
        hit = rng.random(before_db.shape) < rng.uniform(0.002, 0.06)
        images[at] = np.where(hit, images[at] * rng.uniform(0.15, 0.9, before_db.shape), images[at])
    if rng.random() < 0.08:
        images = [ndimage.gaussian_filter(image, 0.6) for image in images]
    return _digitised(rng, images)


def _normal(rng: Rng, shape: Shape, blur_px: float, step: float) -> Floats:
    """Draw blurred Gaussian noise of unit variance, resampled by nearest neighbour at a step above 1."""
    size = [int(np.ceil(side / step)) + 1 for side in shape]
    field = rng.standard_normal(size, dtype=np.float32)
    if blur_px:
        field = ndimage.gaussian_filter(field, blur_px, mode="wrap", truncate=3)
        field /= field.std()
    rows, columns = (
        np.minimum((np.arange(side) / step).astype(int), n - 1) for side, n in zip(shape, size, strict=True)
    )
    return np.asarray(field[rows][:, columns], np.float32)


def _gamma(normal: Floats, looks: float) -> Floats:
    """Transform Gaussian noise to the distribution of intensity with a number of looks, of unit mean."""
    z = np.linspace(-5, 5, 1001)
    values = special.gammaincinv(looks, special.ndtr(z)) / looks
    return np.asarray(np.interp(normal, z, values), np.float32)


def _digitised(rng: Rng, amplitudes: list[Floats]) -> tuple[Floats, Floats]:
    """Scale and round like public images: linear, root, another power or decibels; or leave unchanged."""
    how = rng.choice(("linear", "root", "power", "decibel", "float"), p=(0.55, 0.1, 0.12, 0.08, 0.15))
    if how == "float":
        return amplitudes[0].astype(np.float32), (amplitudes[1] * np.exp(rng.normal(0, 0.1))).astype(np.float32)
    power = {"linear": 1.0, "root": 0.5, "power": rng.uniform(0.6, 1.4), "decibel": 1.0}[how]
    each_alone = rng.random() < 0.3
    upper = 1 - 10 ** rng.uniform(-4, -1.5)
    middle = rng.uniform(20, 125)
    by_top = rng.random() < 0.5
    out, gain, span_db = [], 1.0, rng.uniform(22, 45)
    for date, amplitude in enumerate(amplitudes):
        rescale = date == 0 or each_alone
        if how == "decibel":
            value = 20 * np.log10(np.maximum(amplitude, 1e-5))
            gain = float(np.quantile(value, upper)) if rescale else gain
            scaled = 255 * (1 + (value - gain) / span_db)
        else:
            value = amplitude**power
            if rescale:
                gain = 255 / float(np.quantile(value, upper)) if by_top else middle / float(np.median(value))
            scaled = value * gain * np.exp(rng.normal(0, 0.08))
        out.append(np.clip(np.round(scaled), 0, 255).astype(np.float32))
    return out[0], out[1]
