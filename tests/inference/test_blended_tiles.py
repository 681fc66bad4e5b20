"""Blended tiles: brute-force definition, independence of how the work is divided, and no seams."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sarcd.errors import ModelError, OptionError
from sarcd.inference import BlendedTiling, Predictor, Tiling, choose_tile, sigmoid, tiling_of, trained_tile
from sarcd.networks import create_model
from tests.factories.networks import random_network
from tests.tolerance import LOGIT, PROBABILITY_GLOBAL

CHANNELS = ("before", "after", "coherence")
CPU = torch.device("cpu")
SHAPE = (150, 203)
FILL = np.array([0.5, 0.5, 0.0], np.float32)[:, None, None]


class Tinted(nn.Module):
    """Logits that depend on the whole tile: the first channel plus its mean over the tile."""

    exact_tiles = False
    stride = 4

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return x[:, :1] + self.weight * x.mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture(scope="module")
def features():
    values = np.random.default_rng(8).random((3, *SHAPE), dtype=np.float32)
    values[:, 40:60, 100:120] = np.nan
    values[2, 3:5, 10:20] = np.nan
    return values


def predict(network, features, tiling, *, region, batch=3):
    shape = features.shape[1:]
    predictor = Predictor(network, CHANNELS, tiling, batch=batch, device=CPU)
    out = np.empty(shape, np.float32)
    for y in range(0, shape[0], region[0]):
        for x in range(0, shape[1], region[1]):
            part = slice(y, min(y + region[0], shape[0])), slice(x, min(x + region[1], shape[1]))
            out[part] = predictor.logits(features[(slice(None), *tiling.window(part))], part)
    return out


def by_brute_force(network, features, tile):
    """Evaluate the definition with loops over whole images; tiles are squares that fit the scene."""
    holes = np.isnan(features)
    filled = np.where(holes, FILL, features)
    height, width = features.shape[1:]
    total, weight = np.zeros((height, width)), np.zeros((height, width))
    ramp = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    origins = [[*range(0, size - tile, tile // 2), size - tile] for size in (height, width)]
    for y in origins[0]:
        for x in origins[1]:
            with torch.inference_mode():
                cut = torch.from_numpy(filled[None, :, y : y + tile, x : x + tile].copy())
                logits = network(cut)[0, 0].double().numpy()
            total[y : y + tile, x : x + tile] += np.outer(ramp, ramp) * logits
            weight[y : y + tile, x : x + tile] += np.outer(ramp, ramp)
    assert (weight > 0).all()
    return np.where(holes.any(axis=0), np.nan, total / weight)


@pytest.fixture(scope="module", params=["tinycd", "tinted"])
def network(request):
    return Tinted() if request.param == "tinted" else random_network(name="tinycd", backbone="b0")


@pytest.mark.parametrize("region", [SHAPE, (64, 48), (37, 203)])
@pytest.mark.parametrize("batch", [1, 4])
def test_equals_brute_force_however_it_is_divided(network, features, region, batch):
    tiling = tiling_of(network, SHAPE, 48)
    assert isinstance(tiling, BlendedTiling)
    found = predict(network, features, tiling, region=region, batch=batch)
    np.testing.assert_allclose(sigmoid(found), sigmoid(by_brute_force(network, features, 48)), atol=PROBABILITY_GLOBAL)


def test_the_tile_matters_which_is_why_it_is_fixed(features):
    maps = [predict(Tinted(), features, BlendedTiling(SHAPE, 4, tile), region=SHAPE) for tile in (32, 64)]
    assert np.nanmax(np.abs(maps[0] - maps[1])) > 0.01


@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    tile=st.integers(1, 8).map(lambda steps: 4 * steps),
    region=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape_tile_and_region(shape, tile, region, seed):
    values = np.random.default_rng(seed).random((3, *shape), dtype=np.float32)
    tiling, network = BlendedTiling(shape, 4, tile), Tinted().requires_grad_(False)
    whole = predict(network, values, tiling, region=shape)
    np.testing.assert_allclose(predict(network, values, tiling, region=region), whole, atol=LOGIT)


@given(
    size=st.integers(1, 300),
    side=st.integers(1, 10).map(lambda n: 4 * n),
    start=st.integers(0, 299),
    length=st.integers(1, 300),
)
def test_weights_sum_to_one_at_every_pixel(size, side, start, length):
    tiling = BlendedTiling((size, 4), 4, side)
    region = slice(min(start, size - 1), min(start + length, size)), slice(0, 4)
    if region[0].stop <= region[0].start:
        return
    out = np.zeros((region[0].stop - region[0].start, 4), np.float32)
    for core in tiling.cores(region):
        tiling.paste(out, region, core, np.ones(tiling.sides, np.float32))
        assert core[0].start >= 0
        assert core[0].stop <= max(size, -(-size // 4) * 4)
    # at most 3 x 3 tiles: two roundings of the weights, one of their product, eight of the sum, 2^-24 each
    np.testing.assert_allclose(out, 1, atol=1e-6)
    seen = tiling.window(region)
    assert seen[0].start <= region[0].start
    assert seen[0].stop >= region[0].stop


def test_no_seams():
    """A network with tile-dependent output gives steps between hard tiles, and none after blending."""
    rng = np.random.default_rng(1)
    ground = np.repeat(np.cumsum(rng.normal(size=8)), 32)[None, None, :] * np.ones((3, 64, 1))
    values = (0.5 + 0.05 * ground).astype(np.float32)  # plateaus 32 pixels wide; tile means differ
    network = Tinted().requires_grad_(False)
    own = values[0]
    blended = predict(network, values, BlendedTiling((64, 256), 4, 64), region=(64, 256)) - own
    hard = np.concatenate(
        [np.full((64, 64), 3 * values[:, :, start : start + 64].mean()) for start in range(0, 256, 64)], axis=1
    )
    steps = [np.abs(np.diff(image, axis=1)).max() for image in (hard, blended)]
    assert steps[1] < steps[0] / 10
    flat = predict(
        network, np.full((3, 100, 120), 0.25, np.float32), BlendedTiling((100, 120), 4, 32), region=(100, 120)
    )
    assert np.ptp(flat) < 1e-5  # logits of 1, nine tiles: about twelve roundings of 2^-24 up, and twelve down


def test_a_scene_shorter_than_a_tile_is_padded_to_the_stride_alone(features):
    network = random_network(name="tinycd", backbone="b0")
    small = np.nan_to_num(features[:, :50, :200], nan=0.5)
    tiling = BlendedTiling((50, 200), 16, 208)
    assert tiling.sides == (64, 208)
    padded = np.broadcast_to(FILL, (3, 64, 208)).copy()
    padded[:, :50, :200] = small
    with torch.inference_mode():
        expected = network(torch.from_numpy(padded)[None])[0, 0, :50, :200].numpy()
    found = predict(network, small, tiling, region=(50, 200))
    np.testing.assert_allclose(sigmoid(found), sigmoid(expected), atol=PROBABILITY_GLOBAL)


def test_share_of_kept_pixels():
    """Tiles with half overlap compute each pixel four times; regions of 8 tiles per side add an eighth."""
    tiling = BlendedTiling((20480, 20480), 32, 256)
    assert tiling.blocks((1024, 1024)) == (2, 2)
    tiles = 2048 // 128 + 1  # tiles that overlap a region of 2048, away from the scene's edges
    assert tiling.kept_share((1024, 1024)) == pytest.approx((2048 / (tiles * 256)) ** 2, rel=0.03)
    assert BlendedTiling((150, 203), 16, 208).kept_share((48, 48)) == pytest.approx(150 * 203 / (160 * 208))


def test_choice_of_the_tile():
    with torch.device("meta"):
        network = create_model("changerex", 3)
    assert choose_tile("auto", network, (5000, 5000), 1) == 256  # for any memory
    assert choose_tile("auto", network, (5000, 5000), 10**12, trained=100) == 128
    assert choose_tile("auto", network, (100, 90), 10**12, trained=512) == 128
    assert choose_tile(65, network, (5000, 5000), 10**12) == 96
    assert choose_tile("whole", network, (333, 421), 1) == 448
    assert trained_tile({"options": {"patch": 64}}) == 64
    for hostile in ({}, {"options": 3}, {"options": {"patch": 10**9}}, {"options": {"patch": True}}, {"options": {}}):
        assert trained_tile(hostile) == 256


def test_refusals():
    with pytest.raises(OptionError, match="stride"):
        BlendedTiling(SHAPE, 16, 40)
    with pytest.raises(ModelError, match=r"cannot be tiled exactly[.] Use tiles that are blended"):
        Predictor(Tinted(), CHANNELS, Tiling(SHAPE, 4, 0, 64), batch=1, device=CPU)
