"""What values of label files mean: numbers, ranges of them, and words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.schema import NO_LABEL

_MOST_LISTED = 12
_KINDS = ((1, "change"), (0, "none"), (NO_LABEL, "unlabelled"))
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})(?:\s*-\s*({_NUMBER}))?")
_WORD = re.compile(r"[^\W\d_].*|[^\w\s]+|.*[^\W\d_]{2}.*")
"""A word begins with a letter, is a sign such as ?, or holds two letters in a row: 1O0 is a number mistyped."""
YES_AND_NO = {"yes": 1.0, "y": 1.0, "true": 1.0, "t": 1.0, "no": 0.0, "n": 0.0, "false": 0.0, "f": 0.0}
"""Words that are understood without being named."""
_NEGATIVE = re.compile(r"(?:no|non|none|not|un|false|off|null|stable|same|background|other|intact)", re.IGNORECASE)


@dataclass(frozen=True)
class LabelWords:
    """Which values of a label file mean change, and which mean that nothing is known.

    Parameters
    ----------
    change, ignore : tuple of (lowest, highest)
        Ranges with both ends; empty where the user said nothing.
    change_names, ignore_names : tuple of str
        Words that an attribute of a vector file may hold in place of numbers, in lower case.
    """

    change: tuple[tuple[float, float], ...] = ()
    ignore: tuple[tuple[float, float], ...] = ()
    change_names: tuple[str, ...] = ()
    ignore_names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, change: str | None, ignore: str | None) -> LabelWords:
        """Read the words of ``--label-change`` and ``--label-ignore``.

        Examples
        --------
        >>> LabelWords.parse("1,128-255", None).change
        ((1.0, 1.0), (128.0, 255.0))
        >>> LabelWords.parse("Slide, dump", None).change_names
        ('slide', 'dump')
        """
        (changed, changed_names), (ignored, ignored_names) = (
            _ranges(change, "--label-change"),
            _ranges(ignore, "--label-ignore"),
        )
        return cls(changed, ignored, changed_names, ignored_names)

    def translate(self, values: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
        """Return 1, 0 and 255 for the values of a file; `unknown` is where the file itself declares no-data.

        255 means unlabelled, unless ``--label-change`` names it.
        """
        change = _within(values, self.change) if self.change else values == 1
        ignore = _within(values, self.ignore) | ~np.isfinite(values) | ((values == NO_LABEL) & ~change)
        if unknown is not None:
            ignore |= unknown
        labels = change.astype("uint8")
        labels[ignore] = NO_LABEL
        return labels

    def check(self, values: set[float], where: str) -> None:
        """Raise unless every value of a file has a meaning.

        Raises
        ------
        InputError
            Listing the values.
        """
        if self.change:
            return
        if self.change_names:
            raise InputError(
                f"label values are numbers ({_listed(sorted(values))}), none of them {self.change_names[0]!r}",
                where=where,
                mend="say which mean change, as --label-change 128-255",
            )
        rest = {value for value in values if not _within(np.array([value]), self.ignore)[0]}
        # 0 and 255 alone are the commonest way of writing "no" and "yes": not to be taken for "no" and "unlabelled".
        if rest <= {0.0, 1.0} or (rest <= {0.0, 1.0, 255.0} and 1.0 in rest):
            return
        raise InputError(
            f"label values are {_listed(sorted(rest))}, not 0 and 1",
            where=where,
            mend="say which mean change, as --label-change 128-255, and which mean unlabelled, as --label-ignore 255",
        )

    def absent(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Return the options and their words that no shape has.

        Examples
        --------
        >>> LabelWords.parse("slide,rock fall", None).absent(["Slide", "rockfall"])
        [('--label-change', 'rock fall')]
        """
        known = {text.strip().lower() for text in texts}
        named = [("--label-change", name) for name in self.change_names]
        named += [("--label-ignore", name) for name in self.ignore_names]
        return [(option, name) for option, name in named if name not in known]

    def describe(self, values: set[float]) -> str:
        """Say what each of the values of a file is taken for.

        Examples
        --------
        >>> LabelWords.parse("128-255", "7").describe({0.0, 2.0, 7.0, 200.0})
        '200: change; 0, 2: none; 7: unlabelled'
        """
        ordered = np.array(sorted(values))
        labels = self.translate(ordered, None)
        if len(ordered) > _MOST_LISTED:
            ranges = [(self.change, "change"), (self.ignore, "unlabelled")]
            said = [f"{_ranges_text(own)}: {kind}" for own, kind in ranges if own]
            return "; ".join([*said, f"other values from {ordered[0]:g} to {ordered[-1]:g}: none"])
        found = [(ordered[labels == value].tolist(), kind) for value, kind in _KINDS]
        return "; ".join(f"{_listed(own)}: {kind}" for own, kind in found if own)

    def translate_texts(self, texts: np.ndarray, field: str, where: str) -> tuple[np.ndarray, str]:
        """Return 1, 0 and 255 for an attribute of words, 255 where there is none, and the rule in words.

        Raises
        ------
        InputError
            If nobody said which words mean change, or none of the words is there.
        """
        known = sorted({text for text in texts if text})
        changed, ignored = (
            np.array([_is_named(text, names, ranges) for text in texts], bool)
            for names, ranges in ((self.change_names, self.change), (self.ignore_names, self.ignore))
        )
        if not changed.any():
            more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
            unnamed = ", none of which --label-change names" if self.change_names or self.change else ""
            raise InputError(
                f"its attribute '{field}' is no number: it holds {', '.join(known[:_MOST_LISTED])}{more}{unnamed}",
                where=where,
                mend=_how_to_name(known),
            )
        ignored |= np.array([not text for text in texts], bool)
        labels = changed.astype("uint8")
        labels[ignored] = NO_LABEL
        found = [(sorted({text for text in texts[labels == value] if text}), kind) for value, kind in _KINDS]
        return labels, "; ".join(f"{', '.join(own[:_MOST_LISTED])}: {kind}" for own, kind in found if own)


