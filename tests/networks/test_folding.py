"""Networks optimised for inference: the same function without batch norms."""

import shutil
from itertools import product

import pytest
import torch
from torch import nn

from sarcd.errors import OptionError
from sarcd.networks.folding import for_inference
from tests.factories.networks import random_network
from tests.tolerance import LOGIT


@pytest.fixture(scope="module")
def network():
    return random_network()


def test_the_same_logits_without_batch_norms(network):
    quick = for_inference(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in quick.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        expected, found = network(image), quick(image)
    assert expected.std() > 1
    torch.testing.assert_close(found, expected, atol=LOGIT, rtol=0)
    assert (quick.stride, quick.tile_halo, quick.exact_tiles) == (network.stride, network.tile_halo, True)


@pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.1), ("float16", 0.01)])
def test_reduced_precision_is_near_and_not_equal(network, precision, most):
    quick = for_inference(network, precision=precision)
    image = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        expected = torch.sigmoid(network(image))
        found = torch.sigmoid(quick(image.to(getattr(torch, precision))).float())
    assert 0 < (found - expected).abs().max() < most


def test_a_network_in_training_is_refused(network):
    with pytest.raises(ValueError, match="eval"):
        for_inference(random_network(widths=(4,)).train())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with a C++ compiler")
def test_a_compiled_network_takes_tiles_of_any_shape():
    """Use more shapes than torch specialises for; a scene's edges have nine, and batches add more."""
    torch._dynamo.reset()  # clear what other tests compiled
    torch._dynamo.utils.counters.clear()
    network = random_network(widths=(4, 8))
    quick = for_inference(network, compiled=True)
    with torch.inference_mode():
        for y, x in product((32, 48, 64, 80), repeat=2):
            image = torch.rand(1, 3, y, x)
            torch.testing.assert_close(quick(image), network(image), atol=LOGIT, rtol=0)
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] == frames["total"]  # no fallback to eager mode


def test_where_nothing_compiles_it_is_said_at_once(monkeypatch):
    def fail(self, **_):
        self._compiled_call_impl = lambda *_: (_ for _ in ()).throw(RuntimeError("no compiler\nlong story"))

    monkeypatch.setattr(nn.Module, "compile", fail)
    with pytest.raises(OptionError, match=r"cannot be compiled here \(no compiler\)") as caught:
        for_inference(random_network(widths=(4,)), compiled=True)
    assert "omit --compile" in caught.value.hint
