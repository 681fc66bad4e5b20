"""Tiles that change nothing: the same map for any tile size as one pass over the whole scene.

Tiles start and end on multiples of the network's stride and are read with as much around them as the network looks at
from there; the scene is padded once to a multiple of the stride, and a tile at the scene's edge gets no padding of its
own. Then every pixel of a tile's core sees what it would see in one pass over the scene.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sarcd.engine.rectangles import Rectangle
from sarcd.errors import OptionError


def round_up(value: int, step: int) -> int:
    """Return the least multiple of `step` that is not below `value`."""
    return -(-value // step) * step


@dataclass(frozen=True)
class Tiling:
    """Where the tiles of a scene lie.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the scene along y and x.
    stride : int
        The network's total downsampling, 2^D.
    halo : int
        What the network must see around a tile that starts and ends on multiples of the stride (`tile_halo`).
    tile : int
        Side of a tile's core, a multiple of the stride.

    Examples
    --------
    >>> tiling = Tiling(shape=(100, 200), stride=16, halo=80, tile=64)
    >>> tiling.padded
    (112, 208)
    >>> tiling.window((slice(0, 100), slice(100, 150)))
    (slice(0, 100, None), slice(16, 200, None))
    """

    shape: tuple[int, int]
    stride: int
    halo: int
    tile: int

    def __post_init__(self) -> None:
        if self.tile < 1 or self.tile % self.stride:
            raise OptionError(f"tile {self.tile} is no multiple of the stride {self.stride}", where="tiles")

    @property
    def padded(self) -> tuple[int, int]:
        """Size of the scene padded once at its end."""
        return round_up(self.shape[0], self.stride), round_up(self.shape[1], self.stride)

    def aligned(self, region: Rectangle) -> Rectangle:
        """Return the region widened to multiples of the stride."""
        return tuple(  # type: ignore[return-value]
            slice(part.start // self.stride * self.stride, round_up(part.stop, self.stride)) for part in region
        )

    def source(self, core: Rectangle) -> Rectangle:
        """Return what the network must see of the padded scene to be exact on an aligned core."""
        return tuple(  # type: ignore[return-value]
            slice(max(part.start - self.halo, 0), min(part.stop + self.halo, size))
            for part, size in zip(core, self.padded, strict=True)
        )

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region."""
        source = self.source(self.aligned(region))
        return tuple(  # type: ignore[return-value]
            slice(part.start, min(part.stop, size)) for part, size in zip(source, self.shape, strict=True)
        )

    def cores(self, region: Rectangle) -> Iterator[Rectangle]:
        """Yield the cores of the tiles that make up a region, row by row."""
        rows, columns = self.aligned(region)
        for y in range(rows.start, rows.stop, self.tile):
            for x in range(columns.start, columns.stop, self.tile):
                yield slice(y, min(y + self.tile, rows.stop)), slice(x, min(x + self.tile, columns.stop))

    def paste(self, out: np.ndarray, region: Rectangle, core: Rectangle, tile: np.ndarray) -> None:
        """Copy the part of a tile's core that lies in a region, from what the network made of its source."""
        targets, origins = [], []
        for wanted, have, seen in zip(region, core, self.source(core), strict=True):
            start, stop = max(wanted.start, have.start), min(wanted.stop, have.stop)
            targets.append(slice(start - wanted.start, stop - wanted.start))
            origins.append(slice(start - seen.start, stop - seen.start))
        out[tuple(targets)] = tile[tuple(origins)]

    def blocks(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Return how many stored chunks along y and x are predicted as one, so that large tiles stay whole."""
        return max(1, self.tile // grid[0]), max(1, self.tile // grid[1])

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the share of the pixels that the network computes which end in the map, for regions of `grid`."""
        blocks = self.blocks(grid)
        step_y, step_x = grid[0] * blocks[0], grid[1] * blocks[1]
        computed = 0
        for y in range(0, self.shape[0], step_y):
            for x in range(0, self.shape[1], step_x):
                region = slice(y, min(y + step_y, self.shape[0])), slice(x, min(x + step_x, self.shape[1]))
                computed += sum(area(self.source(core)) for core in self.cores(region))
        return self.shape[0] * self.shape[1] / computed


def area(rectangle: Rectangle) -> int:
    """Return the number of pixels of a rectangle."""
    return int((rectangle[0].stop - rectangle[0].start) * (rectangle[1].stop - rectangle[1].start))
