"""What the pictures share: panels in their places, invalid ground, values where they lie, a bar of a round length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sarcd.figures.layout import Box
from sarcd.geography.ground import Axis, Ground

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

SMALL, PLAIN, LARGE = 9, 10, 14
"""Sizes of text in points."""

NO_DATA, HATCH = "#dbe3ea", "#9fb2c1"
"""Ground and hatching of what is invalid."""


def panel(figure: Figure, box: Box) -> Axes:
    """Add the axes of a panel to a figure."""
    width, height = figure.get_size_inches()
    bottom = height - box.top - box.height
    return figure.add_axes((box.left / width, bottom / height, box.width / width, box.height / height))


def frame(axes: Axes, ground: Ground, *, is_main: bool) -> None:
    """Prepare a panel: invalid areas show its hatched ground, and only the large one has numbers on its axes."""
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
    """Draw an array (Y', X'), colours or numbers, where it lies on the ground."""
    y, x = ground.y, ground.x
    image = axes.imshow(values, extent=(x.first, x.last, y.last, y.first), aspect="auto", **options)
    if ground.north_up:
        axes.set_ylim(*sorted((y.first, y.last)))
        axes.set_xlim(*sorted((x.first, x.last)))
    return image


def scale_bar(axes: Axes, axis: Axis) -> None:
    """Draw a bar of a round length, about a sixth of the panel, if lengths on the ground are known."""
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
