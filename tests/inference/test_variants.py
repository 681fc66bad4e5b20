"""Test-time augmentation, ensembles and AdaBN, compared with their definitions on whole images."""

import copy

import numpy as np
import pytest
import torch

from sarcd.errors import SceneError
from sarcd.inference import PLAIN, BlendedTiling, Ensemble, Predictor, Tiling, TTAView, sigmoid, tiling_of, tta_views
from sarcd.inference.adabn import adapted, digest_of, reestimate, sample_places, take_sample, tiles_wanted
from tests.factories.networks import random_network
from tests.tolerance import PROBABILITY, PROBABILITY_GLOBAL

CHANNELS = ("before", "after", "coherence")
CPU = torch.device("cpu")
SHAPE = (90, 117)  # not a multiple of 16: padding is on one side, whichever way the scene is flipped


@pytest.fixture(scope="module")
def features():
    values = np.random.default_rng(4).random((3, *SHAPE), dtype=np.float32)
    values[:, 30:40, 50:60] = np.nan
    return values


@pytest.fixture(scope="module", params=["unet", "siamese-unet"])
def network(request):
    return random_network(name=request.param)


def padded(features):
    filled = np.where(np.isnan(features), np.array([0.5, 0.5, 0.0], np.float32)[:, None, None], features)
    out = np.empty((3, 96, 128), np.float32)
    out[:] = np.array([0.5, 0.5, 0.0], np.float32)[:, None, None]
    out[:, : SHAPE[0], : SHAPE[1]] = filled
    return out


def whole_image(network, features, view):
    """Return the probabilities of one pass over the whole padded scene, flipped before and after."""
    image = torch.from_numpy(padded(features))[None]
    axes = [axis for axis, flip in ((-2, view.flip_azimuth), (-1, view.flip_range)) if flip]
    if view.swap:
        image = torch.stack([image[:, 1], image[:, 0], image[:, 2]], dim=1)
    with torch.inference_mode():
        logits = network(image.flip(axes)).flip(axes)[0, 0, : SHAPE[0], : SHAPE[1]].numpy().copy()
    logits[np.isnan(features).any(axis=0)] = np.nan
    return sigmoid(logits)


def ensemble(networks, tiles, groups, batch=2):
    predictors = [
        Predictor(network, CHANNELS, tiling_of(network, SHAPE, tile), batch=batch, device=CPU)
        for network, tile in zip(networks, tiles, strict=True)
    ]
    return Ensemble(predictors, groups)


def run(together, features, region=SHAPE):
    out = np.empty((2, *SHAPE), np.float32)
    for y in range(0, SHAPE[0], region[0]):
        for x in range(0, SHAPE[1], region[1]):
            part = slice(y, min(y + region[0], SHAPE[0])), slice(x, min(x + region[1], SHAPE[1]))
            out[(slice(None), *part)] = together.predict(features[(slice(None), *together.window(part))], part)
    return out


@pytest.mark.parametrize("tile", [16, 64, 128])
@pytest.mark.parametrize("view", [group[-1] for group in tta_views(swap=True, flips=True)])
def test_exact_tiles_stay_exact_turned_round(network, features, tile, view):
    found, spread = run(ensemble([network], [tile], [[view]]), features, region=(40, 70))
    np.testing.assert_allclose(found, whole_image(network, features, view), atol=PROBABILITY)
    assert np.nanmax(spread) == 0
    np.testing.assert_array_equal(np.isnan(spread), np.isnan(found))


def test_variants_differ(network, features):
    flat = [view for group in tta_views(swap=True, flips=True) for view in group]
    assert len(set(flat)) == 8
    maps = [whole_image(network, features, view) for view in flat]
    assert all(np.nanmax(np.abs(maps[0] - other)) > 0.01 for other in maps[1:])


def test_mean_and_spread_over_networks_and_variants(features):
    networks = [random_network(seed=1), random_network(seed=2), random_network(name="tinycd", backbone="b0")]
    groups = tta_views(swap=True, flips=True)
    together = ensemble(networks, [32, 64, 48], groups)
    assert together.passes == 24
    found, spread = run(together, features, region=(50, 117))
    each = []
    for network in networks[:2]:
        each += [whole_image(network, features, view) for group in groups for view in group]
    blended = ensemble(networks[2:], [48], [[PLAIN]])
    for group in groups:
        for view in group:
            each.append(run(Ensemble(blended.predictors, [[view]]), features)[0])
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=PROBABILITY_GLOBAL)
    np.testing.assert_allclose(spread, np.std(each, axis=0), atol=PROBABILITY_GLOBAL)
    assert 0.02 < np.nanmean(spread) <= 0.5


