"""Cache of patches, in memory or on disk; a cache on disk can be reused by later runs with the same key."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from sarcd import config
from sarcd.attributes import Json
from sarcd.config import TrainOptions
from sarcd.engine.tasks import Progress
from sarcd.errors import OptionError, TrainingError
from sarcd.store.results import fingerprint
from sarcd.store.scene import SceneStore
from sarcd.store.storage import sync_folder, write_atomic
from sarcd.training.checkpoint import CACHE
from sarcd.training.dataset import PatchDataset
from sarcd.training.patches import LabelledScene

Advance = Callable[[int], None]
Note = Callable[[str], None]
_VALUES, _TARGETS, _ABOUT = "values.npy", "targets.npy", "about.json"


class InMemory:
    """Patches cached in memory.

    Parameters
    ----------
    patches : PatchDataset
        Patches; all of them are read immediately.
    advance : callable
        Called with the number of patches just read.
    """

    location = "memory"

    def __init__(self, patches: PatchDataset, advance: Advance) -> None:
        values_shape, targets_shape = _shapes(patches)
        self._values, self._targets = np.empty(values_shape, np.float32), np.empty(targets_shape, np.uint8)
        for numbers, found in patches.read_all(advance):
            for number, (values, target) in zip(numbers.tolist(), found, strict=True):
                self._values[number] = np.moveaxis(values, 0, -1)
                self._targets[number] = target

    def take(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return features (B, C, P, P), channels last in memory, and targets (B, P, P) of patches."""
        # indexing in NumPy takes a third of the time of torch
        return torch.from_numpy(self._values[numbers]).permute(0, 3, 1, 2), torch.from_numpy(self._targets[numbers])

    def close(self) -> None:
        """Release the memory."""
        self._values, self._targets = np.empty(0, np.float32), np.empty(0, np.uint8)


