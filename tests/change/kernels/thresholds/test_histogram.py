"""Unbounded histograms: counts, quantiles and equal bins compared with NumPy's results from the values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd.change.kernels.thresholds.histogram import count_cells, histogram


@given(st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=1, max_size=40))
def test_every_finite_value_lies_in_its_cell(values):
    values = np.array(values, "float32")
    finite = np.sort(values[np.isfinite(values)]).astype(float)
    if not finite.size:
        assert not count_cells(values).any()
        return
    found = histogram(count_cells(values))
    assert found.total == finite.size
    cells = np.repeat(np.arange(len(found.counts)), found.counts)
    assert (found.low[cells] <= finite).all()
    assert (finite < found.high[cells]).all()
    assert (found.low[1:] >= found.high[:-1]).all()


def test_counts_add_up_over_parts(rng):
    values = rng.normal(size=1000).astype("float32")
    np.testing.assert_array_equal(count_cells(values[:300]) + count_cells(values[300:]), count_cells(values))


def test_cells_are_a_256th_of_their_value_wide():
    found = histogram(count_cells(np.array([-5, -1, 0.25, 1, 300], "float32")))
    width = (found.high - found.low) / np.abs(found.centres)
    assert (width < 1 / 255).all()
    assert (width > 1 / 520).all()


def test_quantiles_median_and_shares(rng):
    values = rng.normal(3, 2, 20000).astype("float32")
    found = histogram(count_cells(values))
    shares = np.linspace(0.01, 0.99, 50)
    np.testing.assert_allclose(found.quantiles(shares), np.quantile(values, shares), atol=0.02)
    np.testing.assert_allclose(found.share_below(np.quantile(values, shares)), shares, atol=0.003)
    np.testing.assert_array_equal(found.share_below(np.array([-1e9, 1e9])), [0, 1])
    median, spread = found.median_and_spread()
    assert median == pytest.approx(np.median(values), abs=0.02)
    assert spread == pytest.approx(1.4826 * np.median(np.abs(values - np.median(values))), rel=0.01)


def test_equal_cells_are_numpys_histogram_but_for_what_cells_share(rng):
    values = rng.normal(size=50000).astype("float32")
    even = histogram(count_cells(values)).even(64)
    expected, _ = np.histogram(values, even.edges)
    np.testing.assert_allclose(even.shares, expected / values.size, atol=0.002)
    assert even.shares.sum() == pytest.approx(1)


def test_outliers_do_not_stretch_equal_cells(rng):
    values = np.append(rng.normal(size=50000), 1e6).astype("float32")
    even = histogram(count_cells(values)).even(64)
    assert even.edges[-1] < 20
    assert even.shares.sum() == pytest.approx(1)
    one = histogram(count_cells(np.full(9, 2.0, "float32"))).even(8)
    assert one.shares.sum() == pytest.approx(1)
    assert (np.diff(one.edges) > 0).all()
