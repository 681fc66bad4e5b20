"""Backbone weights from a file: loaded by name, adapted at the first layer, and all other files refused."""

import pickle

import pytest
import safetensors.torch
import torch

from sarcd.errors import ModelError
from sarcd.networks import create_model
from sarcd.networks.backbone_weights import load_backbone


@pytest.fixture(scope="module")
def states():
    """Make state dicts of torchvision's networks with random weights."""
    from torchvision import models

    torch.manual_seed(3)
    return {name: getattr(models, name)(weights=None).state_dict() for name in ("resnet18", "efficientnet_b0")}


@pytest.fixture
def resnet(states, tmp_path):
    torch.save(states["resnet18"], tmp_path / "resnet18.pth")
    return tmp_path / "resnet18.pth"


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("name", "source", "options", "first"),
    [
        ("changerex", "resnet18", {}, "conv1.weight"),
        ("tinycd", "efficientnet_b0", {"backbone": "b0"}, "features.0.0.weight"),
    ],
)
def test_the_trunk_gets_what_the_file_holds(states, tmp_path, name, source, options, first, suffix):
    path = tmp_path / f"weights{suffix}"
    write = torch.save if suffix == ".pth" else safetensors.torch.save_file
    write(states[source], path)
    network = create_model(name, 4, **options)  # three channels per date: loaded unchanged
    load_backbone(network, path)
    state = network.trunk.state_dict()
    assert first in state
    for key, value in state.items():
        assert torch.equal(value, states[source][key]), key


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_an_image_equal_in_all_channels_makes_the_response_of_a_grey_photograph(states, resnet, channels):
    network = create_model("changerex", channels)
    load_backbone(network, resnet)
    grey = torch.rand(1, 1, 16, 16)
    photograph = torch.conv2d(grey.expand(-1, 3, -1, -1), states["resnet18"]["conv1.weight"])
    found = torch.conv2d(grey.expand(-1, channels - 1, -1, -1), network.trunk.conv1.weight)
    # Sums of 3 x 49 float32 products of magnitude up to 1 have an error of sqrt(147) x 2^-24 = 7e-7.
    torch.testing.assert_close(found, photograph, atol=1e-5, rtol=1e-4)


def test_a_stream_gets_them_as_well_and_old_files_count_no_batches(states, tmp_path):
    old = {key: value for key, value in states["resnet18"].items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    network = create_model("changerex", 3, coherence="stream")
    load_backbone(network, tmp_path / "old.pth")
    for backbone in network.backbones:
        assert torch.equal(backbone.layer4[1].conv2.weight, old["layer4.1.conv2.weight"])


class Hostile:
    def __reduce__(self):
        return print, ("this must never run",)


def refused(network, path, message, capsys):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ModelError, match=message) as caught:
        load_backbone(network, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_and_hostile_files_are_refused(states, tmp_path, capsys, suffix):
    network = create_model("changerex", 3)
    path = tmp_path / f"bad{suffix}"
    refused(network, path, "no such file", capsys)
    refused(network, tmp_path, "is not a file", capsys)
    path.write_bytes(b"nothing of the kind" * 9)
    refused(network, path, "cannot be read as weights", capsys)
    path.write_bytes(b"")
    refused(network, path, "cannot be read as weights", capsys)
    (torch.save if suffix == ".pth" else safetensors.torch.save_file)(states["resnet18"], path)
    path.write_bytes(path.read_bytes()[:-5000])
    refused(network, path, "cannot be read as weights", capsys)
    torch.save(Hostile(), path)
    refused(network, path, "cannot be read as weights", capsys)
    path.write_bytes(pickle.dumps(Hostile()))
    refused(network, path, "cannot be read as weights", capsys)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: [state], "holds no state dict"),
        (lambda state: {"state_dict": state}, "holds no state dict"),
        (
            lambda state: {"conv1.weight": state["conv1.weight"]},
            "another network: 99 of 100 weights missing",
        ),
        (
            lambda state: state | {"conv1.weight": state["conv1.weight"][:, :1]},
            "'conv1.weight', got 64 x 1 x 7 x 7 float32",
        ),
        (lambda state: state | {"bn1.weight": state["bn1.weight"].long()}, "'bn1.weight', got 64 int64"),
        (lambda state: state | {"bn1.bias": state["bn1.bias"] / 0}, "'bn1.bias' holds invalid values"),
        (
            lambda state: state | {"bn1.running_var": -state["bn1.running_var"]},
            "'bn1.running_var' holds invalid values",
        ),
    ],
)
def test_what_does_not_fit_is_refused(states, tmp_path, capsys, spoil, message):
    torch.save(spoil(states["resnet18"]), tmp_path / "other.pth")
    refused(create_model("changerex", 3), tmp_path / "other.pth", message, capsys)


def test_weights_of_another_network_and_networks_without_a_trunk(states, resnet, tmp_path, capsys):
    message = "to another network.*Use the state dict of torchvision's efficientnet_b4"
    refused(create_model("tinycd", 3), resnet, message, capsys)
    refused(create_model("unet-small", 3), resnet, "UNet has no backbone to load", capsys)
    torch.save(states["efficientnet_b0"], tmp_path / "b0.pth")
    # the smaller one has different widths or names
    refused(create_model("tinycd", 3), tmp_path / "b0.pth", "Use the state dict of", capsys)
