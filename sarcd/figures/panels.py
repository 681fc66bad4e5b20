"""Layout of the panels of a figure, in inches so that images keep their aspect ratio, and drawing in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.geography.ground import Axis, Ground

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SMALL, PLAIN, LARGE = 9, 10, 14
"""Font sizes in points."""

NO_DATA, HATCH = "#dbe3ea", "#9fb2c1"
"""Colours of the background and hatching of invalid pixels."""


def panel(figure: Figure, box: Box) -> Axes:
    """Add the axes of a panel to a figure."""
    width, height = figure.get_size_inches()
    bottom = height - box.top - box.height
    return figure.add_axes((box.left / width, bottom / height, box.width / width, box.height / height))


def frame(axes: Axes, ground: Ground, *, is_main: bool) -> None:
    """Prepare a panel: invalid pixels show its hatched background, and only the large panel has tick labels."""
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor(NO_DATA)
    axes.patch.set(hatch="////", edgecolor=HATCH, linewidth=0)
    axes.tick_params(labelsize=SMALL, labelleft=is_main, labelbottom=is_main, length=4 if is_main else 2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6 if is_main else 4))
    if is_main:
        axes.ticklabel_format(useOffset=False, style="plain")
        axes.set_xlabel(ground.x.label, fontsize=PLAIN)
        axes.set_ylabel(ground.y.label, fontsize=PLAIN)


def show_values(axes: Axes, ground: Ground, values: np.ndarray, **options: Any) -> AxesImage:
    """Draw an array (Y', X') of colours or numbers in the coordinates of the scene."""
    y, x = ground.y, ground.x
    image = axes.imshow(values, extent=(x.first, x.last, y.last, y.first), aspect="auto", **options)
    if ground.north_up:
        axes.set_ylim(*sorted((y.first, y.last)))
        axes.set_xlim(*sorted((x.first, x.last)))
    return image


def scale_bar(axes: Axes, axis: Axis) -> None:
    """Draw a scale bar of a round length, about a sixth of the panel, if lengths are known."""
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

    if axis.metres is None or axis.length_m is None:
        return
    wanted = axis.length_m / 6
    power = 10.0 ** np.floor(np.log10(wanted))
    metres = max(factor * power for factor in (1, 2, 5) if factor * power <= wanted)
    text = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    text = f"{text} slant range" if axis.is_slant else text
    height = abs(axes.get_ylim()[1] - axes.get_ylim()[0]) / 150
    bar = AnchoredSizeBar(
        axes.transData,
        metres / axis.metres,
        text,
        "lower right",
        pad=0.4,
        borderpad=0.6,
        sep=4,
        size_vertical=height,
        fill_bar=True,
        fontproperties=FontProperties(size=PLAIN),
    )
    bar.patch.set(alpha=0.85, linewidth=0)
    axes.add_artist(bar)


WIDTH = 16.0
"""Maximum width in inches: 1600 pixels at 100 dots per inch, the default of matplotlib."""

HEADER = 1.05
"""Inches above the panels, for the title, the legend and the title of a panel."""

_LEFT, _RIGHT = 0.9, 0.25  # tick labels of the large panel, and the margin
_BAR = 0.95  # beside a small panel, for its colour bar
_TITLE = 0.35  # above a small panel
_AXIS = 0.6  # below the large panel, for its tick labels and axis label
_MARGIN = 0.2
_TALLEST = 10.0
_NARROWEST = 11.0  # minimum width for the title
_WIDE, _TALL = 1.9, 0.6  # width over height above which panels are stacked, and below which they form a row
_EXTREME = 8.0  # narrower strips are stretched to be visible


@dataclass(frozen=True)
class Box:
    """Position and size of a panel in inches, from the upper left corner of the figure."""

    left: float
    top: float
    width: float
    height: float


def arrange(
    panels: Sequence[str], ratio: float, *, equal: bool = False, captions: float = 0.0
) -> tuple[dict[str, Box], float, float]:
    """Arrange the large panel ``main`` and the small panels.

    Parameters
    ----------
    panels : sequence of str
        At most four small panels, in reading order.
    ratio : float
        Ratio of the width of the scene to its height.
    equal : bool
        Give ``main`` the same size as the other panels, of which there must be three.
    captions : float
        Inches to reserve for captions at the bottom.

    Returns
    -------
    dict of Box
        Boxes by panel.
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
    """Arrange the small panels to the right, in rows that fill the height of the large one."""
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
    """Arrange the small panels below the large one."""
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
