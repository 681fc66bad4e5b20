"""Exact tiles: the same map for any tile size, and detection of a halo one step too small."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sarcd.errors import ModelError, OptionError
from sarcd.inference import Predictor, Tiling, area, choose_batch, choose_tile, decide, forward_bytes, sigmoid
from sarcd.networks.folding import for_inference
from tests.factories.networks import random_network
from tests.tolerance import LOGIT

CHANNELS = ("before", "after", "coherence")
CPU = torch.device("cpu")
SHAPE = (333, 421)  # not a multiple of 16


@pytest.fixture(scope="module", params=["as trained", "made quick"])
def network(request):
    network = random_network()
    return network if request.param == "as trained" else for_inference(network)


@pytest.fixture(scope="module")
def features():
    values = np.random.default_rng(3).random((3, *SHAPE), dtype=np.float32)
    values[:, 100:140, 200:230] = np.nan
    values[2, 300:305, 10:20] = np.nan
    return values


@pytest.fixture(scope="module")
def whole(network, features):
    """Return the logits of one pass over the whole scene, without tiling."""
    holes = np.isnan(features)
    filled = np.where(holes, np.array([0.5, 0.5, 0.0], np.float32)[:, None, None], features)
    padded = np.empty((3, 336, 432), np.float32)
    padded[:] = np.array([0.5, 0.5, 0.0], np.float32)[:, None, None]
    padded[:, : SHAPE[0], : SHAPE[1]] = filled
    with torch.inference_mode():
        logits = network(torch.from_numpy(padded)[None])[0, 0].numpy()[: SHAPE[0], : SHAPE[1]].copy()
    logits[holes.any(axis=0)] = np.nan
    return logits


def predict(network, features, tile, *, halo=None, region=(128, 160), batch=3):
    """Predict region by region, as a job does."""
    tiling = Tiling(SHAPE, network.stride, network.tile_halo if halo is None else halo, tile)
    predictor = Predictor(network, CHANNELS, tiling, batch=batch, device=CPU)
    out = np.empty(SHAPE, np.float32)
    for y in range(0, SHAPE[0], region[0]):
        for x in range(0, SHAPE[1], region[1]):
            part = slice(y, min(y + region[0], SHAPE[0])), slice(x, min(x + region[1], SHAPE[1]))
            out[part] = predictor.logits(features[(slice(None), *tiling.window(part))], part)
    return out


def test_logits_spread(whole):
    assert np.nanstd(whole) > 1


@pytest.mark.parametrize("tiles", [16, 64, 200, 512, "whole"])
@pytest.mark.parametrize("region", [SHAPE, (128, 160), (100, 90)])
def test_any_tile_equals_one_pass(network, features, whole, tiles, region):
    tile = choose_tile(tiles, network, SHAPE, 2**30)
    found = predict(network, features, tile, region=region)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(whole))
    np.testing.assert_allclose(found, whole, atol=LOGIT)


def test_a_halo_one_step_too_small_is_noticed(network, features, whole):
    found = predict(network, features, 64, halo=network.tile_halo - network.stride)
    assert np.nanmax(np.abs(found - whole)) > 1e-3


def test_reach_is_exact(network, features):
    """A pixel changed at the network's reach changes the output, and one step beyond it does not.

    Uses float64, because block-transform kernels of float32 (Winograd, FFT) spread a change over blocks as rounding.
    """
    base = np.nan_to_num(features, nan=0.5)[:, : 2 * network.stride, :256].astype(np.float64)
    network = copy.deepcopy(network).double()

    def logits(values):
        with torch.inference_mode():
            return network(torch.from_numpy(values.copy())[None])[0, 0].numpy()

    reference = logits(base)
    moved = np.zeros((2, network.stride), bool)
    for phase in range(network.stride):
        changed = base.copy()
        changed[:, network.stride, 128 + phase] += 50
        columns = np.nonzero(np.abs(logits(changed) - reference).max(axis=0) > 0)[0]
        distance = max(128 + phase - columns.min(), columns.max() - 128 - phase)
        moved[:, phase] = distance >= network.reach, distance > network.reach
    assert moved[0].any()
    assert not moved[1].any()


@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    tile=st.integers(1, 6).map(lambda steps: 4 * steps),
    region=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    holes=st.floats(0, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_region_tile_and_holes(shape, tile, region, holes, seed):
    network = _SMALL
    rng = np.random.default_rng(seed)
    values = rng.random((3, *shape), dtype=np.float32)
    values[:, rng.random(shape) < holes] = np.nan
    parts = [
        (slice(y, min(y + region[0], shape[0])), slice(x, min(x + region[1], shape[1])))
        for y in range(0, shape[0], region[0])
        for x in range(0, shape[1], region[1])
    ][:6]
    tiling = Tiling(shape, network.stride, network.tile_halo, tile)
    predictor = Predictor(network, CHANNELS, tiling, batch=2, device=CPU)
    everything = slice(0, shape[0]), slice(0, shape[1])
    one = Tiling(shape, network.stride, network.tile_halo, max(tiling.padded))
    reference = Predictor(network, CHANNELS, one, batch=1, device=CPU).logits(values, everything)
    for part in parts:
        found = predictor.logits(values[(slice(None), *tiling.window(part))], part)
        np.testing.assert_allclose(found, reference[part], atol=LOGIT)
    np.testing.assert_array_equal(np.isnan(reference), np.isnan(values).any(axis=0))


_SMALL = random_network(widths=(4, 8))


def test_share_of_kept_pixels():
    """Away from borders a tile of 512 keeps (512 / 640)^2 = 0.64 of the computed pixels; borders save some halo."""
    tiling = Tiling((51200, 51200), 16, 64, 512)
    core = slice(5120, 5632), slice(5120, 5632)
    assert area(core) / area(tiling.source(core)) == pytest.approx(0.64)
    assert tiling.kept_share((1024, 1024)) == pytest.approx(0.64, abs=0.01)


def test_choice_of_tile_and_batch(network):
    assert choose_tile(200, network, (5000, 5000), 0) == 208
    assert choose_tile("whole", network, (333, 421), 0) == 432
    small, large = (choose_tile("auto", network, (9000, 9000), budget) for budget in (10**8, 10**9))
    assert small < large
    assert choose_batch(5, network, 512, (9000, 9000), 0) == 5
    assert choose_batch(0, network, 512, (9000, 9000), 1) == 1
    assert choose_batch(0, network, 512, (9000, 9000), forward_bytes(network, 512, 3, (9000, 9000))) == 3
    assert choose_tile("auto", network, (9000, 9000), 10**12) == 2048
    assert choose_tile("auto", network, (9000, 9000), 10**12, device="cuda") == 4096
    with pytest.raises(OptionError, match="tile"):
        choose_tile(0, network, SHAPE, 0)
    with pytest.raises(OptionError, match="stride"):
        Tiling(SHAPE, 16, 80, 20)


def test_network_that_cannot_be_tiled():
    with pytest.raises(ModelError, match="tiled exactly"):
        Predictor(torch.nn.Conv2d(3, 1, 1), CHANNELS, Tiling(SHAPE, 1, 0, 64), batch=1, device=CPU)


def test_probability_and_decision():
    probability = sigmoid(np.array([0, 1000, -1000, np.nan, 2], "float32"))
    np.testing.assert_allclose(probability, [0.5, 1, 0, np.nan, 0.8807971], atol=1e-6)
    assert decide(probability, 0.5).tolist() == [1, 1, 0, 255, 1]
