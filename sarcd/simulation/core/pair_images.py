"""Detected images of simulated ground: speckle of any looks, correlated and resampled, brought to 8 bits or not."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, special

from sarcd.simulation.core.pair_fields import Shape
from sarcd.simulation.core.pair_shapes import Floats, Rng


def detected_pair(rng: Rng, before_db: Floats, after_db: Floats, looks: tuple[float, float]) -> tuple[Floats, Floats]:
    """Make two detected images of the ground.

    Parameters
    ----------
    before_db, after_db : (Y, X) float32
        Backscatter in dB at the two dates.
    looks : (float, float)
        Equivalent number of looks of each image, 1 or more.

    Returns
    -------
    before, after : (Y, X) float32
        Amplitude, scaled and rounded in one of the ways that public images are.
    """
    blur, resampled = rng.choice((0.0, rng.uniform(0.35, 0.9))), rng.random() < 0.25
    shared = rng.uniform(0, 0.6) if rng.random() < 0.2 else 0.0  # ground that stays coherent
    step = rng.uniform(1.05, 1.7) if resampled else 1.0
    normal = _normal(rng, before_db.shape, blur, step)
    other = shared * normal + np.sqrt(1 - shared**2) * _normal(rng, after_db.shape, blur, step)
    spread = rng.uniform(0, 1.1) if rng.random() < 0.7 else 0.0  # the point spread: bright ground leaks over dark
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
    """Draw Gaussian noise of unit variance, blurred, and repeated as nearest neighbours are at a step above 1."""
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
    """Bring Gaussian noise to the distribution of intensity of so many looks, of unit mean."""
    z = np.linspace(-5, 5, 1001)
    values = special.gammaincinv(looks, special.ndtr(z)) / looks
    return np.asarray(np.interp(normal, z, values), np.float32)


def _digitised(rng: Rng, amplitudes: list[Floats]) -> tuple[Floats, Floats]:
    """Scale and round as public images are: linear, root, another power or decibels; or leave as they are."""
    how = rng.choice(("linear", "root", "power", "decibel", "float"), p=(0.55, 0.1, 0.12, 0.08, 0.15))
    if how == "float":
        return amplitudes[0].astype(np.float32), (amplitudes[1] * np.exp(rng.normal(0, 0.1))).astype(np.float32)
    power = {"linear": 1.0, "root": 0.5, "power": rng.uniform(0.6, 1.4), "decibel": 1.0}[how]
    each_alone = rng.random() < 0.3
    share = 1 - 10 ** rng.uniform(-4, -1.5)
    middle = rng.uniform(20, 125)
    by_top = rng.random() < 0.5
    out, gain, span_db = [], 1.0, rng.uniform(22, 45)
    for date, amplitude in enumerate(amplitudes):
        anew = date == 0 or each_alone
        if how == "decibel":
            value = 20 * np.log10(np.maximum(amplitude, 1e-5))
            gain = float(np.quantile(value, share)) if anew else gain
            scaled = 255 * (1 + (value - gain) / span_db)
        else:
            value = amplitude**power
            if anew:
                gain = 255 / float(np.quantile(value, share)) if by_top else middle / float(np.median(value))
            scaled = value * gain * np.exp(rng.normal(0, 0.08))
        out.append(np.clip(np.round(scaled), 0, 255).astype(np.float32))
    return out[0], out[1]
