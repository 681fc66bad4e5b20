"""Tolerances for comparing two results of one network on any processor, with their derivation.

oneDNN, MKL and ATen choose a kernel by instruction set, threads, memory layout and shape, including the batch, and each
kernel sums in its own order. A sum of n float32 products has a relative error of about sqrt(n) roundings of 2^-24, and
the errors of L layers add up in quadrature. For a U-Net of these tests (L = 20, n up to 9 x 32) that gives
sqrt(20 x 288) x 2^-24 = 5e-6 of a logit. Measured against the same network in float64, with oneDNN using AVX2 or
SSE4.1 and disabled, with ATen's default kernels, on one thread and two, in batches of one to four: errors of up to 9e-6
in logits and 2e-6 in probabilities.

Networks that depend on their whole input (instance norm, squeeze-and-excite) have larger errors: an instance norm
divides a channel by its standard deviation in the tile, however small, and so amplifies earlier rounding errors.
Measured in the same way: errors of up to 8e-5 in logits, 1.3e-5 in probabilities.

A seam is far larger than all of these: a halo one step too small changes logits by more than 1e-3, and a tile misplaced
by one pixel changes probabilities by more than 1e-2. The networks are those of `tests.factories.networks`, whose logits
have a spread of 1.5.
"""

from sarcd.networks import Network

PROBABILITY = 1e-5
"""Probabilities of networks with exact tiling (docs/architecture.md): five times the measured error."""

PROBABILITY_GLOBAL = 1e-4
"""Probabilities of networks that depend on their whole input (docs/architecture.md): eight times the measured error."""

LOGIT = 1e-4
"""Logits of networks with exact tiling: ten times the measured error."""

LOGIT_GLOBAL = 1e-3
"""Logits of networks that depend on their whole input: twelve times the measured error."""


def logit(network: Network) -> float:
    """Return the tolerance for a network's logits."""
    return LOGIT if network.exact_tiles else LOGIT_GLOBAL
