"""PyTorch dataset of patches of labelled scenes, read from memory, from disk or from the stores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from sarcd.training.patches import IGNORE, LabelledScene, Patch
from sarcd.training.sampler import Request

_MOST_THREADS = 8  # each holds one block of features in memory

Example = tuple[np.ndarray, np.ndarray]
"""Features (C, P, P) float32 and target (P, P) uint8 of one patch."""

Batch = tuple[Tensor, Tensor, Tensor]
"""Features (B, C, P, P) float32, targets (B, P, P) uint8, and patch numbers (B,) int64."""


class Kept(Protocol):
    """Cache of patches, in memory or on disk."""

    location: str

    def take(self, numbers: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return features (B, C, P, P), channels last in memory, and targets (B, P, P) of patches."""

    def close(self) -> None:
        """Release memory and files."""


class PatchDataset(Dataset[Batch]):
    """Dataset of patches of labelled scenes whose items are whole batches.

    Parameters
    ----------
    scenes : sequence of LabelledScene
        Scenes.
    patches : sequence of N Patch
        Patches of these scenes.
    size : int
        Side length of a patch in pixels, P.
    weights : (N,) float64, optional
        Sampling weights of the patches, if an epoch samples a subset; infinite for patches that are part of every
        epoch. By default an epoch uses all patches.
    per_epoch : int, optional
        Number of patches per epoch, with `weights`; all patches by default.
    """

    def __init__(
        self,
        scenes: Sequence[LabelledScene],
        patches: Sequence[Patch],
        size: int,
        *,
        weights: np.ndarray | None = None,
        per_epoch: int | None = None,
    ) -> None:
        self.scenes = list(scenes)
        self.patches = list(patches)
        self.size = size
        self.weights = weights
        self.per_epoch = len(self.patches) if per_epoch is None else min(per_epoch, len(self.patches))
        self.kept: Kept | None = None
        self._blocks: np.ndarray | None = None
        self._epoch = -1
        self._waiting: dict[int, Example] = {}
        self._coming: dict[int, Future[list[Example]]] = {}  # keyed by the first patch of each block that is being read
        self._pool: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self.patches)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_waiting": {}, "_coming": {}, "_pool": None}

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the features of a patch: channels, rows, columns."""
        return len(self.scenes[0].channels), self.size, self.size

    @property
    def nbytes(self) -> int:
        """Size of all patches in memory or on disk, in bytes."""
        return len(self) * self.size**2 * (4 * self.shape[0] + 1)

    @property
    def cache(self) -> str:
        """Location of the cached patches: ``memory``, ``disk`` or ``none``."""
        return "none" if self.kept is None else self.kept.location

    def close(self) -> None:
        """Close the cache, stop reading, and release the memory of the readers."""
        if self.kept is not None:
            self.kept.close()
        self.kept = None
        self._forget()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None
        for scene in self.scenes:
            scene.release()

    def blocks(self) -> np.ndarray:
        """Return the number of each patch's block of stored chunks, (N,) int64, in order of first occurrence."""
        if self._blocks is None:
            found: dict[tuple[int, int, int, int], int] = {}
            numbers = []
            for patch in self.patches:
                rows, columns = self.scenes[patch.scene].block
                place = patch.scene, patch.pair, patch.y // rows, patch.x // columns
                numbers.append(found.setdefault(place, len(found)))
            self._blocks = np.array(numbers, np.int64)
        return self._blocks

    def by_block(self, chosen: np.ndarray | None = None) -> list[np.ndarray]:
        """Group the chosen patches (default: all) by block; return the patch numbers of each non-empty block."""
        numbers = np.arange(len(self)) if chosen is None else np.sort(chosen)
        blocks = self.blocks()[numbers]
        order = np.argsort(blocks, kind="stable")
        edges = np.flatnonzero(np.diff(blocks[order])) + 1
        return np.split(numbers[order], edges)

    def read_all(self, advance: Callable[[int], None]) -> Iterator[tuple[np.ndarray, list[Example]]]:
        """Read every patch once; yield the patch numbers of each block, with features and target of each patch."""
        for numbers, found in self._read_blocks(self.by_block()):
            yield numbers, found
            advance(len(numbers))
        for scene in self.scenes:
            scene.release()

    def _read_blocks(self, blocks: Sequence[np.ndarray]) -> Iterator[tuple[np.ndarray, list[Example]]]:
        """Read the patches of blocks, several blocks in parallel, up to the number of torch threads."""
        threads = min(torch.get_num_threads(), _MOST_THREADS, len(blocks))
        if threads < 2:
            yield from ((numbers, self._read(numbers)) for numbers in blocks)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="sarcd-patches") as pool:
            for start in range(0, len(blocks), threads):
                some = blocks[start : start + threads]
                yield from zip(some, pool.map(self._read, some), strict=True)

    def _read_ahead(
        self, blocks: Sequence[np.ndarray], ahead: Sequence[np.ndarray]
    ) -> Iterator[tuple[np.ndarray, list[Example]]]:
        """Read the patches of blocks, and prefetch those of the next batch while the network trains on this one."""
        threads = min(torch.get_num_threads(), _MOST_THREADS)
        if threads < 2:
            yield from ((numbers, self._read(numbers)) for numbers in blocks)
            return
        if self._pool is None:  # one thread more than cores, since one is always waiting for the store
            self._pool = ThreadPoolExecutor(threads + 1, thread_name_prefix="sarcd-patches")
        for numbers in (*blocks, *ahead):
            if int(numbers[0]) not in self._coming:
                self._coming[int(numbers[0])] = self._pool.submit(self._read, numbers)
        for numbers in blocks:
            yield numbers, self._coming.pop(int(numbers[0])).result()

    def _forget(self) -> None:
        """Discard patches that were read, or are being read, for another epoch."""
        self._waiting.clear()
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()

    def _read(self, numbers: np.ndarray) -> list[Example]:
        patches = [self.patches[number] for number in numbers.tolist()]
        scene: LabelledScene = self.scenes[patches[0].scene]
        return scene.read_patches(patches, self.size)

    def __getitem__(self, request: Request) -> Batch:
        numbers = request.numbers
        if self.kept is not None:
            x, target = self.kept.take(numbers)
        else:
            x, target = self._gather(request)
        target[request.real :] = IGNORE
        return x, target, torch.from_numpy(numbers)

    def _gather(self, request: Request) -> tuple[Tensor, Tensor]:
        """Read the blocks of a request, and assemble its batch from the patches read so far."""
        if request.epoch != self._epoch:
            self._forget()
            self._epoch = request.epoch
        for numbers, found in self._read_ahead(request.reads, request.ahead):
            self._waiting.update(zip(numbers.tolist(), found, strict=True))
        channels, size, _ = self.shape
        x = np.empty((len(request.numbers), size, size, channels), np.float32)
        target = np.empty((len(request.numbers), size, size), np.uint8)
        for row, number in enumerate(request.numbers.tolist()):
            example = self._waiting.pop(number, None) or self._read(np.array([number]))[0]
            x[row], target[row] = np.moveaxis(example[0], 0, -1), example[1]
        return torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(target)

    def brightness(self, numbers: Iterable[int]) -> Tensor:
        """Return median over MAD of the amplitudes of both dates of patches, (B, 2) float32.

        These are the statistics that normalised the patches.
        """
        patches = [self.patches[int(number)] for number in numbers]
        return torch.from_numpy(np.stack([self.scenes[p.scene].brightness[p.pair] for p in patches]))

    def names(self) -> list[str]:
        """Return the names of the scenes with at least one patch in the dataset."""
        return [self.scenes[index].name for index in sorted({patch.scene for patch in self.patches})]

    def describe(self, numbers: Iterable[int]) -> str:
        """Describe the positions of the first few patches, for messages."""
        patches = [self.patches[int(number)] for number in numbers]
        places = [f"{self.scenes[p.scene].name} pair {p.pair} y {p.y} x {p.x}" for p in patches]
        more = [f"{len(places) - 4} more"] if len(places) > 4 else []
        return ", ".join([*places[:4], *more])
