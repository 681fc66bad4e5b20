"""What a network is shown of labelled scenes: features and targets of patches, read from the stores."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from sarcd import schema
from sarcd.config import CoherenceOptions
from sarcd.errors import SceneError
from sarcd.io.chunks import chunk_errors
from sarcd.io.reader import SceneReader
from sarcd.io.store import open_scene
from sarcd.learn.patches import Patch, labelled_pairs
from sarcd.ops.features import features, fill_holes, stored_coherence
from sarcd.ops.looks import Calibration, calibrate
from sarcd.ops.statistics import AmplitudeStatistics, amplitude_statistics, compute_statistics, iso

IGNORE = schema.NO_LABEL
"""Target of pixels that take no part: not labelled, or invalid in any feature."""

_CACHE_BYTES = 2**27


def check_channels(reader: SceneReader, channels: Sequence[str]) -> None:
    """Raise unless the scene has what the features are made of.

    Raises
    ------
    SceneError
        If coherence is wanted of detected images.
    """
    if "coherence" in channels and "slc" not in reader.scene:
        raise SceneError(
            "no 'slc', so no coherence", where=reader.path, mend="ingest complex images, or train with --no-coherence"
        )


class LabelledScene:
    """A stored scene with labels, seen as a network will see it.

    Parameters
    ----------
    path : str or Path
        Scene.
    channels : sequence of str
        Features, as in `sarcd.ops.features`.
    coherence : CoherenceOptions
        How coherence is estimated; a stored one is used where it was made just so.
    statistics : AmplitudeStatistics
        Median and MAD that normalise the amplitudes.

    Notes
    -----
    Travels to other processes as its path and settings, and opens the store there.
    """

    def __init__(
        self, path: str | Path, channels: Sequence[str], coherence: CoherenceOptions, statistics: AmplitudeStatistics
    ) -> None:
        self.path = str(path)
        self.name = Path(path).name
        self.channels = tuple(channels)
        self.coherence = coherence
        self.statistics = statistics

    @functools.cached_property
    def reader(self) -> SceneReader:
        """Reader of the store."""
        return SceneReader(self.path, cache_bytes=_CACHE_BYTES)

    def release(self) -> None:
        """Give back the memory of the reader; the next reading opens the store again."""
        self.__dict__.pop("reader", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "reader"}

    @functools.cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Positions along `time` of the images of each pair."""
        return labelled_pairs(self.reader)

    @functools.cached_property
    def stored_coherence(self) -> list[bool]:
        """Whether the store has coherence made as wanted, for each pair."""
        if "coherence" not in self.channels:
            return [False] * len(self.pairs)
        return [stored_coherence(self.reader.scene, [dates], self.coherence) is not None for dates in self.pairs]

    @functools.cached_property
    def calibration(self) -> Calibration:
        """What coherence takes from the whole scene."""
        if "coherence" not in self.channels:
            return Calibration()
        with chunk_errors(self.path):
            return calibrate(self.reader.scene, self.coherence, self.pairs)

    def read(self, pair: int, y: slice, x: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read features and target of a rectangle, equal to what the whole scene has there.

        Parameters
        ----------
        pair : int
            Place in the scene's list.
        y, x : slice
            Rectangle within the scene.

        Returns
        -------
        features : (C, Y, X) float32
            Holes filled, see `sarcd.ops.features.fill_holes`.
        target : (Y, X) uint8
            1 change, 0 none, 255 where not labelled or invalid.
        """
        stored = self.stored_coherence[pair]
        halo = (0, 0) if stored or "coherence" not in self.channels else self.coherence.halo
        (outer_y, inner_y), (outer_x, inner_x) = map(_widen, (y, x), halo, self.reader.shape)
        also = ("label", "coherence") if stored else ("label",)
        window = self.reader.window(self.pairs[pair], outer_y, outer_x, also=also, position=pair)
        seen = features(
            window,
            channels=self.channels,
            statistics=self.statistics,
            coherence=self.coherence,
            calibration=None if stored else self.calibration,
        )
        filled, valid = fill_holes(seen.values[0, :, inner_y, inner_x], self.channels)
        label = window["label"].values[0, inner_y, inner_x]
        return filled, np.where(valid, label, IGNORE).astype(np.uint8)


def _widen(part: slice, halo: int, size: int) -> tuple[slice, slice]:
    """Return a slice widened by the halo within the scene, and where the slice lies in that."""
    start, stop = max(part.start - halo, 0), min(part.stop + halo, size)
    return slice(start, stop), slice(part.start - start, part.stop - start)


def statistics_of(path: str, note: Callable[[str], None]) -> AmplitudeStatistics:
    """Return the amplitude statistics kept with a scene; computed now, and said, where there are none."""
    scene = open_scene(path)
    kept = AmplitudeStatistics.stored(scene)
    if kept is not None:
        return kept
    with chunk_errors(path):
        computed = compute_statistics(scene)
    note(
        f"{path}: amplitude statistics computed, median {computed.median[0]:.6g}, MAD {computed.mad[0]:.6g}; "
        f"'sarcd stats' would keep them"
    )
    return computed


def pooled_statistics(paths: Sequence[str]) -> AmplitudeStatistics:
    """Compute median and MAD of the amplitudes of several scenes together, exactly and out of core."""
    import dask.array as da

    images = []
    for path in paths:
        data = schema.images_of(open_scene(path)).data
        images.append(da.abs(data) if data.dtype.kind == "c" else data)
    # NaN counts nowhere: padded with it, scenes of any size lie one above the other, each in its own chunks.
    height, width = (max(data.shape[axis] for data in images) for axis in (1, 2))
    padded = [
        da.pad(
            data,
            ((0, 0), (0, height - data.shape[1]), (0, width - data.shape[2])),
            mode="constant",
            constant_values=np.nan,
        )
        for data in images
    ]
    dates = [date for path in paths for date in schema.dates_of(open_scene(path), "time")]
    together = xr.Dataset({"amplitude": (("time", "y", "x"), da.concatenate(padded))}, coords={"time": dates})
    computed = amplitude_statistics(together).compute()
    texts = tuple(sorted({iso(date) for date in dates}))
    return AmplitudeStatistics((float(computed["median"]),), (float(computed["mad"]),), texts).checked()


class PatchDataset(Dataset[tuple[Tensor, Tensor, int]]):
    """Patches of labelled scenes, each as features (C, P, P) float32, target (P, P) uint8, and its number.

    Parameters
    ----------
    scenes : sequence of LabelledScene
        Scenes.
    patches : sequence of Patch
        Patches of them.
    size : int
        Side of a patch, P.
    """

    def __init__(self, scenes: Sequence[LabelledScene], patches: Sequence[Patch], size: int) -> None:
        self.scenes = list(scenes)
        self.patches = list(patches)
        self.size = size
        self._kept: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return len(self.patches)

    @property
    def nbytes(self) -> int:
        """Memory that all patches take."""
        return len(self) * self.size**2 * (4 * len(self.scenes[0].channels) + 1)

    @property
    def in_memory(self) -> bool:
        """Whether `keep` was called."""
        return self._kept is not None

    def keep(self, advance: Callable[[int], None] = lambda count: None) -> None:
        """Read all patches once, in their order, and keep them in memory."""
        shape = len(self), len(self.scenes[0].channels), self.size, self.size
        values, targets = torch.empty(shape, dtype=torch.float32), torch.empty(shape[:1] + shape[2:], dtype=torch.uint8)
        for index in range(len(self)):
            values[index], targets[index], _ = self[index]
            advance(1)
        self._kept = values, targets
        for scene in self.scenes:
            scene.release()

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        if self._kept is not None:
            return self._kept[0][index], self._kept[1][index], index
        patch = self.patches[index]
        y, x = slice(patch.y, patch.y + self.size), slice(patch.x, patch.x + self.size)
        values, target = self.scenes[patch.scene].read(patch.pair, y, x)
        return torch.from_numpy(values), torch.from_numpy(target), index

    def describe(self, numbers: Iterable[int]) -> str:
        """Say where patches lie, the first few of them."""
        patches = [self.patches[int(number)] for number in numbers]
        places = [f"{self.scenes[p.scene].name} pair {p.pair} y {p.y} x {p.x}" for p in patches]
        more = [f"{len(places) - 4} more"] if len(places) > 4 else []
        return ", ".join([*places[:4], *more])