def test_one_pass_is_the_probability_itself(network, features):
    together = ensemble([network], [32], [[PLAIN]])
    everything = slice(0, SHAPE[0]), slice(0, SHAPE[1])
    expected = sigmoid(together.predictors[0].logits(features, everything))
    np.testing.assert_array_equal(together.predict(features, everything)[0], expected)


@pytest.mark.parametrize("name", ["unet", "tinycd"])
@pytest.mark.parametrize("flips", [False, True])
def test_with_both_orders_the_map_is_symmetric_in_time_to_the_last_bit(features, name, flips):
    network = random_network(name=name)
    reversed_ = features[[1, 0, 2]]
    both = ensemble([network], [48], tta_views(swap=True, flips=flips))
    np.testing.assert_array_equal(run(both, features), run(both, reversed_))
    one = ensemble([network], [48], [[PLAIN]])
    assert np.nanmax(np.abs(run(one, features)[0] - run(one, reversed_)[0])) > 0.01


def test_with_flips_the_map_turns_with_a_scene_of_whole_cells(network):
    values = np.random.default_rng(2).random((3, 96, 112), dtype=np.float32)
    tiling = Tiling((96, 112), 16, network.tile_halo, 32)
    together = Ensemble([Predictor(network, CHANNELS, tiling, batch=4, device=CPU)], tta_views(flips=True))
    everything = slice(0, 96), slice(0, 112)
    found = together.predict(values, everything)[0]
    turned = together.predict(np.ascontiguousarray(values[:, ::-1]), everything)[0]
    np.testing.assert_allclose(turned[::-1], found, atol=PROBABILITY)


def test_a_variant_turns_inputs_and_outputs_alike():
    values = np.arange(24).reshape(1, 2, 3, 4)
    for group in tta_views(swap=True, flips=True):
        for view in group:
            turned = view.turn(values, ("before", "after"))
            back = view.turn_back(turned)
            np.testing.assert_array_equal(back[:, ::-1] if view.swap else back, values)
    assert TTAView(flip_azimuth=True).turn(values, ("before", "after"))[0, 0, 0].tolist() == [8, 9, 10, 11]
    assert TTAView(flip_range=True).turn(values, ("before", "after"))[0, 0, 0].tolist() == [3, 2, 1, 0]


def test_places_of_the_sample():
    places = sample_places((3000, 500), 32, [1, 4, 5])
    assert places == sample_places((3000, 500), 32, [1, 4, 5])
    assert len(places) == 4 * 16
    assert {pair for pair, _ in places[:3]} == {1, 4, 5}
    for _, (y, x) in places:
        assert y.stop - y.start == x.stop - x.start == 256
        assert y.start >= 0
        assert y.stop <= 3000
        assert x.stop <= 500
    covered = np.histogram([y.start for _, (y, _) in places[:16]], bins=4, range=(0, 2744))[0]
    assert covered.min() >= 3  # spread evenly
    assert sample_places((100, 70), 16, [0]) == [(0, (slice(0, 100), slice(0, 70)))]
    assert [tiles_wanted((3000, 3000), 16, pairs) for pairs in (1, 16, 40, 1000)] == [16, 16, 40, 64]
    assert len({pair for pair, _ in sample_places((600, 600), 16, range(40))[:40]}) == 40


def test_the_sample_passes_over_places_without_data():
    empty, half = np.full((3, 32, 32), np.nan, np.float32), np.zeros((3, 32, 32), np.float32)
    half[0, :17] = np.nan
    good = [np.full((3, 32, 32), value, np.float32) for value in (0.1, 0.2, 0.3)]
    read = iter([empty, good[0], half, good[1], good[2]])
    sample = take_sample(read, CHANNELS, 16, wanted=2)
    assert sample[:, 0, 0, 0].tolist() == [np.float32(0.1), np.float32(0.2)]
    assert len(list(read)) == 1  # reads no more than needed
    with pytest.raises(
        SceneError, match=r"no place with enough valid pixels to adapt to[.] Predict without --adapt-batchnorm"
    ):
        take_sample([empty, half], CHANNELS, 16, wanted=2)
    short = take_sample([np.zeros((3, 10, 16), np.float32)], CHANNELS, 16, wanted=1)
    assert short.shape == (1, 3, 16, 16)
    assert short[0, :, 12, 0].tolist() == [0.5, 0.5, 0.0]


