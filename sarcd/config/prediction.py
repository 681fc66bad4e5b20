"""Options of prediction and of pseudo-labelling."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from sarcd.config.values import at_least, one_of
from sarcd.errors import OptionError

StatisticsPolicy = Literal["scene", "model", "given"]


@dataclass(frozen=True)
class PredictOptions:
    """Tiled prediction of a whole scene."""

    tiles: int | Literal["auto", "whole"] = field(
        default="auto",
        metadata={"help": "side of a tile in pixels (rounded up to the network's stride), auto or whole"},
    )
    batch: int = field(default=0, metadata={"help": "tiles a forward pass; 0 chooses from the memory budget"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps"})
    statistics: StatisticsPolicy | None = field(
        default=None, metadata={"help": "whose median and MAD normalise: scene, model; empty for what the model says"}
    )
    threshold: float | None = field(default=None, metadata={"help": "empty for what the model says"})
    precision: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "of the network; only float32 gives the same map for any tile"}
    )
    compiled: bool = field(
        default=False, metadata={"help": "compile the network: slower to start, faster on GPUs, needs a C++ compiler"}
    )
    swap: bool = field(
        default=False, metadata={"help": "mean over both orders of the dates: the map is then symmetric in time"}
    )
    flips: bool = field(
        default=False, metadata={"help": "mean over the ground as it lies and turned round along y, along x, and both"}
    )
    adapt_batchnorm: bool = field(
        default=False, metadata={"help": "estimate the network's batch-norm statistics anew on a sample of the scene"}
    )
    uncertainty: bool = field(
        default=False, metadata={"help": "keep the spread among models, swap and flips as a variable of its own"}
    )
    memory_bytes: int | None = field(
        default=None,
        metadata={
            "help": "memory of the whole process; empty for half of what is free, at most 1 GiB, beyond what it has"
        },
    )

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}", option="threshold", hint="use a value between 0 and 1")
        one_of("precision", self.precision, ("float32", "bfloat16", "float16"))


@dataclass(frozen=True)
class PseudoOptions:
    """Which patches a model labels for a network that is then trained anew (Algorithm 1 of the paper).

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, Eq. 10-13 and Algorithm 1.
    """

    confidence: float = field(default=0.85, metadata={"help": "c: probability above which a pixel is sure (Eq. 12)"})
    min_confident: float = field(
        default=0.9, metadata={"help": "q: share of sure pixels that a patch must exceed (Eq. 13)"}
    )
    reading: Literal["either", "change"] = field(
        default="either",
        metadata={"help": "either: sure of change or of none, as meant; change: p > c alone, as Eq. 12 is printed"},
    )
    max_patches: int | None = field(
        default=None, metadata={"help": "N: patches chosen at most; empty for as many as the model learnt from"}
    )
    choice: Literal["stratified", "random"] = field(
        default="stratified",
        metadata={"help": "of more than N: half with change, the surest first, half without by seed; or all by seed"},
    )
    seed: int = field(default=0, metadata={"help": "seed of the choice"})

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            hint = "use a probability from 0.5, below 1"
            raise OptionError(f"confidence is {self.confidence}", option="confidence", hint=hint)
        if not 0 <= self.min_confident < 1 or math.isnan(self.min_confident):
            raise OptionError(
                f"min_confident is {self.min_confident}", option="min_confident", hint="use a share from 0, below 1"
            )
        one_of("reading", self.reading, ("either", "change"))
        one_of("choice", self.choice, ("stratified", "random"))
        at_least(0, "seed", self.seed)
        if self.max_patches is not None:
            at_least(1, "max_patches", self.max_patches)
