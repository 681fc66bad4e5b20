"""The state that a killed training goes on from: one safetensors file, no pickle, replaced whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from sarcd.errors import TrainingError
from sarcd.networks import Network
from sarcd.store.atomic import write_durably

Json = dict[str, Any]

FILE = "state.safetensors"
_KEY = "sarcd"


class Learner:
    """All that changes in training: network, optimiser, schedule, scale of the loss, and the best weights so far.

    Parameters
    ----------
    network : Network
        On its device.
    optimizer : torch.optim.Optimizer
        Of its parameters.
    schedule : torch.optim.lr_scheduler.LRScheduler
        Of the optimiser's rate, stepped after every batch.
    scaler : torch.amp.GradScaler
        Enabled for float16.
    """

    def __init__(
        self,
        network: Network,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        scaler: torch.amp.GradScaler,
    ) -> None:
        self.network = network
        self.optimizer = optimizer
        self.schedule = schedule
        self.scaler = scaler
        self.epoch = 0
        self.record: Json = {}
        self.best: Json | None = None
        self.best_weights: dict[str, Tensor] = {}

    def keep_best(self, record: Json) -> None:
        """Remember the present weights as the best, with the record of their epoch."""
        self.best = record
        self.best_weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def save(self, run: Path, begun: Json) -> None:
        """Write the state after an epoch.

        Parameters
        ----------
        run : Path
            Folder of the run.
        begun : dict
            JSON values: all that a run must share with this one to go on from here.
        """
        optimizer = self.optimizer.state_dict()
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        for index, moments in optimizer["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        plain = {
            "begun": begun,
            "epoch": self.epoch,
            "record": self.record,
            "best": self.best,
            "groups": optimizer["param_groups"],
            "schedule": {"last_epoch": self.schedule.last_epoch, "_last_lr": self.schedule.get_last_lr()},
            "scaler": self.scaler.state_dict(),
        }
        # A clone each: safetensors refuses tensors that share memory, and one of them may be a view.
        data = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        write_durably(run / FILE, safetensors.torch.save(data, metadata={_KEY: json.dumps(plain)}))

    def load(self, run: Path) -> None:
        """Go on from what `save` wrote.

        Raises
        ------
        TrainingError
            If the file is damaged.
        """
        plain, tensors = _read(run / FILE)
        try:
            moments: dict[int, dict[str, Tensor]] = {}
            for name, value in tensors.items():
                if name.startswith("optimizer."):
                    _, index, moment = name.split(".", 2)
                    moments.setdefault(int(index), {})[moment] = value
            self.network.load_state_dict(_part(tensors, "network."))
            self.optimizer.load_state_dict({"state": moments, "param_groups": plain["groups"]})
            self.schedule.load_state_dict(plain["schedule"])
            self.scaler.load_state_dict(plain["scaler"])
            device = next(self.network.parameters()).device
            self.best_weights = {name: value.to(device) for name, value in _part(tensors, "best.").items()}
            self.epoch, self.record, self.best = plain["epoch"], plain["record"], plain["best"]
        except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise _damaged(run / FILE) from error


def begun_before(run: Path) -> Json | None:
    """Return what the run in a folder was begun with, or None where there is no state.

    Raises
    ------
    TrainingError
        If the state is damaged.
    """
    if not (run / FILE).exists():
        return None
    begun = _read(run / FILE)[0].get("begun")
    if not isinstance(begun, dict):
        raise _damaged(run / FILE)
    return begun


def _read(path: Path) -> tuple[Json, dict[str, Tensor]]:
    try:
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        plain = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
        return plain, safetensors.torch.load(data)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise _damaged(path) from error


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _damaged(path: Path) -> TrainingError:
    return TrainingError(
        "state of an earlier run cannot be read", where=str(path), mend="pass --overwrite to begin anew"
    )
