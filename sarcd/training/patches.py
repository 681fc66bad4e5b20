"""Patches of labelled scenes: positions, label counts, sampling, and reading of features and labels."""

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
    """Square patch: index of its scene, index of the pair in that scene, and first pixel along y and x."""

    scene: int
    pair: int
    y: int
    x: int


@dataclass(frozen=True)
class PatchIndex:
    """Label counts of each cell of a scene's patch grid.

    Parameters
    ----------
    size : int
        Side length of a patch in pixels.
    labelled : (pair, row, column) int64
        Number of pixels that have a label and are valid in both images.
    changed : (pair, row, column) int64
        Number of these pixels that are labelled as changed.
    """

    size: int
    labelled: np.ndarray
    changed: np.ndarray

    @property
    def mostly_valid(self) -> np.ndarray:
        """Whether at least half of a cell is labelled and valid, (pair, row, column) bool."""
        return 2 * self.labelled >= self.size**2

    def within(self, cells: np.ndarray) -> PatchIndex:
        """Return the index restricted to `cells`, (row, column) or (pair, row, column) bool."""
        return PatchIndex(self.size, np.where(cells, self.labelled, 0), np.where(cells, self.changed, 0))

    def patches(self, scene: int, chosen: np.ndarray) -> list[Patch]:
        """Return the cells where `chosen` (pair, row, column) is True, as patches of scene number `scene`."""
        return [Patch(scene, int(p), int(i) * self.size, int(j) * self.size) for p, i, j in np.argwhere(chosen)]


def patch_grid(shape: tuple[int, int], size: int) -> tuple[int, int]:
    """Return the number of rows and columns of complete patches; incomplete patches at the edges are not used.

    Examples
    --------
    The first site of Murdaca et al. 2023, 5352 x 9356 pixels and 3 pairs, has 2160 patches:

    >>> rows, columns = patch_grid((5352, 9356), 256)
    >>> rows * columns * 3
    2160
    """
    return shape[0] // size, shape[1] // size


def shares_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of labelled and of changed pixels of each patch, both (N,) int64."""
    cells = [
        (indices[patch.scene], (patch.pair, patch.y // indices[patch.scene].size, patch.x // indices[patch.scene].size))
        for patch in patches
    ]
    labelled = np.array([index.labelled[cell] for index, cell in cells], np.int64)
    return labelled, np.array([index.changed[cell] for index, cell in cells], np.int64)


def changed_share(indices: Sequence[PatchIndex], patches: Sequence[Patch], weights: np.ndarray | None = None) -> float:
    """Return the fraction of changed pixels among the labelled pixels of patches, clipped to [1e-4, 1 - 1e-4].

    `weights` (N,) is the expected number of occurrences of each patch in an epoch, by default 1.
    """
    labelled, changed = shares_of(indices, patches)
    weights = np.ones(len(patches)) if weights is None else weights
    share = float((weights * changed).sum() / (weights * labelled).sum())
    return min(max(share, 1e-4), 1 - 1e-4)  # the logit of 0 or 1 is infinite


def weights_of(indices: Sequence[PatchIndex], patches: Sequence[Patch]) -> np.ndarray:
    """Return sampling weights, (N,) float64: the fraction of change of each patch plus the mean over all patches."""
    labelled, changed = shares_of(indices, patches)
    share = changed / labelled
    return np.asarray(share + share.mean())


def every_patch(indices: Sequence[PatchIndex]) -> list[Patch]:
    """Return every patch with at least one labelled pixel, ordered by scene, pair, row and column."""
    return [patch for scene, index in enumerate(indices) for patch in index.patches(scene, index.labelled > 0)]


def balanced_patches(indices: Sequence[PatchIndex], seed: int) -> list[Patch]:
    """Return every patch with a changed pixel and an equal number of labelled patches without, from all scenes.

    Parameters
    ----------
    indices : sequence of PatchIndex
        Index of each scene.
    seed : int
        Seed of the random sample.

    Returns
    -------
    list of Patch
        Patches, ordered by scene, pair, row and column. If there are fewer patches without change than with change, all
        are returned. Patches without change that are less than half labelled and valid are sampled only if there are
        too few others.

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
"""Label of ignored pixels: unlabelled, or invalid in any feature."""

_CACHE_BYTES = 2**27
_BLOCK = schema.CHUNK  # approximate side length in pixels of a block that is read together


