"""How large the tiles are, and how many go through the network at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sarcd.errors import OptionError
from sarcd.inference.predictor import AnyTiling
from sarcd.inference.tiling import BlendedTiling, Tiling, round_up

if TYPE_CHECKING:
    from torch import nn

_BYTES_OF_ANY_PASS = 2**26

_LARGEST_TILE = {"cpu": 2048, "mps": 2048, "cuda": 4096}  # beyond, halos are small and nothing is gained

BLENDED_TILE = 256
"""Side of a tile that is blended, where the model file does not say on which patches the network was trained."""

_BLENDED_TILES = range(16, 4097)  # what a model file may say


def tiling_of(network: Any, shape: tuple[int, int], tile: int) -> AnyTiling:
    """Return the tiles of a scene for a network: exact where it can be, else blended.

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
    """Return the side of the patches that a network was trained on, as its card has it; else 256.

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
        A number is rounded up to a multiple of the stride. ``auto`` takes the largest power of two whose forward pass
        fits the memory; of a network that cannot be tiled exactly, `trained`, whatever the memory, since its map
        depends on the tile. ``whole`` takes the scene in one tile.
    network : nn.Module
        With `stride`, `tile_halo` and `exact_tiles`.
    shape : (int, int)
        Of the scene.
    memory_bytes : int
        Budget of one forward pass, for ``auto``.
    device : {"cpu", "cuda", "mps"}
        Where the network runs, for ``auto``: on a GPU tiles may be larger.
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
    """Return the estimated peak memory of a forward pass over `batch` tiles of a scene."""
    side_y, side_x = (min(tile + 2 * int(network.tile_halo), round_up(size, int(network.stride))) for size in shape)
    value_bytes = next(network.parameters()).element_size()
    per_pixel = value_bytes * (float(network.values_per_pixel) + 2 * int(network.in_channels))
    return int(_BYTES_OF_ANY_PASS + batch * side_y * side_x * per_pixel)


def choose_batch(batch: int, network: nn.Module, tile: int, shape: tuple[int, int], memory_bytes: int) -> int:
    """Return the number of tiles a forward pass: as given, or as many as the memory holds, 16 at most."""
    if batch < 0:
        raise OptionError(f"batch of {batch} tiles", option="--batch", hint="use a whole number from 1, or 0 to choose")
    if batch:
        return batch
    fitting = [count for count in range(1, 17) if forward_bytes(network, tile, count, shape) <= memory_bytes]
    return max(fitting, default=1)
