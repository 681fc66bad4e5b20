"""Spatial split of the training scenes into training and validation cells, by blocks of cells for all dates at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarcd import schema
from sarcd.errors import TrainingError
from sarcd.geography.georeference import Georeference, of_scene
from sarcd.store.reader import SceneReader
from sarcd.store.results import fingerprint
from sarcd.store.scene import SceneStore
from sarcd.store.storage import is_url
from sarcd.training.patches import PatchIndex

_DRAWS = 64
_BLOCKS = 16  # minimum number, if the scenes are large enough: few blocks cannot approximate the requested fraction


@dataclass(frozen=True)
class Split:
    """Spatial split of the cells of each scene into validation and training cells.

    Parameters
    ----------
    validation, training : tuple of (row, column) bool
        Masks of each scene. Cells in neither mask are left out because the halo read around them overlaps validation
        cells.
    ground, changed : float
        Fractions of the labelled cells and of the changed pixels that belong to the validation set.
    """

    validation: tuple[np.ndarray, ...]
    training: tuple[np.ndarray, ...]
    ground: float
    changed: float


def places_of(grounds: Sequence[Ground]) -> list[int]:
    """Return the number of each scene's place; scenes on the same grid have the same place.

    Raises
    ------
    TrainingError
        If two scenes overlap on different grids: validation cells could not be excluded from both.
    """
    places: list[int] = []
    for i, ground in enumerate(grounds):
        same = [j for j in range(i) if ground.same_grid(grounds[j])]
        crossing = [j for j in range(i) if j not in same and ground.overlaps(grounds[j])]
        if crossing:
            raise TrainingError(
                f"shows ground of {grounds[crossing[0]].path} in another grid, so none can be held out of both",
                source=ground.path,
                hint="bring both to one grid, or learn from one of them",
            )
        places.append(places[same[0]] if same else max(places, default=-1) + 1)
    return places


def hold_out(
    indices: Sequence[PatchIndex], places: Sequence[int], share: float, *, halo: tuple[int, int], seed: int
) -> Split:
    """Choose blocks of validation cells from all scenes together.

    Parameters
    ----------
    indices : sequence of PatchIndex
        Index of each scene.
    places : sequence of int
        Number of each scene's place; scenes of the same place share one split.
    share : float
        Validation fraction of the labelled cells and of the changed pixels, in (0, 1).
    halo : (int, int)
        Halo in pixels along y and x that is read around each patch.
    seed : int
        Seed of the random split.

    Returns
    -------
    Split
        The best of 64 random splits: the one whose fractions of labelled cells and of changed pixels are closest to
        `share`.

    Raises
    ------
    TrainingError
        If there are fewer than two blocks with labels.
    """
    grids = {place: indices[i] for i, place in reversed(list(enumerate(places)))}
    members = {
        place: [index for index, other in zip(indices, places, strict=True) if other == place] for place in grids
    }
    ground = {place: np.any([(i.labelled > 0).any(axis=0) for i in members[place]], axis=0) for place in grids}
    change = {place: np.sum([i.changed.sum(axis=0) for i in members[place]], axis=0) for place in grids}
    blocks = _blocks(ground, grids[places[0]].size, share)
    if len(blocks) < 2:
        raise TrainingError(
            "too few patches with labels to hold some of them out",
            hint="choose smaller patches with --patch, or name a validation scene with --val",
        )
    weights = np.array([(ground[place][part].sum(), change[place][part].sum()) for place, part in blocks], float)
    shares = weights / np.maximum(weights.sum(axis=0), 1)  # (block, 2)
    count = min(max(round(share * len(blocks)), 1), len(blocks) - 1)
    generator = np.random.default_rng(seed)
    draws = [np.sort(generator.permutation(len(blocks))[:count]) for _ in range(_DRAWS)]
    best = min(draws, key=lambda draw: float(np.abs(shares[draw].sum(axis=0) - share).sum()))
    validation = {place: np.zeros(cells.shape, bool) for place, cells in ground.items()}
    for place, part in (blocks[i] for i in best):
        validation[place][part] = True
    size = grids[places[0]].size
    reach = -(-halo[0] // size), -(-halo[1] // size)
    training = {place: ~_spread(cells, reach) for place, cells in validation.items()}
    found = shares[best].sum(axis=0)
    return Split(
        tuple(validation[place] for place in places), tuple(training[place] for place in places), found[0], found[1]
    )


def _blocks(ground: dict[int, np.ndarray], size: int, share: float) -> list[tuple[int, tuple[slice, slice]]]:
    """Return blocks of cells with labels, as large as a stored chunk, halved until there are enough blocks."""
    least = max(_BLOCKS, 2 / share, 2 / (1 - share))
    side = max(1, schema.CHUNK // size)
    while True:
        blocks = [
            (place, (slice(row, row + side), slice(column, column + side)))
            for place, cells in sorted(ground.items())
            for row in range(0, cells.shape[0], side)
            for column in range(0, cells.shape[1], side)
            if cells[row : row + side, column : column + side].any()
        ]
        if len(blocks) >= least or side == 1:
            return blocks
        side = max(1, side // 2)


def _spread(cells: np.ndarray, reach: tuple[int, int]) -> np.ndarray:
    """Dilate a mask of cells by `reach` rows and columns."""
    padded = np.pad(cells, [(steps, steps) for steps in reach])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach[0] + 1, 2 * reach[1] + 1))
    return np.asarray(windows.any(axis=(2, 3)))


Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Ground:
    """Area covered by a scene.

    Parameters
    ----------
    path : str
        Path of the scene.
    shape : (int, int)
        Rows and columns of the scene.
    georeference : Georeference
        Grid of the scene; without a CRS, its position is unknown.
    images : str
        Fingerprint of the images.
    """

    path: str
    shape: tuple[int, int]
    georeference: Georeference
    images: str

    @classmethod
    def of(cls, reader: SceneReader) -> Ground:
        """Return the area covered by a stored scene."""
        images = fingerprint(SceneStore(reader.path), [reader.images])
        return cls(reader.path, reader.shape, of_scene(reader.scene), images)

    def same_grid(self, other: Ground) -> bool:
        """Return whether both scenes have the same pixel grid on the ground.

        This holds for a scene and itself, for exact copies, and for scenes with the same CRS and grid.
        """
        if place_of(self.path) == place_of(other.path) or self.images == other.images:
            return True
        if self.shape != other.shape or self.georeference.crs is None:
            return False
        return self.georeference.difference(other.georeference, self.shape) is None

    def overlaps(self, other: Ground) -> bool:
        """Return whether the areas of both scenes overlap; scenes on different grids must have the same CRS."""
        if self.same_grid(other):
            return True
        mine, theirs = self.georeference, other.georeference
        if mine.crs is None or mine.crs != theirs.crs:
            return False
        a, b = self._bounds(), other._bounds()
        tolerance = 1e-6 * max(a[2] - a[0], a[3] - a[1])  # neighbours that share an edge do not overlap
        return all(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) > tolerance for i in range(2))

    def _bounds(self) -> Bounds:
        """Return the bounds (x_min, y_min, x_max, y_max) in the CRS."""
        if self.georeference.transform is None:
            corners = np.array([(point.x, point.y) for point in self.georeference.gcps])
        else:
            t, (height, width) = self.georeference.transform, self.shape
            pixels = [(0, 0), (width, 0), (0, height), (width, height)]
            corners = np.array([(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in pixels])
        (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return x0, y0, x1, y1


def place_of(path: str) -> str:
    """Return the canonical path or URL of a scene."""
    return path.rstrip("/") if is_url(path) else str(Path(path).resolve())