def _ranges_text(ranges: Sequence[tuple[float, float]]) -> str:
    return ", ".join(f"{low:g}" if low == high else f"{low:g} to {high:g}" for low, high in ranges)


def _listed(values: Sequence[float]) -> str:
    more = f" and {len(values) - _MOST_LISTED} more" if len(values) > _MOST_LISTED else ""
    return ", ".join(f"{value:g}" for value in values[:_MOST_LISTED]) + more


def _ranges(text: str | None, option: str) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """Return ranges of numbers, and words."""
    if text is None:
        return (), ()
    found, names = [], []
    for word in (part.strip() for part in text.split(",")):
        match = _RANGE.fullmatch(word)
        if match is None and _WORD.fullmatch(word):
            names.append(word.lower())
            continue
        low, high = (float(match[1]), float(match[2] or match[1])) if match else (1.0, 0.0)
        if low > high:
            raise OptionError(
                f"{word!r} is no value or range", where=option, mend="use values as in 255, 1,2 or 128-255"
            )
        found.append((low, high))
    return tuple(found), tuple(names)


def _is_named(text: str, names: Sequence[str], ranges: tuple[tuple[float, float], ...]) -> bool:
    """Tell whether a word, or a number among words, is one that an option names."""
    if text.lower() in names:
        return True
    match = re.fullmatch(_NUMBER, text)
    return match is not None and bool(_within(np.array([float(text)]), ranges)[0])


def _how_to_name(known: Sequence[str]) -> str:
    """Return how to name the words of an attribute; for change rather not one that sounds like none."""
    usable = [word for word in known if "," not in word and (_WORD.fullmatch(word) or _RANGE.fullmatch(word))]
    odd = [word for word in usable if not re.fullmatch(_NUMBER, word) and word.lower() not in YES_AND_NO]
    likely = [word for word in odd if not _NEGATIVE.match(word)]
    said_yes = any(word not in odd and YES_AND_NO.get(word.lower(), word) not in (0.0, "0") for word in usable)
    if odd and len(odd) < len(usable) and (said_yes or not likely):  # a few words among numbers, or beside yes and no
        return f"if {odd[0]!r} means unlabelled, say --label-ignore '{','.join(odd)}', else which mean change"
    example = f", as --label-change '{[*likely, *usable][0]}'" if usable else ""
    return f"say which mean change{example}, and which unlabelled (--label-ignore)"


def _within(values: np.ndarray, ranges: tuple[tuple[float, float], ...]) -> np.ndarray:
    inside = np.zeros(values.shape, bool)
    for low, high in ranges:
        inside |= (values >= low) & (values <= high)
    return inside
