"""Model files: saved models load unchanged, and invalid files give one clear error."""

import contextlib
import dataclasses
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from sarcd.config import CoherenceOptions, Window
from sarcd.errors import ModelError, OptionError
from sarcd.estimation.amplitudes import AmplitudeStatistics
from sarcd.models.file import ModelCard, load_model, save_model
from sarcd.networks import create_model

CARD = ModelCard(
    architecture="unet",
    options={"widths": (3, 5), "bottleneck": 4},
    channels=("before", "after", "coherence"),
    coherence=CoherenceOptions(window=Window(y=7, x=5), min_valid=0.25),
    statistics_policy="model",
    statistics=AmplitudeStatistics((2.5,), (0.5,), ("2023-03-19T00:00:00.000000",)),
    threshold=0.4,
    training={"seed": 3, "scenes": ["a.zarr"]},
)


@pytest.fixture
def network():
    """Make a network whose batch norm statistics differ from the initial ones."""
    torch.manual_seed(1)
    network = create_model("unet", 3, **CARD.options)
    network.train()(torch.rand(4, 3, 16, 16))
    return network


@pytest.fixture
def path(tmp_path, network):
    save_model(tmp_path / "m.safetensors", network, CARD)
    return tmp_path / "m.safetensors"


def test_logits_and_card_come_back(path, network):
    loaded = load_model(path)
    image = torch.rand(1, 3, 24, 16)
    with torch.inference_mode():
        assert torch.equal(loaded.network(image), network.eval()(image))
    assert not loaded.network.training
    assert loaded.device == torch.device("cpu")
    assert loaded.path == str(path)
    # every option is stored, so that defaults may change later
    assert loaded.card == dataclasses.replace(CARD, options={**CARD.options, "convolutions": 2})


def test_a_network_without_coherence_comes_back(tmp_path):
    card = ModelCard("unet-small", {"widths": (2, 2)}, ("before", "after"), None)
    save_model(tmp_path / "m.safetensors", create_model("unet-small", 2, widths=(2, 2)), card)
    loaded = load_model(tmp_path / "m.safetensors").card
    assert loaded.coherence is None
    assert loaded.statistics is None
    assert loaded.statistics_policy == "scene"


def test_equal_networks_make_equal_files(tmp_path, path, network):
    import hashlib

    again = tmp_path / "again.safetensors"
    digest = save_model(again, network.to(memory_format=torch.channels_last), CARD)
    assert again.read_bytes() == path.read_bytes()
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest() == load_model(path).digest


def test_a_loaded_network_can_be_trained_on(path):
    network = load_model(path).network.train()
    network(torch.rand(2, 3, 16, 16)).mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_loading_draws_no_random_numbers(path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(path)
    assert torch.equal(torch.rand(3), expected)


# -- writing ------------------------------------------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, network, monkeypatch):
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match=r"m\.safetensors: cannot be written \(No space left on device\)"):
        save_model(path, network, dataclasses.replace(CARD, threshold=0.9))
    assert path.read_bytes() == before
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_not_there(tmp_path, network):
    with pytest.raises(ModelError, match="cannot be written"):
        save_model(tmp_path / "none" / "m.safetensors", network, CARD)


def test_only_what_the_card_describes_is_written(tmp_path, network):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match=r"tensor .* is 3 x 3 x 3 x 3 float32, the network's is 4 x 3 x 3 x 3 float32"):
        save_model(path, network, dataclasses.replace(CARD, options={"widths": (4, 5), "bottleneck": 4}))
    with pytest.raises(ModelError, match="unknown network"):
        save_model(path, network, dataclasses.replace(CARD, architecture="other"))
    with torch.no_grad():
        network.head.weight[0, 0] = np.nan
    with pytest.raises(ModelError, match=r"'head\.weight' holds values that are not finite"):
        save_model(path, network, CARD)
    assert not path.exists()


# -- files of any origin ------------------------------------------------------------------------------------------


def rewrite(path, *, card=None, tensors=None, raw=None):
    """Rewrite a file with changed metadata entries or tensors; None removes one."""
    with safetensors.safe_open(path, "pt") as file:
        metadata = json.loads(file.metadata()["sarcd"])
    weights = safetensors.torch.load_file(path)
    for values, changes in ((metadata, card), (weights, tensors)):
        for key, value in (changes or {}).items():
            if value is DROP:
                del values[key]
            else:
                values[key] = value
    text = json.dumps(metadata) if raw is None else raw
    path.write_bytes(safetensors.torch.save(weights, {"sarcd": text}))
    return path


DROP = object()

