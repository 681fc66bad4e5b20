"""Options of training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from sarcd.config.coherence import CoherenceOptions
from sarcd.config.prediction import PseudoOptions
from sarcd.config.values import at_least, one_of, share
from sarcd.errors import OptionError

MACHINE = "machine"
"""Mark of a field that says where and how training runs: the weights do not depend on it but for rounding."""


@dataclass(frozen=True)
class AugmentOptions:
    """Random changes to patches; each of the first five, the paper's, has its probability there.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 2.4.
    """

    flip_azimuth: float = field(default=0.5, metadata={"help": "probability that a patch is turned round along y"})
    flip_range: float = field(default=0.5, metadata={"help": "probability that a patch is turned round along x"})
    shear: float = field(default=0.5, metadata={"help": "probability of a shear along azimuth, y' = y + x tan(angle)"})
    shear_degrees: float = field(default=10.0, metadata={"help": "largest angle of the shear, either way"})
    swap_dates: float = field(default=0.5, metadata={"help": "probability that a patch's two dates change places"})
    scale_coherence: float = field(
        default=0.5,
        metadata={
            "help": "probability that low coherence of unchanged ground is made lower, rho u, u in [0, 1] (Eq. 9)"
        },
    )
    scale_below: float = field(
        default=0.1, metadata={"help": "tau: what coherence counts as low; a value, or a share of the patch's pixels"}
    )
    scale_by: Literal["value", "quantile"] = field(
        default="value", metadata={"help": "what scale_below is: a value of coherence, or a quantile of the patch's"}
    )
    scale_per: Literal["patch", "pixel"] = field(default="patch", metadata={"help": "one u for a patch, or a pixel"})
    speckle: float = field(default=0.0, metadata={"help": "probability of further speckle on the amplitudes"})
    speckle_looks: float = field(default=8.0, metadata={"help": "looks of that speckle: the more, the weaker"})
    gain: float = field(default=0.0, metadata={"help": "probability of another gain of each date"})
    gain_db: float = field(default=1.0, metadata={"help": "standard deviation of that gain in dB"})
    cut_mix: float = field(
        default=0.0, metadata={"help": "probability that a rectangle of a patch comes from another one, label and all"}
    )

    def __post_init__(self) -> None:
        for name in ("flip_azimuth", "flip_range", "shear", "swap_dates", "scale_coherence", "scale_below"):
            share(name, getattr(self, name))
        for name in ("speckle", "gain", "cut_mix"):
            share(name, getattr(self, name))
        if not 0 <= self.shear_degrees < 60:
            hint = "use an angle from 0, below 60"
            raise OptionError(f"shear_degrees is {self.shear_degrees}", option="shear_degrees", hint=hint)
        if not 0 < self.speckle_looks < math.inf:
            raise OptionError(
                f"speckle_looks is {self.speckle_looks}", option="speckle_looks", hint="use looks above 0"
            )
        if not 0 <= self.gain_db < math.inf:
            raise OptionError(f"gain_db is {self.gain_db}", option="gain_db", hint="use 0 or more")
        one_of("scale_by", self.scale_by, ("value", "quantile"))
        one_of("scale_per", self.scale_per, ("patch", "pixel"))


@dataclass(frozen=True)
class LossOptions:
    """Weights of the losses whose sum is minimised; the paper's is binary cross-entropy alone (Eq. 8)."""

    bce: float = field(default=1.0, metadata={"help": "weight of binary cross-entropy"})
    dice: float = field(default=0.0, metadata={"help": "weight of the soft Dice loss, which looks at change alone"})
    focal: float = field(default=0.0, metadata={"help": "weight of the focal loss, which looks at hard pixels"})
    focal_gamma: float = field(default=2.0, metadata={"help": "focal: how much less easy pixels count"})
    focal_alpha: float = field(default=0.5, metadata={"help": "focal: weight of change, of no change 1 minus it"})

    def __post_init__(self) -> None:
        weights = (self.bce, self.dice, self.focal)
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise OptionError(f"weights are {weights}", option="loss", hint="use 0 or more, and one above 0")
        if not 0 <= self.focal_gamma < math.inf:
            raise OptionError(f"focal_gamma is {self.focal_gamma}", option="focal_gamma", hint="use 0 or more")
        if not 0 < self.focal_alpha < 1:
            raise OptionError(
                f"focal_alpha is {self.focal_alpha}", option="focal_alpha", hint="use a share between 0 and 1"
            )


