"""Selection of a pair and a variable."""

import numpy as np
import pytest

from sarcd.errors import OptionError
from sarcd.store.openable import take
from sarcd.store.results import find_result, is_made, pair_position, pair_texts, pairs_in
from tests.factories.results import scene_with_results


@pytest.fixture
def scene(rng):
    return scene_with_results(rng)


def test_ways_to_name_a_pair(scene):
    second = ("2023-03-31", "2023-04-12")
    dates = tuple(np.datetime64(date) for date in second)
    for pair in (1, -1, "2023-03-31:2023-04-12", "20230331:20230412", second, dates):
        assert pair_position(scene, pair) == 1


@pytest.mark.parametrize(
    "pair", [2, -3, "2023-03-19:2023-04-12", "consecutive", "2023-03-19", ("2023-03-19", "2023-04-12")]
)
def test_no_such_pair_lists_those_there_are(scene, pair):
    with pytest.raises(OptionError, match="no pair") as caught:
        pair_position(scene, pair)
    assert caught.value.hint.endswith("the pairs are 0 = 2023-03-19:2023-03-31, 1 = 2023-03-31:2023-04-12")


def test_a_scene_without_pairs_has_consecutive_ones(scene):
    assert len(pairs_in(scene[["slc"]])) == 2
    with pytest.raises(OptionError, match=r"no pair 0[.] Change needs two dates"):
        pair_position(scene[["slc"]].isel(time=[0]), 0)


def test_times_of_day_only_where_days_are_not_enough():
    morning, evening = np.datetime64("2023-03-19T05:10:20", "us"), np.datetime64("2023-03-19T17:10:21", "us")
    later = np.datetime64("2023-03-31T05:10:20", "us")
    assert pair_texts([(morning, later)]) == [("2023-03-19", "2023-03-31")]
    assert pair_texts([(morning, evening)]) == [("2023-03-19T05:10", "2023-03-19T17:10")]


def test_one_selected_pair_is_a_pair_again(scene):
    found = take(scene.isel(pair=1))
    assert found["change"].dims == ("pair", "y", "x")
    assert found["slc"].dims == ("time", "y", "x")
    assert pairs_in(found) == pairs_in(scene)[1:]


def test_plain_names_go_before_suffixes(scene):
    assert find_result(scene, ["change_score", "change"]) == "change"
    night = scene.rename(change="change_night")
    assert find_result(night, ["change"]) == "change_night"
    assert find_result(night.assign(change_b=night["change_night"]), ["change"]) == "change_b"
    assert find_result(night, ["uncertainty"]) is None


def test_completeness(scene):
    coherence = scene["coherence"]
    assert is_made(coherence, 1)
    assert not is_made(coherence.assign_attrs(sarcd_complete=[True, False]), 1)
    # a subset of a scene keeps the flags of all pairs, which are then not informative
    assert is_made(coherence.assign_attrs(sarcd_complete=[False, False, True]), 1)
