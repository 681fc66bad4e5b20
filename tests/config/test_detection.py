"""Options of each method and their default windows, stored with the result."""

from dataclasses import fields

import pytest

from sarcd.config import DetectOptions, Window
from sarcd.config.detection import OPTIONS
from sarcd.errors import OptionError

OTHER = {
    "window": Window(3, 3),
    "decision": "otsu",
    "false_alarms": 0.01,
    "looks": 9.0,
    "expected": 0.5,
    "match_gain": True,
    "min_pixels": 4,
    "opening": 1,
    "closing": 1,
    "max_hole": 9,
    "rounds": 1,
    "seed": 1,
    "exclude_dates": ("2023-03-19",),
}


@pytest.mark.parametrize(("method", "side"), [("ratio-test", 5), ("coherence-test", 9), ("combined-test", 9)])
def test_the_window_by_default_is_recorded(method, side):
    options = DetectOptions(method)
    assert options.size == Window(side, side)
    assert options.used["window"] == {"y": side, "x": side}
    assert DetectOptions(method, window=Window(7, 7)).used["window"] == {"y": 7, "x": 7}


@pytest.mark.parametrize("method", OPTIONS)
def test_a_method_has_its_own_options_alone(method):
    options = DetectOptions(method).for_method()
    names = {item.name for item in fields(options)}
    assert isinstance(options, OPTIONS[method])
    assert set(DetectOptions(method).used) <= names | {"start"}  # stored in results, but not an option
    for name, value in OTHER.items():
        if name in names:
            assert getattr(DetectOptions(method, **{name: value}).for_method(), name) == value
        else:
            with pytest.raises(OptionError, match=f"{name}: {method} does not look at it"):
                DetectOptions(method, **{name: value})


def test_the_options_that_maps_are_compared_by():
    """Compare key by key and in order, as results store them."""
    assert list(DetectOptions("log-ratio").used.items()) == [
        ("method", "log-ratio"),
        ("window", {"y": 5, "x": 5}),
        ("decision", "kittler_gg"),
        ("min_pixels", 1),
        ("opening", 0),
        ("closing", 0),
        ("max_hole", 0),
    ]
    used = DetectOptions("coherence-network", looks=3, uncertainty=True, exclude_dates=["2023-03-19"]).used
    assert list(used) == [
        *("method", "window", "false_alarms", "looks", "expected", "min_pixels", "opening", "closing", "max_hole"),
        *("rounds", "start", "seed", "exclude_dates"),
    ]
    assert DetectOptions("ratio-test", match_gain=True).used["match_gain"] is True
    assert "match_gain" not in DetectOptions("ratio-test").used
