"""Options of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from sarcd.config.coherence import CoherenceOptions
from sarcd.config.fields import (
    HELP,
    Bounds,
    Count,
    InnerProbability,
    NonNegative,
    Options,
    Positive,
    Precision,
    Probability,
    Whole,
    option,
)
from sarcd.config.fields import MACHINE as MACHINE  # noqa: PLC0414  what `sarcd.training` tells settings apart by
from sarcd.config.prediction import DEVICE, PseudoOptions, StatisticsPolicy
from sarcd.errors import OptionError


@dataclass(frozen=True)
class AugmentOptions(Options):
    """Options of random augmentation; the first five are those of the paper, with its probabilities.

    References
    ----------
    .. [1] Murdaca et al. 2023, doi:10.3390/rs15245664, section 2.4.
    """

    flip_azimuth: Probability = option(0.5, "probability that a patch is flipped along y")
    flip_range: Probability = option(0.5, "probability that a patch is flipped along x")
    shear: Probability = option(0.5, "probability of a shear along azimuth, y' = y + x tan(angle)")
    shear_degrees: Annotated[float, Bounds(ge=0, lt=60)] = option(
        10.0, "largest angle of the shear in degrees, either way"
    )
    swap_dates: Probability = option(0.5, "probability that a patch's two dates change places")
    scale_coherence: Probability = option(
        0.5, "probability that low coherence of unchanged ground is made lower, rho u, u in [0, 1] (Eq. 9)"
    )
    scale_below: Probability = option(
        0.1, "what counts as low coherence (tau): a coherence, or a fraction of the patch's pixels"
    )
    scale_by: Literal["value", "quantile"] = option(
        "value", "what scale_below is: a value of coherence, or a quantile of the patch's"
    )
    scale_per: Literal["patch", "pixel"] = option("patch", "one u for a patch, or one for each pixel")
    speckle: Probability = option(0.0, "probability of further speckle on the amplitudes")
    speckle_looks: Positive = option(8.0, "looks of that speckle: the more, the weaker")
    gain: Probability = option(0.0, "probability of another gain of each date")
    gain_db: NonNegative = option(1.0, "standard deviation of that gain in dB")
    cut_mix: Probability = option(
        0.0, "probability that a rectangle of a patch comes from another one, with its labels"
    )


@dataclass(frozen=True)
class LossOptions(Options):
    """Weights of the losses that are summed; the paper uses binary cross-entropy alone (Eq. 8)."""

    bce: NonNegative = option(1.0, "weight of binary cross-entropy")
    dice: NonNegative = option(0.0, "weight of the soft Dice loss, which looks at change alone")
    focal: NonNegative = option(0.0, "weight of the focal loss, which looks at hard pixels")
    focal_gamma: NonNegative = option(2.0, "focal: how much less easy pixels count")
    focal_alpha: InnerProbability = option(0.5, "focal: weight of change, of no change 1 minus it")

    def __post_init__(self) -> None:
        super().__post_init__()
        weights = (self.bce, self.dice, self.focal)
        if not any(weights):
            raise OptionError(f"weights are {weights}", option="loss", hint="use one above 0")


@dataclass(frozen=True)
class TrainOptions(Options):
    """Options for training a change network; defaults are from Table 4 of Murdaca et al. 2023 where it has a value."""

    model: str = option("unet", "network, by name: unet, unet-small, unet-classic, siamese-unet, tinycd, changerex")
    backbone: str = option(
        "", "file of ImageNet weights for a network that has such a part", empty="random weights", metavar="FILE"
    )
    use_coherence: bool = option(True, "coherence as third input channel (Eq. 5)")
    statistics: StatisticsPolicy = option(
        "scene", "whose median and MAD normalise: each scene's own, or those of all training scenes together"
    )
    patch: Count = option(256, "side of a patch in pixels; patches do not overlap")
    sampling: Literal["balanced", "weighted", "all"] = option(
        "balanced",
        "which patches: all with change and as many without; as many, drawn again each epoch by their fraction of "
        "change; or all",
    )
    val_fraction: Annotated[float, Bounds(ge=0, lt=1)] = option(
        0.0, "fraction of the training scenes' area that is kept for validation, all dates"
    )
    batch: Count = option(64, "patches in a step")
    micro_batch: Whole = option(
        0, "patches at a time, gradients accumulated up to the batch", empty="what fits", machine=True
    )
    epochs: Count = option(300, "passes over the training patches")
    learning_rate: Positive = option(1e-3, "learning rate of AdamW")
    weight_decay: NonNegative = option(0.01, "weight decay of AdamW")
    schedule: Literal["step", "one-cycle"] = option(
        "step", "learning-rate schedule: one fall to a tenth, or a rise and a long fall, which suits short training"
    )
    lr_milestone: Annotated[float, Bounds(gt=0, le=1)] = option(
        0.9, "step: fraction of the epochs after which the learning rate falls"
    )
    precision: Precision = option("float32", "precision of the forward pass; the others pay where hardware has them")
    threshold: InnerProbability = option(0.5, "probability from which a pixel counts as changed")
    calibrate: bool = option(True, "temperature scaling of the probabilities, fitted on the validation patches")
    score_every: Count = option(1, "epochs from one validation to the next")
    checkpoint: Literal["last", "best"] = option(
        "last", "weights to keep: of the last epoch, or of the best validation F1"
    )
    seed: Whole = option(0, "seed of weights, sampling, order and augmentation")
    order: Literal["auto", "random", "chunks"] = option(
        "auto",
        "of the patches in an epoch: any, or chunk by chunk through a bounded shuffle, which reads no chunk twice; "
        "auto: any where patches are cached",
    )
    shuffle: Count = option(256, "order 'chunks': patches that the shuffle of a worker holds")
    workers: Whole = option(0, "processes that read patches where they are not in memory")
    device: str = option("auto", DEVICE, machine=True)
    compiled: bool = option(False, "compile the network first", machine=True)
    cache: Literal["auto", "memory", "disk", "none"] = option(
        "auto", "where patches are kept: auto takes memory, else disk, else reads them each time", machine=True
    )
    cache_dir: str = option(
        "",
        "directory of patches kept on disk, which other runs can use",
        empty="that of the run",
        metavar="DIRECTORY",
        machine=True,
    )
    memory_bytes: Whole = option(2**31, "maximum memory of patches in bytes", machine=True)
    checkpoint_seconds: NonNegative = option(
        30.0, "minimum time in seconds from one checkpoint that a killed run resumes from to the next", machine=True
    )
    network: dict[str, Any] = field(
        default_factory=dict, metadata={HELP: "options of the network, such as widths = [16, 32, 64, 128]"}
    )
    coherence: CoherenceOptions = field(default_factory=CoherenceOptions)
    loss: LossOptions = field(default_factory=LossOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    pseudo: PseudoOptions = field(default_factory=PseudoOptions)
