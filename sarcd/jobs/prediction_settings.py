"""The choices of a prediction: with which tiles, statistics and threshold, in how much memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from sarcd import config, jobs, schema
from sarcd.attributes import parameters_of
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.config.ingest import LEVEL_JUMP_DB
from sarcd.engine.memory import Shares, cores, left, share_out
from sarcd.engine.run import pair_positions
from sarcd.engine.tasks import Progress
from sarcd.errors import ModelError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.channels import stored_coherence
from sarcd.estimation.levels import largest_jump_db
from sarcd.inference import choose_batch, choose_tile, forward_bytes, rim_of, tiling_of, trained_tile
from sarcd.inference.plan import OPERATION, Member, mean_threshold, one_or_list
from sarcd.jobs.placement import Place, forward_budget
from sarcd.jobs.stored_statistics import begins_with, covers
from sarcd.store.scene import SceneStore

if TYPE_CHECKING:
    from sarcd.models.file import LoadedModel
    from sarcd.networks import Network

_MOST_WORKERS = 4  # reading and preparing need no more to keep one device busy, and each holds a region in memory
_BYTES_PER_PIXEL = 80  # of a region in work: images, amplitudes, features, the same without holes, tiles
_SHARE_OF_SMALL_TILES = 0.4  # of the forward pass's: regions of tiles that are blended are larger than the tiles
_BYTES_PER_PIXEL_OF_MEANS = 32  # sum and squares in double precision, and what is being added


def begun_before(store: SceneStore, name: str) -> dict[str, Any]:
    """Return the parameters of an earlier run of this operation, which a resume obeys where the user chose nothing."""
    if name not in store:
        return {}
    attrs = dict(store.array(name).attrs)
    return parameters_of(attrs) if attrs.get("sarcd_operation") == OPERATION else {}


def normalising_statistics(
    path: str | Path,
    scene: xr.Dataset,
    loaded: LoadedModel,
    options: PredictOptions,
    progress: Progress,
    note: Callable[[str], None],
) -> AmplitudeStatistics:
    """Return the statistics that normalise the scene, computing and keeping its own where it has none yet."""
    policy = options.statistics or loaded.card.statistics_policy
    if policy == "model":
        if loaded.card.statistics is None:
            raise ModelError("the model file keeps no statistics", hint="use --statistics scene")
        return loaded.card.statistics
    had = AmplitudeStatistics.stored(scene)
    statistics, computed = jobs.statistics(path, progress=progress)
    if had is None:
        found = f"median {statistics.median[0]:.6g}, MAD {statistics.mad[0]:.6g}"
        if statistics.per_date:
            found = f"of each date, since their medians differ by {statistics.jump_db:.1f} dB"
        note(f"amplitude statistics computed and kept: {found}")
    elif computed:
        note("amplitude statistics of dates that were appended are computed and kept")
    if not covers(statistics, schema.dates_of(scene, "time")):
        note("the kept amplitude statistics are older than the newest date; 'sarcd statistics --refresh' renews them")
    jump = statistics.jump_db
    if not statistics.per_date and (not statistics.level or not covers(statistics, schema.dates_of(scene, "time"))):
        jump = largest_jump_db(scene)
    if not statistics.per_date and jump > LEVEL_JUMP_DB:
        note(
            f"the median amplitudes of the dates differ by {jump:.1f} dB, and the kept statistics are of all dates "
            f"together; 'sarcd statistics --per-date --refresh' keeps those of each"
        )
    return statistics


def choose_tiles(
    loaded: Sequence[LoadedModel],
    options: PredictOptions,
    shape: tuple[int, int],
    place: Place,
    begun: dict[str, Any],
) -> tuple[list[Member], int]:
    """Plan how each network goes over the scene; choices left open follow an earlier run, if there is one.

    Parameters
    ----------
    loaded : sequence of LoadedModel
        The networks.
    options : PredictOptions
        What the user asked for.
    shape : (int, int)
        Of the scene.
    place : Place
        Where they run.
    begun : dict
        Parameters of an earlier run.

    Returns
    -------
    members : list of Member
        With tile and batch.
    forward : int
        Bytes that a forward pass of the largest takes.
    """
    budget, kind = forward_budget(options, place), place.device.partition(":")[0]
    tiles, batches = (_listed(begun.get(key), len(loaded)) for key in ("tile", "batch"))
    members, largest = [], 0
    for number, one in enumerate(loaded):
        network = _outline(one, options.precision)
        if options.tiles == "auto" and tiles:
            tile = tiles[number]
        else:
            trained = trained_tile(one.card.training)
            tile = choose_tile(options.tiles, network, shape, budget, device=kind, trained=trained)
        if not options.batch and tiles and batches and tiles[number] == tile:
            batch = batches[number]
        else:
            most = budget if network.exact_tiles else int(_SHARE_OF_SMALL_TILES * budget)
            batch = choose_batch(options.batch, network, tile, shape, most)
        largest = max(largest, forward_bytes(network, tile, batch, shape))
        members.append(Member(str(Path(one.path).resolve()), one.digest, tiling_of(network, shape, tile), batch))
    return members, largest


def _outline(loaded: LoadedModel, precision: str) -> Network:
    """Return a network as it will predict, without memory for its weights: all that its size depends on."""
    import torch

    from sarcd.networks import create_model

    with torch.device("meta"):
        network = create_model(loaded.card.architecture, len(loaded.card.channels), **loaded.card.options)
    return network.to(getattr(torch, precision))


def _listed(value: Any, count: int) -> list[int]:
    """Return what an earlier run recorded for each network; nothing if it had another number of them."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [int(item) for item in values] if len(values) == count else []


