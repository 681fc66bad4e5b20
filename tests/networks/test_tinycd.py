"""TinyCD: published size, and its parts compared with their definitions."""

import pytest
import torch
from torch.nn import functional

from sarcd.networks import TinyCD
from sarcd.networks.tinycd import _Mixing, _UpMask


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("backbone", "published"), [("b4", 285_128), ("b0", 79_208)])
def test_size_as_published_with_three_channels_a_date(backbone, published):
    with torch.device("meta"):
        assert size(TinyCD(4, backbone=backbone)) == published


def test_the_trunk_is_torchvisions():
    from torchvision import models

    torch.manual_seed(0)
    whole = models.efficientnet_b0(weights=None).eval()
    network = TinyCD(4, backbone="b0").eval()
    network.trunk.load_state_dict({k: v for k, v in whole.state_dict().items() if k in network.trunk.state_dict()})
    image = torch.rand(1, 3, 32, 48)
    with torch.inference_mode():
        found = network.trunk(image)
        assert torch.equal(found[0], image)
        for level, last in zip(found[1:], (2, 3, 4), strict=True):
            assert torch.equal(level, whole.features[:last](image))
    assert [level.shape[-1] for level in found] == [48, 24, 12, 6]


def test_weights_are_drawn_as_torchvision_draws_them():
    """Zero mean and variance 2 / fan out, for every weight."""
    torch.manual_seed(0)
    backbone = TinyCD(4).trunk
    for name, weight in backbone.state_dict().items():
        if weight.ndim == 4 and weight.numel() > 4000:
            fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
            assert float(weight.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.1), name
    assert all(bool((module.running_var == 1).all()) for module in backbone.modules() if hasattr(module, "running_var"))


def test_a_mixing_sees_one_channel_of_each_stream_at_a_time():
    torch.manual_seed(0)
    mixing = _Mixing(9, 3)
    streams = [torch.rand(1, 3, 8, 8) for _ in range(3)]
    convolution, activation, norm = mixing.layers
    by_channel = []
    for channel in range(3):
        seen = torch.cat([stream[:, channel : channel + 1] for stream in streams], 1)
        weight, bias = convolution.weight[channel : channel + 1], convolution.bias[channel : channel + 1]
        by_channel.append(functional.conv2d(seen, weight, bias, padding=1))
    torch.testing.assert_close(mixing(streams), norm(activation(torch.cat(by_channel, 1))))


def test_at_the_input_a_date_may_have_fewer_channels_than_the_third_stream():
    network = TinyCD(4, backbone="b0", coherence="stream").eval()
    assert network.masks[0].mixing.layers[0].weight.shape == (1, 4, 3, 3)


def test_where_the_mask_is_zero_nothing_comes_up():
    torch.manual_seed(0)
    up = _UpMask(4, 2)
    x, mask = torch.arange(4.0).expand(1, 4, 4, 4), torch.ones(1, 1, 8, 8)
    mask[..., :4] = 0
    seen = []
    up.convolutions.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    up(x, mask)
    assert not seen[0][..., :4].any()
    # corners stay fixed, and a linear ramp stays linear
    torch.testing.assert_close(seen[0][0, 0, 5, 4:], torch.linspace(0, 3, 8)[4:])
