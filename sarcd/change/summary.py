"""Summary layers of the changes of a scene of many dates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.change.coherence_history import named_dates, without_dates
from sarcd.change.intensity_tests import omnibus_test
from sarcd.change.pair_scores import WindowLooks
from sarcd.change.significance import aligned, window_looks
from sarcd.change.summary_source import OMNIBUS, check_options, choose, cut_at, digest, positions_of
from sarcd.config import SummaryOptions, Window, to_dict
from sarcd.conform.values import as_map, whole_numbers
from sarcd.engine.lazy import is_lazy, made_by_attrs, pointwise, window_map
from sarcd.errors import SceneError
from sarcd.store.openable import take

OPERATION = "summarise_changes"

LAYERS = ("change_count", "first_change", "last_change", "persistence", "omnibus_score")
"""All layers that a summary may hold."""


def summarise(
    scene: xr.Dataset,
    changes: xr.DataArray | str | None = None,
    *,
    threshold: float | None = None,
    persistence: bool = True,
    window: int | Window = 5,
    false_alarms: float = 0.01,
    looks: float | None = None,
    min_valid: float = 0.5,
) -> xr.Dataset:
    """Summarise for each pixel how often it changed, when first and last, and whether it reverted.

    Parameters
    ----------
    scene : xr.Dataset
        Of three dates or more, with the results if they are given by name, and with `slc` or `amplitude`
        (time, y, x), linear, for the persistence and the omnibus test.
    changes : DataArray or str, optional
        Change maps (1, 0, 255) or probabilities (float, NaN where invalid) over consecutive dates, (pair, y, x), of any
        test or network; or their name in the scene; or ``omnibus``, the changes that `omnibus_test` finds. By default
        the scene's `change_probability`, or else its `change`, or else ``omnibus``.
    threshold : float, optional
        Probability from which a pixel counts as changed; by default the threshold of the map made from the
        probabilities, where it is known, else 0.5. A score has no default.
    persistence : bool
        Whether to compute that layer, the only one that needs the images when maps are summarised.
    window : int or Window
        Odd size in pixels of the window over which dates are compared, for the persistence and the omnibus test.
    false_alarms : float
        False-alarm rate of that comparison.
    looks, min_valid
        As in `ratio_test`, for that comparison.

    Returns
    -------
    xr.Dataset
        Layers (y, x), lazy if the changes are: `change_count` uint8 (255 unknown); `first_change` and `last_change`
        int16, the index in time order of the date that shows the change (0 none, since the first date shows none; -1
        unknown); and `persistence` float32, the fraction of the dates since the first change that still differ from
        the dates before it: 1 persistent, 0 reverted at once, NaN without a change, where it shows only on the last
        date, and where these images do not show it (a map may rest on more than intensity and coherence over a window).
        Dates are given as indices because every raster format supports integers; the attribute `dates` lists them.
        ``omnibus`` adds `omnibus_score` float32.

    Raises
    ------
    SceneError
        If the scene has fewer than three dates, or no such variable.
    OptionError
        If changes of some consecutive dates are missing, or an option cannot be used.

    See Also
    --------
    sarcd.change.kernels.summary.persistence : when a date counts as reverted.
    sarcd.jobs.summarise : the same, stored and resumable.

    Examples
    --------
    >>> from sarcd import change
    >>> from sarcd.simulation import sites
    >>> scene = sites.simulate("A", size=64, dates=4)
    >>> found = summarise(scene, change.ratio_test(scene).change)
    >>> sorted(found.data_vars)
    ['change_count', 'first_change', 'last_change', 'persistence']
    >>> int(found.last_change.max()) <= 3
    True
    """
    scene = take(scene, results=True)
    given = changes if isinstance(changes, xr.DataArray) else None
    of = changes if isinstance(changes, str) else None
    options = SummaryOptions(of, threshold, persistence, Window.of(window), false_alarms, looks, min_valid)
    return apply_summary(scene, fit_summary(scene, options, given), given)


@dataclass(frozen=True)
class FittedSummary:
    """Summary options together with what they need of the whole scene; small, and valid for any part of it.

    Parameters
    ----------
    options : SummaryOptions
        With defaults resolved.
    why : str
        Why these changes were chosen.
    dates : tuple of str
        Dates of the scene, in order.
    made_by : str or None
        Operation that made the changes.
    looks : WindowLooks, dask task or None
        Looks of the window in which dates are compared.
    """

    options: SummaryOptions
    why: str
    dates: tuple[str, ...]
    made_by: str | None = None
    looks: Any = None

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the summary."""
        wanted = {"persistence": self.options.persistence, "omnibus_score": self.options.of == OMNIBUS}
        return tuple(name for name in LAYERS if wanted.get(name, True))

    @property
    def halo(self) -> tuple[int, int]:
        """Pixels along y and x beyond its own region on which the result depends."""
        return self.options.window.halo if self.looks is not None else (0, 0)

    def attrs(self) -> dict[str, Any]:
        """Return attributes that record how the summary was made, and from which dates."""
        parameters: dict[str, Any] = {"of": self.options.of, "dates": len(self.dates), "until": self.dates[-1]}
        parameters |= {"made_by": self.made_by} if self.made_by is not None else {}
        parameters |= {"threshold": self.options.threshold} if self.options.threshold is not None else {}
        parameters |= {"exclude_dates": list(self.options.exclude_dates)} if self.options.exclude_dates else {}
        if self.looks is not None:
            compared = ("persistence", "window", "false_alarms", "looks", "min_valid")
            parameters |= {name: value for name, value in to_dict(self.options).items() if name in compared}
        attrs = made_by_attrs(OPERATION, parameters) | {"why": self.why, "dates": list(self.dates)}
        return attrs | ({"effective_looks": self.looks.power} if isinstance(self.looks, WindowLooks) else {})


