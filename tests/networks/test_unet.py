"""The U-Net: size, receptive field, and invalid options."""

import pytest
import torch

from sarcd.errors import OptionError
from sarcd.networks import UNet, create_model
from tests.factories.networks import farthest, with_seen_statistics


def on_meta(**options):
    with torch.device("meta"):
        return UNet(3, **options)


@pytest.mark.parametrize(
    ("widths", "bottleneck", "parameters", "reach", "halo"),
    [
        ((16, 32, 64, 128), 0, 991_281, 75, 80),
        ((32, 64, 128, 256), 0, 3_959_905, 75, 80),
        ((32, 64, 128, 256), 512, 7_763_041, 107, 112),
        ((64, 128, 256, 512), 1024, 31_037_633, 107, 112),
    ],
)
def test_size_and_reach(widths, bottleneck, parameters, reach, halo):
    network = on_meta(widths=widths, bottleneck=bottleneck)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert (network.stride, network.reach, network.halo) == (16, reach, halo)
    assert network.exact_tiles


@pytest.mark.parametrize(
    ("name", "parameters", "halo"),
    [("unet", 3_959_905, 64), ("unet-small", 991_281, 64), ("unet-classic", 31_037_633, 96)],
)
def test_size_by_name(name, parameters, halo):
    with torch.device("meta"):
        network = create_model(name, 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.tile_halo == halo


@pytest.mark.parametrize("convolutions", [1, 2, 3])
@pytest.mark.parametrize("bottleneck", [0, 5])
def test_logits_have_the_inputs_size(convolutions, bottleneck):
    network = UNet(2, widths=(3, 4), bottleneck=bottleneck, convolutions=convolutions)
    logits = network(torch.zeros(2, 2, 8, 12))
    assert logits.shape == (2, 1, 8, 12)
    assert logits.dtype == torch.float32


def test_every_weight_gets_a_gradient():
    torch.manual_seed(0)
    network = UNet(3, widths=(4, 6), bottleneck=8)
    network(torch.randn(2, 3, 16, 16)).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("depth", "bottleneck", "convolutions"), [(4, 0, 2), (4, 6, 2), (3, 5, 3), (2, 0, 1), (1, 4, 2)]
)
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pixel_moves_the_output_as_far_as_the_reach_and_no_farther(depth, bottleneck, convolutions, axis):
    torch.manual_seed(depth + convolutions)
    network = with_seen_statistics(
        UNet(3, widths=(6,) * depth, bottleneck=bottleneck, convolutions=convolutions), seed=depth
    )
    assert farthest(network, axis) == (network.reach, network.reach)


def test_sides_must_be_multiples_of_the_stride():
    network = UNet(3, widths=(2, 2))
    with pytest.raises(ValueError, match="stride 4"):
        network(torch.zeros(1, 3, 8, 10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widths": ()}, "widths"),
        ({"widths": (4,) * 9}, "widths"),
        ({"widths": 16}, "widths"),
        ({"widths": (4, 0)}, "from 1 to 4096"),
        ({"widths": (4, 10**9)}, "from 1 to 4096"),
        ({"widths": (4, 8.0)}, "invalid widths 8.0"),
        ({"bottleneck": -1}, "invalid bottleneck -1"),
        ({"convolutions": True}, "invalid convolutions True"),
        ({"convolutions": 99}, "from 1 to 8"),
    ],
)
def test_absurd_options_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        UNet(3, **options)
