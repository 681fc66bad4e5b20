"""Where the patches of a training are kept: memory, disk, or nowhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sarcd import config
from sarcd.config import TrainOptions
from sarcd.errors import OptionError, TrainingError
from sarcd.progress import Progress
from sarcd.store.fingerprint import fingerprint
from sarcd.store.scene import SceneStore
from sarcd.training import cache as caches
from sarcd.training.cache import InMemory, on_disk
from sarcd.training.dataset import PatchDataset
from sarcd.training.patch_reader import LabelledScene
from sarcd.training.run_directory import CACHE

Json = dict[str, Any]
Note = Callable[[str], None]


def describe(patches: PatchDataset, options: TrainOptions) -> Json:
    """Return everything that the bytes of patches depend on, as plain values."""
    return {
        "format": 1,
        "patch": patches.size,
        "scenes": [_describe(scene, options) for scene in patches.scenes],
        "patches": [[patch.scene, patch.pair, patch.y, patch.x] for patch in patches.patches],
    }


def _describe(scene: LabelledScene, options: TrainOptions) -> Json:
    stored = scene.stored_coherence
    names = [scene.reader.images, scene.truth, "time", "before", "after", *(["coherence"] if any(stored) else [])]
    return {
        "scene": scene.name,
        "fingerprint": fingerprint(SceneStore(scene.path), names),
        "truth": scene.truth,
        "channels": list(scene.channels),
        "coherence": config.to_dict(options.coherence) if "coherence" in scene.channels else None,
        "stored_coherence": stored,
        "statistics": scene.statistics.to_json(),
    }


def keep(
    datasets: Sequence[PatchDataset],
    about: Sequence[Json],
    options: TrainOptions,
    folder: Path | None,
    progress: Progress,
    note: Note,
) -> None:
    """Keep patches where the options say; those to learn from, which are read most often, first.

    Parameters
    ----------
    datasets : (training, validation)
        Patches.
    about : sequence of dict
        What `describe` says of them.
    options : TrainOptions
        `cache`, `cache_folder` and `memory_bytes`.
    folder : Path, optional
        Of the run.
    progress, note : callable
        As in `sarcd.training.trainer`.

    Raises
    ------
    TrainingError
        If they do not fit where they have to be.
    OptionError
        If they are to be kept on disk and no folder is known.
    """
    place = _place(options, folder)
    left = options.memory_bytes
    descriptions = ("read training patches", "read validation patches")
    for patches, facts, description in zip(datasets, about, descriptions, strict=True):
        if not len(patches):
            continue
        choice = _choose(patches, options.cache, left, place, note)
        if choice == "none":
            continue
        with progress(description, len(patches)) as advance:
            if choice == "memory":
                patches.kept = InMemory(patches, advance)
                left -= patches.nbytes
            elif place is not None:
                key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
                patches.kept = on_disk(patches, place, key, facts, advance, note)


def _place(options: TrainOptions, folder: Path | None) -> Path | None:
    if options.cache_folder:
        return Path(options.cache_folder)
    if folder is None and options.cache == "disk":
        raise OptionError("no folder to keep patches in", where="cache", mend="name one with cache_folder")
    return None if folder is None else folder / CACHE


def _choose(patches: PatchDataset, cache: str, left: int, place: Path | None, note: Note) -> str:
    """Return ``memory``, ``disk`` or ``none`` for some patches, and say why it is not what was asked for first."""
    size = f"{len(patches)} patches take {patches.nbytes / 2**30:.2g} GiB"
    fits = patches.nbytes <= left
    if cache == "memory" and not fits:
        raise TrainingError(
            f"{size} of {left / 2**30:.2g} that are left", where="memory_bytes", mend="raise it, or use --cache auto"
        )
    if cache != "auto":
        if cache == "none":
            note(f"{len(patches)} patches are read anew each time: cache is 'none'")
        return cache
    if fits:
        return "memory"
    free = 0 if place is None else caches.disk_free(place)
    if patches.nbytes <= free / 2:
        note(f"{size}, more than memory_bytes leaves: they are kept in {place}")
        return "disk"
    note(f"{size}, more than memory_bytes and half of the free disk: they are read anew each time")
    return "none"
