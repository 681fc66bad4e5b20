"""Tile-exact prediction: the same map for any tile size, in bounded memory, as one pass over the whole scene.

Tiles start and end on multiples of the network's stride and are read with as much around them as the network looks at
from there; the scene is padded once to a multiple of the stride, and a tile at the scene's edge gets no padding of its
own. Then every pixel of a tile's core sees what it would see in one pass over the scene.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sarcd.errors import ModelError, OptionError
from sarcd.ops.features import FILL, fill_holes

if TYPE_CHECKING:
    import torch
    from torch import nn

Rectangle = tuple[slice, slice]

_VALUES_PER_PIXEL_AND_WIDTH = 5.5
"""Activations that a forward pass holds at its peak per input pixel and channel of the first level, as measured with
U-Nets of 16 and 32 channels on a CPU (20 to 23 bytes in float32, beside some constant)."""

_BYTES_OF_ANY_PASS = 2**26

_LARGEST_TILE = {"cpu": 2048, "mps": 2048, "cuda": 4096}  # beyond, halos are small and nothing is gained


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


class Predictor:
    """A network that predicts regions of one scene.

    Parameters
    ----------
    network : nn.Module
        In eval mode, with `stride`, `tile_halo` and `exact_tiles`; takes (B, C, H, W), gives logits (B, 1, H, W). One
        that `sarcd.models.inference.for_inference` made quick does it in less time.
    channels : sequence of str
        Its input channels.
    tiling : Tiling
        Tiles of the scene.
    batch : int
        Tiles in one forward pass, at most.
    device : torch.device
        Where the network is.
    """

    def __init__(
        self, network: nn.Module, channels: Sequence[str], tiling: Tiling, *, batch: int, device: torch.device
    ) -> None:
        if not getattr(network, "exact_tiles", False):
            raise ModelError(f"{type(network).__name__} cannot be tiled exactly", mend="use a U-Net")
        self.network = network
        self.channels = tuple(channels)
        self.tiling = tiling
        self.batch = batch
        self.device = device

    def logits(self, features: np.ndarray, region: Rectangle) -> np.ndarray:
        """Predict a region.

        Parameters
        ----------
        features : (C, h, w) float32
            Features of ``tiling.window(region)``, NaN where invalid.
        region : (slice, slice)
            Rectangle of the scene.

        Returns
        -------
        float32
            Logits of the region's shape, NaN where any channel is invalid.
        """
        window = self.tiling.window(region)
        filled, valid = fill_holes(features, self.channels)
        out = np.empty((region[0].stop - region[0].start, region[1].stop - region[1].start), np.float32)
        for batch in self._batches(region):
            inputs = np.stack([self._cut(filled, window, self.tiling.source(core)) for core in batch])
            for core, tile in zip(batch, self._forward(inputs), strict=True):
                _paste(out, region, tile, core, self.tiling.source(core))
        inside = tuple(
            slice(part.start - seen.start, part.stop - seen.start) for part, seen in zip(region, window, strict=True)
        )
        out[~valid[inside]] = np.nan
        return out

    def _batches(self, region: Rectangle) -> Iterator[list[Rectangle]]:
        """Group the region's tiles of one shape, in an order that depends on nothing but the region and the tiling."""
        groups: dict[tuple[int, int], list[Rectangle]] = {}
        for core in self.tiling.cores(region):
            source = self.tiling.source(core)
            groups.setdefault((source[0].stop - source[0].start, source[1].stop - source[1].start), []).append(core)
        for group in groups.values():
            for start in range(0, len(group), self.batch):
                yield group[start : start + self.batch]

    def _cut(self, filled: np.ndarray, window: Rectangle, source: Rectangle) -> np.ndarray:
        """Cut a tile's input out of the window, continued by the fill constants beyond the scene's end."""
        seen = tuple(
            slice(part.start - start.start, min(part.stop, size) - start.start)
            for part, start, size in zip(source, window, self.tiling.shape, strict=True)
        )
        tile = filled[(slice(None), *seen)]
        missing = [part.stop - part.start - have for part, have in zip(source, tile.shape[1:], strict=True)]
        if not any(missing):
            return tile
        out = np.empty((len(tile), source[0].stop - source[0].start, source[1].stop - source[1].start), np.float32)
        out[:] = np.array([FILL[name] for name in self.channels], np.float32)[:, None, None]
        out[:, : tile.shape[1], : tile.shape[2]] = tile
        return out

    def _forward(self, inputs: np.ndarray) -> np.ndarray:
        return forward(self.network, inputs, self.device)


