"""Normalisation compared with its formula."""

import numpy as np

from sarcd.estimation.kernels.normalize import modified_tanh


def test_by_hand():
    """A modified z-score of 3 gives 0.881 (Eq. 4), the median 0.5."""
    amplitude = np.array([2.0, 2 + 3 / 0.6745, 2 - 3 / 0.6745], "float32")
    np.testing.assert_allclose(modified_tanh(amplitude, 2, 1), [0.5, 0.8807971, 0.1192029], atol=1e-6)


def test_formula_and_range(rng):
    amplitude = rng.rayleigh(size=(30, 40)).astype("float32")
    score = 0.6745 * (amplitude - 1.1) / 0.4
    found = modified_tanh(amplitude, 1.1, 0.4)
    np.testing.assert_allclose(found, (np.tanh(score / 3) + 1) / 2, atol=1e-6)
    assert found.dtype == np.float32


def test_invalid_stays_and_saturation_is_soft():
    found = modified_tanh(np.array([np.nan, 1e30, 0], "float32"), 1, 0.1)
    assert np.isnan(found[0])
    assert found[1] == 1
    assert 0 < found[2] < 0.5


def test_complex_by_magnitude(rng):
    image = (rng.normal(size=(5, 5)) + 1j * rng.normal(size=(5, 5))).astype("complex64")
    np.testing.assert_array_equal(modified_tanh(image, 1, 1), modified_tanh(np.abs(image), 1, 1))
