"""Read and write model files: safetensors weights with a model card in the metadata.

The card holds everything needed to run the network. Nothing is unpickled. Model files are untrusted input: the header
is validated before memory is allocated for the tensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from sarcd.optional import require

require("torch", "safetensors")

import safetensors
import safetensors.torch
import torch

import sarcd
from sarcd import config
from sarcd.attributes import Json
from sarcd.config import CoherenceOptions
from sarcd.config.renamed import current_training
from sarcd.errors import ModelError, SarcdError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.estimation.channels import AMPLITUDES, WITH_COHERENCE
from sarcd.networks import Network, create_model, model_options
from sarcd.networks.devices import choose_device
from sarcd.networks.folding import Precision, for_inference
from sarcd.store.storage import write_atomic

__all__ = ["LoadedModel", "ModelCard", "load_model", "load_models", "save_model"]

_KEY = "sarcd"  # the only key in the safetensors metadata: several keys would be written in random order
_LARGEST_HEADER = 2**24
_DTYPES = {"F32": (torch.float32, 4), "I64": (torch.int64, 8)}


@dataclass(frozen=True)
class LoadedModel:
    """A network in eval mode with its card, the SHA-256 of its file, its device, and the path of the file."""

    network: Network
    card: ModelCard
    digest: str
    device: torch.device
    path: str

    def quick(self, precision: Precision = "float32", *, compiled: bool = False) -> LoadedModel:
        """Return a copy whose network predicts faster but cannot be trained; see `for_inference`."""
        return replace(self, network=for_inference(self.network, precision=precision, compiled=compiled))


def save_model(path: str | Path, network: Network, card: ModelCard) -> str:
    """Write a network and its card to a model file, atomically.

    Parameters
    ----------
    path : str or Path
        Path of the model file; an existing file is replaced.
    network : Network
        Network, on any device.
    card : ModelCard
        Card that describes the network.

    Returns
    -------
    str
        SHA-256 of the file. Equal networks and cards give identical files.

    Raises
    ------
    ModelError
        If the card does not match the network, a weight is not finite, or the file cannot be written.
    """
    path = Path(path)
    with _located(path):
        # Write every option: a default that changes in a later version must not change this network.
        card = replace(card, options=model_options(card.architecture, **card.options))
        tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
        _compare({name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}, _skeleton(card))
        _check_values(tensors)
        metadata = json.dumps(card.to_json(), sort_keys=True, allow_nan=False)
    data = safetensors.torch.save(tensors, metadata={_KEY: metadata})
    try:
        write_atomic(path, data)
    except OSError as error:
        raise ModelError(f"cannot be written ({error.strerror})", source=str(path)) from error
    return hashlib.sha256(data).hexdigest()


def load_model(path: str | Path, device: str | torch.device = "cpu") -> LoadedModel:
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        File written by `save_model`. Any other file raises an error.
    device : str or torch.device
        Device of the network, as in `sarcd.networks.devices.choose_device`.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ModelError
        If the file is missing, truncated, not a sarcd model, of a later format, or inconsistent.
    OptionError
        If the device is not available.
    """
    path = Path(path)
    device = choose_device(str(device))
    with _located(path):
        if not path.is_file():
            raise ModelError("is not a file" if path.exists() else "no such file", hint="make one with 'sarcd train'")
        with path.open("rb") as file:
            header = _read_header(file)
            card = ModelCard.from_json(_metadata(header))
            skeleton = _skeleton(card)
            _compare(_described(header), skeleton)
            # The file size now equals what the network needs, so reading the whole file is safe.
            file.seek(0)
            data = file.read()
        tensors = _tensors(data)
        _check_values(tensors)
    # Assign instead of copying: the skeleton is on the meta device and has no storage.
    skeleton.load_state_dict(tensors, strict=True, assign=True)
    network = skeleton.to(device).eval()
    return LoadedModel(network, card, hashlib.sha256(data).hexdigest(), device, str(path))


def load_models(paths: Sequence[str | Path], device: str | torch.device = "cpu") -> list[LoadedModel]:
    """Read one model file, or an ensemble of models that were trained on the same features.

    Raises
    ------
    ModelError
        As for `load_model`; also if no file is given, a file is given twice, or the features of the models differ.
    """
    if not paths:
        raise ModelError("no model is named", hint="name a file made by 'sarcd train'")
    loaded = [load_model(path, device=device) for path in paths]
    first, hint = loaded[0], "models predict together if they were trained on the same features"
    for number, other in enumerate(loaded[1:], start=1):
        if other.digest in [one.digest for one in loaded[:number]]:
            raise ModelError("is given twice", source=other.path, hint="name each model once")
        for what in ("channels", "coherence", "statistics_policy"):
            if getattr(other.card, what) != getattr(first.card, what):
                raise ModelError(f"{what} is not that of {first.path}", source=other.path, hint=hint)
        if first.card.statistics_policy == "model" and other.card.statistics != first.card.statistics:
            raise ModelError(f"statistics are not those of {first.path}", source=other.path, hint=hint)
    return loaded


