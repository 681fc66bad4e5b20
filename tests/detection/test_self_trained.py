import dataclasses

import dask.array as da
import numpy as np
import pytest
import torch
import xarray as xr

from sarcd.detection.self_trained import FitOptions, Plan, fit, fit_pairs, map_pair, map_pairs
from sarcd.detection.self_trained.fit import sample_windows
from sarcd.detection.self_trained.training import (
    Example,
    learn,
    load_amplitude_network,
    new_network,
    simulated,
    train_amplitude_network,
)
from sarcd.errors import ModelError, OptionError, SceneError
from sarcd.simulation.core.amplitude_pairs import Wanted, amplitude_pair
from sarcd.training.loop import TrainingLoop
from sarcd.training.patches import IGNORE
from tests.factories.scenes import dates

pytestmark = pytest.mark.usefixtures("one_torch_thread")

QUICK = FitOptions(rounds=1, plan=dataclasses.replace(FitOptions().plan, steps=4, batch=2, side=64))
SHIPPED = FitOptions()


def speckle(looks, shape, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(np.sqrt(rng.gamma(looks, 1 / looks, (2, *shape))).astype(np.float32))


def squares(seed=0, shape=(160, 176), looks=4):
    """Make speckle with one bright and one dark square in the second image; also returns the ground truth."""
    before, after = speckle(looks, shape, seed)
    truth = np.zeros(shape, bool)
    truth[20:60, 30:70] = truth[90:130, 100:150] = True
    after[20:60, 30:70] *= 3
    after[90:130, 100:150] /= 3
    return before, after, truth


@pytest.fixture(scope="module")
def fitted_map():
    before, after, truth = squares()
    return before, after, truth, map_pair(before, after, QUICK)


def test_squares_are_found(fitted_map):
    *_, truth, found = fitted_map
    assert ((found.change == 1) == truth).mean() > 0.985
    assert found.record["rounds"] == 1
    assert found.record["surely_changed"] == pytest.approx(truth.mean(), rel=0.3)
    assert (found.score[found.change == 1] >= found.record["threshold"]).all()
    assert found.score.dtype == np.float32


def test_a_seed_is_a_map(fitted_map):
    before, after, _, found = fitted_map
    np.testing.assert_array_equal(map_pair(before, after, QUICK).score, found.score)
    other = map_pair(before, after, dataclasses.replace(QUICK, seed=1))
    assert not np.array_equal(other.score, found.score)


def test_the_pretrained_network_stays_as_it_is(fitted_map):
    state = {name: value.clone() for name, value in load_amplitude_network().state_dict().items()}
    map_pair(*fitted_map[:2], QUICK)
    for name, value in load_amplitude_network().state_dict().items():
        assert torch.equal(value, state[name])


@pytest.mark.parametrize("looks", [1, 4, 16])
def test_speckle_alone_is_no_change(looks):
    found = map_pair(*speckle(looks, (320, 256), seed=looks))
    assert (found.change == 1).mean() < 0.005


@pytest.mark.parametrize("seed", range(3))
def test_one_per_cent_of_change_is_not_seen_everywhere(seed):
    pair = amplitude_pair(seed, (256, 256), Wanted(share=0.01, contrast_db=8, looks=(4, 4), kind="shapes"))
    found = map_pair(pair.before, pair.after)
    truth = pair.label == 1
    assert truth.any()
    assert (found.change == 1).mean() < 3 * truth.mean()
    assert found.change[truth].mean() > 0.4


def test_the_tile_does_not_matter():
    before, after, _ = squares()
    before[5:9, 100:120] = np.nan

    def read(part):
        return before[part], after[part]

    fitted = fit(read, before.shape, SHIPPED)
    whole = fitted.score(read, (slice(0, 160), slice(0, 176)), tile=192)
    for tile in (48, 96):
        part = fitted.score(read, (slice(37, 151), slice(3, 170)), tile=tile)
        np.testing.assert_allclose(part, whole[37:151, 3:170], atol=2e-5)  # 2.4e-7 between AVX2 and SSE4.1
    assert np.isnan(whole[6, 110])


def test_dates_swapped_give_the_same_map():
    before, after, _ = squares()
    one, other = map_pair(before, after, SHIPPED), map_pair(after, before, SHIPPED)
    np.testing.assert_allclose(one.score, other.score, atol=1e-4)  # only rounding: 1.2e-7


def test_invalid_pixels():
    before, after, _ = squares()
    before[10:20, 10:20] = np.nan
    found = map_pair(before, after, SHIPPED)
    assert (found.change[10:20, 10:20] == 255).all()
    assert np.isnan(found.score[10:20, 10:20]).all()
    assert (found.change == 255).sum() == 100


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (17, 30)])
def test_small_images(shape):
    assert map_pair(*speckle(4, shape)).change.shape == shape