BAD_CARDS = {
    "format missing": ({"format": DROP}, "metadata: 'format' is missing"),
    "format later": ({"format": 2, "channels": "?"}, "format 2, this sarcd reads format 1. Update sarcd"),
    "format text": ({"format": "1"}, "'format' is '1'"),
    "architecture unknown": ({"architecture": "resnet"}, "unknown network 'resnet'"),
    "architecture list": ({"architecture": ["unet"]}, "'architecture' is"),
    "options missing": ({"options": DROP}, "'options' is missing"),
    "options unknown": ({"options": {"depth": 3}}, "unet has no option 'depth'"),
    "widths absurd": ({"options": {"widths": [10**12, 5], "bottleneck": 4}}, "invalid widths 1000000000000"),
    "widths too many": ({"options": {"widths": [2] * 100000}}, "invalid widths"),
    "widths fractional": ({"options": {"widths": [3.0, 5], "bottleneck": 4}}, "invalid widths 3.0"),
    "widths nested": ({"options": {"widths": [[3], 5], "bottleneck": 4}}, "invalid widths"),
    "widths large": ({"options": {"widths": [4096] * 8}}, "tensors of the network are missing"),
    "convolutions absurd": ({"options": {"widths": [3, 5], "convolutions": 10**6}}, "invalid convolutions 1000000"),
    "channels unknown": ({"channels": ["red", "green", "blue"]}, "unknown channels"),
    "channels nested": ({"channels": [["before"], "after"]}, "unknown channels"),
    "channels text": ({"channels": "before"}, "'channels' is 'before'"),
    "channels fewer": ({"channels": ["before", "after"]}, "'coherence' does not fit 'channels'"),
    "channels fewer still": ({"channels": ["before", "after"], "coherence": None}, "the network's is 3 x 2 x 3 x 3"),
    "coherence missing": ({"coherence": DROP}, "'coherence' is missing"),
    "coherence null": ({"coherence": None}, "'coherence' does not fit 'channels'"),
    "coherence window even": ({"coherence": {"window": [4, 5]}}, "window size along y is 4"),
    "coherence window huge": ({"coherence": {"window": [5, 10**9 + 1]}}, "coherence window is 5 x 1000000001"),
    "coherence window text": ({"coherence": {"window": "5"}}, "window size along y is '5'"),
    "coherence unknown": ({"coherence": {"looks": 3}}, "unknown key 'looks'"),
    "coherence overflow": ({"coherence": {"min_valid": 10**400}}, "a number is too large"),
    "policy unknown": ({"statistics_policy": "patch"}, "unknown statistics_policy 'patch'"),
    "policy without numbers": ({"statistics": None}, "hold no median and MAD"),
    "statistics empty": ({"statistics": {}}, "'statistics' cannot be read"),
    "statistics text": ({"statistics": {"median": "x", "mad": "y", "dates": [], "per_date": False}}, "cannot be read"),
    "statistics zero": (
        {"statistics": {"median": [1], "mad": [0], "dates": [], "per_date": False}},
        "MAD of amplitude",
    ),
    "statistics overflow": (
        {"statistics": {"median": [10**400], "mad": [1], "dates": [], "per_date": False}},
        "a number is too large",
    ),
    "statistics per date": (
        {"statistics": {"median": [1], "mad": [1], "dates": ["2023-01-01"], "per_date": True}},
        "hold no median and MAD",
    ),
    "threshold 0": ({"threshold": 0}, "threshold is 0.0"),
    "threshold nan": ({"threshold": float("nan")}, "threshold is nan"),
    "threshold text": ({"threshold": "0.5"}, "'threshold' is '0.5'"),
    "threshold true": ({"threshold": True}, "'threshold' is True"),
    "threshold huge": ({"threshold": 10**400}, "'threshold' is 1000"),
    "training list": ({"training": [1]}, "'training' is"),
    "version null": ({"version": None}, "'version' is None"),
}


@pytest.mark.parametrize("case", BAD_CARDS)
def test_metadata_that_do_not_fit(path, case):
    card, message = BAD_CARDS[case]
    with pytest.raises(ModelError) as caught:
        load_model(rewrite(path, card=card))
    assert_one_line(caught.value, path, message)


def assert_one_line(error, path, message):
    text = str(error)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < len(str(path)) + 240


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("{not json", "its metadata are not JSON"),
        ("[" * 100_000, "its metadata are not JSON"),
        ('{"format": ' + "9" * 5000 + "}", "its metadata are not JSON"),
        ("[1, 2]", "metadata are not a JSON object"),
        ("{}", "'format' is missing"),
    ],
)
def test_metadata_that_are_no_card(path, raw, message):
    with pytest.raises(ModelError) as caught:
        load_model(rewrite(path, raw=raw))
    assert_one_line(caught.value, path, message)


