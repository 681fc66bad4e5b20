"""Options of prediction and of pseudo-labelling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from sarcd.config.fields import Bounds, Count, InnerProbability, Options, Precision, Whole, option

StatisticsPolicy = Literal["scene", "model"]

DEVICE = "device: auto, cpu, cuda, cuda:N or mps"


@dataclass(frozen=True)
class PredictOptions(Options):
    """Options of tiled prediction of a whole scene."""

    tiles: int | Literal["auto", "whole"] = option(
        "auto", "side of a tile in pixels, rounded up to the network's stride; auto (from the memory) or whole"
    )
    batch: Whole = option(0, "tiles in one forward pass", empty="from the memory")
    device: str = option("auto", DEVICE)
    statistics: StatisticsPolicy | None = option(
        None,
        "whose median and MAD normalise the amplitudes",
        empty="that of the model file, usually the scene's",
    )
    threshold: InnerProbability | None = option(
        None, "probability from which a pixel counts as changed", empty="the model's"
    )
    precision: Precision = option(
        "float32", "precision of the network; the others may be faster, and how far they move the map is reported"
    )
    compiled: bool = option(
        False, "compile the network first, which takes a minute or two and a C++ compiler", flag="--compile"
    )
    swap: bool = option(False, "average over both orders of the dates: a map symmetric in time")
    flips: bool = option(False, "average over the scene as it is and flipped along y, along x, and along both")
    adapt_batchnorm: bool = option(False, "estimate batch-norm statistics again on a sample of the scene (AdaBN)")
    uncertainty: bool = option(False, "keep the spread among models, swap and flips beside the map")
    memory_bytes: int | None = option(
        None,
        "memory of the whole process in bytes",
        empty="half of the free memory, at most 1 GiB, on top of the memory in use",
    )


@dataclass(frozen=True)
class PseudoOptions(Options):
    """Options for selecting patches that a model labels to train another network (Algorithm 1 of the paper).

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 10-13 and Algorithm 1.
    """

    confidence: Annotated[float, Bounds(ge=0.5, lt=1)] = option(
        0.85, "probability above which a pixel is confident (c of Eq. 12)"
    )
    min_confident: Annotated[float, Bounds(ge=0, lt=1)] = option(
        0.9, "fraction of confident pixels that a patch must exceed (q of Eq. 13)"
    )
    reading: Literal["either", "change"] = option(
        "either",
        "count pixels confident of change or of none (either), or of change alone, as Eq. 12 is printed (change)",
    )
    max_patches: Count | None = option(
        None, "maximum number of patches (N)", empty="as many as the model was trained on"
    )
    choice: Literal["stratified", "random"] = option(
        "stratified",
        "which patches where more qualify: half with change, the most confident first, and half without, by seed "
        "(stratified), or all by seed (random)",
    )
    seed: Whole = option(0, "seed of the choice")
