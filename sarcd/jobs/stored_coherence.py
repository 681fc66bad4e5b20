"""Coherence of a stored scene, written to its store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import config, schema
from sarcd.config import CoherenceOptions
from sarcd.engine.memory import Shares, cores, left, share_out
from sarcd.engine.run import JobResult, choose_pairs, count_regions, in_bands, pair_positions, run_regions
from sarcd.engine.tasks import Opened, Progress, Rectangle, grow, inside, silent
from sarcd.errors import SceneError
from sarcd.estimation.coherence_layers import estimate
from sarcd.estimation.looks import Calibration, calibrate
from sarcd.jobs.fit_check import warn_of_misfits
from sarcd.store.chunks import chunk_errors, require_finished
from sarcd.store.reader import SceneReader
from sarcd.store.regions import MadeBy, Region, refuse_mismatch, stage
from sarcd.store.results import sibling
from sarcd.store.scene import SceneStore, open_scene

_BYTES_PER_PIXEL = {"boxcar": 24}  # per region in progress: both images, the result, and the kernel's memory
_BYTES_PER_PIXEL_OF_OTHERS = 64
_MOST_WORKERS = 16  # more would only wait for the store


def coherence(  # noqa: PLR0913  the arguments of every job, and two options
    path: str | Path,
    options: CoherenceOptions | None = None,
    *,
    pairs: str | None = None,
    name: str = "coherence",
    phase: bool = False,
    overwrite: bool = False,
    memory_bytes: int | None = None,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
    **settings: Any,
) -> JobResult:
    """Estimate coherence and write it to the store.

    Parameters
    ----------
    path : str or Path
        Scene with `slc`.
    options : CoherenceOptions, optional
        Window and estimator.
    pairs : str, optional
        Policy or list as in `sarcd.store.pairs.select_pairs`; by default all pairs of the store. New pairs are added to
        the store's list.
    name : str
        Variable to write: `coherence`, with or without a suffix.
    phase : bool
        Also write the phase, as `coherence_phase` with the same suffix.
    overwrite : bool
        Replace a result made with other options.
    memory_bytes : int, optional
        Memory of the whole process in bytes. The default is the memory in use plus half of the free memory, at most
        1 GiB.
    progress : callable
        Progress reporter; see `Progress`.
    note : callable
        Called with a line about each pair whose images do not seem to match.
    **settings
        Single options by the names of the fields of `CoherenceOptions`, in place of those of `options`.

    Returns
    -------
    JobResult
        Variables written, and regions computed by this run and by earlier runs.

    Raises
    ------
    SceneError
        If the scene has no `slc` or fewer than two dates, if the looks are needed and the sample that they are measured
        on has no valid pixels, or if `name` is not the name of a coherence variable.
    OptionError
        If the memory is not enough for one region.
    MismatchError
        If the store holds a result made with other options and `overwrite` is False.
    """
    options = config.with_keywords(CoherenceOptions, options, settings)
    if schema.variable(name).name != "coherence":
        raise SceneError(
            f"'{name}' is not the name of a coherence variable", hint="use coherence, or coherence_ and another suffix"
        )
    names = [name, sibling(name, "coherence_phase")] if phase else [name]
    scene = open_scene(path, chunks=None)
    schema.require(scene, "slc")
    store, made_by = SceneStore(path), MadeBy("coherence", config.to_dict(options))
    refuse_mismatch(store, names, made_by, overwrite=overwrite)
    require_finished(store, ["slc"])
    positions = choose_pairs(store, pairs)
    dates = pair_positions(store)
    # Everything that may fail comes first, since staging with `overwrite` removes the existing result.
    shares = _plan(memory_bytes, options, store.grid)
    with chunk_errors(path):
        calibration = calibrate(scene, options, [dates[position] for position in positions])
    with stage(store, names, positions, made_by, overwrite=overwrite) as staging:
        regions = in_bands(staging.missing(), staging.grid, shares.cache_bytes)
        if regions or staging.unfinished:
            warn_of_misfits(store, scene, positions, options, note)
            reader = Opened(partial(SceneReader, store.address, cache_bytes=shares.cache_bytes))
            recorded = calibration
            with chunk_errors(path), ThreadPoolExecutor(1) as aside:
                if calibration.looks is None:  # recorded, although the estimate does not need them
                    later = aside.submit(calibrate, scene, options, [], always_looks=True)
                compute = _Coherence(reader, dates, options, calibration, names)
                run_regions(
                    staging, regions, compute, description="coherence", progress=progress, workers=shares.workers
                )
                if calibration.looks is None:
                    recorded = later.result()
            for variable in names:
                store.set_attrs(variable, recorded.attrs())
        total = count_regions(staging)
        staging.finish()
    return JobResult(tuple(names), len(positions), len(regions), total - len(regions))


def _plan(memory_bytes: int | None, options: CoherenceOptions, grid: tuple[int, int]) -> Shares:
    """Plan the memory, with one thread more than cores, since one usually waits for the store."""
    (height, width), (halo_y, halo_x) = grid, options.halo
    per_pixel = _BYTES_PER_PIXEL.get(options.estimator, _BYTES_PER_PIXEL_OF_OTHERS)
    chunk_bytes = 8 * height * width
    return share_out(
        memory_bytes,
        left(memory_bytes),
        # besides the window, three times the size of the chunk that is being decoded
        region_bytes=per_pixel * (height + 2 * halo_y) * (width + 2 * halo_x) + 3 * chunk_bytes,
        chunk_bytes=chunk_bytes,
        workers=min(_MOST_WORKERS, cores() + 1),
    )


@dataclass(frozen=True)
class _Coherence:
    """Callable that computes the coherence of a region; thread-safe."""

    reader: Opened[SceneReader]
    dates: list[tuple[int, int]]
    options: CoherenceOptions
    calibration: Calibration
    names: list[str]

    def __call__(self, region: Region) -> dict[str, np.ndarray]:
        """Estimate inside the region from its own chunk, then re-estimate its rim with the pixels around it.

        Joining the chunk with its surroundings would copy both images, which takes as long as the estimate.
        """
        core = region.y, region.x
        halo = self.options.halo
        parts = rims(core, halo, self.reader().shape)
        found = self._estimate(region.pair, core, halo if parts == [core] else (0, 0))
        for rim in parts:
            if rim != core:
                for whole, part in zip(found, self._estimate(region.pair, rim, halo), strict=True):
                    whole[inside(rim, core)] = part
        return dict(zip(self.names, found, strict=True))

    def _estimate(self, pair: int, wanted: Rectangle, halo: tuple[int, int]) -> list[np.ndarray]:
        """Return the magnitude, and the phase if requested, of a rectangle that is read with a halo."""
        reader = self.reader()
        window = grow(wanted, halo, reader.shape)
        before, after = reader.pair_images(self.dates[pair], *window)
        looks, ramp = self.calibration.looks, self.calibration.ramp(reader.scene, *self.dates[pair])
        found = estimate(before, after, self.options, looks, ramp, window[0].start, with_phase=len(self.names) > 1)
        return [values[inside(wanted, window)] for values in found if values is not None]


def rims(core: Rectangle, halo: tuple[int, int], shape: tuple[int, int]) -> list[Rectangle]:
    """Return the parts of a rectangle whose estimates depend on pixels outside it, or all of it if it is small.

    Examples
    --------
    >>> rims((slice(0, 8), slice(8, 16)), (1, 2), (20, 16))
    [(slice(7, 8, None), slice(8, 16, None)), (slice(0, 8, None), slice(8, 10, None))]
    """
    (y, x), (reach_y, reach_x), (height, width) = core, halo, shape
    if y.stop - y.start <= 2 * reach_y or x.stop - x.start <= 2 * reach_x:
        return [core]
    parts = [
        (slice(y.start, y.start + reach_y), x) if reach_y and y.start > 0 else None,
        (slice(y.stop - reach_y, y.stop), x) if reach_y and y.stop < height else None,
        (y, slice(x.start, x.start + reach_x)) if reach_x and x.start > 0 else None,
        (y, slice(x.stop - reach_x, x.stop)) if reach_x and x.stop < width else None,
    ]
    return [part for part in parts if part is not None]
