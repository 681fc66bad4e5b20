"""Properties of every network: shapes, linear heads, gradients, and unchanged output after optimisation."""

import shutil

import pytest
import torch

from sarcd.errors import OptionError
from sarcd.networks import create_model
from sarcd.networks.folding import for_inference
from tests.factories.networks import random_network
from tests.tolerance import LOGIT_GLOBAL, logit

NETWORKS = {
    "unet-small": {"widths": (4, 6)},
    "siamese-unet": {},
    "siamese-unet diff stream": {"fusion": "diff", "coherence": "stream"},
    "tinycd": {},
    "tinycd b0": {"backbone": "b0"},
    "tinycd b0 stream": {"backbone": "b0", "coherence": "stream"},
    "changerex": {},
    "changerex stream": {"coherence": "stream"},
}


def build(label, channels=3):
    torch.manual_seed(1)
    return create_model(label.split()[0], channels, **NETWORKS[label])


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    name = request.param.split()[0]
    return random_network(name=name, **NETWORKS[request.param])


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("label", NETWORKS)
def test_logits_of_any_side_that_is_a_multiple(label, channels):
    if channels == 2 and "stream" in label:
        pytest.skip("nothing to make a stream of")
    network = build(label, channels).eval()
    for y, x in ((1, 1), (1, 3), (2, 1)):
        image = torch.rand(2, channels, y * network.stride, x * network.stride)
        with torch.inference_mode():
            logits = network(image)
        assert logits.shape == (2, 1, *image.shape[2:])
        assert logits.isfinite().all()
    with pytest.raises(ValueError, match=f"stride {network.stride}"):
        network(torch.zeros(1, channels, network.stride, network.stride + 2))


@pytest.mark.parametrize("label", NETWORKS)
def test_every_weight_gets_a_gradient(label):
    network = build(label)
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 1, 2 * network.stride, 2 * network.stride, generator=generator)
    for _ in range(4):  # stochastic depth skips whole blocks in a pass
        (network(torch.rand(2, 3, *target.shape[2:], generator=generator)) * target).sum().backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert still == []


FIRST = {"siamese-unet": "encoder.0.0", "tinycd": "trunk.features.0.0", "changerex": "trunk.conv1"}


@pytest.mark.parametrize("label", [label for label in NETWORKS if label.split()[0] in FIRST])
def test_both_dates_go_through_the_same_weights_the_first_one_first(label):
    network, seen = build(label).eval(), []
    first = network.get_submodule(FIRST[label.split()[0]])
    first.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        network(image)
    shared = [] if "stream" in label else [2]
    assert len(seen) == 2
    for found, date in zip(seen, (0, 1), strict=True):
        assert torch.equal(found, image[:, [date, *shared]])


def test_every_channel_moves_the_logits(network):
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        calm = network(image)
        for channel in range(3):
            moved = image.clone()
            moved[:, channel] = 1 - moved[:, channel]
            assert (network(moved) - calm).abs().max() > 1e-3


def test_logits_are_linear_in_the_head(network):
    """A temperature can be folded into the head's weights, and its bias is the offset of every logit."""
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        before = network(image)
        kept = network.head.weight.clone(), network.head.bias.clone()
        network.head.weight /= 2.5
        network.head.bias.copy_(kept[1] / 2.5)
        torch.testing.assert_close(network(image), before / 2.5, atol=logit(network), rtol=0)
        network.head.weight.zero_()
        network.head.bias.fill_(-3)
        torch.testing.assert_close(network(image), torch.full_like(before, -3))
        network.head.weight.copy_(kept[0])
        network.head.bias.copy_(kept[1])


def test_made_quick_it_is_the_same_function(network):
    quick = for_inference(network)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in quick.modules())
    image = torch.rand(2, 3, 64, 96)
    with torch.inference_mode():
        expected, found = network(image), quick(image)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=logit(network), rtol=0)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_reduced_precision_stays_near(network, precision):
    quick = for_inference(network, precision=precision)
    image = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = torch.sigmoid(network(image))
        found = torch.sigmoid(quick(image.to(getattr(torch, precision))).float())
    assert found.isfinite().all()
    assert (found - expected).abs().mean() < 0.05


def test_the_output_of_an_image_does_not_depend_on_its_batch(network):
    images = torch.rand(3, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(images)[1:2], network(images[1:2]), atol=logit(network), rtol=0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tinycd", {"backbone": "b7"}, "unknown backbone 'b7'. Use b4 or b0"),
        ("tinycd", {"coherence": 1}, "unknown coherence '1'. Use date or stream"),
        ("changerex", {"dropout": -0.1}, "invalid dropout -0.1"),
        ("changerex", {"backbone": "b4"}, "changerex has no option 'backbone'. Use one of coherence, dropout"),
    ],
)
def test_absurd_options_are_refused(name, options, message):
    with pytest.raises(OptionError, match=message):
        create_model(name, 3, **options)
    with pytest.raises(OptionError, match="invalid in_channels 1"):
        create_model(name, 1)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_the_network_with_most_kinds_of_layers_compiles():
    torch._dynamo.reset()
    network = random_network(name="changerex")
    quick = for_inference(network, compiled=True)
    with torch.inference_mode():
        for side in (64, 96):
            image = torch.rand(1, 3, side, 64)
            torch.testing.assert_close(quick(image), network(image), atol=LOGIT_GLOBAL, rtol=0)