def fit_summary(
    scene: xr.Dataset, options: SummaryOptions | None = None, changes: xr.DataArray | None = None
) -> FittedSummary:
    """Choose what to summarise if the options leave it open, and measure what is needed of the whole scene.

    Parameters
    ----------
    scene : xr.Dataset
        As in `summarise`.
    options : SummaryOptions, optional
        Options of the summary.
    changes : DataArray, optional
        Maps that are not a variable of the scene.

    Raises
    ------
    SceneError, OptionError
        As in `summarise`.
    """
    options = options or SummaryOptions()
    if options.exclude_dates:
        options = replace(options, exclude_dates=named_dates(schema.dates_of(scene, "time"), options.exclude_dates))
        scene = without_dates(scene, options.exclude_dates)
    times = np.sort(schema.dates_of(scene, "time"))
    if len(times) < 3:
        raise SceneError(
            f"time has {len(times)} date{'s'[: len(times) != 1]}; a summary needs 3",
            source=schema.source_of(scene),
            hint="add images with 'sarcd ingest --append'; the map of two dates is their summary",
        )
    of, why = (None, "given") if changes is not None else choose(scene, options.of)
    maps = changes if changes is not None else scene.get(of)
    if maps is not None:
        of = of or (None if maps.name is None else str(maps.name))
        positions_of(scene, maps)
    check_options(options, of, maps)
    options = replace(options, of=of, threshold=cut_at(scene, maps, options.threshold))
    looks = None
    if options.persistence or of == OMNIBUS:
        schema.images_of(scene)
        dates = len(times) if of == OMNIBUS else 2
        looks = window_looks(scene, options.window, options.looks, options.false_alarms, dates)
    return FittedSummary(options, why, tuple(map(str, times)), None if maps is None else digest(maps), looks)


def apply_summary(
    scene: xr.Dataset, fitted: FittedSummary, changes: xr.DataArray | None = None, *, first_row: int = 0
) -> xr.Dataset:
    """Summarise a scene, or a part of one that is held in memory.

    Parameters
    ----------
    scene : xr.Dataset
        The scene that the summary was fitted to, or a part of it with a halo.
    fitted : FittedSummary
        From `fit_summary`.
    changes : DataArray, optional
        The maps that the summary was fitted to, unless the scene holds them.
    first_row : int
        Row of the scene at which the part begins.

    Returns
    -------
    xr.Dataset
        As `summarise`.
    """
    options, layers = fitted.options, dict[str, Any]()
    scene = without_dates(scene, options.exclude_dates)
    if changes is None and options.of == OMNIBUS:
        # a dask task cannot be passed on as a number; omnibus_test builds the same task
        looks = fitted.looks if isinstance(fitted.looks, WindowLooks) else options.looks
        found = omnibus_test(
            scene,
            window=options.window,
            false_alarms=options.false_alarms,
            looks=looks,
            min_valid=options.min_valid,
        )
        changes, layers["omnibus_score"] = found["change"], found["omnibus_score"].data
    maps = schema.require(scene, str(options.of)) if changes is None else changes
    decided = _in_order(scene, maps, options.threshold)
    layers |= _counted(decided)
    if options.persistence:
        layers["persistence"] = _followed(scene, decided, fitted, first_row)
    return _named(decided, {name: layers[name] for name in fitted.layers}, fitted.attrs())


