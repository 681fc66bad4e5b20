"""Score bins: edges are exact for every float32, and bins are as fine as specified."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcd.metrics.kernels.reliability import Bins

BINS = st.builds(Bins, st.sampled_from(["probability", "score"]), st.integers(0, 11))
PROBABILITY = st.floats(0, 1, width=32)
# Adjacent float32 values below 1 are 2^-24 apart, which random sampling hardly ever hits.
NEAR_ONE = st.integers(0, 2000).map(lambda steps: float(np.float32(1) - np.float32(steps * 2.0**-24)))
SCORE = st.floats(width=32, allow_nan=False)


@given(bins=BINS, data=st.data())
def test_an_edge_parts_the_scores_as_the_bins_do(bins, data):
    element = PROBABILITY | NEAR_ONE if bins.kind == "probability" else SCORE
    values = data.draw(hnp.arrays(np.float32, 20, elements=element))
    edges = bins.edges()
    index = bins.index(values)
    assert edges.shape == (bins.count,)
    assert edges.dtype == np.float32
    around = np.unique(np.clip(np.concatenate([index - 1, index, index + 1]), 0, bins.count - 1))
    for k in around.tolist():
        # Compared as a Python number, the type in which thresholds are passed.
        np.testing.assert_array_equal(values >= float(edges[k]), index >= k)


@given(bins=BINS, data=st.data())
def test_an_edge_itself_and_what_lies_right_below_it(bins, data):
    k = data.draw(st.integers(1, bins.count - 1))
    edge = bins.edges()[k]
    below = np.nextafter(edge, np.float32(-np.inf))
    assert bins.index(np.array([edge]))[0] >= k
    assert bins.index(np.array([below]))[0] < k


@given(hnp.arrays(np.float32, st.integers(2, 40), elements=PROBABILITY | NEAR_ONE), st.integers(0, 11))
def test_bins_of_a_probability_are_fine_at_both_ends(values, bits):
    bins = Bins("probability", bits)
    one, other = np.sort(values)[:-1], np.sort(values)[1:]
    shared = bins.index(one) == bins.index(other)
    distance = np.maximum(np.minimum(one, 1 - one.astype(float)), np.minimum(other, 1 - other.astype(float)))
    assert (other[shared] - one[shared] <= np.maximum(distance[shared] * 2.0**-bits, 2.0**-25)).all()


def test_ends_by_hand():
    bins = Bins("probability", 11)
    ends = np.array([0, -0.0, 2**-26, 0.5, np.nextafter(np.float32(0.5), np.float32(0)), 1 - 2**-24, 1], np.float32)
    index = bins.index(ends)
    assert index.tolist()[:3] == [0, 0, 0]
    assert index[3] == index[4] + 1 == bins.count // 2
    assert index[6] == bins.count - 1 > index[5]
    assert bins.index(np.array([-3.0, 7.0])).tolist() == [0, bins.count - 1]
    assert Bins("score", 3).index(np.array([-np.inf, np.inf])).tolist() == [0, Bins("score", 3).count - 1]


def test_edges_cannot_be_written_into():
    with pytest.raises(ValueError, match="read-only"):
        Bins("score", 0).edges()[0] = 1
