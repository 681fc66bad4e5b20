"""Windows that suit the methods, kept with the result."""

import pytest

from sarcd.config import DetectOptions, Window


@pytest.mark.parametrize(("method", "side"), [("ratio-test", 5), ("coherence-test", 9), ("combined-test", 9)])
def test_the_window_by_default_is_recorded(method, side):
    options = DetectOptions(method)
    assert options.size == Window(side, side)
    assert options.used["window"] == {"y": side, "x": side}
    assert DetectOptions(method, window=Window(7, 7)).used["window"] == {"y": 7, "x": 7}
