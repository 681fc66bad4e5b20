"""Meaning of the values of label files: numbers, ranges, and words."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.schema import NO_LABEL

_MOST_LISTED = 12
_KINDS = ((1, "change"), (0, "none"), (NO_LABEL, "unlabelled"))
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})(?:\s*-\s*({_NUMBER}))?")
_WORD = re.compile(r"[^\W\d_].*|[^\w\s]+|.*[^\W\d_]{2}.*")
"""A word begins with a letter, is a sign such as ?, or contains two letters in a row: 1O0 is a mistyped number."""
YES_AND_NO = {"yes": 1.0, "y": 1.0, "true": 1.0, "t": 1.0, "no": 0.0, "n": 0.0, "false": 0.0, "f": 0.0}
"""Words that need no option."""
_NEGATIVE = re.compile(r"(?:no|non|none|not|un|false|off|null|stable|same|background|other|intact)", re.IGNORECASE)


@dataclass(frozen=True)
class LabelMapping:
    """Mapping of the values of a label file to change, no change and unlabelled.

    Parameters
    ----------
    change, ignore : tuple of (lowest, highest)
        Closed ranges; empty without the option.
    change_names, ignore_names : tuple of str
        Words in an attribute of a vector file, in lower case.
    """

    change: tuple[tuple[float, float], ...] = ()
    ignore: tuple[tuple[float, float], ...] = ()
    change_names: tuple[str, ...] = ()
    ignore_names: tuple[str, ...] = ()

    @classmethod
    def parse(cls, change: str | None, ignore: str | None) -> LabelMapping:
        """Parse the values of ``--label-change`` and ``--label-ignore``.

        Examples
        --------
        >>> LabelMapping.parse("1,128-255", None).change
        ((1.0, 1.0), (128.0, 255.0))
        >>> LabelMapping.parse("Slide, dump", None).change_names
        ('slide', 'dump')
        """
        (changed, changed_names), (ignored, ignored_names) = (
            _ranges(change, "--label-change"),
            _ranges(ignore, "--label-ignore"),
        )
        return cls(changed, ignored, changed_names, ignored_names)

    def translate(self, values: np.ndarray, unknown: np.ndarray | None) -> np.ndarray:
        """Map the values of a file to 1, 0 and 255; `unknown` marks declared no-data.

        255 means unlabelled, unless it is in ``--label-change``.
        """
        change = _within(values, self.change) if self.change else values == 1
        ignore = _within(values, self.ignore) | ~np.isfinite(values) | ((values == NO_LABEL) & ~change)
        if unknown is not None:
            ignore |= unknown
        labels = change.astype("uint8")
        labels[ignore] = NO_LABEL
        return labels

    def check(self, values: set[float], source: str) -> None:
        """Raise if a value of a file has no defined meaning.

        Raises
        ------
        InputError
            The error lists the values.
        """
        if self.change:
            return
        if self.change_names:
            raise InputError(
                f"label values are numbers ({_listed(sorted(values))}), none of them {self.change_names[0]!r}",
                source=source,
                hint="specify those that mean change, as in --label-change 128-255",
            )
        rest = {value for value in values if not _within(np.array([value]), self.ignore)[0]}
        # 0 and 255 alone usually mean "no" and "yes", so they are not read as "no" and "unlabelled".
        if rest <= {0.0, 1.0} or (rest <= {0.0, 1.0, 255.0} and 1.0 in rest):
            return
        raise InputError(
            f"label values are {_listed(sorted(rest))}, not 0 and 1",
            source=source,
            hint="specify those that mean change, as in --label-change 128-255, and those that mean unlabelled, as in "
            "--label-ignore 255",
        )

    def absent(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        """Return the words in options that no shape has, with the options.

        Examples
        --------
        >>> LabelMapping.parse("slide,rock fall", None).absent(["Slide", "rockfall"])
        [('--label-change', 'rock fall')]
        """
        known = {text.strip().lower() for text in texts}
        named = [("--label-change", name) for name in self.change_names]
        named += [("--label-ignore", name) for name in self.ignore_names]
        return [(option, name) for option, name in named if name not in known]

    def describe(self, values: set[float]) -> str:
        """Describe the meaning of the values of a file.

        Examples
        --------
        >>> LabelMapping.parse("128-255", "7").describe({0.0, 2.0, 7.0, 200.0})
        '200: change; 0, 2: none; 7: unlabelled'
        """
        ordered = np.array(sorted(values))
        labels = self.translate(ordered, None)
        if len(ordered) > _MOST_LISTED:
            ranges = [(self.change, "change"), (self.ignore, "unlabelled")]
            parts = [f"{_ranges_text(own)}: {kind}" for own, kind in ranges if own]
            return "; ".join([*parts, f"other values from {ordered[0]:g} to {ordered[-1]:g}: none"])
        found = [(ordered[labels == value].tolist(), kind) for value, kind in _KINDS]
        return "; ".join(f"{_listed(own)}: {kind}" for own, kind in found if own)

    def translate_texts(self, texts: np.ndarray, field: str, source: str) -> tuple[np.ndarray, str]:
        """Map an attribute of words to 1, 0 and 255 (255 where it is empty), and describe the rule.

        Raises
        ------
        InputError
            If no option says which words mean change, or no shape has one of them.
        """
        known = sorted({text for text in texts if text})
        changed, ignored = (
            np.array([_is_named(text, names, ranges) for text in texts], bool)
            for names, ranges in ((self.change_names, self.change), (self.ignore_names, self.ignore))
        )
        if not changed.any():
            more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
            unnamed = ", none of which is in --label-change" if self.change_names or self.change else ""
            raise InputError(
                f"its attribute '{field}' is not numeric and holds {', '.join(known[:_MOST_LISTED])}{more}{unnamed}",
                source=source,
                hint=_how_to_name(known),
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
                f"{word!r} is not a value or range", option=option, hint="use values as in 255, 1,2 or 128-255"
            )
        found.append((low, high))
    return tuple(found), tuple(names)


def _is_named(text: str, names: Sequence[str], ranges: tuple[tuple[float, float], ...]) -> bool:
    """Return whether a word, or a number in an attribute of words, is in an option."""
    if text.lower() in names:
        return True
    match = re.fullmatch(_NUMBER, text)
    return match is not None and bool(_within(np.array([float(text)]), ranges)[0])


def _how_to_name(known: Sequence[str]) -> str:
    """Return the hint on how to map the words of an attribute; examples of change are not negative words."""
    usable = [word for word in known if "," not in word and (_WORD.fullmatch(word) or _RANGE.fullmatch(word))]
    odd = [word for word in usable if not re.fullmatch(_NUMBER, word) and word.lower() not in YES_AND_NO]
    likely = [word for word in odd if not _NEGATIVE.match(word)]
    said_yes = any(word not in odd and YES_AND_NO.get(word.lower(), word) not in (0.0, "0") for word in usable)
    if odd and len(odd) < len(usable) and (said_yes or not likely):  # a few words among numbers, or beside yes and no
        ignored = f"pass --label-ignore '{','.join(odd)}' if {odd[0]!r} means unlabelled"
        return f"{ignored}, otherwise specify those that mean change"
    example = f", as in --label-change '{[*likely, *usable][0]}'" if usable else ""
    return f"specify those that mean change{example}, and those that mean unlabelled (--label-ignore)"


def _within(values: np.ndarray, ranges: tuple[tuple[float, float], ...]) -> np.ndarray:
    inside = np.zeros(values.shape, bool)
    for low, high in ranges:
        inside |= (values >= low) & (values <= high)
    return inside


@dataclass(frozen=True)
class Understood:
    """How a label file is read; known before any pixel is written.

    Parameters
    ----------
    rule : str
        Meaning of the values, such as ``1: change; 0: none`` or ``every shape is change``.
    layer, field : str or None
        Layer of a vector file, and attribute with the values of its shapes.
    shapes : mapping of str to int
        Counts of shapes of a vector file: ``read``, ``used``, ``without_geometry``, ``without_value``, ``outside``,
        ``cut`` (extend beyond the scene), ``too_small`` (cover no pixel centre), ``repaired``, ``points``, ``lines``,
        ``point_and_line_pixels``, and ``other_pairs`` (left out, and not counted as read).
    notes : tuple of str
        Other decisions.
    warnings : tuple of str
        Losses and ambiguities, each as one line with a hint.
    """

    rule: str
    layer: str | None = None
    field: str | None = None
    shapes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSummary:
    """Summary of the written labels of a pair.

    Parameters
    ----------
    pair : str
        Dates as BEFORE:AFTER.
    source : str
        Name of the file.
    change, unchanged, unlabelled : int
        Number of pixels.
    rule, layer, field, shapes, notes, warnings
        See `Understood`.
    """

    pair: str
    source: str
    change: int
    unchanged: int
    unlabelled: int
    rule: str
    layer: str | None = None
    field: str | None = None
    shapes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the summary as one line, without pair and warnings.

        Examples
        --------
        >>> LabelSummary("2023-03-19:2023-03-31", "a.tif", 1200, 0, 1, "1: change; 255: unlabelled").text()
        'a.tif: 1,200 pixels of change, 0 of none, 1 unlabelled; 1: change; 255: unlabelled'
        """
        counts = f"{self.change:,} pixels of change, {self.unchanged:,} of none, {self.unlabelled:,} unlabelled"
        source = self.source if self.layer is None else f"{self.source}, layer {self.layer}"
        return "; ".join([f"{source}: {counts}", self.rule, *_shape_texts(self.shapes), *self.notes])


