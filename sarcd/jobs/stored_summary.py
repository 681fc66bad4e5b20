"""Summary layers of the changes of a stored scene of many dates, written to its store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from sarcd import config, schema
from sarcd.attributes import PARAMETERS, decode
from sarcd.change.summary import LAYERS, OPERATION, FittedSummary, apply_summary, fit_summary
from sarcd.change.summary_source import OMNIBUS
from sarcd.config import SummaryOptions
from sarcd.engine.memory import Shares, cores, left, share_out
from sarcd.engine.run import JobResult, count_regions, in_bands, run_regions
from sarcd.engine.tasks import Opened, Progress, Rectangle, grow, inside, silent
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.reader import SceneReader
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import variable_name
from sarcd.store.scene import SceneStore, open_scene, publish

_BYTES_PER_PIXEL = 200  # per region in progress: intensities, coherence and p-values of two dates, in double precision
_BYTES_PER_DATE = 36  # and for each date the image, its intensity in single and double precision, and its change flags


def summarise(
    path: str | Path,
    options: SummaryOptions | None = None,
    *,
    name: str = "",
    overwrite: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> JobResult:
    """Summarise the changes of many dates and write the layers to the store; see `sarcd.change.summarise`.

    Parameters
    ----------
    path : str or Path
        Scene of three or more dates.
    options : SummaryOptions, optional
        Which changes are summarised, and how dates are compared.
    name : str
        Appended to the names of the layers after an underscore.
    overwrite : bool
        Replace a result made with other settings or from fewer dates.
    memory_bytes : int, optional
        As in `sarcd.jobs.coherence`.
    progress : callable
        Progress reporter; see `Progress`.
    note : callable
        Called with a line about each choice that was made automatically.
    **settings
        Single options by the names of the fields of `SummaryOptions`, in place of those of `options`.

    Returns
    -------
    JobResult
        Variables written, and regions computed by this run and by earlier runs; `pairs` counts the summarised pairs.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.change.summarise`; also if the memory is not enough for one region.
    MismatchError
        If the store holds a result made with other settings and `overwrite` is False.
    """
    options = config.with_keywords(SummaryOptions, options, settings)
    scene, store = open_scene(path, chunks=None), SceneStore(path)
    asked = {} if options.of is None else {"of": options.of}
    every = [variable_name(layer, name) for layer in LAYERS]
    refuse_mismatch(store, every, MadeBy(OPERATION, asked), overwrite=overwrite, partly=True)
    require_finished(store, [images for images in schema.IMAGES if images in scene])
    with chunk_errors(path):
        fitted = fit_summary(scene, options)
    require_finished(store, [str(fitted.options.of)])  # the omnibus test has no array
    _tell(options, fitted, note)
    names = {variable_name(layer, name): layer for layer in fitted.layers}
    for variable in names:
        schema.variable(variable)
    attrs = fitted.attrs()
    made_by = MadeBy(OPERATION, decode(attrs.pop(PARAMETERS)))
    shares = _plan(memory_bytes, fitted, store.grid)
    with stage(store, list(names), [0], made_by, overwrite=overwrite) as staging:
        # in_bands assumes the images of two dates, but here the cache holds those of all dates
        regions = in_bands(staging.missing(), staging.grid, 2 * shares.cache_bytes // len(fitted.dates))
        if regions:
            reader = Opened(partial(SceneReader, store.address, cache_bytes=shares.cache_bytes))
            compute = _Summary(reader, fitted, tuple(names.items()))
            run_regions(staging, regions, compute, description="summarise", progress=progress, workers=shares.workers)
        if staging.unfinished:
            for variable in names:
                store.set_attrs(variable, attrs)
        total = count_regions(staging)
        staging.finish()
    _mark_others(store, name, names)
    return JobResult(tuple(names), len(fitted.dates) - 1, len(regions), total - len(regions))


def _tell(options: SummaryOptions, fitted: FittedSummary, note: Callable[[str], None]) -> None:
    """Report the choices that were made automatically."""
    if fitted.options.exclude_dates:
        left_out = ", ".join(date.partition("T")[0] for date in fitted.options.exclude_dates)
        note(f"{left_out} left out: changes are those of the pairs across")
    if options.of is None:
        note(f"{fitted.options.of}: {fitted.why}")
    if fitted.options.threshold is not None and options.threshold is None:
        note(f"a change from a probability of {fitted.options.threshold:g} on")


def _plan(memory_bytes: int | None, fitted: FittedSummary, grid: tuple[int, int]) -> Shares:
    (height, width), (halo_y, halo_x) = grid, fitted.halo
    per_pixel = _BYTES_PER_PIXEL + _BYTES_PER_DATE * len(fitted.dates)
    return share_out(
        memory_bytes,
        left(memory_bytes),
        region_bytes=per_pixel * (height + 2 * halo_y) * (width + 2 * halo_x),
        chunk_bytes=8 * height * width,
        workers=cores(),
    )


def _mark_others(store: SceneStore, name: str, written: dict[str, str]) -> None:
    """Mark as stale the layers of an earlier summary that this one, made with other settings, has not replaced."""
    every = {variable_name(layer, name) for layer in LAYERS}
    others = sorted((every - set(written)) & set(store.published()))
    for other in others:
        store.set_attrs(other, {"sarcd_stale": "the other layers were made anew since, without this one"})
    if others:
        publish(store, add=others)


@dataclass(frozen=True)
class _Summary:
    """Callable that computes the layers of a region; thread-safe."""

    reader: Opened[SceneReader]
    fitted: FittedSummary
    names: tuple[tuple[str, str], ...]  # name in the store, name of the layer

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        """Return the values of a region by variable name."""
        core = region.y, region.x
        window = grow(core, self.fitted.halo, self.reader().shape)
        found = apply_summary(self._part(window), self.fitted, first_row=window[0].start)
        return {name: found[layer].values[inside(core, window)] for name, layer in self.names}

    def _part(self, window: Rectangle) -> xr.Dataset:
        """Return a rectangle of all variables that the summary uses, in memory."""
        reader = self.reader()
        scene, arrays = reader.scene, {}
        if self.fitted.looks is not None:
            arrays[reader.images] = self._planes(reader.images, range(scene.sizes["time"]), window)
        if self.fitted.options.of != OMNIBUS:
            name = str(self.fitted.options.of)
            arrays[name] = self._planes(name, range(scene.sizes["pair"]), window)
        coords: dict[str, Any] = {name: scene[name] for name in ("time", "before", "after") if name in scene.coords}
        return xr.Dataset(arrays, coords)

    def _planes(self, name: str, positions: range, window: Rectangle) -> xr.Variable:
        reader = self.reader()
        stored = reader.scene[name]
        out = np.empty((len(positions), *(part.stop - part.start for part in window)), stored.dtype)
        for position in positions:
            out[position] = reader.plane(name, position, *window)
        return xr.Variable(stored.dims, out, stored.attrs)