def test_eight_bits():
    before, after, truth = squares()
    images = [np.clip(np.round(60 * image), 0, 255).astype(np.uint8) for image in (before, after)]
    assert ((map_pair(*images, SHIPPED).change == 1) == truth).mean() > 0.97


def test_bad_input():
    before, after, _ = squares()
    with pytest.raises(OptionError, match="two of one size"):
        map_pair(before, after[1:])
    with pytest.raises(SceneError, match="cover the same ground"):
        map_pair(np.full((32, 32), np.nan), np.ones((32, 32)))
    with pytest.raises(OptionError, match="sure"):
        FitOptions(sure=0.3)
    with pytest.raises(OptionError, match="rounds"):
        FitOptions(rounds=-1)


def test_windows_of_large_scenes_lie_inside():
    for shape in ((1025, 300), (5000, 9000)):
        windows = sample_windows(shape)
        assert all(
            0 <= part.start < part.stop <= size for one in windows for part, size in zip(one, shape, strict=True)
        )
        assert sum((y.stop - y.start) * (x.stop - x.start) for y, x in windows) <= 1024 * 1024


def scene_of(before, after, chunks=None):
    data = np.stack([before, after])
    coords = {"time": dates(2), "y": np.arange(data.shape[1]), "x": np.arange(data.shape[2])}
    values = data if chunks is None else da.from_array(data, chunks=(1, *chunks))
    return xr.Dataset({"amplitude": (("time", "y", "x"), values)}, coords=coords)


def test_scenes_lazy_and_not(fitted_map, monkeypatch):
    from sarcd import schema

    before, after, _, found = fitted_map
    scene = scene_of(before, after)
    fitted = fit_pairs(scene, [(0, 1)], QUICK)
    assert fitted[0].record["rounds"] == 1
    eager = map_pairs(scene, [(0, 1)], fitted)
    np.testing.assert_array_equal(eager.change_score[0], found.score)
    np.testing.assert_array_equal(eager.change[0], found.change)
    monkeypatch.setattr(schema, "CHUNK", 64)
    lazy = map_pairs(scene_of(before, after, (50, 70)), [(0, 1)], fitted)
    assert lazy.change_score.chunks is not None
    np.testing.assert_allclose(lazy.change_score, eager.change_score, atol=2e-5)  # tolerance as for tiles


BEFORE = {
    "pretraining": (
        Plan(steps=6, batch=2, side=64, average=0.5),
        [0.7681510, 0.7610060, 0.7220914, 0.7649071, 0.7720867, 0.7391951],
        [-0.0664055, 0.2229670, 0.0903222, -0.0137921],
        [0.7005010, 0.7011214, 0.6734531],
    ),
    "from a scene": (
        Plan(steps=5, batch=3, side=96, rate=5e-4, about_change=0.5, statistics=False),
        [0.6513830, 0.6273678, 0.6481844, 0.6320798, 0.6328299],
        [-0.0601083, 0.2281713, 0.0954464, -0.0072353],
        [1.0, 1.0, 1.0],
    ),
}
"""Loss of each step, some weights of the last layer and some variances, recorded from the method's own training loop
before all networks shared one."""