@dataclass(frozen=True)
class TrainOptions:
    """Training of a change network; the defaults are Table 4 of Murdaca et al. 2023 where it gives a value."""

    model: str = field(default="unet", metadata={"help": "network, by name"})
    backbone: str = field(
        default="", metadata={"help": "file of ImageNet weights for a network that has such a part; empty for random"}
    )
    use_coherence: bool = field(default=True, metadata={"help": "coherence as third input channel (Eq. 5)"})
    statistics: Literal["scene", "model"] = field(
        default="scene",
        metadata={"help": "whose median and MAD normalise: each scene's own, or those of all training scenes together"},
    )
    patch: int = field(default=256, metadata={"help": "patch side in pixels; patches do not overlap"})
    sampling: Literal["balanced", "weighted", "all"] = field(
        default="balanced",
        metadata={
            "help": "which patches: all with change and as many without; as many, drawn anew each epoch by their share "
            "of change; or all"
        },
    )
    val_fraction: float = field(
        default=0.0, metadata={"help": "share of the training scenes' ground that is kept for validation, all dates"}
    )
    batch: int = field(default=64, metadata={"help": "patches a step"})
    micro_batch: int = field(
        default=0,
        metadata={"help": "patches at a time, gradients added up to the batch; 0 for what fits", MACHINE: True},
    )
    epochs: int = field(default=300, metadata={"help": "passes over the training patches"})
    learning_rate: float = field(default=1e-3, metadata={"help": "AdamW's rate"})
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW's decay"})
    schedule: Literal["step", "one-cycle"] = field(
        default="step",
        metadata={"help": "of the rate: one fall to a tenth, or a rise and a long fall, which suits short training"},
    )
    lr_milestone: float = field(default=0.9, metadata={"help": "step: share of the epochs after which the rate falls"})
    precision: Literal["float32", "bfloat16", "float16"] = field(
        default="float32", metadata={"help": "of the forward pass; the others pay where the hardware has them"}
    )
    threshold: float = field(default=0.5, metadata={"help": "probability from which a pixel counts as changed"})
    calibrate: bool = field(
        default=True,
        metadata={"help": "fit one temperature on the validation patches, so that probabilities are shares"},
    )
    score_every: int = field(default=1, metadata={"help": "epochs from one validation to the next"})
    checkpoint: Literal["last", "best"] = field(
        default="last", metadata={"help": "weights to keep: of the last epoch, or of the best validation F1"}
    )
    seed: int = field(default=0, metadata={"help": "seed of weights, patch draw, order and augmentation"})
    order: Literal["auto", "random", "chunks"] = field(
        default="auto",
        metadata={
            "help": "of the patches in an epoch: any, or chunk by chunk through a bounded shuffle, which reads no "
            "chunk twice; auto: any where patches are cached"
        },
    )
    shuffle: int = field(default=256, metadata={"help": "order 'chunks': patches that the shuffle holds, a worker"})
    workers: int = field(default=0, metadata={"help": "processes that read patches where they are not in memory"})
    device: str = field(default="auto", metadata={"help": "auto, cpu, cuda, cuda:N or mps", MACHINE: True})
    compiled: bool = field(default=False, metadata={"help": "compile the network first", MACHINE: True})
    cache: Literal["auto", "memory", "disk", "none"] = field(
        default="auto",
        metadata={
            "help": "where patches are kept: auto takes memory, else disk, else reads them each time",
            MACHINE: True,
        },
    )
    cache_dir: str = field(
        default="",
        metadata={
            "help": "folder of patches kept on disk, which other runs can use; empty for the run's",
            MACHINE: True,
        },
    )
    memory_bytes: int = field(default=2**31, metadata={"help": "patches are kept in memory up to this", MACHINE: True})
    checkpoint_seconds: float = field(
        default=30.0,
        metadata={"help": "at the least, from one state that a killed run goes on from to the next", MACHINE: True},
    )
    network: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "options of the network, such as widths = [16, 32, 64, 128]"}
    )
    coherence: CoherenceOptions = field(default_factory=CoherenceOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    pseudo: PseudoOptions = field(default_factory=PseudoOptions)

    def __post_init__(self) -> None:
        for name in ("patch", "batch", "epochs", "score_every", "shuffle"):
            at_least(1, name, getattr(self, name))
        for name in ("micro_batch", "seed", "memory_bytes", "workers"):
            at_least(0, name, getattr(self, name))
        if not 0 <= self.val_fraction < 1:
            raise OptionError(
                f"val_fraction is {self.val_fraction}", option="val_fraction", hint="use a share from 0, below 1"
            )
        if not 0 < self.threshold < 1:
            raise OptionError(f"threshold is {self.threshold}", option="threshold", hint="use a value between 0 and 1")
        if not 0 < self.lr_milestone <= 1:
            raise OptionError(
                f"lr_milestone is {self.lr_milestone}", option="lr_milestone", hint="use a share above 0, up to 1"
            )
        if not 0 < self.learning_rate < math.inf:
            rate = self.learning_rate
            raise OptionError(f"learning_rate is {rate}", option="learning_rate", hint="use a number above 0")
        for name in ("weight_decay", "checkpoint_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"{name} is {getattr(self, name)}", option=name, hint="use 0 or more")
        one_of("statistics", self.statistics, ("scene", "model"))
        one_of("sampling", self.sampling, ("balanced", "weighted", "all"))
        one_of("precision", self.precision, ("float32", "bfloat16", "float16"))
        one_of("checkpoint", self.checkpoint, ("last", "best"))
        one_of("schedule", self.schedule, ("step", "one-cycle"))
        one_of("order", self.order, ("auto", "random", "chunks"))
        one_of("cache", self.cache, ("auto", "memory", "disk", "none"))