def choose_parameters(
    scene: xr.Dataset,
    store: SceneStore,
    members: Sequence[LoadedModel],
    options: PredictOptions,
    statistics: AmplitudeStatistics,
    positions: list[int],
    place: Place,
    begun: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the bytes of the result depend on, besides the tiles."""
    card = members[0].card
    threshold = mean_threshold([one.card for one in members]) if options.threshold is None else options.threshold
    policy = options.statistics or card.statistics_policy
    median, before = list(statistics.median), begun.get("statistics", {})
    if before.get("policy") == policy and begins_with(median, before.get("median"), per_date=statistics.per_date):
        median = before["median"]  # of fewer dates: those of later ones are no other setting
    # What came later is recorded where it is used, so that what was made before it compares equal.
    later = {name: True for name in ("compiled", "swap", "flips") if getattr(options, name)}
    parameters: dict[str, Any] = {
        "model": one_or_list([member.digest for member in members]),
        "dtype": options.precision,
        "threshold": threshold,
        "statistics": {
            "policy": policy,
            "median": median,
            "mad": list(statistics.mad)[: len(median)],
        },
        "device": place.device,
        "threads": place.threads,
        **later,
    }
    if options.adapt_batchnorm:
        sampled = begun.get("adapt_batchnorm", {}).get("pairs", positions)
        parameters["adapt_batchnorm"] = {"pairs": list(sampled)}
    if card.coherence is not None and "coherence" in card.channels:
        parameters["coherence"] = config.to_dict(card.coherence)
        parameters["rim"] = list(rim_of(card.channels, card.coherence))
        dates = pair_positions(store)
        usable = stored_coherence(scene, [dates[position] for position in positions], card.coherence) is not None
        parameters["coherence_from"] = begun.get("coherence_from") or ("store" if usable else "computed")
        if parameters["coherence_from"] == "store" and not usable:
            parameters["coherence_from"] = "computed"
    return parameters


def known_parameters(members: Sequence[LoadedModel], options: PredictOptions) -> dict[str, Any]:
    """Return those of `choose_parameters` that are known before the scene is read; None for what is not recorded."""
    threshold = mean_threshold([one.card for one in members]) if options.threshold is None else options.threshold
    tta_views = {name: getattr(options, name) or None for name in ("compiled", "swap", "flips")}
    return {
        "model": one_or_list([member.digest for member in members]),
        "dtype": options.precision,
        "threshold": threshold,
        **tta_views,
    }


def plan(
    options: PredictOptions,
    members: Sequence[Member],
    forward: int,
    grid: tuple[int, int],
    blocks: tuple[int, int],
    place: Place,
) -> Shares:
    """Share out the memory that the forward pass, of so many bytes, leaves.

    Raises
    ------
    OptionError
        If it is too little.
    """
    bytes_left = left(options.memory_bytes) - (0 if place.device.startswith("cuda") else forward)
    shape = members[0].tiling.shape
    halo = max(member.tiling.halo for member in members)
    sides = [min(step * count + 2 * halo, size) for step, count, size in zip(grid, blocks, shape, strict=True)]
    several = len(members) > 1 or options.swap or options.flips
    return share_out(
        options.memory_bytes,
        bytes_left,
        region_bytes=(_BYTES_PER_PIXEL + several * _BYTES_PER_PIXEL_OF_MEANS) * sides[0] * sides[1],
        chunk_bytes=8 * grid[0] * grid[1],
        workers=min(_MOST_WORKERS, max(2, cores())),
    )


def window_text(options: CoherenceOptions | None) -> str:
    """Return window and estimator in words."""
    return "" if options is None else f"{options.window.y} x {options.window.x} {options.estimator}"