@contextlib.contextmanager
def _located(path: Path) -> Iterator[None]:
    """Convert errors of the lower layers to `ModelError` and add the path of the file."""
    try:
        yield
    except OSError as error:
        raise ModelError(f"cannot be read ({error.strerror})", source=str(path)) from error
    except OverflowError as error:
        raise ModelError("metadata: a number is too large", source=str(path)) from error
    except SarcdError as error:
        hint = error.hint if isinstance(error, ModelError) else None
        raise ModelError(error.error, source=str(path), hint=hint) from error


def _read_header(file: BinaryIO) -> Json:
    """Read the JSON header of a safetensors file and check the file size against it."""
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    hint = "a model file is made by 'sarcd train'"
    if size < 8 or length > min(size, _LARGEST_HEADER):
        raise ModelError("not a safetensors file", hint=hint)
    try:
        header = json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise ModelError("not a safetensors file: its header is not JSON", hint=hint) from error
    if not isinstance(header, dict) or not all(isinstance(entry, dict) for entry in header.values()):
        raise ModelError("not a safetensors file: its header holds no tensors", hint=hint)
    expected = 8 + length + sum(math.prod(shape) * _bytes_of(dtype) for shape, dtype in _described(header).values())
    if size != expected:
        fault = "truncated" if size < expected else "longer than its header says"
        raise ModelError(f"{fault}: {size} bytes instead of {expected}", hint="copy or train it again")
    return header