@pytest.mark.parametrize("case", BEFORE)
def test_a_seeded_run_is_that_of_the_loop_before(case, monkeypatch):
    """Identical bit for bit on the AVX2 processor where it was recorded; summation order differs elsewhere."""
    plan, losses, weights, variances = BEFORE[case]
    rng = np.random.default_rng(3)
    features, target = rng.normal(0, 1, (7, 40, 50)), rng.choice([0, 1, 255], (40, 50))
    examples = [simulated(0), simulated(1)]
    if case == "from a scene":
        examples.append(Example(features.astype(np.float32), target.astype(np.uint8)))
    seen, step = [], TrainingLoop.step

    def noted(self, x, target):
        found = step(self, x, target)
        seen.append(found[0])
        return found

    monkeypatch.setattr(TrainingLoop, "step", noted)
    state = learn(new_network(5), examples, plan, seed=7).state_dict()
    # AVX2 and SSE differ by 3e-5, 7e-8 and 5e-4. Without clipping the losses differ by 4e-3, without weight decay the
    # weights by 2e-5, and without weight averaging, or with updated norm statistics, all by far more.
    np.testing.assert_allclose(seen, losses, rtol=5e-4)
    np.testing.assert_allclose(state["head.weight"].flatten()[:4], weights, rtol=0, atol=1e-5)
    np.testing.assert_allclose(state["bottom.1.running_var"][:3], variances, rtol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_learning_leaves_out_what_is_unknown(precision):
    rng = np.random.default_rng(0)
    features = 0.1 * rng.standard_normal((7, 64, 64)).astype(np.float32)
    features[2] += np.where(np.arange(64)[:, None] // 8 % 2, 1, -1)
    target = np.full((64, 64), IGNORE, np.uint8)
    target[:, :32] = features[2, :, :32] > 0
    plan = Plan(steps=40, batch=2, side=64, rate=1e-2, precision=precision)
    network = learn(new_network(), [Example(features, target)], plan, seed=0)
    assert next(network.parameters()).dtype == torch.float32
    with torch.inference_mode():
        logits = network(torch.from_numpy(features)[None])[0, 0].numpy()
    assert ((logits > 0) == (features[2] > 0))[:, :32].mean() > 0.8


@pytest.mark.parametrize("steps", [1, 10])
def test_however_few_the_steps(steps):
    features, target = np.ones((7, 64, 64), np.float32), np.zeros((64, 64), np.uint8)
    network = learn(new_network(), [Example(features, target)], Plan(steps=steps, batch=1, side=32), seed=0)
    assert all(bool(values.isfinite().all()) for values in network.parameters())


def test_the_recipe_makes_a_file_that_loads(tmp_path, monkeypatch):
    from sarcd.detection.self_trained import training

    path = tmp_path / "amplitude.safetensors"
    train_amplitude_network(path, pairs=2, plan=Plan(steps=2, batch=1, side=32, average=0.5))
    monkeypatch.setattr(training, "AMPLITUDE", path)
    load_amplitude_network.cache_clear()
    try:
        again = load_amplitude_network()
        assert not torch.equal(again.head.weight, new_network(training.SEED).head.weight)
        path.write_bytes(path.read_bytes()[:1000])
        load_amplitude_network.cache_clear()
        with pytest.raises(ModelError, match="Reinstall sarcd"):
            load_amplitude_network()
    finally:
        monkeypatch.undo()
        load_amplitude_network.cache_clear()


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("name", "least"), [("ottawa", 89.51), ("yellow_D", 79.55)])
def test_better_than_every_classical_method(real_data, name, least):
    import rasterio
    from sklearn.metrics import cohen_kappa_score

    images = []
    for file in ("im1", "im2", "gt"):
        with rasterio.open(real_data / "change" / name / f"{file}.bmp") as source:
            images.append(source.read(1))
    found = map_pair(images[0], images[1])
    assert 100 * cohen_kappa_score(images[2].ravel() >= 128, found.change.ravel() == 1) > least
