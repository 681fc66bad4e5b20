"""Printed errors: one line of sentences, whatever their parts contain."""

import pickle

import pytest

from sarcd.errors import CorruptChunkError, OptionError, SarcdError


@pytest.mark.parametrize(
    ("error", "parts", "line"),
    [
        (
            "already exists",
            {"source": "a.zarr", "hint": "pass --overwrite"},
            "a.zarr: already exists. Pass --overwrite.",
        ),
        ("is 0", {"source": "o.toml", "option": "window"}, "o.toml: window: is 0."),
        ("is this\na scene?", {"hint": "  look\nagain "}, "is this a scene? Look again."),
        ("two sentences. The second.", {"hint": ""}, "two sentences. The second."),
    ],
)
def test_parts_are_joined_as_sentences(error, parts, line):
    assert str(SarcdError(error, **parts)) == line


@pytest.mark.parametrize(
    "hint",
    [
        "pip install 'sarcd[s3]'",
        "sarcd info shows them",
        "scene.drop_vars('slc')",
        "a.zarr is one",
        "--name keeps both",
    ],
)
def test_hints_that_begin_with_commands_or_code_keep_their_case(hint):
    assert str(SarcdError("wrong", hint=hint)) == f"wrong. {hint}."


@pytest.mark.parametrize(
    "error", [OptionError("is 0", option="window", hint="use 3"), CorruptChunkError("slc", "c/0", "x")]
)
def test_an_error_from_another_process_prints_the_same_and_keeps_its_parts(error):
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
