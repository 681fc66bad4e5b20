"""Change detection on a stored scene, without labels, written to its store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import xarray as xr
import zarr

from sarcd import config, schema
from sarcd.attributes import FITTED, encode, fitted_of, parameters_of
from sarcd.change.coherence_history import named_dates, say, without_dates, without_pairs
from sarcd.change.coherence_past import bad_dates
from sarcd.config import CoherenceOptions, DetectOptions, PredictOptions
from sarcd.config.detection import CHOOSING
from sarcd.detection.auto import PRETRAINED, choose, is_pretrained, refuse_device, require_networks
from sarcd.detection.fitted import OPERATION, Fitted
from sarcd.detection.label_free import apply, fit
from sarcd.engine.memory import cores, left, share_out
from sarcd.engine.run import JobResult, choose_pairs, count_regions, pair_positions, run_regions
from sarcd.engine.tasks import Opened, Progress, return_memory, silent
from sarcd.jobs.fit_check import warn_of_misfits, warn_of_much
from sarcd.models.pretrained import MINES
from sarcd.store.chunks import chunk_errors
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import variable_name
from sarcd.store.scene import SceneStore, open_scene, publish

_BYTES_PER_PIXEL = 200  # per region in progress: both images with their halo, in double precision where they are summed
_TOLD = ("why", "long_name", "units")  # attributes copied from a result, besides the parameters that are compared
_BYTES_PER_DATE = 40  # and for each earlier date whose coherence is used


def detect(  # noqa: PLR0913  one argument per option, as in the command
    path: str | Path,
    options: DetectOptions | None = None,
    *,
    pairs: str | None = None,
    name: str = "",
    device: str = "auto",
    overwrite: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> JobResult:
    """Detect changes as `sarcd.detect` does, and write the result to the store.

    The map of the pretrained network is that of `sarcd.jobs.predict`, which does not compute it a second time.

    Parameters
    ----------
    path : str or Path
        Scene.
    options : DetectOptions, optional
        Method and its options.
    pairs : str, optional
        As in `sarcd.jobs.coherence`.
    name : str
        Appended to the names of the variables after an underscore.
    device : str
        Device of the pretrained network: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    overwrite : bool
        Replace a result made with other settings.
    memory_bytes : int, optional
        As in `sarcd.jobs.coherence`.
    progress : callable
        Progress reporter; see `Progress`.
    note : callable
        Called with a line about each choice that was made automatically.
    **settings
        Single options by the names of the fields of `DetectOptions`, in place of those of `options`.

    Returns
    -------
    JobResult
        Variables written, and regions computed by this run and by earlier runs.

    Raises
    ------
    SceneError, OptionError
        As `sarcd.detection.detect`.
    MismatchError
        If the store holds a result made with other settings and `overwrite` is False.
    """
    options = config.with_keywords(DetectOptions, options, settings)
    scene = open_scene(path)
    if is_pretrained(scene, options):
        how = PredictOptions(device=device, memory_bytes=memory_bytes)
        chosen = options.method == "auto"
        return _by_pretrained(path, how, pairs, name, chosen, overwrite=overwrite, progress=progress, note=note)
    refuse_device(device)
    store = SceneStore(path)
    _refuse_other(scene, store, options, name, overwrite=overwrite)
    positions = choose_pairs(store, pairs)
    times, dates = store.dates("time"), pair_positions(store)
    scene = open_scene(path)  # again, now with the requested pairs
    if options.exclude_dates:
        left_out = named_dates(np.asarray(times), options.exclude_dates)
        listed = {position: (times[dates[position][0]], times[dates[position][1]]) for position in positions}
        kept = without_pairs(list(listed.values()), left_out)
        note(say(list(listed.values()), kept, np.asarray(times), left_out))
        positions = [position for position in positions if listed[position] in kept]
    of_levels: list[str] = []  # reported only if there is something to compute
    few = {"num_workers": _workers(memory_bytes, schema.images_of(scene).data.chunksize[1:], len(times))}
    with chunk_errors(path), zarr.config.set({"async.concurrency": 4}), dask.config.set(few):
        wanted = [(times[dates[position][0]], times[dates[position][1]]) for position in positions]
        earlier = {} if overwrite else _attrs_of(store, variable_name("change", name))
        fitted = fit(scene, options, pairs=wanted, earlier=earlier, progress=progress, note=of_levels.append)
        found = apply(scene, fitted)
    if fitted.history is not None:
        for line in bad_dates(
            schema.dates_of(without_dates(scene, options.exclude_dates), "time"), fitted.history.levels
        ):
            note(line)
    if options.method in CHOOSING:
        note(f"{fitted.options.method}: {fitted.why}")
    base = {variable_name(str(kind), name): str(kind) for kind in found.data_vars}
    for variable in base:
        schema.variable(variable)
    made_by = MadeBy(OPERATION, parameters_of(fitted.attrs()))
    with stage(store, list(base), positions, made_by, overwrite=overwrite) as staging:
        regions = staging.missing()
        if regions:
            for line in of_levels:
                note(line)
            if "slc" in scene and fitted.options.size.pixels > 1:
                warn_of_misfits(store, scene, positions, CoherenceOptions(window=fitted.options.size), note)
            maps = Opened(partial(_maps, store.address, fitted), found)
            return_memory()  # of the pass that fits the method
            workers = _workers(memory_bytes, staging.grid, len(times))  # a region may be a shard of many chunks
            compute = _Detection(maps, tuple(base.items()), tuple(positions))
            run_regions(staging, regions, compute, description="detect", progress=progress, workers=workers)
        for variable, source in base.items():
            attrs, stored = found[source].attrs, _attrs_of(store, variable)
            told = {key: attrs[key] for key in _TOLD if key in attrs}
            store.set_attrs(variable, told | {FITTED: encode(_together(fitted_of(stored), fitted_of(attrs)))})
        total = count_regions(staging)
        staging.finish()
    if regions:
        warn_of_much(store, next(name for name, kind in base.items() if kind == "change"), positions, note)
    return JobResult(tuple(base), len(positions), len(regions), total - len(regions))


def _by_pretrained(
    path: str | Path,
    options: PredictOptions,
    pairs: str | None,
    name: str,
    chosen: bool,
    *,
    overwrite: bool,
    progress: Progress,
    note: Callable[[str], None],
) -> JobResult:
    """Map the changes with the pretrained network; report and store the reason if it was chosen automatically."""
    require_networks()
    from sarcd.jobs.stored_prediction import predict

    if chosen:
        note(PRETRAINED)
    result = predict(path, MINES, options, pairs=pairs, name=name, overwrite=overwrite, progress=progress, note=note)
    store, change = SceneStore(path), variable_name("change", name)
    if chosen and _attrs_of(store, change).get("why") != PRETRAINED:
        store.set_attrs(change, {"why": PRETRAINED})
        publish(store, add=[change])
    return result


def _refuse_other(scene: xr.Dataset, store: SceneStore, options: DetectOptions, name: str, *, overwrite: bool) -> None:
    """Refuse an existing result that was made with other settings, before the scene is read."""
    kinds = ["change_score", "change", *(["uncertainty"] if options.uncertainty else [])]
    names = [variable_name(kind, name) for kind in kinds]
    for variable in names:
        schema.variable(variable)
    method = choose(scene, options)[0] if options.method in CHOOSING else options.method
    options = replace(options, method=method)  # type: ignore[arg-type]  # one of the methods
    if options.exclude_dates:
        options = replace(options, exclude_dates=named_dates(store.dates("time"), options.exclude_dates))
    used = options.used
    refuse_mismatch(store, names, MadeBy(OPERATION, used), overwrite=overwrite, partly=True)


def _attrs_of(store: SceneStore, name: str) -> dict[str, Any]:
    return dict(store.array(name).attrs) if name in store else {}


def _together(earlier: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was fitted to each pair by this run and by earlier runs, in the order of the pairs' dates."""
    facts = {(fact["before"], fact["after"]): fact for fact in [*earlier, *now]}
    return [facts[dates] for dates in sorted(facts)]


