"""Simulated speckle of known coherence, shared by tests."""

import numpy as np

from sarcd.simulation.core.speckle import speckle


def noise(rng, shape):
    """Make white circular Gaussian noise of unit power, complex64."""
    parts = rng.standard_normal((2, *shape), np.float32) * np.float32(np.sqrt(0.5))
    return parts[0] + 1j * parts[1]


def noise_pair(rng, shape, coherence, *, oversampling=None, ramp=(0.0, 0.0)):
    """Make two images of this true coherence (scalar or array) with a phase ramp in radians per pixel, (y, x)."""
    first, second = (
        noise(rng, shape) if oversampling is None else speckle(rng, shape, oversampling=(oversampling,) * 2)
        for _ in range(2)
    )
    after = coherence * first + np.sqrt(1 - np.square(coherence)) * second
    y, x = np.ogrid[: shape[0], : shape[1]]
    return first, (after * np.exp(-1j * (ramp[0] * y + ramp[1] * x))).astype("complex64")
