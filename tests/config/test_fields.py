"""Validation of values against field annotations."""

import dataclasses
import math
from typing import Annotated, Literal

import numpy as np
import pytest

from sarcd import config
from sarcd.config.detection import OPTIONS
from sarcd.config.fields import Bounds, Count, Options, alternatives, annotations_of, checked
from sarcd.errors import OptionError

CLASSES = [
    *(kind for kind in vars(config).values() if isinstance(kind, type) and issubclass(kind, Options)),
    *dict.fromkeys(OPTIONS.values()),
]
Half = Annotated[float, Bounds(ge=0, lt=0.5)]


@pytest.mark.parametrize(
    ("annotation", "value", "found"),
    [
        (Half, 0, 0.0),
        (Half, np.float32(0.25), 0.25),
        (Half | None, None, None),
        (Count, np.int64(3), 3),
        (int | Literal["auto"], "auto", "auto"),
        (int | Literal["auto"], 2, 2),
        (tuple[Half, ...], [0, 0.25], (0.0, 0.25)),
        (tuple[str, ...], ["a"], ("a",)),
        (bool, np.bool_(True), True),
        (config.Window, [3, 5], config.Window(3, 5)),
    ],
)
def test_values_become_those_of_the_annotation(annotation, value, found):
    got = checked(value, annotation, "it")
    assert got == found
    assert type(got) is type(found)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Half, 0.5, "it: it is 0.5. Use a number from 0, below 0.5."),
        (Half, math.nan, "it: it is nan. Use a number from 0, below 0.5."),
        (float, math.inf, "it: it is inf. Use a finite number."),
        (float, True, "it: True cannot be used. It must be float."),
        (Count, 0, "it: it is 0. Use a whole number from 1."),
        (Count, True, "it: True cannot be used. It must be int."),
        (Count, 2.0, "it: 2.0 cannot be used. It must be int."),
        (Count, None, "it: None cannot be used. It must be int."),
        (tuple[Half, ...], [0.1, 1], "it: it is 1.0. Use a number from 0, below 0.5."),
        (tuple[str, ...], "abc", "it: 'abc' cannot be used. It must be tuple."),
        (str, 1, "it: 1 cannot be used. It must be str."),
        (bool, 1, "it: 1 cannot be used. It must be bool."),
        (Literal["a", "b", "c"], "d", "it: 'd' cannot be used. Use a, b or c."),
        (int | Literal["auto"], "no", "it: 'no' cannot be used. It must be int, or use auto."),
    ],
)
def test_other_values_are_refused(annotation, value, message):
    with pytest.raises(OptionError) as caught:
        checked(value, annotation, "it")
    assert str(caught.value) == message


def _is_number(annotation):
    return any(kind in (int, float) or getattr(kind, "__origin__", None) in (int, float) for kind in annotation)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_no_number_is_nan_or_a_truth_value(kind):
    """Check every options class, including fields added later."""
    numbers = [name for name, annotation in annotations_of(kind).items() if _is_number(alternatives(annotation))]
    for name in numbers:
        for value in (math.nan, True):
            with pytest.raises(OptionError, match=name):
                kind(**{name: value})
    assert numbers or kind.__name__ == "PretrainedOptions"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_field_says_what_it_is(kind):
    for item in dataclasses.fields(kind):
        if item.default is not dataclasses.MISSING:
            assert item.metadata["help"]
            assert not item.metadata["help"].endswith(".")
