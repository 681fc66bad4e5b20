"""Which patches there are in labelled scenes, and which of them are drawn for training."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import schema
from sarcd.config import CoherenceOptions
from sarcd.engine.tasks import grow, inside
from sarcd.errors import SceneError, TrainingError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.channels import FILL, block_layers, stored_coherence
from sarcd.estimation.coherence_layers import pairs_of
from sarcd.estimation.looks import Calibration, calibrate
from sarcd.store.chunks import chunk_errors
from sarcd.store.reader import SceneReader


@dataclass(frozen=True)
class Patch:
    """A square of a scene: the scene's place among those given, the pair's in its list, and the first pixel."""

    scene: int
    pair: int
    y: int
    x: int


@dataclass(frozen=True)
class PatchIndex:
    """What the labels say of each cell of a scene's patch grid.

    Parameters
    ----------
    size : int
        Side of a patch in pixels.
    labelled : (pair, row, column) int64
        Pixels that have a label and are valid in both images.
    changed : (pair, row, column) int64
        Those of them that are labelled as changed.
    """

    size: int
    labelled: np.ndarray
    changed: np.ndarray

    @property
    def mostly_valid(self) -> np.ndarray:
        """Whether at least half of a cell is labelled and valid, (pair, row, column) bool."""
        return 2 * self.labelled >= self.size**2

    def within(self, cells: np.ndarray) -> PatchIndex:
        """Return the index with nothing outside of `cells` (row, column) or (pair, row, column) bool."""
        return PatchIndex(self.size, np.where(cells, self.labelled, 0), np.where(cells, self.changed, 0))

    def patches(self, scene: int, chosen: np.ndarray) -> list[Patch]:
        """Return the cells where `chosen` (pair, row, column) is True as patches of scene number `scene`."""
        return [Patch(scene, int(p), int(i) * self.size, int(j) * self.size) for p, i, j in np.argwhere(chosen)]


def patch_grid(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the rows and columns of whole patches that fit side by side; what is left over at the end is not used.

    Examples
    --------
    The paper's first site, 5352 x 9356 pixels and 3 pairs, has 2160 patches:

    >>> rows, columns = patch_grid((5352, 9356), 256)
    >>> rows * columns * 3
    2160
    """
    return shape[0] // size, shape[1] // size


