"""Tiles of a scene and their sizes: exact tiles, and blended tiles for networks with global context.

Exact tiles start and end on multiples of the network's stride and are read with a halo as large as the network's
receptive field requires. The scene is padded once to a multiple of the stride; a tile at its edge gets no padding of
its own. Every pixel of a tile's core then has the same input as in a single pass over the scene.

The output of a network with global context depends on the tile. Blended tiles are therefore fixed, whatever the memory:
one grid from the first pixel of the scene, each tile offset by half a tile from the next, the last ones moved back to
end where the scene ends. The logit of a pixel is the mean over the tiles that cover it, weighted by a window that falls
off towards their edges.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sarcd.engine.tasks import Rectangle
from sarcd.errors import OptionError

if TYPE_CHECKING:
    from torch import nn


def round_up(value: int, step: int) -> int:
    """Return the smallest multiple of `step` that is not below `value`."""
    return -(-value // step) * step


@dataclass(frozen=True)
class Tiling:
    """Exact tiles of a scene.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the scene along y and x.
    stride : int
        Total downsampling of the network, 2^D.
    halo : int
        Pixels that the network needs around a tile that starts and ends on multiples of the stride (`tile_halo`).
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
            raise OptionError(f"tile {self.tile} is not a multiple of the stride {self.stride}", option="tiles")

    @property
    def padded(self) -> tuple[int, int]:
        """Shape of the scene, padded once at its end."""
        return round_up(self.shape[0], self.stride), round_up(self.shape[1], self.stride)

    def aligned(self, region: Rectangle) -> Rectangle:
        """Return a region extended to multiples of the stride."""
        return tuple(  # type: ignore[return-value]
            slice(part.start // self.stride * self.stride, round_up(part.stop, self.stride)) for part in region
        )

    def source(self, core: Rectangle) -> Rectangle:
        """Return the part of the padded scene that the network needs to be exact on an aligned core."""
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
        """Copy the part of a tile's core that lies in a region from the network's output for the tile's source."""
        targets, origins = [], []
        for wanted, have, seen in zip(region, core, self.source(core), strict=True):
            start, stop = max(wanted.start, have.start), min(wanted.stop, have.stop)
            targets.append(slice(start - wanted.start, stop - wanted.start))
            origins.append(slice(start - seen.start, stop - seen.start))
        out[tuple(targets)] = tile[tuple(origins)]

    def blocks(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Return how many stored chunks along y and x are predicted together, so that large tiles are not cut."""
        return max(1, self.tile // grid[0]), max(1, self.tile // grid[1])

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the fraction of the computed pixels that end up in the map, for regions of `grid`."""
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


STEPS_A_TILE = 2
"""Tile side divided by the step from one tile to the next: tiles overlap by half, and four tiles cover a pixel."""

_TILES_ACROSS_REGION = 8  # a region this large computes an eighth more pixels than its part of the tiles
_LARGEST_WINDOW = 2560  # side in pixels of the window that such a region reads; larger ones are not worth the memory


@dataclass(frozen=True)
class BlendedTiling:
    """Overlapping tiles of a scene, whose outputs are blended.

    Parameters
    ----------
    shape : (int, int)
        Pixels of the scene along y and x.
    stride : int
        Total downsampling of the network.
    tile : int
        Side of a tile, a multiple of the stride. Along an axis on which the scene is shorter, tiles are as short as the
        stride allows, and padded.

    Examples
    --------
    >>> tiling = BlendedTiling(shape=(100, 40), stride=16, tile=64)
    >>> list(tiling.cores((slice(70, 100), slice(0, 40))))
    [(slice(32, 96, None), slice(0, 48, None)), (slice(36, 100, None), slice(0, 48, None))]
    >>> tiling.window((slice(70, 100), slice(0, 40)))
    (slice(32, 100, None), slice(0, 40, None))
    """

    shape: tuple[int, int]
    stride: int
    tile: int

    def __post_init__(self) -> None:
        if self.tile < 1 or self.tile % self.stride:
            raise OptionError(f"tile {self.tile} is not a multiple of the stride {self.stride}", option="tiles")

    @property
    def halo(self) -> int:
        """Maximum distance in pixels from a region to what must be read to predict it."""
        return self.tile

    @property
    def sides(self) -> tuple[int, int]:
        """Size of each tile along y and x."""
        y, x = (min(self.tile, round_up(size, self.stride)) for size in self.shape)
        return y, x

    def source(self, core: Rectangle) -> Rectangle:
        """Return what the network needs for a tile: the tile itself."""
        return core

    def window(self, region: Rectangle) -> Rectangle:
        """Return the part of the scene that must be read to predict a region: all tiles that overlap it."""
        y, x = (
            slice(starts[0], min(starts[-1] + side, size))
            for starts, side, size in zip(self._starts_in(region), self.sides, self.shape, strict=True)
        )
        return y, x

    def cores(self, region: Rectangle) -> Iterator[Rectangle]:
        """Yield the tiles that overlap a region, row by row."""
        rows, columns = self._starts_in(region)
        for y in rows:
            for x in columns:
                yield slice(y, y + self.sides[0]), slice(x, x + self.sides[1])

    def paste(self, out: np.ndarray, region: Rectangle, core: Rectangle, tile: np.ndarray) -> None:
        """Add the part of a tile that lies in a region, times weights that sum to 1 over all tiles of a pixel."""
        targets, origins, weights = [], [], []
        for axis, (wanted, have) in enumerate(zip(region, core, strict=True)):
            start, stop = max(wanted.start, have.start), min(wanted.stop, have.stop)
            targets.append(slice(start - wanted.start, stop - wanted.start))
            origins.append(slice(start - have.start, stop - have.start))
            total = _totals(self.shape[axis], self.sides[axis])[start:stop]
            weights.append((_window(self.sides[axis])[origins[-1]] / total).astype(np.float32))
        out[tuple(targets)] += tile[tuple(origins)] * (weights[0][:, None] * weights[1])

    def blocks(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Return how many stored chunks along y and x are predicted together, so that few tiles are computed twice."""
        if self.tile >= max(self.shape):  # a single tile
            return -(-self.shape[0] // grid[0]), -(-self.shape[1] // grid[1])
        side = min(_TILES_ACROSS_REGION * self.tile, _LARGEST_WINDOW - 2 * self.tile)
        return max(1, side // grid[0]), max(1, side // grid[1])

    def kept_share(self, grid: tuple[int, int]) -> float:
        """Return the pixels of the map divided by the computed pixels, for regions of `grid`.

        At most about a quarter, since four tiles cover a pixel.
        """
        blocks = self.blocks(grid)
        computed = [0, 0]  # along each axis, since the tiles of a region form a full grid
        for axis, (chunk, count) in enumerate(zip(grid, blocks, strict=True)):
            for start in range(0, self.shape[axis], chunk * count):
                part = slice(start, min(start + chunk * count, self.shape[axis]))
                computed[axis] += self.sides[axis] * len(self._starts_in((part, part))[axis])
        everything = slice(0, self.shape[0]), slice(0, self.shape[1])
        return area(everything) / (computed[0] * computed[1])

    def _starts_in(self, region: Rectangle) -> tuple[list[int], list[int]]:
        y, x = (
            [start for start in starts if start < part.stop and start + side > part.start]
            for starts, side, part in zip(map(_starts, self.shape, self.sides), self.sides, region, strict=True)
        )
        return y, x


@functools.lru_cache(maxsize=64)
def _starts(size: int, side: int) -> tuple[int, ...]:
    """Return the first pixel of each tile along an axis."""
    if size <= side:
        return (0,)
    return (*range(0, size - side, max(1, side // STEPS_A_TILE)), size - side)


@functools.lru_cache(maxsize=64)
def _totals(size: int, side: int) -> np.ndarray:
    """Return the sum of the weights of all tiles at each pixel along an axis, float64; cached, so do not modify it."""
    starts = _starts(size, side)
    total = np.zeros(starts[-1] + side)
    for start in starts:
        total[start : start + side] += _window(side)
    return total


def _window(side: int) -> np.ndarray:
    """Return sin^2 weights along a tile's side, float64: positive, with sum 1 over tiles half a tile apart.

    Examples
    --------
    >>> window = _window(8)
    >>> bool((window > 0).all()), bool(np.allclose(window[:4] + window[4:], 1))
    (True, True)
    """
    weights: np.ndarray = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return weights


AnyTiling = Tiling | BlendedTiling

_BYTES_OF_ANY_PASS = 2**26

_LARGEST_TILE = {"cpu": 2048, "mps": 2048, "cuda": 4096}  # larger tiles gain nothing: halos are already small

BLENDED_TILE = 256
"""Side of a blended tile if the model file does not record the size of the training patches."""

_BLENDED_TILES = range(16, 4097)  # valid sizes in a model file


def tiling_of(network: Any, shape: tuple[int, int], tile: int) -> AnyTiling:
    """Return the tiles of a scene for a network: exact if it can be tiled exactly, otherwise blended.

    Examples
    --------
    >>> from sarcd.networks import create_model
    >>> tiling_of(create_model("unet-small", 3), (500, 400), 128)
    Tiling(shape=(500, 400), stride=16, halo=64, tile=128)
    """
    if network.exact_tiles:
        return Tiling(shape, network.stride, network.tile_halo, tile)
    return BlendedTiling(shape, network.stride, tile)


def trained_tile(training: dict[str, Any]) -> int:
    """Return the side of the patches that a network was trained on, from its card; 256 if the card has none.

    Examples
    --------
    >>> trained_tile({"options": {"patch": 128}}), trained_tile({})
    (128, 256)
    """
    options = training.get("options")
    patch = options.get("patch") if isinstance(options, dict) else None
    return patch if type(patch) is int and patch in _BLENDED_TILES else BLENDED_TILE


def choose_tile(
    tiles: int | Literal["auto", "whole"],
    network: nn.Module,
    shape: tuple[int, int],
    memory_bytes: int,
    *,
    device: str = "cpu",
    trained: int = BLENDED_TILE,
) -> int:
    """Return the side of a tile's core in pixels, a multiple of the network's stride.

    Parameters
    ----------
    tiles : int, "auto" or "whole"
        A number is rounded up to a multiple of the stride. ``auto`` is the largest power of two whose forward pass fits
        the memory. For a network that cannot be tiled exactly, whose map depends on the tile, it is `trained`, whatever
        the memory. ``whole`` is one tile for the whole scene.
    network : nn.Module
        Network with `stride`, `tile_halo` and `exact_tiles`.
    shape : (int, int)
        Shape of the scene.
    memory_bytes : int
        Memory of one forward pass, for ``auto``.
    device : {"cpu", "cuda", "mps"}
        Device of the network, for ``auto``: tiles may be larger on a GPU.
    trained : int
        Side of the patches that the network was trained on; see `trained_tile`.

    Raises
    ------
    OptionError
        If the number is below 1.
    """
    stride = int(network.stride)  # type: ignore[arg-type]
    largest = round_up(max(shape), stride)
    if tiles == "whole":
        return largest
    if tiles != "auto":
        if tiles < 1:
            raise OptionError(
                f"tile of {tiles} pixels", option="--tiles", hint="use a whole number from 1, auto or whole"
            )
        return min(round_up(tiles, stride), largest)
    if not network.exact_tiles:
        return min(round_up(trained, stride), largest)
    tile = _LARGEST_TILE[device]
    while tile > 2 * stride and forward_bytes(network, tile, 1, shape) > memory_bytes:
        tile //= 2
    return min(round_up(tile, stride), largest)


def forward_bytes(network: Any, tile: int, batch: int, shape: tuple[int, int]) -> int:
    """Estimate the peak memory in bytes of a forward pass over `batch` tiles of a scene."""
    side_y, side_x = (min(tile + 2 * int(network.tile_halo), round_up(size, int(network.stride))) for size in shape)
    value_bytes = next(network.parameters()).element_size()
    per_pixel = value_bytes * (float(network.values_per_pixel) + 2 * int(network.in_channels))
    return int(_BYTES_OF_ANY_PASS + batch * side_y * side_x * per_pixel)


def choose_batch(batch: int, network: nn.Module, tile: int, shape: tuple[int, int], memory_bytes: int) -> int:
    """Return the number of tiles per forward pass: as given, or as many as fit the memory, at most 16."""
    if batch < 0:
        raise OptionError(f"batch of {batch} tiles", option="--batch", hint="use a whole number from 1, or 0 to choose")
    if batch:
        return batch
    fitting = [count for count in range(1, 17) if forward_bytes(network, tile, count, shape) <= memory_bytes]
    return max(fitting, default=1)


def blocks_of(tilings: Sequence[AnyTiling], grid: tuple[int, int]) -> tuple[int, int]:
    """Return how many stored chunks along y and x several networks predict together."""
    counts = [tiling.blocks(grid) for tiling in tilings]
    return max(y for y, _ in counts), max(x for _, x in counts)
