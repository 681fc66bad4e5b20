"""Medians from histograms of bit patterns against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcd.estimation.kernels import normalize as statistics


def exact_median(parts, centre=None):
    upper = sum(statistics.upper_histogram(part, centre) for part in parts)
    low, high = (
        sum(statistics.lower_histogram(part, middle, centre) for part in parts)
        for middle in statistics.middle_bins(upper)
    )
    return statistics.median_from_histograms(upper, low, high)


def test_by_hand():
    assert exact_median([np.array([1, 2, 10, np.nan], "float32")]) == 2
    assert exact_median([np.array([1, 2], "float32"), np.array([10, 3], "float32")]) == 2.5


positive = st.floats(0, float(np.finfo("float32").max), width=32)


@given(values=hnp.arrays("float32", st.integers(1, 200), elements=positive), cut=st.integers(0, 200))
def test_equals_numpy_however_it_is_cut(values, cut):
    median = exact_median([values[:cut], values[cut:]])
    assert median == np.median(values.astype("float64"))
    deviations = np.abs(values.astype("float64") - median).astype("float32")
    assert exact_median([values[:cut], values[cut:]], median) == np.median(deviations.astype("float64"))


def test_complex_counts_by_magnitude_and_invalid_not_at_all(rng):
    values = (rng.normal(size=1001) + 1j * rng.normal(size=1001)).astype("complex64")
    holes = np.concatenate([values, np.full(500, np.nan + 1j * np.nan, "complex64"), [np.inf]]).astype("complex64")
    assert exact_median([holes]) == np.median(np.abs(values).astype("float64"))


def test_many_equal_values_and_zeros():
    values = np.array([0, 0, 0, -0.0, 5, 5, 7], "float32")
    assert exact_median([values]) == 0


def test_nothing_valid():
    with pytest.raises(ValueError, match="no valid"):
        statistics.middle_bins(statistics.upper_histogram(np.full(3, np.nan, "float32")))