def summarise(understood: Understood, *, pair: str, source: str, counts: tuple[int, int, int]) -> LabelSummary:
    """Return the summary of labels; `counts` are the (change, unchanged, unlabelled) pixels."""
    change, unchanged, unlabelled = counts
    missing = one_sided(change, unchanged, "ingest")
    return LabelSummary(
        pair,
        source,
        change,
        unchanged,
        unlabelled,
        understood.rule,
        understood.layer,
        understood.field,
        dict(understood.shapes),
        understood.notes,
        (*understood.warnings, *(() if missing is None else (f"{source} ({pair}): {missing}",))),
    )


_HINTS = {
    "ingest": {
        "change": "If it should contain change, check its values, --label-change and --label-field.",
        "none": "Label ground without change as 0 too, since training and evaluation need it.",
    },
    "train": {
        "change": "Add scenes in which changes are labelled.",
        "none": "Label ground without change as 0 too; otherwise the network learns that everything changes.",
    },
    "evaluate": {
        "change": "Recall and average precision are undefined; evaluate pairs in which changes are labelled.",
        "none": "False alarms cannot be counted; label ground without change as 0 too.",
    },
}


def one_sided(change: int, unchanged: int, use: str) -> str | None:
    """Return a warning with a hint if labels lack one of the two classes; None if they have both.

    Parameters
    ----------
    change, unchanged : int
        Numbers of labelled pixels.
    use : str
        Use of the labels: ``ingest``, ``train`` or ``evaluate``.

    Examples
    --------
    >>> one_sided(3, 4, "train")
    >>> one_sided(3, 0, "train")
    'no labelled pixel is "no change". Label ground without change as 0 too; otherwise the network learns ...'
    """
    hints = _HINTS[use]
    if change and unchanged:
        return None
    if change:
        return f'no labelled pixel is "no change". {hints["none"]}'
    if unchanged:
        return f"no labelled pixel is change. {hints['change']}"
    return "no pixel is labelled"


def _shape_texts(shapes: Mapping[str, int]) -> list[str]:
    if not shapes:
        return []
    texts = [f"{shapes['used']} of {shapes['read']} shapes"]
    texts += [f"{shapes[key]} {text}" for key, text in _SHAPE_WORDS.items() if shapes.get(key)]
    if shapes.get("points") or shapes.get("lines"):
        drawn = f"{shapes['points']} points and {shapes['lines']} lines"
        texts.append(f"{drawn} burned as {shapes['point_and_line_pixels']} pixels")
    return texts


_SHAPE_WORDS = {
    "without_geometry": "without geometry",
    "outside": "outside the scene",
    "cut": "cut at its edge",
    "too_small": "too small to cover a pixel centre",
    "without_value": "without a value, unlabelled",
    "repaired": "self-crossing, repaired",
    "other_pairs": "further ones of other pairs, by before and after, left out",
}