def _paste(out: np.ndarray, region: Rectangle, tile: np.ndarray, core: Rectangle, source: Rectangle) -> None:
    """Copy the part of a tile's core that lies in the region."""
    targets, origins = [], []
    for wanted, have, seen in zip(region, core, source, strict=True):
        start, stop = max(wanted.start, have.start), min(wanted.stop, have.stop)
        targets.append(slice(start - wanted.start, stop - wanted.start))
        origins.append(slice(start - seen.start, stop - seen.start))
    out[tuple(targets)] = tile[tuple(origins)]


_owners: dict[str, ThreadPoolExecutor] = {}
_owners_lock = threading.Lock()


def forward(network: nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    """Run the network on a batch, one call at a time per device, in the precision of its weights.

    The call runs on a thread that belongs to the device, with torch's full thread count, while the calling threads of
    other regions read and prepare.

    Parameters
    ----------
    network : nn.Module
        On `device`, in eval mode.
    inputs : (B, C, H, W) float32
        Features without NaN.
    device : torch.device
        Where the network is.

    Returns
    -------
    (B, H, W) float32
        Logits.
    """
    with _owners_lock:
        owner = _owners.setdefault(str(device), ThreadPoolExecutor(1, thread_name_prefix=f"sarcd-{device}"))
    return owner.submit(_forward_now, network, inputs, device).result()


def _forward_now(network: nn.Module, inputs: np.ndarray, device: torch.device) -> np.ndarray:
    import torch

    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        kind = next(network.parameters()).dtype
        batch = torch.from_numpy(np.ascontiguousarray(inputs)).to(device, kind, memory_format=torch.channels_last)
        logits = network(batch)[:, 0]  # (B, H, W)
        return np.asarray(logits.float().cpu().numpy())


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities from logits, NaN kept."""
    with np.errstate(over="ignore"):  # exp of a large number is inf, and 1 / inf the 0 that is meant
        return (1 / (1 + np.exp(-logits.astype(np.float32)))).astype(np.float32)


def decide(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return 1 where the probability reaches the threshold, 0 where not, 255 where it is NaN."""
    change = (probability >= threshold).astype(np.uint8)
    change[np.isnan(probability)] = 255
    return change


def choose_tile(
    tiles: int | Literal["auto", "whole"],
    network: nn.Module,
    shape: tuple[int, int],
    memory_bytes: int,
    *,
    device: str = "cpu",
) -> int:
    """Return the side of a tile's core in pixels, a multiple of the network's stride.

    Parameters
    ----------
    tiles : int, "auto" or "whole"
        A number is rounded up to a multiple of the stride. ``auto`` takes the largest power of two whose forward pass
        fits the memory, ``whole`` the scene in one tile.
    network : nn.Module
        With `stride` and `tile_halo`.
    shape : (int, int)
        Of the scene.
    memory_bytes : int
        Budget of one forward pass, for ``auto``.
    device : {"cpu", "cuda", "mps"}
        Where the network runs, for ``auto``: on a GPU tiles may be larger.

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
                f"tile of {tiles} pixels", where="--tiles", mend="use a whole number from 1, auto or whole"
            )
        return min(round_up(tiles, stride), largest)
    tile = _LARGEST_TILE[device]
    while tile > 2 * stride and forward_bytes(network, tile, 1, shape) > memory_bytes:
        tile //= 2
    return min(round_up(tile, stride), largest)


def forward_bytes(network: Any, tile: int, batch: int, shape: tuple[int, int]) -> int:
    """Return the estimated peak memory of a forward pass over `batch` tiles of a scene."""
    side_y, side_x = (min(tile + 2 * int(network.tile_halo), round_up(size, int(network.stride))) for size in shape)
    widths = getattr(network, "widths", None) or (64,)
    value_bytes = next(network.parameters()).element_size()
    per_pixel = value_bytes * (_VALUES_PER_PIXEL_AND_WIDTH * int(widths[0]) + 2 * int(network.in_channels))
    return int(_BYTES_OF_ANY_PASS + batch * side_y * side_x * per_pixel)


def choose_batch(batch: int, network: nn.Module, tile: int, shape: tuple[int, int], memory_bytes: int) -> int:
    """Return the number of tiles a forward pass: as given, or as many as the memory holds, 16 at most."""
    if batch < 0:
        raise OptionError(f"batch of {batch} tiles", where="--batch", mend="use a whole number from 1, or 0 to choose")
    if batch:
        return batch
    fitting = [count for count in range(1, 17) if forward_bytes(network, tile, count, shape) <= memory_bytes]
    return max(fitting, default=1)