def _workers(memory_bytes: int | None, shape: tuple[int, ...], dates: int) -> int:
    """Return how many regions of a shape may be computed at a time."""
    pixels = math.prod(shape)
    shares = share_out(
        memory_bytes,
        left(memory_bytes),
        region_bytes=(_BYTES_PER_PIXEL + _BYTES_PER_DATE * dates) * pixels,
        chunk_bytes=8 * pixels,
        workers=cores(),
    )
    return shares.workers


def _maps(address: str, fitted: Fitted) -> xr.Dataset:
    # A worker reads its own dates: as tasks of the cluster, they would wait for the task that waits for them.
    with dask.config.set(scheduler="synchronous"):
        return apply(open_scene(address), fitted)


@dataclass(frozen=True)
class _Detection:
    """Callable that computes the variables of a region; thread-safe."""

    maps: Opened[xr.Dataset]
    names: tuple[tuple[str, str], ...]  # name in the store, name in the result
    positions: tuple[int, ...]

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        """Return the values of a region by variable name."""
        part = self.maps()[[source for _, source in self.names]].isel(
            pair=self.positions.index(region.pair), y=region.y, x=region.x
        )
        values = part.compute(scheduler="synchronous")  # other threads compute other regions
        return {name: values[source].values for name, source in self.names}
