"""What was understood of the labels of a pair, as ingest reports it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Understood:
    """How a label file was read, before any pixel of it is written.

    Parameters
    ----------
    rule : str
        What makes a pixel or shape change, as in ``1: change; 0: none`` or ``every shape is change``.
    layer, field : str or None
        Layer of a vector file, and attribute that holds the values of its shapes.
    shapes : mapping of str to int
        Counts of shapes of a vector file: ``read``, ``used``, ``without_geometry``, ``without_value``, ``outside``,
        ``cut`` (reach beyond the scene), ``too_small`` (cover no pixel centre), ``repaired``, ``points``, ``lines``,
        ``point_and_line_pixels``, and ``other_pairs`` (left out, and not among those read).
    notes : tuple of str
        What else was decided.
    warnings : tuple of str
        What the file loses on its way into the scene, or may mean otherwise; each a line with a hint.
    """

    rule: str
    layer: str | None = None
    field: str | None = None
    shapes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelSummary:
    """The labels of one pair as they were written.

    Parameters
    ----------
    pair : str
        BEFORE:AFTER.
    source : str
        Name of the file.
    change, unchanged, unlabelled : int
        Pixels.
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
        """Return it as one line, without pair and warnings.

        Examples
        --------
        >>> LabelSummary("2023-03-19:2023-03-31", "a.tif", 1200, 0, 1, "1: change; 255: unlabelled").text()
        'a.tif: 1,200 pixels of change, 0 of none, 1 unlabelled; 1: change; 255: unlabelled'
        """
        counts = f"{self.change:,} pixels of change, {self.unchanged:,} of none, {self.unlabelled:,} unlabelled"
        where = self.source if self.layer is None else f"{self.source}, layer {self.layer}"
        return "; ".join([f"{where}: {counts}", self.rule, *_shape_texts(self.shapes), *self.notes])


def summarise(understood: Understood, *, pair: str, source: str, counts: tuple[int, int, int]) -> LabelSummary:
    """Return the summary of labels of which (change, unchanged, unlabelled) pixels were written."""
    change, unchanged, unlabelled = counts
    said = one_sided(change, unchanged, "ingest")
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
        (*understood.warnings, *(() if said is None else (f"{source} ({pair}): {said}",))),
    )


_HINTS = {
    "ingest": {
        "change": "if it should hold change, check its values, --label-change and --label-field",
        "none": "label ground without change too, as 0: nothing can be trained or scored without it",
    },
    "train": {
        "change": "add scenes in which changes are labelled",
        "none": "label ground without change too, as 0: the network would learn that everything changes",
    },
    "evaluate": {
        "change": "recall and average precision say nothing here: evaluate pairs in which changes are labelled",
        "none": "false alarms cannot show: label ground without change too, as 0",
    },
}


def one_sided(change: int, unchanged: int, use: str) -> str | None:
    """Say that labels lack one of the two classes, with a hint; None if they hold both.

    Parameters
    ----------
    change, unchanged : int
        Labelled pixels.
    use : str
        What they are used for: ``ingest``, ``train`` or ``evaluate``.

    Examples
    --------
    >>> one_sided(3, 4, "train")
    >>> one_sided(3, 0, "train")
    'no labelled pixel is "no change": label ground without change too, as 0: the network would learn that ...'
    """
    hints = _HINTS[use]
    if change and unchanged:
        return None
    if change:
        return f'no labelled pixel is "no change": {hints["none"]}'
    if unchanged:
        return f"no labelled pixel is change: {hints['change']}"
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