def _described(header: Json) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Return shape and dtype of every tensor in a header."""
    described = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        shape, dtype = entry.get("shape"), entry.get("dtype")
        if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
            raise ModelError(f"tensor {name[:60]!r} has no shape")
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ModelError(f"tensor {name[:60]!r} is of type {str(dtype)[:20]}, which no network of sarcd has")
        described[name] = tuple(shape), _DTYPES[dtype][0]
    return described


def _bytes_of(dtype: torch.dtype) -> int:
    return next(size for known, size in _DTYPES.values() if known == dtype)


def _metadata(header: Json) -> Any:
    text = header.get("__metadata__", {}).get(_KEY)
    if not isinstance(text, str):
        raise ModelError("no model of sarcd: its metadata are missing", hint="a model file is made by 'sarcd train'")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError("no model of sarcd: its metadata are not JSON") from error


def _skeleton(card: ModelCard) -> Network:
    """Build the network of a card on the meta device, without storage for its weights."""
    with torch.device("meta"):
        return create_model(card.architecture, len(card.channels), **card.options)


def _compare(found: dict[str, tuple[tuple[int, ...], torch.dtype]], skeleton: Network) -> None:
    """Raise `ModelError` unless names, shapes and dtypes of the tensors match the network."""
    wanted = {name: (tuple(value.shape), value.dtype) for name, value in skeleton.state_dict().items()}
    lacking, foreign = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    if lacking:
        raise ModelError(f"{len(lacking)} tensors of the network are missing, such as {min(lacking)!r}")
    if foreign:
        raise ModelError(f"{len(foreign)} tensors are not the network's, such as {min(foreign)[:60]!r}")
    for name, expected in wanted.items():
        if found[name] != expected:
            raise ModelError(f"tensor {name!r} is {_kind(found[name])}, the network's is {_kind(expected)}")


def _kind(described: tuple[tuple[int, ...], torch.dtype]) -> str:
    shape, dtype = described
    return f"{' x '.join(map(str, shape)) or 'scalar'} {str(dtype).removeprefix('torch.')}"


def _tensors(data: bytes) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ModelError(f"not a safetensors file ({str(error).splitlines()[0][:80]})") from error


def _check_values(tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"tensor {name!r} holds values that are not finite", hint="train it again")
        if name.endswith("running_var") and bool((tensor < 0).any()):
            raise ModelError(f"tensor {name!r} holds negative variances", hint="train it again")


FORMAT = 1
"""Version of the metadata format; files of another version are rejected."""

_LARGEST_WINDOW = 1023
_ABSENT = object()


@dataclass(frozen=True)
class ModelCard:
    """Metadata of a model: everything needed to prepare its inputs and interpret its outputs.

    Parameters
    ----------
    architecture : str
        Name in the registry of `sarcd.networks`.
    options : dict
        All options of the network.
    channels : tuple of str
        Input features, in order.
    coherence : CoherenceOptions or None
        How the coherence of the training set was estimated; None for networks without coherence.
    statistics_policy : {"scene", "model"}
        Median and MAD that normalise the amplitudes: those of the scene to predict, or `statistics`.
    statistics : AmplitudeStatistics, optional
        Amplitude statistics of the training set.
    threshold : float
        Minimum probability of a changed pixel, in (0, 1).
    training : dict
        Facts about the training, as JSON values.
    version : str
        Version of sarcd that wrote the model.
    """

    architecture: str
    options: Json
    channels: tuple[str, ...]
    coherence: CoherenceOptions | None
    statistics_policy: Literal["scene", "model"] = "scene"
    statistics: AmplitudeStatistics | None = None
    threshold: float = 0.5
    training: Json = field(default_factory=dict)
    version: str = sarcd.__version__

    def to_json(self) -> Json:
        """Return the card as JSON values, as stored in the file."""
        return {
            "format": FORMAT,
            "version": self.version,
            "architecture": self.architecture,
            "options": {key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()},
            "channels": list(self.channels),
            "coherence": None if self.coherence is None else config.to_dict(self.coherence),
            "statistics_policy": self.statistics_policy,
            "statistics": None if self.statistics is None else replace(self.statistics, level=(), valid=()).to_json(),
            "threshold": self.threshold,
            "training": self.training,
        }

    @classmethod
    def from_json(cls, values: Any) -> ModelCard:
        """Build a card from the output of `to_json`, validating every entry.

        Raises
        ------
        ModelError
            If an entry is missing or invalid; the message names it.
        """
        if not isinstance(values, dict):
            raise ModelError("metadata are not a JSON object")
        version = _entry(values, "format", int)
        if version != FORMAT:
            raise ModelError(
                f"file is of format {version}, this sarcd reads format {FORMAT}",
                hint="update sarcd" if version > FORMAT else "train it again",
            )
        channels = tuple(_entry(values, "channels", list))
        if channels not in (WITH_COHERENCE, AMPLITUDES):
            raise ModelError(f"metadata: unknown channels {str(channels)[:80]}")
        policy = _entry(values, "statistics_policy", str)
        if policy not in ("scene", "model"):
            raise ModelError(f"metadata: unknown statistics_policy {policy[:40]!r}")
        statistics = _statistics(_entry(values, "statistics", (dict, type(None))))
        if policy == "model" and (statistics is None or statistics.per_date):
            raise ModelError("metadata: 'statistics' hold no median and MAD of the training set")
        coherence = _coherence(_entry(values, "coherence", (dict, type(None))))
        if (coherence is None) == ("coherence" in channels):
            raise ModelError("metadata: 'coherence' does not fit 'channels'")
        threshold = _entry(values, "threshold", float)
        if not 0 < threshold < 1:
            raise ModelError(f"metadata: threshold is {threshold}")
        options, training = _entry(values, "options", dict), _entry(values, "training", dict)
        if isinstance(training.get("options"), dict):
            training = {**training, "options": current_training(training["options"])}
        return cls(
            architecture=_entry(values, "architecture", str),
            options={key: tuple(value) if isinstance(value, list) else value for key, value in options.items()},
            channels=channels,
            coherence=coherence,
            statistics_policy=policy,
            statistics=statistics,
            threshold=threshold,
            training=training,
            version=_entry(values, "version", str),
        )


def _entry(values: Json, key: str, kind: Any) -> Any:
    """Return an entry of the expected type; integers are accepted as float, bool is always rejected."""
    value = values.get(key, _ABSENT)
    if value is _ABSENT:
        raise ModelError(f"metadata: {key!r} is missing")
    if kind is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ModelError(f"metadata: {key!r} is {value!r:.40}")
    return value


def _statistics(values: Json | None) -> AmplitudeStatistics | None:
    try:
        return None if values is None else AmplitudeStatistics.from_json(values)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError("metadata: 'statistics' cannot be read") from error


def _coherence(values: Json | None) -> CoherenceOptions | None:
    if values is None:
        return None
    options = config.from_dict(CoherenceOptions, values, source="metadata: coherence")
    if max(options.window.y, options.window.x) > _LARGEST_WINDOW:
        raise ModelError(f"metadata: coherence window is {options.window.y} x {options.window.x}")
    return options
