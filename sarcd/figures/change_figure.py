"""Figure of the result of a pair: both images, the evidence, and the outlines of the changes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.errors import OptionError
from sarcd.figures.panels import HATCH, LARGE, NO_DATA, PLAIN, SMALL, arrange, frame, panel, scale_bar, show_values
from sarcd.figures.view import View, made_by, view_of
from sarcd.geography.ground import Axis, Ground
from sarcd.optional import require
from sarcd.store.chunks import chunk_errors
from sarcd.store.openable import take
from sarcd.store.results import WhichPair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

_LINE, _INDENT = 0.17, 0.9  # inches

# Blue and orange are distinguishable with all types of colour vision (Okabe and Ito 2008); images are grey.
_MAPPED, _LABELLED = "#ff9a1f", "#35b1ff"
_BEFORE_HUE, _AFTER_HUE = np.array([1.0, 0.5, 0.0]), np.array([0.0, 0.5, 1.0])  # orange and blue, grey where equal


def plot(
    scene: xr.Dataset, *, pair: WhichPair = 0, variable: str | None = None, stretch_percent: float = 1.0
) -> Figure:
    """Draw the changes between two dates: the images, the evidence, and outlines over the later image.

    Large scenes are reduced by blocks to at most 1500 pixels a side: images by the mean power, maps so that a block
    with any changed pixel is changed. Areas and scores are those of the full scene.

    Parameters
    ----------
    scene : xr.Dataset
        Scene with `slc` or `amplitude` (time, y, x). `coherence`, `change_probability` or `change_score`, `change` and
        `label` (pair, y, x) are drawn if it has them.
    pair : int, str or (before, after)
        Position in the list of pairs, ``BEFORE:AFTER``, or two dates.
    variable : str, optional
        Result to draw, such as `change_night`, `change_probability_night`, `uncertainty` or `pseudo_label`; by default
        `change` and the probability or score that it was thresholded from.
    stretch_percent : float
        Percentage of pixels that are clipped to black, and to white; both images have the same limits.

    Returns
    -------
    matplotlib.figure.Figure
        11 to 16 inches wide; ``figure.savefig("changes.png")`` writes it. Global state of matplotlib is not changed.

    Raises
    ------
    SceneError
        If the scene has no images, or lacks `variable`.
    OptionError
        If the scene has no such pair, or an option is invalid.

    Examples
    --------
    >>> from sarcd.simulation import sites
    >>> figure = plot(sites.simulate("A", size=64))
    >>> figure.axes[0].get_xlabel()
    'slant range (m)'
    """
    scene = take(scene, results=True)
    if not 0 <= stretch_percent < 50:
        hint = "use 0 or more, and less than 50"
        raise OptionError(f"stretch_percent is {stretch_percent}", option="stretch_percent", hint=hint)
    source = schema.source_of(scene)
    with chunk_errors(source) if source else contextlib.nullcontext():
        view = view_of(scene, pair, variable)
    return _draw(view, stretch_percent)


def _draw(view: View, stretch_percent: float) -> Figure:
    require("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = [_decibels(image) for image in view.images]
    limits = _limits(np.concatenate([image.ravel() for image in images]), stretch_percent)
    panels = _panels(view)
    equal = len(panels) == 3 and not view.extents  # without a map, the main panel needs no extra space
    captions = _captions(view)
    boxes, width, height = arrange(panels, view.ground.ratio, equal=equal, captions=0.1 + _LINE * len(captions))
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    for name, box in boxes.items():
        axes = panel(figure, box)
        frame(axes, view.ground, is_main=name == "main")
        if name == "main":
            _main(axes, view, images, limits)
        elif name in ("before", "after"):
            number = ("before", "after").index(name)
            bar = _image(axes, view.ground, images[number], cmap="gray", limits=limits)
            bar.set_label("amplitude (dB)", fontsize=SMALL)
            axes.set_title(f"{name}: {view.dates[number]}", fontsize=PLAIN)
        elif name == "coherence":
            _image(axes, view.ground, view.layers["coherence"], cmap="cividis", limits=(0.0, 1.0))
            axes.set_title(_layer_title(view, "coherence"), fontsize=PLAIN)
        elif name == "evidence":
            _evidence(axes, view, stretch_percent)
        else:
            _composite(axes, view.ground, images, limits)
    _title(figure, view)
    left, bottom = _INDENT / width, 0.08 / height
    figure.text(left, bottom, "\n".join(captions), va="bottom", fontsize=SMALL, color="#333333")
    return figure


def _panels(view: View) -> list[str]:
    """Return the small panels in reading order."""
    if len(view.images) < 2:
        return []
    third = ["coherence"] if "coherence" in view.layers else ["composite"] if view.extents else []
    return ["before", "after", *third, *(["evidence"] if "evidence" in view.layers else [])]


def _decibels(amplitude: np.ndarray) -> np.ndarray:
    """Return amplitude in dB: -inf where it is 0, NaN where it is invalid."""
    with np.errstate(divide="ignore"):
        decibels: np.ndarray = 20 * np.log10(np.abs(amplitude))
    return decibels


def _limits(values: np.ndarray, percent: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, [percent, 100 - percent])
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _image(axes: Axes, ground: Ground, values: np.ndarray, *, cmap: str, limits: tuple[float, float]) -> Colorbar:
    seen = np.ma.masked_invalid(np.clip(values, *limits))
    image = show_values(axes, ground, seen, cmap=cmap, vmin=limits[0], vmax=limits[1])
    figure = cast("Figure", axes.figure)
    inch = 1 / (axes.get_position().width * figure.get_figwidth())  # as a fraction of the panel
    bar = figure.colorbar(image, cax=axes.inset_axes((1 + 0.08 * inch, 0.0, 0.12 * inch, 1.0)))
    bar.ax.tick_params(labelsize=SMALL)
    return bar


def _composite(axes: Axes, ground: Ground, images: list[np.ndarray], limits: tuple[float, float]) -> None:
    """Draw both dates as a colour composite: grey where unchanged, orange where darker, blue where brighter."""
    levels = [np.clip((image - limits[0]) / (limits[1] - limits[0]), 0, 1)[..., np.newaxis] for image in images]
    colours = levels[0] * _BEFORE_HUE + levels[1] * _AFTER_HUE
    valid = np.isfinite(colours).all(axis=-1)
    show_values(axes, ground, np.dstack([np.where(valid[..., np.newaxis], colours, 0), valid]))
    axes.set_title("orange: darker after, blue: brighter", fontsize=PLAIN)


def _evidence(axes: Axes, view: View, stretch_percent: float) -> None:
    values, attrs = view.layers["evidence"], view.attrs["evidence"]
    is_probability = schema.variable(view.names["evidence"]).name == "change_probability"
    limits = (0.0, 1.0) if is_probability else _limits(values, stretch_percent)
    bar = _image(axes, view.ground, values, cmap="magma", limits=limits)
    units = str(attrs.get("units", "1"))
    if units != "1":
        bar.set_label(units, fontsize=SMALL)
    if view.threshold is not None and limits[0] < view.threshold < limits[1]:
        bar.ax.axhline(view.threshold, color=_MAPPED, linewidth=2)
    axes.set_title(_layer_title(view, "evidence"), fontsize=PLAIN)


def _layer_title(view: View, role: str) -> str:
    titles = {
        "coherence": "coherence",
        "change_probability": "probability of change",
        "change_score": "evidence of change",
        "uncertainty": "uncertainty of the probability",
    }
    name = view.names[role]
    base = schema.variable(name).name
    return titles[base] if name == base else f"{titles[base]} ({name})"


def _main(axes: Axes, view: View, images: list[np.ndarray], limits: tuple[float, float]) -> None:
    """Draw the large panel: the later image with outlines, or without a map the composite or the only image."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ground = view.ground
    if not view.extents and len(images) == 2:
        _composite(axes, ground, images, limits)
    else:
        grey = np.ma.masked_invalid(np.clip(images[-1], *limits))
        show_values(axes, ground, grey, cmap="gray", vmin=limits[0], vmax=limits[1])
    handles: list[Any] = []
    for role, colour, width in (("labelled", _LABELLED, 3.0), ("mapped", _MAPPED, 1.5)):
        if role in view.extents:
            _outline(axes, ground, view.layers[role] == 1, colour, width)
            handles.append(Line2D([], [], color=colour, linewidth=width, label=_outline_label(view, role)))
    if any(np.isnan(image).any() for image in images):
        handles.append(Patch(facecolor=NO_DATA, edgecolor=HATCH, hatch="////", label="no data"))
    if view.extents or len(images) == 1:
        axes.set_title(f"{view.dates[-1]}, changes outlined" if view.extents else view.dates[-1], fontsize=PLAIN)
    if handles:
        figure = cast("Figure", axes.figure)
        corner = (_INDENT - 0.1) / figure.get_figwidth(), 1 - 0.4 / figure.get_figheight()
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=corner, ncols=3, fontsize=PLAIN, frameon=False)
    scale_bar(axes, ground.x)


