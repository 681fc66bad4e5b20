"""Ground of the training scenes that is kept for validation: whole blocks of cells, for all dates at once."""

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
_BLOCKS = 16  # at the least, where the scenes are large enough: of few blocks no share comes out as wanted


@dataclass(frozen=True)
class Split:
    """Which cells of each scene are judged on, and which may be learnt from.

    Parameters
    ----------
    judged, learnt : tuple of (row, column) bool
        One a scene. Cells that are neither lie so near to those judged on that what is read for them touches them.
    ground, changed : float
        Shares of the labelled cells, and of the changed pixels, that are judged on.
    """

    validation: tuple[np.ndarray, ...]
    training: tuple[np.ndarray, ...]
    ground: float
    changed: float


def places_of(grounds: Sequence[Ground]) -> list[int]:
    """Return for each scene the number of its place; scenes of one place have one grid.

    Raises
    ------
    TrainingError
        If two scenes show the same ground in different grids: its cells could not be held out of both.
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
    """Choose blocks of cells to judge on, of all scenes together.

    Parameters
    ----------
    indices : sequence of PatchIndex
        One a scene.
    places : sequence of int
        Number of each scene's place: scenes of one place share the choice.
    share : float
        Of the ground that has labels, and of what has changed there.
    halo : (int, int)
        Pixels around a patch that are read for it, along y and x.
    seed : int
        Seed of the draw.

    Returns
    -------
    Split
        Of 64 draws of blocks, the one whose shares of ground and of change are nearest to `share`.

    Raises
    ------
    TrainingError
        If there are not two cells to divide.
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
            hint="choose smaller patches with --patch, or name a scene to judge on with --val",
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
    """Return blocks of cells that have labels: as large as a stored chunk, or smaller until there are enough."""
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
    """Return the cells that lie within `reach` rows and columns of a True one."""
    padded = np.pad(cells, [(steps, steps) for steps in reach])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach[0] + 1, 2 * reach[1] + 1))
    return np.asarray(windows.any(axis=(2, 3)))


Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Ground:
    """Where a scene lies.

    Parameters
    ----------
    path : str
        Scene.
    shape : (int, int)
        Its rows and columns.
    georeference : Georeference
        Its grid; without a CRS it tells nothing of the ground.
    images : str
        Fingerprint of its images.
    """

    path: str
    shape: tuple[int, int]
    georeference: Georeference
    images: str

    @classmethod
    def of(cls, reader: SceneReader) -> Ground:
        """Return where a stored scene lies."""
        images = fingerprint(SceneStore(reader.path), [reader.images])
        return cls(reader.path, reader.shape, of_scene(reader.scene), images)

    def same_grid(self, other: Ground) -> bool:
        """Tell whether both scenes have the same pixels of the same ground.

        So have a scene and itself or its faithful copy, and scenes of one CRS and grid.
        """
        if place_of(self.path) == place_of(other.path) or self.images == other.images:
            return True
        if self.shape != other.shape or self.georeference.crs is None:
            return False
        return self.georeference.difference(other.georeference, self.shape) is None

    def overlaps(self, other: Ground) -> bool:
        """Tell whether both scenes show a piece of ground, whatever their grids; they must have one CRS."""
        if self.same_grid(other):
            return True
        mine, theirs = self.georeference, other.georeference
        if mine.crs is None or mine.crs != theirs.crs:
            return False
        a, b = self._bounds(), other._bounds()
        tolerance = 1e-6 * max(a[2] - a[0], a[3] - a[1])  # neighbours that share an edge do not overlap
        return all(min(a[i + 2], b[i + 2]) - max(a[i], b[i]) > tolerance for i in range(2))

    def _bounds(self) -> Bounds:
        """Return least x and y, and greatest, in the CRS."""
        if self.georeference.transform is None:
            corners = np.array([(point.x, point.y) for point in self.georeference.gcps])
        else:
            t, (height, width) = self.georeference.transform, self.shape
            pixels = [(0, 0), (width, 0), (0, height), (width, height)]
            corners = np.array([(t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f) for x, y in pixels])
        (x0, y0), (x1, y1) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        return x0, y0, x1, y1


def place_of(path: str) -> str:
    """Return a path so that it is the same for the same scene, however it was written."""
    return path.rstrip("/") if is_url(path) else str(Path(path).resolve())