def shares_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the labelled and the changed pixels of each patch, (N,) int64 both."""
    cells = [
        (indices[patch.scene], (patch.pair, patch.y // indices[patch.scene].size, patch.x // indices[patch.scene].size))
        for patch in patches
    ]
    labelled = np.array([index.labelled[cell] for index, cell in cells], np.int64)
    return labelled, np.array([index.changed[cell] for index, cell in cells], np.int64)


def changed_share(indices: Sequence[PatchIndex], patches: Sequence[Patch], weights: np.ndarray | None = None) -> float:
    """Return the share of the labelled pixels of some patches that are changed, kept off 0 and 1.

    `weights` (N,) say how often an epoch has each patch, once by default.
    """
    labelled, changed = shares_of(indices, patches)
    weights = np.ones(len(patches)) if weights is None else weights
    share = float((weights * changed).sum() / (weights * labelled).sum())
    return min(max(share, 1e-4), 1 - 1e-4)  # a share of 0 or 1 has no logit


def weights_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> np.ndarray:
    """Return what makes a patch more probable, (N,) float64: its share of change plus the mean share of all."""
    labelled, changed = shares_of(indices, patches)
    share = changed / labelled
    return np.asarray(share + share.mean())


def every_patch(indices: Sequence[PatchIndex]) -> list[Patch]:
    """Return every patch with a labelled pixel, in the order of scenes, pairs, rows and columns."""
    return [patch for scene, index in enumerate(indices) for patch in index.patches(scene, index.labelled > 0)]


def balanced_patches(indices: Sequence[PatchIndex], seed: int) -> list[Patch]:
    """Return every patch with a changed pixel, and as many labelled ones without, drawn from all scenes together.

    Parameters
    ----------
    indices : sequence of PatchIndex
        One a scene.
    seed : int
        Seed of the draw.

    Returns
    -------
    list of Patch
        In the order of scenes, pairs, rows and columns. Where fewer patches lack change than have it, all are returned.
        Patches without change of which less than half is labelled and valid are drawn only where others are too few.

    Raises
    ------
    TrainingError
        If no patch has a changed pixel.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 3.2.
    """
    changed, whole, rest = [], [], []
    for scene, index in enumerate(indices):
        unchanged = (index.changed == 0) & (index.labelled > 0)
        changed += index.patches(scene, index.changed > 0)
        whole += index.patches(scene, unchanged & index.mostly_valid)
        rest += index.patches(scene, unchanged & ~index.mostly_valid)
    if not changed:
        raise TrainingError(
            "the labels hold not one changed pixel where the images are valid",
            hint="train on scenes in which changes are labelled",
        )
    unchanged = whole if len(whole) >= len(changed) else _sorted([*whole, *rest])
    drawn = np.random.default_rng(seed).permutation(len(unchanged))[: len(changed)]
    return _sorted([*changed, *(unchanged[i] for i in drawn)])


def _sorted(patches: Sequence[Patch]) -> list[Patch]:
    return sorted(patches, key=lambda patch: (patch.scene, patch.pair, patch.y, patch.x))


IGNORE = schema.NO_LABEL
"""Target of pixels that take no part: not labelled, or invalid in any feature."""

_CACHE_BYTES = 2**27
_BLOCK = schema.CHUNK  # side in pixels of what is read together, about


def check_channels(reader: SceneReader, channels: Sequence[str]) -> None:
    """Raise unless the scene has what the features are made of.

    Raises
    ------
    SceneError
        If coherence is wanted of detected images.
    """
    if "coherence" in channels and "slc" not in reader.scene:
        raise SceneError(
            "no 'slc', so no coherence", source=reader.path, hint="ingest complex images, or train with --no-coherence"
        )


class LabelledScene:
    """A stored scene with labels, seen as a network will see it.

    Parameters
    ----------
    path : str or Path
        Scene.
    channels : sequence of str
        Features, as in `sarcd.estimation.features`.
    coherence : CoherenceOptions
        How coherence is estimated; a stored one is used where it was made just so.
    statistics : AmplitudeStatistics
        Median and MAD that normalise the amplitudes.
    truth : str
        Variable that is learnt from: `label` of a person, or `pseudo_label` of a model, with a suffix if it has one.

    Notes
    -----
    Travels to other processes as its path and settings, and opens the store there.
    """

    def __init__(
        self,
        path: str | Path,
        channels: Sequence[str],
        coherence: CoherenceOptions,
        statistics: AmplitudeStatistics,
        *,
        truth: str = "label",
    ) -> None:
        self.path = str(path)
        self.name = Path(path).name
        self.channels = tuple(channels)
        self.coherence = coherence
        self.statistics = statistics
        self.truth = truth

    @functools.cached_property
    def reader(self) -> SceneReader:
        """Reader of the store."""
        reach = self.coherence.halo if "coherence" in self.channels else (0, 0)
        # Blocks come in any order: what one needs of its neighbours is kept from when these were read.
        return SceneReader(self.path, cache_bytes=_CACHE_BYTES, rim=max(reach))

    def release(self) -> None:
        """Give back the memory of the reader; the next reading opens the store again."""
        self.__dict__.pop("reader", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "reader"}

    @functools.cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Positions along `time` of the images of each pair."""
        return pairs_of(self.reader.scene)

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

    @functools.cached_property
    def brightness(self) -> np.ndarray:
        """Median over MAD that normalise the two dates of each pair, (pair, 2) float32."""
        known = [[self._statistics[date] for date in dates] for dates in self.pairs]
        return np.array([[median / mad for median, mad in dates] for dates in known], np.float32)

    @functools.cached_property
    def _statistics(self) -> list[tuple[float, float]]:
        """Median and MAD that normalise each date."""
        return [self.statistics.at(date) for date in schema.dates_of(self.reader.scene, "time")]

    @functools.cached_property
    def block(self) -> tuple[int, int]:
        """Rows and columns that are read together: a stored chunk, or several where they are small."""
        height, width = self.reader.chunks
        return height * max(1, _BLOCK // height), width * max(1, _BLOCK // width)

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
            Holes filled, see `sarcd.estimation.channels.fill_holes`.
        target : (Y, X) uint8
            1 change, 0 none, 255 where not labelled or invalid.
        """
        layers, label = self._layers(pair, y, x)
        return self._put_together(layers, label)

    def read_patches(self, patches: Sequence[Patch], size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read patches of one pair, all at once where they lie so densely that this is the least to compute.

        Parameters
        ----------
        patches : sequence of Patch
            Of this scene, all of one pair.
        size : int
            Side of a patch in pixels, P.

        Returns
        -------
        list of (features, target)
            For each patch (C, P, P) float32 and (P, P) uint8, as `read` has them, in arrays of their own.

        Notes
        -----
        In memory the channels of a pixel lie side by side, as networks take them.
        """
        pair = patches[0].pair
        halo_y, halo_x = self._halo(pair)
        y0, x0 = min(p.y for p in patches), min(p.x for p in patches)
        y1, x1 = max(p.y for p in patches) + size, max(p.x for p in patches) + size
        alone = len(patches) * (size + 2 * halo_y) * (size + 2 * halo_x)
        if (y1 - y0 + 2 * halo_y) * (x1 - x0 + 2 * halo_x) > alone:
            return [self.read(pair, slice(p.y, p.y + size), slice(p.x, p.x + size)) for p in patches]
        layers, label = self._layers(pair, slice(y0, y1), slice(x0, x1))
        cuts = [(slice(p.y - y0, p.y - y0 + size), slice(p.x - x0, p.x - x0 + size)) for p in patches]
        return [self._put_together([layer[cut] for layer in layers], label[cut]) for cut in cuts]

    def _layers(self, pair: int, y: slice, x: slice) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the channels of a rectangle, each (Y, X) float32 with NaN in its holes, and the labels."""
        outer_y, outer_x = grow((y, x), self._halo(pair), self.reader.shape)
        dates = self.pairs[pair]
        before, after = self.reader.pair_images(dates, outer_y, outer_x)
        is_stored = self.stored_coherence[pair]
        is_computed = "coherence" in self.channels and not is_stored
        layers = block_layers(
            (before, after),
            (self._statistics[dates[0]], self._statistics[dates[1]]),
            stored=self.reader.plane("coherence", pair, outer_y, outer_x) if is_stored else None,
            coherence=self.coherence if is_computed else None,
            looks=self.calibration.looks if is_computed else None,
            ramp=self.calibration.ramp(self.reader.scene, *dates) if is_computed else None,
            first_row=outer_y.start,
        )
        part = inside((y, x), (outer_y, outer_x))
        return [layer[part] for layer in layers], self.reader.plane(self.truth, pair, y, x)

    def _put_together(self, layers: Sequence[np.ndarray], label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features (C, Y, X), the channels of a pixel side by side in memory, and target (Y, X)."""
        from sarcd.training.kernels import fill_interleaved

        values, target = fill_interleaved(layers, [FILL[name] for name in self.channels], label, IGNORE)
        return np.moveaxis(values, -1, 0), target

    def _halo(self, pair: int) -> tuple[int, int]:
        """Return how far around a rectangle images are read."""
        alone = self.stored_coherence[pair] or "coherence" not in self.channels
        return (0, 0) if alone else self.coherence.halo