def _in_order(scene: xr.Dataset, changes: xr.DataArray, threshold: float | None) -> xr.DataArray:
    """Return change maps of consecutive dates in time order."""
    ordered = changes.transpose("pair", "y", "x").isel(pair=positions_of(scene, changes))
    if threshold is None:
        return whole_numbers(ordered, schema.VARIABLES["change"])
    known = schema.known(changes.name)
    name = None if known is not None and known.name == "change_score" else str(changes.name)
    return pointwise(partial(_above, threshold=threshold, probability=name), ordered, dtype=np.uint8)


def _above(values: np.ndarray, threshold: float, probability: str | None) -> np.ndarray:
    """Threshold values; reject probabilities above 1, which are percentages or a map in which 255 is unknown."""
    if probability is not None and (values > 1).any():
        raise SceneError(
            f"'{probability}' holds {np.nanmax(values):g}, but probabilities end at 1",
            hint=f"divide percentages by 100; a map of 0, 1 and 255 is uint8: {as_map(probability)}",
        )
    return np.where(np.isnan(values), schema.NO_LABEL, values >= threshold).astype(np.uint8)


def _counted(decided: xr.DataArray) -> dict[str, Any]:
    names = ("change_count", "first_change", "last_change")
    if not is_lazy(decided):
        return dict(zip(names, _count_block(decided.values), strict=True))
    import dask.array as da

    whole = decided.data.rechunk({0: -1})
    three = da.map_blocks(
        _count_block, whole, dtype=np.int16, chunks=((3,), *whole.chunks[1:]), meta=np.empty((0, 0, 0), np.int16)
    )
    return {name: three[i] for i, name in enumerate(names)}


def _count_block(changed: np.ndarray) -> np.ndarray:
    from sarcd.change.kernels.summary import count_changes

    return np.stack([layer.astype(np.int16) for layer in count_changes(changed)])


def _followed(scene: xr.Dataset, decided: xr.DataArray, fitted: FittedSummary, first_row: int) -> Any:
    """Return the persistence of changes."""
    options, images = fitted.options, schema.images_of(scene)
    dates = np.argsort(schema.dates_of(scene, "time"))
    return window_map(
        partial(
            _persistence,
            dates=len(dates),
            window=options.window,
            false_alarms=options.false_alarms,
            min_valid=options.min_valid,
            first_row=first_row,
        ),
        [*(images[date] for date in dates), *aligned(images, decided, "changes", len(dates) - 1)],
        halo=options.window.halo,
        dtype="float32",
        measured={"looks": fitted.looks},
        placed=True,
    )


def _persistence(
    *layers: np.ndarray,
    dates: int,
    window: Window,
    false_alarms: float,
    min_valid: float,
    looks: WindowLooks,
    first_row: int,
) -> np.ndarray:
    from sarcd.change.kernels.summary import persistence

    return persistence(
        layers[:dates],
        layers[dates:],
        window=(window.y, window.x),
        looks=(looks.power, looks.coherence),
        false_alarms=false_alarms,
        min_valid=min_valid,
        first_row=first_row,
    )


def _named(decided: xr.DataArray, layers: dict[str, Any], attrs: dict[str, Any]) -> xr.Dataset:
    coords = {key: decided[key] for key in ("y", "x", "spatial_ref") if key in decided.coords}
    grid_mapping = {"grid_mapping": "spatial_ref"} if "spatial_ref" in coords else {}
    arrays = {}
    for name, layer in layers.items():
        wanted = schema.variable(name)
        array = xr.DataArray(layer, dims=wanted.dims, coords=coords).astype(wanted.dtype)
        arrays[name] = array.assign_attrs({**wanted.attrs(), **grid_mapping, **attrs})
    return xr.Dataset(arrays)
