"""Figure of the errors of a map: hits, misses and false alarms."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

import sarcd
from sarcd import schema
from sarcd.errors import OptionError
from sarcd.figures.panels import arrange, frame, panel, scale_bar, show_values
from sarcd.figures.view import in_chunks, overview, reduction_for
from sarcd.geography.ground import ground_of
from sarcd.metrics import evaluate
from sarcd.optional import require
from sarcd.store.openable import take
from sarcd.store.results import WhichPair, pair_position, pair_texts, pairs_in
from sarcd.store.storage import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST = 1500
"""Maximum size of the drawn map in pixels a side."""

# Distinguishable with all types of colour vision (Okabe and Ito 2008), and by lightness.
COLOURS = {"hits": "#009e73", "false alarms": "#56b4e9", "misses": "#d55e00"}
"""Classes in drawing order."""

_UNCHANGED = "#f2f2f2"
_DOTS_AN_INCH = 80
_INDENT, _TOP, _LINE = 0.9, 0.15, 0.3  # inches


def plot_errors(
    scene: xr.Dataset,
    *,
    pair: WhichPair = 0,
    variable: str = "change",
    truth: str = "label",
    title: str | None = None,
) -> Figure:
    """Draw the hits, misses and false alarms of a map of change.

    No image is drawn, so that the figure discloses no data but the map. Large scenes are reduced by blocks to at most
    1500 pixels a side. A block shows a miss if it has any, otherwise a false alarm, otherwise a hit.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with the map and the labels, (pair, y, x) uint8: 1 changed, 0 unchanged, 255 unknown.
    pair : int, str or (before, after)
        As in `sarcd.figures.change_figure.plot`.
    variable, truth : str
        Names of the map and the labels.
    title : str, optional
        Title; by default the name of the map and the dates.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig("errors.png")`` writes it. The global state of matplotlib is not changed.

    Raises
    ------
    SceneError
        If the map or the labels are missing, or nothing is labelled.
    OptionError
        If the scene has no such pair, or the variable is not a map.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> scene = sites.simulate("A", size=64)
    >>> figure = plot_errors(scene.assign(scene.sarcd.detect(method="auto-label-free")))
    >>> [text.get_text().split(":")[0] for text in figure.legends[0].get_texts()]
    ['hits', 'false alarms', 'misses', 'unknown']
    """
    require("matplotlib")
    scene = take(scene, images=False)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    position = pair_position(scene, pair)
    one = scene.isel(pair=[position])
    if schema.require(one, variable).dtype.kind not in "bui":
        raise OptionError(f"'{variable}' is not a map of 0 and 1", option="variable", hint="use a map, such as change")
    scores = evaluate(one, variable=variable, truth=truth)
    kinds, counts = _kinds(one[variable][0], one[schema.require(one, truth).name][0])
    ground = ground_of(scene)
    boxes, width, height = arrange([], ground.ratio)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = panel(figure, boxes["main"])
    frame(axes, ground, is_main=True)
    colours = ListedColormap([_UNCHANGED, *COLOURS.values()])
    values = np.ma.masked_equal(kinds, schema.NO_LABEL)
    show_values(axes, ground, values, cmap=colours, vmin=-0.5, vmax=3.5, interpolation="nearest")
    scale_bar(axes, ground.x)
    handles = [Patch(color=colour, label=f"{name}: {counts[name]:,} pixels") for name, colour in COLOURS.items()]
    if counts["unknown"]:
        unknown = Patch(hatch="////", label=f"unknown: {counts['unknown']:,} pixels")
        unknown.set(facecolor=axes.get_facecolor(), edgecolor=axes.patch.get_edgecolor())
        handles.append(unknown)
    left, top = _INDENT / width, 1 - _TOP / height
    heading = title or f"{variable}, {' to '.join(pair_texts([pairs_in(scene)[position]])[0])}"
    figure.text(left, top, heading, va="top", fontsize=14, fontweight="bold")
    summary = f"kappa {float(scores['kappa'][0]):.3f},  F1 {float(scores['f1'][0]):.3f}"
    figure.text(1 - 0.3 / width, top, summary, va="top", ha="right", fontsize=12)
    corner = left - 0.1 / width, top - _LINE / height
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=4, fontsize=10, frameon=False)
    return figure


def write_errors(
    path: str | Path,
    scene: xr.Dataset,
    *,
    pair: WhichPair = 0,
    variable: str = "change",
    truth: str = "label",
    title: str | None = None,
) -> None:
    """Write the figure of `plot_errors` as a PNG file, atomically; an existing file is replaced.

    Parameters
    ----------
    path : str or Path
        File to write, ``.png``.
    scene, pair, variable, truth, title
        As in `plot_errors`.

    Raises
    ------
    OptionError
        If the suffix is not ``.png``, or the scene has no such pair.
    SceneError
        As `plot_errors`.
    StoreError
        If the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise OptionError(f"'{path}' is not a PNG file", option="picture", hint="use a name that ends in .png")
    buffer = io.BytesIO()
    figure = plot_errors(scene, pair=pair, variable=variable, truth=truth, title=title)
    figure.savefig(buffer, format="png", dpi=_DOTS_AN_INCH, metadata={"Software": f"sarcd {sarcd.__version__}"})
    write_atomic(Path(path), buffer.getvalue())


def _kinds(change: xr.DataArray, label: xr.DataArray) -> tuple[np.ndarray, dict[str, int]]:
    """Return classes (Y', X') uint8 (0 unchanged, 1 hit, 2 false alarm, 3 miss, 255 unknown), and pixel counts."""
    from dask.base import compute

    change, label = in_chunks(change), in_chunks(label)
    known = (change != schema.NO_LABEL) & (label != schema.NO_LABEL)
    parts = {
        "hits": (change == 1) & (label == 1),
        "false alarms": (change == 1) & (label == 0),
        "misses": (change == 0) & (label == 1),
    }
    factor = reduction_for((change.sizes["y"], change.sizes["x"]), LONGEST)
    maps = [part.astype("uint8").where(known, schema.NO_LABEL).astype("uint8") for part in parts.values()]
    layers = [overview(each, factor) for each in maps]
    sums = {name: part.sum().data for name, part in parts.items()} | {"unknown": (~known).sum().data}
    drawn, counts = compute(layers, sums)
    kinds = np.where(drawn[0] == schema.NO_LABEL, schema.NO_LABEL, 0)
    for number, layer in enumerate(drawn, start=1):
        kinds[layer == 1] = number
    return kinds.astype(np.uint8), {name: int(count) for name, count in counts.items()}
