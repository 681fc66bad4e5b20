"""Levels of the dates of a scene: overall gain of one image relative to another, on a fixed sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import xarray as xr

from sarcd import schema
from sarcd.config.ingest import LEVEL_PIXELS
from sarcd.engine.lazy import is_lazy
from sarcd.errors import OptionError

MATCH_GAIN = "match_gain"
"""Parameter of a result whose levels were matched; absent where they were not."""

_COUNT = 6  # blocks of the sample along each axis: 147,456 pixels, whose median ratio is accurate to 0.05 dB

MatchGain = bool | Sequence[float]


def level_ratios(scene: xr.Dataset, pairs: Sequence[tuple[int, int]]) -> list[Any]:
    """Return the median ratio of the amplitudes after to those before, for each pair.

    It is measured on a fixed sample of the pixels that are valid and above 0 on both dates; 1 where there are none.
    Change affects it little while it covers less than half of the area, and speckle not at all.

    Parameters
    ----------
    scene : xr.Dataset
        With `slc` or `amplitude`.
    pairs : sequence of (int, int)
        Positions along time.

    Returns
    -------
    list of float
        Linear, rounded to six digits; dask tasks if the images are lazy.
    """
    images = schema.images_of(scene)
    found = []
    for before, after in pairs:
        blocks = [sample_blocks(images[date], count=_COUNT) for date in (before, after)]
        if is_lazy(images):
            from dask.delayed import delayed

            found.append(delayed(_median_ratio, pure=True)(*blocks))
        else:
            found.append(_median_ratio(*blocks))
    return found


def _median_ratio(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    first, second = (np.abs(np.concatenate([block.ravel() for block in blocks])) for blocks in (before, after))
    both = (first > 0) & (second > 0) & np.isfinite(first) & np.isfinite(second)
    if not both.any():
        return 1.0
    return float(f"{np.median(second[both].astype(np.float64) / first[both]):.6g}")


def level_ratios_now(scene: xr.Dataset, pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Return `level_ratios`, computed."""
    ratios = level_ratios(scene, pairs)
    if ratios and not isinstance(ratios[0], float):
        from dask.base import compute

        ratios = list(compute(*ratios))
    return ratios


def tells_levels(scene: xr.Dataset) -> bool:
    """Return whether a scene has enough pixels to measure the levels of its dates."""
    return bool(scene.sizes["y"] * scene.sizes["x"] >= LEVEL_PIXELS)


def largest_jump_db(scene: xr.Dataset) -> float:
    """Return the largest difference in level between consecutive dates of a scene, in decibels; 0 if it is tiny."""
    if not tells_levels(scene):
        return 0.0
    ratios = level_ratios_now(scene, list(pairwise(range(schema.images_of(scene).sizes["time"]))))
    return max((abs(20 * np.log10(ratio)) for ratio in ratios), default=0.0)


def gains_of(scene: xr.Dataset, match_gain: MatchGain, pairs: Sequence[tuple[int, int]]) -> list[Any] | None:
    """Return the gains that the images after are divided by, None if levels are not matched.

    Raises
    ------
    OptionError
        If the given numbers are not one per pair, above 0.
    """
    if isinstance(match_gain, bool):
        return level_ratios(scene, pairs) if match_gain else None
    gains = [float(gain) for gain in match_gain]
    if len(gains) != len(pairs) or not all(0 < gain < np.inf for gain in gains):
        raise OptionError(
            f"expected a ratio above 0 for each of {len(pairs)} pairs, got {gains}",
            option=MATCH_GAIN,
            hint="use True, or a ratio of amplitudes for each pair",
        )
    return gains


def with_gains(
    scene: xr.Dataset,
    match_gain: MatchGain,
    pairs: Sequence[tuple[int, int]],
    kernel: Callable[..., np.ndarray],
    measured: Mapping[str, Any],
) -> tuple[list[Callable[..., np.ndarray]], list[dict[str, Any]]]:
    """Return the kernel of each pair, and the measured quantities that it takes."""
    gains = gains_of(scene, match_gain, pairs)
    if gains is None:
        return [kernel] * len(pairs), [dict(measured)] * len(pairs)
    return [partial(matched, kernel=kernel)] * len(pairs), [{**measured, "gain": gain} for gain in gains]


def recorded(match_gain: MatchGain) -> dict[str, bool]:
    """Return what the parameters of a result record: nothing where levels were not matched, as in earlier versions."""
    return {} if match_gain is False else {MATCH_GAIN: True}


def matched(
    before: np.ndarray,
    after: np.ndarray,
    *further: np.ndarray,
    kernel: Callable[..., np.ndarray],
    gain: float,
    **options: Any,
) -> np.ndarray:
    """Apply a kernel of two images after scaling the second to the level of the first."""
    return kernel(before, after / np.float32(gain), *further, **options)


SIDE, COUNT = 64, 16
"""Side of a block of the sample in pixels, and number of blocks along each axis: at most a million pixels."""


def sample_blocks(image: xr.DataArray, *, side: int = SIDE, count: int = COUNT) -> list[Any]:
    """Return blocks (y, x) of an image, lazy if it is: the whole of a small image, as one block.

    Parameters
    ----------
    image : (y, x) DataArray
        Image.
    side, count : int
        Side of a block in pixels, and the number of blocks along an axis.

    Returns
    -------
    list of ndarray or dask array, (y, x)
        No pixel occurs twice.

    Examples
    --------
    >>> image = xr.DataArray(np.zeros((2048, 3)), dims=("y", "x"))
    >>> blocks = sample_blocks(image)
    >>> len(blocks), blocks[0].shape
    (16, (64, 3))
    """
    sizes = image.sizes["y"], image.sizes["x"]
    if max(sizes) <= side * count:
        parts = [(slice(None), slice(None))]
    else:
        parts = list(product(_spread(sizes[0], side, count), _spread(sizes[1], side, count)))
    blocks = [image[part] for part in parts]
    return [block.values if block.chunks is None else block.data for block in blocks]


def sample_now(image: xr.DataArray) -> list[np.ndarray]:
    """Return the blocks of `sample_blocks`, computed."""
    blocks = sample_blocks(image)
    if image.chunks is None:
        return blocks
    from dask.base import compute

    return list(compute(*blocks))


def _spread(size: int, side: int, count: int) -> list[slice]:
    """Return slices spread evenly along an axis without overlap; the whole of a short axis."""
    if size <= side * count:
        return [slice(start, min(start + side, size)) for start in range(0, size, side)]
    starts = np.linspace(0, size - side, count).round().astype(int)
    return [slice(int(start), int(start) + side) for start in starts]
