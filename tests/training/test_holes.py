"""Filling holes and stacking channels in one compiled pass equals the separate passes of the labelled function."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sarcd.estimation.channels import AMPLITUDES, FILL, WITH_COHERENCE, fill_holes
from sarcd.training.kernels import fill_interleaved


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.sampled_from([AMPLITUDES, WITH_COHERENCE]))
def test_equals_fill_holes(seed, height, width, channels):
    rng = np.random.default_rng(seed)
    values = rng.random((len(channels), height + 2, width + 3), np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    label = rng.choice(np.array([0, 1, 255], "uint8"), values.shape[1:])
    inner = np.s_[1:-1, 2:-1]  # non-contiguous parts of larger arrays
    found, target = fill_interleaved(
        [layer[inner] for layer in values], [FILL[name] for name in channels], label[inner], 255
    )
    filled, valid = fill_holes(values[(slice(None), *inner)], channels)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(np.moveaxis(found, -1, 0), filled)
    np.testing.assert_array_equal(target, np.where(valid, label[inner], 255))
    assert (found.dtype, target.dtype) == (np.float32, np.uint8)