class OnDisk:
    """Patches cached on disk in two memory-mapped NPY files.

    Parameters
    ----------
    folder : Path
        Folder written by `fill`.
    """

    location = "disk"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._maps: tuple[np.ndarray, np.ndarray] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": None}

    def take(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return features (B, C, P, P), channels last in memory, and targets (B, P, P) of patches."""
        if self._maps is None:
            self._maps = _open(self.folder / _VALUES), _open(self.folder / _TARGETS)
        values, targets = self._maps
        return torch.from_numpy(values[numbers]).permute(0, 3, 1, 2), torch.from_numpy(targets[numbers])

    def close(self) -> None:
        """Close the files without deleting them."""
        self._maps = None


def _open(path: Path) -> np.ndarray:
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def on_disk(
    patches: PatchDataset, folder: Path, key: str, about: dict[str, Any], advance: Advance, note: Note
) -> OnDisk:
    """Return patches cached on disk under a key; if the key is absent, read and store them first.

    Parameters
    ----------
    patches : PatchDataset
        Patches.
    folder : Path
        Folder of all caches.
    key : str
        Digest of everything that the patches depend on.
    about : dict
        Values that the key was computed from, stored for inspection.
    advance, note : callable
        Called with the number of patches just read, and with messages for the user.

    Returns
    -------
    OnDisk

    Raises
    ------
    TrainingError
        If the disk is full, or the folder cannot be written.

    Notes
    -----
    Files are written to a temporary folder under a lock and renamed once complete. Incomplete folders left by killed
    runs are removed.
    """
    place = folder / key
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with _lock(folder, key, note):
            if _is_whole(place, patches):
                advance(len(patches))
                return OnDisk(place)
            _require_room(folder, patches)
            partial = folder / f"{key}.partial"
            for left in (partial, place):
                shutil.rmtree(left, ignore_errors=True)
            try:
                fill(partial, patches, about, advance)
                partial.rename(place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise TrainingError(
            f"patches cannot be kept there ({(error.strerror or str(error)).lower()})",
            source=str(folder),
            hint="name another folder with --cache-dir, or use --cache none",
        ) from error
    return OnDisk(place)


def fill(folder: Path, patches: PatchDataset, about: dict[str, Any], advance: Advance) -> None:
    """Write all patches to a new folder, one block of stored chunks at a time."""
    folder.mkdir()
    # Write instead of memory-mapping: on a full disk a write raises an error, but access to a map kills the process.
    with (folder / _VALUES).open("wb") as values_file, (folder / _TARGETS).open("wb") as targets_file:
        values_start = _header(values_file, _shapes(patches)[0], "<f4")
        targets_start = _header(targets_file, _shapes(patches)[1], "|u1")
        for numbers, found in patches.read_all(advance):
            for number, (values, target) in zip(numbers.tolist(), found, strict=True):
                values_file.seek(values_start + number * values.nbytes)
                values_file.write(np.ascontiguousarray(np.moveaxis(values, 0, -1), "<f4").data)
                targets_file.seek(targets_start + number * target.nbytes)
                targets_file.write(np.ascontiguousarray(target).data)
    sync_folder(folder)
    write_atomic(folder / _ABOUT, json.dumps(about, indent=2).encode())


def _header(file: BinaryIO, shape: tuple[int, ...], kind: str) -> int:
    described = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.tell()


def _is_whole(place: Path, patches: PatchDataset) -> bool:
    """Return whether a folder holds all patches; its last file is written once the others are synced to disk."""
    if not (place / _ABOUT).is_file():
        return False
    try:
        values, targets = _open(place / _VALUES), _open(place / _TARGETS)
    except (OSError, ValueError):
        return False
    return (values.shape, targets.shape) == _shapes(patches)


def _shapes(patches: PatchDataset) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes (N, P, P, C) and (N, P, P) of the files."""
    channels, size, _ = patches.shape
    return (len(patches), size, size, channels), (len(patches), size, size)


def disk_free(folder: Path) -> int:
    """Return the free bytes of the disk of a folder, which need not exist yet."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(existing).free


def _require_room(folder: Path, patches: PatchDataset) -> None:
    free = disk_free(folder)
    if patches.nbytes > free:
        raise TrainingError(
            f"{len(patches)} patches take {patches.nbytes / 2**30:.3g} GiB, and {free / 2**30:.3g} are free",
            source=str(folder),
            hint="name another folder with --cache-dir, or use --cache none",
        )


@contextlib.contextmanager
def _lock(folder: Path, key: str, note: Note) -> Iterator[None]:
    lock = FileLock(folder / f"{key}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        note(f"{folder}: another process is filling it with the same patches, which is waited for")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove incomplete folders of killed runs: those whose lock is free."""
    for partial in folder.glob("*.partial"):
        lock = FileLock(folder / f"{partial.stem}.lock")
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(partial, ignore_errors=True)


def describe(patches: PatchDataset, options: TrainOptions) -> Json:
    """Return everything that the contents of the patches depend on, as JSON values."""
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
    """Cache patches according to the options; training patches, which are read most often, come first.

    Parameters
    ----------
    datasets : (training, validation)
        Patches.
    about : sequence of dict
        Output of `describe` for each dataset.
    options : TrainOptions
        Options `cache`, `cache_dir` and `memory_bytes` are used.
    folder : Path, optional
        Run directory.
    progress, note : callable
        As in `sarcd.training.trainer`.

    Raises
    ------
    TrainingError
        If the patches do not fit into the requested cache.
    OptionError
        If the cache is on disk but no folder is given.
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
    if options.cache_dir:
        return Path(options.cache_dir)
    if folder is None and options.cache == "disk":
        raise OptionError("no folder to keep patches in", option="cache", hint="name one with cache_dir")
    return None if folder is None else folder / CACHE


def _choose(patches: PatchDataset, cache: str, left: int, place: Path | None, note: Note) -> str:
    """Return the cache of a dataset, ``memory``, ``disk`` or ``none``, and report why a slower one is chosen."""
    size = f"{len(patches)} patches take {patches.nbytes / 2**30:.2g} GiB"
    fits = patches.nbytes <= left
    if cache == "memory" and not fits:
        raise TrainingError(
            f"{size} of {left / 2**30:.2g} that are left", source="memory_bytes", hint="raise it, or use --cache auto"
        )
    if cache != "auto":
        if cache == "none":
            note(f"{len(patches)} patches are read again in each epoch: cache is 'none'")
        return cache
    if fits:
        return "memory"
    free = 0 if place is None else disk_free(place)
    if patches.nbytes <= free / 2:
        note(f"{size}, more than memory_bytes leaves: they are kept in {place}")
        return "disk"
    note(f"{size}, more than memory_bytes and half of the free disk: they are read again in each epoch")
    return "none"
