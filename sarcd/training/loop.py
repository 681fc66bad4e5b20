"""Training loop shared by all networks of sarcd, independent of the network and the source of the batches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sarcd.config import LossOptions, TrainOptions
from sarcd.errors import TrainingError
from sarcd.networks import Network
from sarcd.training.checkpoint import TrainState
from sarcd.training.distributed import ProcessGroup
from sarcd.training.losses import total_loss
from sarcd.training.patches import IGNORE

Precision = Literal["float32", "bfloat16", "float16"]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]


@dataclass(frozen=True)
class StepOptions:
    """Options of an optimisation step.

    Parameters
    ----------
    loss : LossOptions
        Weights of the losses.
    precision : {"float32", "bfloat16", "float16"}
        Precision of the forward pass under autocast.
    micro_batch : int
        Number of patches per forward pass, for gradient accumulation; 0 for the whole batch.
    max_norm : float, optional
        Maximum gradient norm, for gradient clipping; None disables clipping.
    norm_statistics : bool
        Whether batch norms update their running statistics; if False, these are frozen and used for normalisation.
    """

    loss: LossOptions = LossOptions()  # noqa: RUF009  frozen
    precision: Precision = "float32"
    micro_batch: int = 0
    max_norm: float | None = None
    norm_statistics: bool = True

    @classmethod
    def of(cls, options: TrainOptions) -> StepOptions:
        """Return the step options of a training run."""
        return cls(loss=options.loss, precision=options.precision, micro_batch=options.micro_batch)


class Batch(NamedTuple):
    """Batch of one optimisation step.

    Parameters
    ----------
    x : (B, C, P, P) float32
        Features, on the device, channels last.
    target : (B, P, P) uint8
        Labels: 1 change, 0 no change, 255 ignored.
    describe : callable
        Returns a description of the origin of the patches, for error messages.
    """

    x: Tensor
    target: Tensor
    describe: Callable[[], str]


def new_state(
    network: Network,
    schedule: Schedule,
    *,
    learning_rate: float,
    weight_decay: float,
    precision: Precision = "float32",
    average: float = 0.0,
) -> TrainState:
    """Return the initial training state of a network: AdamW, learning-rate schedule, and average of the weights.

    Parameters
    ----------
    network : Network
        Network, on its device; its weights are not changed.
    schedule : callable
        Returns the learning-rate schedule of an optimiser. It is stepped after every batch.
    learning_rate, weight_decay : float
        Parameters of AdamW.
    precision : {"float32", "bfloat16", "float16"}
        Precision of the steps; for float16 the loss is scaled.
    average : float
        Decay of the exponential moving average (EMA) of the weights, in [0, 1); 0 disables it.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, betas=(0.9, 0.999), weight_decay=weight_decay)
    device = next(network.parameters()).device
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
    return TrainState(network, optimizer, schedule(optimizer), scaler, average=average)


class TrainingLoop:
    """Training loop over batches.

    Parameters
    ----------
    state : TrainState
        Network, optimiser and schedule; updated in place by each step.
    options : StepOptions
        Options of a step.
    processes : ProcessGroup
        Processes that share each batch.

    Examples
    --------
    >>> from sarcd.networks import create_model
    >>> _ = torch.manual_seed(0)
    >>> network = create_model("unet", 7, widths=(4,))
    >>> state = new_state(
    ...     network,
    ...     lambda optimizer: torch.optim.lr_scheduler.ConstantLR(optimizer),
    ...     learning_rate=0.01,
    ...     weight_decay=0,
    ... )
    >>> loop = TrainingLoop(state, StepOptions(max_norm=1.0), ProcessGroup(0, 1, torch.device("cpu")))
    >>> x, target = torch.zeros(2, 7, 8, 8), torch.zeros(2, 8, 8, dtype=torch.uint8)
    >>> loss = loop.run(Batch(x, target, lambda: "zeros") for _ in range(3))
    >>> 0 < loss < 1
    True
    """

    def __init__(self, state: TrainState, options: StepOptions, processes: ProcessGroup) -> None:
        self._state = state
        self._options = options
        self._processes = processes
        self._parallel = processes.parallel(state.network)

    def run(self, batches: Iterable[Batch], *, advance: Callable[[int], object] = lambda count: None) -> float:
        """Take one step per batch; return the mean loss over the labelled pixels.

        Parameters
        ----------
        batches : iterable of Batch
            Batches of this process; the number must be the same in all processes.
        advance : callable
            Called with 1 after each step.

        Raises
        ------
        TrainingError
            If the loss is no longer finite; the weights are then those before that batch.
        """
        self._state.network.train()
        if not self._options.norm_statistics:
            _keep_statistics(self._state.network)
        total, pixels = 0.0, 0
        for x, target, describe in batches:
            loss, count = self.step(x, target)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"loss is {loss} in {describe()}", hint="lower the learning rate, or look at the images there"
                )
            total, pixels = total + loss * count, pixels + count
            advance(1)
        return total / max(pixels, 1)

    def step(self, x: Tensor, target: Tensor) -> tuple[float, int]:
        """Take one step on a batch (B, C, P, P), accumulating gradients; return its loss and labelled pixel count."""
        state, options, processes = self._state, self._options, self._processes
        size = options.micro_batch or len(x)
        parts = [(x[start : start + size], target[start : start + size]) for start in range(0, len(x), size)]
        counts = [int((wanted != IGNORE).sum()) for _, wanted in parts]
        count = int(processes.sum(np.array([sum(counts)]))[0])
        state.optimizer.zero_grad(set_to_none=True)
        loss = torch.zeros((), device=processes.device)
        for index, (part, wanted) in enumerate(parts):
            last = index == len(parts) - 1
            with contextlib.nullcontext() if last or processes.world == 1 else self._parallel.no_sync():  # type: ignore[operator]
                logits = logits_of(self._parallel, part, options.precision)  # (b, P, P)
                # Weight by the number of labelled pixels: the parts of all processes add up to the mean over the batch.
                share = total_loss(logits, wanted, options.loss) * (counts[index] / max(count, 1))
                # Multiply by the number of processes, since DDP averages the gradients over them.
                state.scaler.scale(share * processes.world).backward()  # type: ignore[no-untyped-call]
            loss += share.detach()
        value = processes.sum_of(loss)
        if math.isfinite(value):
            if options.max_norm is not None:
                state.scaler.unscale_(state.optimizer)
                nn.utils.clip_grad_norm_(state.network.parameters(), options.max_norm)
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.schedule.step()
            state.update_average()
        return value, count


def logits_of(network: nn.Module, x: Tensor, precision: Precision) -> Tensor:
    """Run the network on features (B, C, P, P) in the given precision; return logits (B, P, P) float32."""
    kind = torch.float32 if precision == "float32" else getattr(torch, precision)
    with torch.autocast(x.device.type, kind, enabled=kind != torch.float32):
        logits: Tensor = network(x)
    return logits[:, 0].float()


def _keep_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
