"""How far apart two results of one network may lie on any processor, and where each figure comes from.

oneDNN, MKL and ATen choose a kernel by instruction set, threads, memory layout and shape, batch included, and each
kernel adds up in its own order. A sum of n products of float32 is off by about sqrt(n) roundings of 2^-24 of its size,
and the errors of L layers add up as their squares do. For a U-Net of these tests (L = 20, n up to 9 x 32) that is
sqrt(20 x 288) x 2^-24 = 5e-6 of a logit. Measured against the same network in float64, by oneDNN with AVX2, with
SSE4.1 and left out, by ATen's default kernels, on one thread and two, in batches of one to four: logits up to 9e-6 off,
probabilities 2e-6.

Networks that look at the whole of their input (instance norm, squeeze-and-excite) are farther off: an instance norm
divides a channel by its spread in the tile, however small, and multiplies the rounding of what came before by as much.
Measured in the same way: logits up to 8e-5 off, probabilities 1.3e-5.

A seam is far beyond all of these: a halo one step too small moves logits by more than 1e-3, a tile one pixel from its
place probabilities by more than 1e-2. The networks are those of `tests.factories.networks`, whose logits spread by 1.5.
"""

from sarcd.networks import Network

PROBABILITY = 1e-5
"""Probabilities of networks that can be tiled exactly: docs/architecture.md, five times what was measured."""

PROBABILITY_GLOBAL = 1e-4
"""Probabilities of networks that look at the whole of their input: docs/architecture.md, eight times the measured."""

LOGIT = 1e-4
"""Logits of networks that can be tiled exactly: ten times what was measured."""

LOGIT_GLOBAL = 1e-3
"""Logits of networks that look at the whole of their input: twelve times what was measured."""


def logit(network: Network) -> float:
    """Return the tolerance of a network's logits."""
    return LOGIT if network.exact_tiles else LOGIT_GLOBAL
