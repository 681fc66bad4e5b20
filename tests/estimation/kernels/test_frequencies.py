"""Local frequencies of an interferogram, found in the sum of its tiles' spectra."""

import numpy as np
import pytest

from sarcd.estimation.kernels.frequencies import prominent, spectrum
from tests.factories.speckle import noise_pair


def found(before, after):
    return prominent(*spectrum(before, after))


@pytest.mark.parametrize("frequency", [(0.0, 0.63), (-0.4, 0.0), (0.9, -1.3), (2.5, 3.1)])
@pytest.mark.parametrize("share", [1.0, 0.25])
def test_the_ramp_of_a_part_is_found(frequency, share):
    before, after = noise_pair(np.random.default_rng(1), (256, 256), 0.5)
    y, x = np.indices(after.shape)
    turned = (after * np.exp(-1j * (frequency[0] * y + frequency[1] * x))).astype("complex64")
    turned = np.where(x < 256 * share, turned, after)
    np.testing.assert_allclose(found(before, turned), frequency, atol=0.02)


@pytest.mark.parametrize("oversampling", [None, 1.2])
@pytest.mark.parametrize("truth", [0.0, 0.5, 1.0])
def test_without_a_ramp_nothing_is_prominent(truth, oversampling):
    for seed in range(3):
        pair = noise_pair(np.random.default_rng(seed), (256, 200), truth, oversampling=oversampling)
        assert found(*pair) is None


def test_nothing_valid_and_small_images(rng):
    empty = np.full((40, 30), np.nan, "complex64")
    assert found(empty, empty) is None
    before, after = noise_pair(rng, (9, 7), 0.9)
    assert spectrum(before, after)[1] == 1