BAD_TENSORS = {
    "missing": ({"head.bias": DROP}, "1 tensors of the network are missing, such as 'head.bias'"),
    "extra": ({"tail": torch.zeros(1)}, "1 tensors are not the network's, such as 'tail'"),
    "wrong shape": ({"head.bias": torch.zeros(2)}, "tensor 'head.bias' is 2 float32, the network's is 1 float32"),
    "wrong type": ({"head.bias": torch.zeros(1, dtype=torch.float64)}, "is of type F64, which no network of sarcd has"),
    "whole numbers": ({"head.bias": torch.zeros(1, dtype=torch.int64)}, "is 1 int64, the network's is 1 float32"),
    "not finite": (
        {"head.bias": torch.tensor([np.inf])},
        "'head.bias' holds values that are not finite. Train it again",
    ),
    "negative variance": ({"encoder.0.1.running_var": torch.tensor([1.0, -1.0, 1.0])}, "holds negative variances"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_do_not_fit(path, case):
    tensors, message = BAD_TENSORS[case]
    with pytest.raises(ModelError) as caught:
        load_model(rewrite(path, tensors=tensors))
    assert_one_line(caught.value, path, message)


def header_file(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


FOREIGN = {
    "empty": (b"", "not a safetensors file. A model file is made by 'sarcd train'"),
    "short": (b"\x01\x02", "not a safetensors file"),
    "text": (b"epoch,loss\n" * 50, "not a safetensors file"),
    "pickle": (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.", "not a safetensors file"),
    "header beyond the file": (struct.pack("<Q", 2**40) + b"{}", "not a safetensors file"),
    "header no json": (header_file(b"{" * 40), "its header is not JSON"),
    "header deep": (header_file(b"[" * 100_000), "its header is not JSON"),
    "header list": (header_file([1]), "its header holds no tensors"),
    "header scalar": (header_file({"a": 1}), "its header holds no tensors"),
    "no metadata": (header_file({}), "no model of sarcd: its metadata are missing"),
    "shape negative": (header_file({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}), "has no shape"),
    "shape missing": (header_file({"a": {"dtype": "F32"}}), "has no shape"),
    "type unknown": (header_file({"a": {"dtype": ["F32"], "shape": [1]}}), "which no network of sarcd has"),
    "shape huge": (header_file({"a": {"dtype": "F32", "shape": [2**60, 2**60]}}), "truncated"),
    "metadata list": (header_file({"__metadata__": ["sarcd"]}), "its header holds no tensors"),
    "metadata number": (header_file({"__metadata__": {"sarcd": 1}}), "its metadata are missing"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_foreign_files(tmp_path, case):
    data, message = FOREIGN[case]
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        load_model(path)
    assert_one_line(caught.value, path, message)


def test_offsets_that_overlap(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["decoder.0.0.weight"]["data_offsets"] = header["decoder.1.0.weight"]["data_offsets"]
    path.write_bytes(header_file(header, data[8 + length :]))
    with pytest.raises(ModelError, match="not a safetensors file"):
        load_model(path)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.2, 0.5, 0.999])
def test_truncated_files(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match=r"truncated|not a safetensors file"):
        load_model(path)


def test_bytes_behind_the_end(path):
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="longer than its header says"):
        load_model(path)


def test_flipped_bytes_never_end_in_anything_else(path, rng):
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for place in rng.integers(0, 4000, 150):
        flipped = whole.copy()
        flipped[place] ^= np.uint8(1 << rng.integers(8))
        path.write_bytes(flipped.tobytes())
        with contextlib.suppress(ModelError):
            load_model(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"none: no such file[.] Make one with 'sarcd train'"):
        load_model(tmp_path / "none")
    with pytest.raises(ModelError, match="is not a file"):
        load_model(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_that_may_not_be_read(path):
    path.chmod(0)
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(path)


def test_a_device_that_is_not_there(path):
    with pytest.raises(OptionError, match="unknown device"):
        load_model(path, device="abacus")


def test_nothing_is_unpickled(path):
    code = f"""
import pickle, torch
def forbidden(*args, **kwargs): raise SystemExit("unpickled")
pickle.load = pickle.loads = pickle.Unpickler = torch.load = forbidden
from sarcd.models.file import load_model
print(load_model({str(path)!r}).network.stride)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "4"
