"""The Siamese U-Net: published size, receptive field, and handling of two dates."""

import pytest
import torch

from sarcd.errors import OptionError
from sarcd.networks import SiameseUNet
from tests.factories.networks import farthest, with_seen_statistics


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("fusion", "published"), [("conc", 1_545_697), ("diff", 1_349_857)])
def test_size_as_published_with_two_channels_a_date(fusion, published):
    with torch.device("meta"):
        assert size(SiameseUNet(3, fusion=fusion)) == published
        # only the first convolution depends on the number of channels
        assert size(SiameseUNet(2, fusion=fusion)) == published - 9 * 16


@pytest.mark.parametrize("fusion", ["conc", "diff"])
def test_a_stream_adds_its_encoder_and_a_skip_a_level(fusion):
    with torch.device("meta"):
        plain, third = SiameseUNet(2, fusion=fusion), SiameseUNet(4, fusion=fusion, coherence="stream")
    first_layers = 9 * 16 * (128 * 128 + 64 * 64 + 32 * 32 + 16 * 16) // 16
    assert size(third) - size(plain) == size(plain.encoder) + 9 * 16 + first_layers


@pytest.mark.parametrize("options", [{}, {"fusion": "diff"}, {"fusion": "diff", "coherence": "stream"}])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_pixel_moves_the_output_as_far_as_the_reach_and_no_farther(options, axis):
    torch.manual_seed(5)
    network = with_seen_statistics(SiameseUNet(3, **options), seed=1)
    assert max(farthest(network, axis, step=1e4)) == network.reach == 114


@pytest.mark.parametrize("fusion", ["conc", "diff"])
def test_a_tile_needs_its_halo_and_no_less(fusion):
    """Pixels beyond the halo do not affect a tile; with a halo one step smaller they do."""
    torch.manual_seed(2)
    network = with_seen_statistics(SiameseUNet(3, fusion=fusion), seed=3)
    tile, halo = slice(144, 160), network.tile_halo
    image = torch.rand(1, 3, 304, 304, dtype=torch.float64)
    moved = {}
    with torch.inference_mode():
        calm = network(image)[..., tile, tile]
        for kept in (halo, halo - network.stride):
            other = 1e4 * torch.rand_like(image)
            near = slice(tile.start - kept, tile.stop + kept)
            other[..., near, near] = image[..., near, near]
            moved[kept] = float((network(other)[..., tile, tile] - calm).abs().max())
    assert halo == 112
    assert moved[halo] == 0
    assert moved[halo - network.stride] > 0


def test_both_dates_go_through_one_encoder_and_shared_channels_through_both():
    torch.manual_seed(0)
    network = SiameseUNet(4)
    seen = []
    network.encoder[0].register_forward_hook(lambda _, args, __: seen.append(args[0]))
    image = torch.rand(1, 4, 16, 16)
    network(image)
    assert torch.equal(seen[0], image[:, [0, 2, 3]])
    assert torch.equal(seen[1], image[:, [1, 2, 3]])


def test_a_stream_keeps_shared_channels_from_the_dates():
    torch.manual_seed(0)
    network = SiameseUNet(4, coherence="stream")
    seen = []
    for encoder in (network.encoder, network.shared_encoder):
        encoder[0].register_forward_hook(lambda _, args, __: seen.append(args[0]))
    image = torch.rand(1, 4, 16, 16)
    network(image)
    assert [list(part[0, :, 0, 0]) for part in seen] == [list(image[0, keep, 0, 0]) for keep in ([0], [1], [2, 3])]


def test_diff_sees_of_equal_dates_nothing_but_the_last():
    """The skips are then zero, and the weights applied to them have no effect."""
    torch.manual_seed(0)
    network = SiameseUNet(2, fusion="diff").eval()
    image = torch.rand(1, 1, 32, 32).expand(-1, 2, -1, -1)
    with torch.inference_mode():
        before = network(image)
        for level, width in zip(network.decoder, (128, 64, 32, 16), strict=True):
            level[0].weight[:, width:] = 7
        assert torch.equal(network(image), before)


def test_dropout_is_of_training_alone():
    torch.manual_seed(0)
    network = SiameseUNet(2, dropout=0.5)
    image = torch.rand(2, 2, 32, 32)
    assert not torch.equal(network(image), network(image))
    network.eval()
    assert torch.equal(network(image), network(image))


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (3, {"fusion": "sum"}, "unknown fusion 'sum'. Use conc or diff"),
        (3, {"coherence": ["date"]}, r"unknown coherence \"\['date'\]\". Use date or stream"),
        (2, {"coherence": "stream"}, "the input has no coherence. Use date"),
        (1, {}, "invalid in_channels 1. Use a whole number from 2"),
        (10**9, {}, "invalid in_channels 1000000000"),
        (3, {"dropout": 1.0}, "invalid dropout 1.0. Use a number from 0 to below 1"),
        (3, {"dropout": float("nan")}, "invalid dropout nan"),
        (3, {"dropout": True}, "invalid dropout True"),
    ],
)
def test_absurd_options_are_refused(channels, options, message):
    with pytest.raises(OptionError, match=message):
        SiameseUNet(channels, **options)
