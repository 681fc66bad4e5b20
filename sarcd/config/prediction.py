"""Options of prediction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sarcd.config.checks import one_of
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
    adapt: bool = field(
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
            raise OptionError(f"threshold is {self.threshold}", where="threshold", mend="use a value between 0 and 1")
        one_of("precision", self.precision, ("float32", "bfloat16", "float16"))
