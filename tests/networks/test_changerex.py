"""ChangerEx: published size, and its parts compared with their definitions."""

import torch

from sarcd.networks import ChangerEx
from sarcd.networks.changerex import _warp, exchange


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_size_as_published_with_three_channels_a_date():
    with torch.device("meta"):
        network = ChangerEx(4)
    assert size(network.trunk) == 11_176_512  # ResNet-18 without its classifier
    assert size(network) == 11_371_585


def test_the_trunk_is_torchvisions():
    from torchvision import models

    torch.manual_seed(0)
    whole = models.resnet18(weights=None).eval()
    network = ChangerEx(4).eval()
    network.trunk.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("fc")})
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        x = whole.maxpool(whole.relu(whole.bn1(whole.conv1(image))))
        found = network.trunk(image)
        for number, stage in enumerate((whole.layer1, whole.layer2, whole.layer3, whole.layer4)):
            x = stage(x)
            assert torch.equal(found[number], x)


def test_exchanges_are_of_even_columns_and_even_channels_and_undo_themselves():
    first, second = torch.zeros(2, 4, 3, 5), torch.ones(2, 4, 3, 5)
    columns, _ = exchange(first, second, axis=-1)
    assert columns[0, 0, 0].tolist() == [1, 0, 1, 0, 1]
    channels, other = exchange(first, second, axis=-3)
    assert channels[1, :, 2, 4].tolist() == [1, 0, 1, 0]
    assert all(map(torch.equal, exchange(channels, other, axis=-3), (first, second)))


def test_what_is_exchanged_and_where():
    """Columns are exchanged after the second stage, channels after the third and fourth, nothing after the first."""
    torch.manual_seed(0)
    network = ChangerEx(2).eval()
    before, after = torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64)
    backbone = network.trunk
    with torch.inference_mode():
        found = network._stages(before, after)
        x, y = backbone.layer1(backbone.stem(before)), backbone.layer1(backbone.stem(after))
        assert torch.equal(found[0][0], x)
        x, y = backbone.layer2(x), backbone.layer2(y)
        assert torch.equal(found[0][1][..., 1::2], x[..., 1::2])
        assert torch.equal(found[0][1][..., ::2], y[..., ::2])
        assert torch.equal(found[1][1][..., ::2], x[..., ::2])
        third = backbone.layer3(found[0][1]), backbone.layer3(found[1][1])
        assert torch.equal(found[0][2][:, ::2], third[1][:, ::2])
        assert torch.equal(found[1][2][:, 1::2], third[1][:, 1::2])
        fourth = backbone.layer4(found[0][2]), backbone.layer4(found[1][2])
        assert torch.equal(found[0][3][:, ::2], fourth[1][:, ::2])


def test_a_flow_of_zero_moves_nothing_and_one_of_two_cells_moves_by_two():
    x = torch.rand(1, 3, 9, 17, dtype=torch.float64)
    flow = torch.zeros(1, 2, 9, 17, dtype=torch.float64)
    torch.testing.assert_close(_warp(x, flow), x)
    flow[:, 0] = 2 * 2 * 17 / 16  # nearly half a pixel each
    torch.testing.assert_close(_warp(x, flow)[..., :-2], x[..., 2:])
    flow[:, 0] = 0
    flow[:, 1] = -1 * 2 * 9 / 8
    torch.testing.assert_close(_warp(x, flow)[..., 1:, :], x[..., :-1, :])


def test_short_numbers_still_tell_the_columns_of_a_wide_tile_apart():
    x = torch.rand(1, 2, 4, 512).to(torch.bfloat16)
    still = torch.zeros(1, 2, 4, 512, dtype=torch.bfloat16)
    assert _warp(x, still).dtype == torch.bfloat16
    torch.testing.assert_close(_warp(x, still), x, atol=1e-2, rtol=0)


def test_without_flow_and_exchange_equal_dates_differ_in_nothing():
    torch.manual_seed(0)
    network = ChangerEx(2).eval()
    seen = []
    network.mix.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network.align.flow[-1].weight.data.zero_()
    with torch.inference_mode():
        network(torch.rand(1, 1, 32, 32).expand(-1, 2, -1, -1))
    torch.testing.assert_close(seen[0], torch.zeros_like(seen[0]), atol=1e-5, rtol=0)


def test_what_is_aligned_is_what_was_found_of_the_first_date_and_of_the_second():
    torch.manual_seed(0)
    network, seen = ChangerEx(2).eval(), []
    network.align.register_forward_pre_hook(lambda _, args: seen.extend(args))
    image = torch.rand(1, 2, 64, 64)
    with torch.inference_mode():
        network(image)
        found = network._stages(image[:, :1], image[:, 1:])
        assert torch.equal(seen[0], network.neck(found[0]))
        assert torch.equal(seen[1], network.neck(found[1]))
    assert not torch.equal(*seen)
