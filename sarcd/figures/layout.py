"""Where the panels of a picture go: exact boxes in inches, so that images keep their shape and line up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 16.0
"""Inches at most: 1600 pixels at matplotlib's own 100 dots an inch."""

HEADER = 1.05
"""Inches above the panels: title, legend and a panel's own title."""

_LEFT, _RIGHT = 0.9, 0.25  # the large panel's numbers, and the margin
_BAR = 0.95  # beside a small panel, for its colour bar
_TITLE = 0.35  # above a small panel
_AXIS = 0.6  # below the large panel, for its numbers and their name
_MARGIN = 0.2
_TALLEST = 10.0
_NARROWEST = 11.0  # what the title needs
_WIDE, _TALL = 1.9, 0.6  # width over height, from which the panels are stacked, and put in a row
_EXTREME = 8.0  # narrower strips are stretched, to be seen at all


@dataclass(frozen=True)
class Box:
    """A panel: left and top edge, width and height, in inches from the upper left corner."""

    left: float
    top: float
    width: float
    height: float


def arrange(
    panels: Sequence[str], ratio: float, *, equal: bool = False, captions: float = 0.0
) -> tuple[dict[str, Box], float, float]:
    """Place the large panel ``main`` and the small ones.

    Parameters
    ----------
    panels : sequence of str
        The small panels, four at most, in the order in which they are read.
    ratio : float
        Width of the scene over its height.
    equal : bool
        Give ``main`` no more room than each of the others, of which there are three then.
    captions : float
        Inches to leave free at the foot.

    Returns
    -------
    dict of Box
        By panel.
    float, float
        Width and height of the figure in inches.

    Examples
    --------
    >>> boxes, width, height = arrange(["before", "after"], 1.0)
    >>> round(boxes["main"].height / boxes["after"].height, 1), width, height < width
    (2.1, 16.0, True)
    """
    ratio = min(max(ratio, 1 / _EXTREME), _EXTREME)
    if equal:
        boxes = _grid([["before", "after"], ["main", panels[2]]], ratio)
    elif not panels:
        height = min((WIDTH - _LEFT - _RIGHT) / ratio, _TALLEST)
        boxes = {"main": Box(_LEFT, HEADER, height * ratio, height)}
    elif ratio > _WIDE:
        boxes = _stacked(panels, ratio)
    else:
        rows = 1 if ratio < _TALL else 3 if len(panels) == 3 else 2
        boxes = _beside(panels, ratio, rows)
    main, lowest = boxes["main"], max(box.top + box.height for box in boxes.values())
    right = max(box.left + box.width + (_RIGHT if name == "main" else _BAR) for name, box in boxes.items())
    return boxes, min(max(right, _NARROWEST), WIDTH), max(main.top + main.height + _AXIS, lowest + _MARGIN) + captions


def _beside(panels: Sequence[str], ratio: float, rows: int) -> dict[str, Box]:
    """Put the small panels to the right, in as many rows as reach the height of the large one."""
    columns = -(-len(panels) // rows)
    titles = (rows - 1) * _TITLE
    room = WIDTH - _LEFT - _RIGHT - columns * _BAR + columns * ratio * titles / rows
    height = min(room / (ratio * (1 + columns / rows)), _TALLEST)
    small = (height - titles) / rows
    boxes = {"main": Box(_LEFT, HEADER, height * ratio, height)}
    for number, name in enumerate(panels):
        row, column = divmod(number, columns)
        left = _LEFT + height * ratio + _RIGHT + column * (small * ratio + _BAR)
        boxes[name] = Box(left, HEADER + row * (small + _TITLE), small * ratio, small)
    return boxes


def _stacked(panels: Sequence[str], ratio: float) -> dict[str, Box]:
    """Put the small panels below the large one."""
    width = WIDTH - _LEFT - _BAR
    columns = 3 if len(panels) == 3 else 2
    small = (width - (columns - 1) * _BAR) / columns
    boxes = {"main": Box(_LEFT, HEADER, width, width / ratio)}
    top = HEADER + width / ratio + _AXIS + _TITLE
    for number, name in enumerate(panels):
        row, column = divmod(number, columns)
        boxes[name] = Box(_LEFT + column * (small + _BAR), top + row * (small / ratio + _TITLE), small, small / ratio)
    return boxes


def _grid(rows: Sequence[Sequence[str]], ratio: float) -> dict[str, Box]:
    """Give all panels the same size."""
    columns = len(rows[0])
    width = min((WIDTH - _LEFT - columns * _BAR) / columns, _TALLEST / len(rows) * ratio)
    height = width / ratio
    return {
        name: Box(_LEFT + column * (width + _BAR), HEADER + row * (height + _TITLE), width, height)
        for row, names in enumerate(rows)
        for column, name in enumerate(names)
    }
