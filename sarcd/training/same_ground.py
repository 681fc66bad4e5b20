"""Whether two stored scenes show the same ground, as far as their georeference tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sarcd.geography.georeference import Georeference, of_scene
from sarcd.store.fingerprint import fingerprint
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore
from sarcd.store.storage import is_url

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