def check_channels(reader: SceneReader, channels: Sequence[str]) -> None:
    """Check that the scene has the images needed for the features.

    Raises
    ------
    SceneError
        If coherence is requested but the scene has no complex images.
    """
    if "coherence" in channels and "slc" not in reader.scene:
        raise SceneError(
            "no 'slc', so no coherence", source=reader.path, hint="ingest complex images, or train with --no-coherence"
        )


class LabelledScene:
    """Reader of features and labels of a stored scene.

    Parameters
    ----------
    path : str or Path
        Path of the scene.
    channels : sequence of str
        Features, as in `sarcd.estimation.features`.
    coherence : CoherenceOptions
        How coherence is estimated. Stored coherence is used if it was estimated with the same options.
    statistics : AmplitudeStatistics
        Median and MAD that normalise the amplitudes.
    truth : str
        Variable with the labels: `label` for manual labels, or `pseudo_label`, possibly with a suffix.

    Notes
    -----
    Only the path and the options are pickled; a worker process opens the store itself.
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
        # Blocks are read in any order: the reader caches the rims of blocks already read for their neighbours.
        return SceneReader(self.path, cache_bytes=_CACHE_BYTES, rim=max(reach))

    def release(self) -> None:
        """Release the memory of the reader; the next read opens the store again."""
        self.__dict__.pop("reader", None)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "reader"}

    @functools.cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Indices along `time` of the two images of each pair."""
        return pairs_of(self.reader.scene)

    @functools.cached_property
    def stored_coherence(self) -> list[bool]:
        """Whether the store has coherence estimated with the same options, for each pair."""
        if "coherence" not in self.channels:
            return [False] * len(self.pairs)
        return [stored_coherence(self.reader.scene, [dates], self.coherence) is not None for dates in self.pairs]

    @functools.cached_property
    def calibration(self) -> Calibration:
        """Scene-wide parameters of the coherence estimate."""
        if "coherence" not in self.channels:
            return Calibration()
        with chunk_errors(self.path):
            return calibrate(self.reader.scene, self.coherence, self.pairs)

    @functools.cached_property
    def brightness(self) -> np.ndarray:
        """Ratio of median to MAD of the amplitudes of both dates of each pair, (pair, 2) float32."""
        known = [[self._statistics[date] for date in dates] for dates in self.pairs]
        return np.array([[median / mad for median, mad in dates] for dates in known], np.float32)

    @functools.cached_property
    def _statistics(self) -> list[tuple[float, float]]:
        """Median and MAD of the amplitudes of each date."""
        return [self.statistics.at(date) for date in schema.dates_of(self.reader.scene, "time")]

    @functools.cached_property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a block that is read together: a stored chunk, or several small chunks."""
        height, width = self.reader.chunks
        return height * max(1, _BLOCK // height), width * max(1, _BLOCK // width)

    def read(self, pair: int, y: slice, x: slice) -> tuple[np.ndarray, np.ndarray]:
        """Read features and labels of a rectangle, identical to those computed from the whole scene.

        Parameters
        ----------
        pair : int
            Index of the pair in the scene.
        y, x : slice
            Rectangle within the scene, in pixels.

        Returns
        -------
        features : (C, Y, X) float32
            Features, invalid pixels filled; see `sarcd.estimation.channels.fill_holes`.
        target : (Y, X) uint8
            Labels: 1 change, 0 no change, 255 unlabelled or invalid.
        """
        layers, label = self._layers(pair, y, x)
        return self._put_together(layers, label)

    def read_patches(self, patches: Sequence[Patch], size: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Read patches of one pair, together if they are dense enough for this to be the least computation.

        Parameters
        ----------
        patches : sequence of Patch
            Patches of one pair of this scene.
        size : int
            Side length of a patch in pixels, P.

        Returns
        -------
        list of (features, target)
            Features (C, P, P) float32 and labels (P, P) uint8 of each patch, as returned by `read`, in separate arrays.

        Notes
        -----
        The features are channels last in memory, as networks expect them.
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
        """Return the channels of a rectangle, each (Y, X) float32 with NaN where invalid, and the labels."""
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
        """Assemble features (C, Y, X), channels last in memory, and target (Y, X)."""
        from sarcd.training.kernels import fill_interleaved

        values, target = fill_interleaved(layers, [FILL[name] for name in self.channels], label, IGNORE)
        return np.moveaxis(values, -1, 0), target

    def _halo(self, pair: int) -> tuple[int, int]:
        """Return the halo of a rectangle, in pixels along y and x, in which images are read as well."""
        alone = self.stored_coherence[pair] or "coherence" not in self.channels
        return (0, 0) if alone else self.coherence.halo
