"""Command options generated from the fields of an options class."""

from dataclasses import dataclass
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from sarcd.config import Window
from sarcd.config.fields import Count, Options, Positive, option
from sarcd_cli._options import options_of


@dataclass(frozen=True)
class Shape(Options):
    sides: Count = option(4, "number of sides")
    length: Positive | None = option(None, "length in metres", empty="one a side", metavar="M")
    kind: Literal["open", "closed"] = option("open", "how it ends")
    window: Window = option(Window(7, 5), "odd size")
    marks: tuple[float, ...] = option((), "places of marks", flag="--mark")
    filled: bool = option(False, "fill it", flag="--fill")
    drawn: bool = option(True, "draw it")


def run(words, **how):
    """Return the options that a command parses from its arguments, or its whole output if it fails."""
    got = []

    @click.command()
    @options_of(Shape, **how)
    def command(**found):
        got.append(found)

    result = CliRunner().invoke(command, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return got[0] if got else result.output


def test_every_field_is_an_option_with_its_default():
    assert run([]) == {"options": Shape()}


def test_values_are_those_of_the_fields():
    words = "--sides 3 --length 2 --kind closed --window 3x9 --mark 1 --mark 2 --fill --no-drawn"
    expected = Shape(3, 2.0, "closed", Window(3, 9), (1.0, 2.0), filled=True, drawn=False)
    assert run(words.split()) == {"options": expected}


def test_what_is_not_given_is_left_out():
    assert run([], given=True) == {"given": {}}
    words = ["--sides", "4", "--no-drawn", "--mark", "0"]
    assert run(words, given=True) == {"given": {"sides": 4, "marks": (0.0,), "drawn": False}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sides", "0"], "0 is not in the range x>=1"),
        (["--kind", "round"], "'round' is not one of 'open', 'closed'"),
        (["--window", "3x"], "Invalid value for '--window': '3x' is not a window"),
        (["--length", "long"], "'long' is not a valid float"),
    ],
)
def test_what_cannot_be_used_is_refused(words, message):
    assert message in " ".join(run(words).split())


def test_help_says_what_is_done_without_an_option():
    told = " ".join(run(["--help"]).split())
    for text in (
        "--sides INTEGER RANGE Number of sides [4]. [x>=1]",
        "--length M Length in metres [one a side].",
        "--kind [open|closed] How it ends [open].",
        "--window N|YxX Odd size [7x5].",
        "--mark FLOAT Places of marks; repeatable.",
        "--fill Fill it.",
        "--drawn / --no-drawn Draw it.",
    ):
        assert text in told


def test_some_fields_alone():
    assert run(["--sides", "5"], only=("sides",)) == {"options": Shape(5)}
    assert "No such option" in run(["--kind", "open"], only=("sides",))
    assert "No such option" in run(["--kind", "open"], without=("kind",))
