"""Policies for pairing dates."""

import itertools

import numpy as np
import pytest

from sarcd.errors import OptionError
from sarcd.store.pairs import select_pairs

TIMES = np.array(["2023-03-19T05:00", "2023-03-31", "2023-04-12", "2023-03-19T17:00"], "datetime64[us]")


def test_policies():
    ordered = np.sort(TIMES)
    assert select_pairs("consecutive", TIMES) == list(itertools.pairwise(ordered))
    assert select_pairs("reference", TIMES) == [(ordered[0], after) for after in ordered[1:]]
    assert len(select_pairs("all", TIMES)) == 6


def test_explicit():
    assert select_pairs("2023-03-31:20230412", TIMES) == [(TIMES[1], TIMES[2])]
    assert select_pairs("2023-03-19T17-00:20230412,20230331:20230412", TIMES) == [
        (TIMES[3], TIMES[2]),
        (TIMES[1], TIMES[2]),
    ]


@pytest.mark.parametrize(
    "text", ["sometimes", "20230319:20230331", "20230331:20230101", "20230412:20230331", "2023:2024"]
)
def test_refused(text):
    with pytest.raises(OptionError):
        select_pairs(text, TIMES)