@pytest.mark.parametrize("name", ["unet", "siamese-unet", "changerex"])
def test_statistics_are_those_of_all_that_the_first_layers_see(name):
    network = random_network(name=name)
    rng = np.random.default_rng(0)
    sample = (rng.random((6, 3, 64, 64)) * 3 + np.arange(6)[:, None, None, None]).astype(np.float32)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = reestimate(network, sample, CPU)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(part.training or part._forward_pre_hooks for part in network.modules())
    assert set(found) == {key for key, part in network.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    dates = [sample] if name == "unet" else [sample[:, [0, 2]], sample[:, [1, 2]]]  # a shared encoder sees both dates
    first = {"unet": "encoder.0.0", "siamese-unet": "encoder.0.0", "changerex": "trunk.conv1"}[name]
    norm = {"unet": "encoder.0.1", "siamese-unet": "encoder.0.1", "changerex": "trunk.bn1"}[name]
    with torch.inference_mode():
        seen = torch.cat([network.get_submodule(first)(torch.from_numpy(part)) for part in dates]).double().numpy()
    np.testing.assert_allclose(found[norm][0], seen.mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[norm][1], seen.var(axis=(0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("name", ["unet", "siamese-unet", "tinycd", "changerex"])
def test_statistics_of_every_layer_are_those_of_the_batch_at_hand(name):
    """Compare with torch's training mode on the same tiles, one batch with momentum 1, ignoring earlier statistics."""
    network = random_network(name=name, **({"backbone": "b0"} if name == "tinycd" else {}))
    sample = 3 * np.random.default_rng(0).random((4, 3, 64, 64), dtype=np.float32) + 1
    found = reestimate(network, sample, CPU)
    trained = copy.deepcopy(network)
    norms = {key: part for key, part in trained.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}
    values = {}
    for key, part in norms.items():
        part.train()
        part.momentum = 1.0
        part.register_forward_pre_hook(lambda _, args, key=key: values.setdefault(key, []).append(args[0].clone()))
    with torch.no_grad():
        trained(torch.from_numpy(sample))
    for key, (mean, variance) in found.items():
        # A shared layer sees one date after the other.
        seen = torch.cat(values[key]).double().transpose(0, 1).flatten(1)
        np.testing.assert_allclose(mean, seen.mean(dim=1), rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(variance, seen.var(dim=1, correction=0), rtol=1e-3, atol=1e-6)
        if len(values[key]) == 1:
            np.testing.assert_allclose(mean, norms[key].running_mean, rtol=1e-3, atol=1e-4)
    own = adapted(network, found)
    for key, part in own.named_modules():
        if key in norms:
            np.testing.assert_allclose(part.running_mean, found[key][0], rtol=1e-6)
            np.testing.assert_allclose(part.running_var, found[key][1], rtol=1e-6)


def test_adapting_undoes_a_change_of_calibration(features):
    """Statistics of the images themselves undo the effect of their gain and offset on a network."""
    network = random_network()
    rng = np.random.default_rng(1)
    sample = rng.random((4, 3, 128, 128), dtype=np.float32)
    own = adapted(network, reestimate(network, sample, CPU))
    other = adapted(network, reestimate(network, 4 * sample, CPU))
    image = torch.from_numpy(sample[:1])
    with torch.inference_mode():
        reference, naive, mended = own(image), own(4 * image), other(4 * image)
    assert (naive - reference).abs().mean() > 5 * (mended - reference).abs().mean()


def test_digests_tell_statistics_apart():
    one = {"a": (np.zeros(2), np.ones(2))}
    assert digest_of(one) == digest_of({"a": (np.zeros(2), np.ones(2))})
    assert len({digest_of(None), digest_of(one), digest_of({"a": (np.zeros(2), np.full(2, 2.0))})}) == 3


def test_a_mixed_ensemble_reads_what_all_need():
    exact, blended = Tiling(SHAPE, 16, 64, 32), BlendedTiling(SHAPE, 16, 80)
    networks = random_network(), random_network(name="tinycd", backbone="b0")
    together = Ensemble(
        [Predictor(n, CHANNELS, t, batch=1, device=CPU) for n, t in zip(networks, (exact, blended), strict=True)]
    )
    part = slice(80, 90), slice(100, 117)
    assert together.window(part) == (slice(10, 90), slice(32, 117))
    share = together.kept_share((64, 64))
    assert share == pytest.approx(2 / (1 / exact.kept_share((64, 64)) + 1 / blended.kept_share((64, 64))))