def _outline_label(view: View, role: str) -> str:
    kind, alone = {"mapped": ("mapped", "false alarm"), "labelled": ("labelled", "missed")}[role]
    name = view.names[role]
    shown = "" if name in ("change", "label") else f" ({name})"
    note = f" (alone: {alone})" if len(view.extents) == 2 else ""
    return f"{kind} change{shown}: {view.extents[role]}{note}"


def _outline(axes: Axes, ground: Ground, inside: np.ndarray, colour: str, width: float) -> None:
    if not inside.any():
        return
    padded = np.pad(inside.astype(np.float32), 1)  # so that outlines close at the border
    y, x = (_padded_centres(axis, size) for axis, size in zip((ground.y, ground.x), inside.shape, strict=True))
    axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=[width])


def _padded_centres(axis: Axis, count: int) -> np.ndarray:
    centres = axis.centres(count)
    step = (axis.last - axis.first) / count
    return np.concatenate([[centres[0] - step], centres, [centres[-1] + step]])


def _title(figure: Figure, view: View) -> None:
    text = " to ".join(view.dates)
    if len(view.dates) == 2:
        text = f"Change from {text}"
    if view.days is not None and view.days >= 1:
        text = f"{text} ({view.days:g} days)"
    width, top = figure.get_figwidth(), 1 - 0.15 / figure.get_figheight()
    figure.text(_INDENT / width, top, text, va="top", fontsize=LARGE, fontweight="bold")
    if view.scores:
        scores = ",  ".join(f"{name} {value:.3f}" for name, value in view.scores.items()).replace("f1", "F1")
        figure.text(1 - 0.3 / width, top, f"against the labels:  {scores}", va="top", ha="right", fontsize=12)


def _captions(view: View) -> list[str]:
    """Return the lines below the panels: how the results were computed, and how they are reduced."""
    lines: list[str] = []
    for role in ("mapped", "evidence", "coherence"):
        made = made_by(view.attrs.get(role, {}))
        if made and not any(made in line for line in lines):
            name = view.names[role]
            lines.append(made if made.startswith(f"{name} ") else f"{name}: {made}")
    if view.factor != (1, 1):
        lines.append(f"{view.factor[0]} x {view.factor[1]} pixels of the scene per drawn pixel")
    if view.source is not None:
        lines.append(view.source)
    return lines
