"""Augmentations and the properties that each must preserve."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from sarcd.config import AugmentOptions
from sarcd.errors import OptionError
from sarcd.estimation.kernels.normalize import SATURATION, SCALE, modified_tanh
from sarcd.training import augmentation as module
from sarcd.training.augmentation import (
    augment,
    cut_mix,
    flip_azimuth,
    flip_range,
    low_coherence,
    scale_amplitudes,
    scale_coherence,
    shear,
    speckle,
    swap_dates,
)

CHANNELS = ("before", "after", "coherence")
OFF = AugmentOptions(flip_azimuth=0, flip_range=0, shear=0, swap_dates=0, scale_coherence=0)
EVERY = torch.ones(6, dtype=torch.bool)


def batch(count=6, side=8):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand((count, 3, side, side), generator=generator)
    return x, (x[:, 2] < 0.3).to(torch.uint8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_flips_carry_the_labels_and_undo_themselves():
    x, target = batch()
    chosen = torch.tensor([True, False, True, True, False, False])
    for flip, axis in ((flip_azimuth, -2), (flip_range, -1)):
        moved, label = flip(x, target, chosen)
        torch.testing.assert_close(moved[0], x[0].flip(axis))
        torch.testing.assert_close(moved[1], x[1])
        assert torch.equal(label, (moved[:, 2] < 0.3).to(torch.uint8))
        again, label = flip(moved, label, chosen)
        assert torch.equal(again, x)
        assert torch.equal(label, target)


def test_swap_changes_the_dates_alone_and_undoes_itself():
    x, _ = batch()
    swapped = swap_dates(x, CHANNELS, EVERY)
    assert torch.equal(swapped, x[:, [1, 0, 2]])
    assert torch.equal(swap_dates(swapped, CHANNELS, EVERY), x)
    assert torch.equal(swap_dates(x, CHANNELS, ~EVERY), x)
    assert torch.equal(swap_dates(x, ("coherence", "before", "after"), EVERY), x[:, [0, 2, 1]])


def test_shear_moves_columns_by_their_distance_from_the_centre():
    """y' = y + x tan(angle), x and y from the centre; by hand where the tangent gives whole pixels."""
    side = 9
    x = torch.full((2, 3, side, side), 0.5)
    x[:, 2] = 0
    target = torch.zeros(2, side, side, dtype=torch.uint8)
    x[:, 0, 4, 6] = 1.0
    target[:, 4, 6] = 1
    degrees = torch.tensor([math.degrees(math.atan(0.5)), 30.0])
    moved, label = shear(x, target, CHANNELS, degrees, torch.tensor([True, False]))
    assert (label[0] == 1).nonzero().tolist() == [[5, 6]]
    torch.testing.assert_close(moved[0, 0, 5, 6], torch.tensor(1.0), atol=1e-5, rtol=0)
    assert torch.equal(moved[1], x[1])
    assert torch.equal(label[1], target[1])
    # The corners come from outside the patch: the usual fill values, and no label.
    assert label[0, 0, 8] == 255
    torch.testing.assert_close(moved[0, :, 0, 8], torch.tensor([0.5, 0.5, 0.0]), atol=1e-6, rtol=0)
    assert set(label.unique().tolist()) == {0, 1, 255}


@pytest.mark.parametrize(("height", "width"), [(64, 64), (33, 70), (1, 5)])
def test_shear_is_its_formula_at_every_pixel(height, width):
    """Compare with y' = y + x tan(angle) in float64, interpolating each column separately."""
    x, target = batch(count=4, side=80)
    x, target = x[..., :height, :width].contiguous(), target[..., :height, :width].contiguous()
    degrees = torch.tensor([10.0, -7.3, 0.0, 44.0])
    moved, label = shear(x, target, CHANNELS, degrees, torch.ones(4, dtype=torch.bool))
    rows = np.arange(height)
    for patch, angle in enumerate(degrees.double().numpy()):
        for column in range(width):
            source = rows - (column - (width - 1) / 2) * np.tan(np.radians(angle))
            inside = (source > -0.5 + 1e-4) & (source < height - 0.5 - 1e-4)
            clear = inside & (np.abs(source % 1 - 0.5) > 1e-4)  # halfway between two rows either may be the nearest
            nearest = np.rint(source[clear]).astype(int)
            np.testing.assert_array_equal(label[patch, clear, column], target[patch, nearest, column])
            outside = (source < -0.5 - 1e-4) | (source > height - 0.5 + 1e-4)
            assert (label[patch, outside, column] == 255).all()
            for channel, hole in enumerate((0.5, 0.5, 0.0)):
                padded = np.pad(x[patch, channel, :, column].double().numpy(), 1, constant_values=hole)
                expected = np.interp(source + 1, np.arange(height + 2), padded)
                np.testing.assert_allclose(moved[patch, channel, :, column], expected, atol=1e-4)


def test_shear_carries_features_and_labels_alike():
    """A label that thresholds a smooth image still matches it, except along the threshold itself."""
    side = 64
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    images = torch.stack([y, x, y * x])[None].repeat(3, 1, 1, 1)
    target = (images[:, 2] > 0.25).to(torch.uint8)
    moved, label = shear(images, target, CHANNELS, torch.tensor([10.0, -10.0, 0.0]), torch.ones(3, dtype=torch.bool))
    clear = (label != 255) & ((moved[:, 2] - 0.25).abs() > 0.02)
    wrong = (moved[:, 2] > 0.25)[clear] != (label[clear] == 1)
    assert wrong.float().mean() < 0.002  # the outermost pixels, which are mixed with fill values
    assert clear.float().mean() > 0.8
    torch.testing.assert_close(moved[2], images[2], atol=1e-4, rtol=0)
    assert not torch.equal(label[0], label[1])


def test_scaling_touches_low_coherence_of_unchanged_ground_alone():
    x, target = batch()
    target[:, 0] = 255
    x[:, 2, 1], target[:, 1] = 0.5, 0  # not below the limit
    options = AugmentOptions(scale_below=0.5)
    chosen = torch.tensor([True, True, False, True, True, True])
    below = low_coherence(x, target, CHANNELS, options)
    scaled = scale_coherence(x, target, CHANNELS, torch.tensor(0.25), below, chosen)
    where = (target == 0) & (x[:, 2] < 0.5) & chosen[:, None, None]
    assert where.any()
    assert torch.equal(scaled[:, :2], x[:, :2])
    assert torch.equal(scaled[:, 2], torch.where(where, 0.25 * x[:, 2], x[:, 2]))


def test_low_coherence_as_a_quantile_of_each_patch():
    x, target = batch(side=40)
    target[:, 20:] = 255  # excluded from the quantile
    below = low_coherence(x, target, CHANNELS, AugmentOptions(scale_by="quantile", scale_below=0.3))
    expected = np.quantile(x[:, 2, :20].reshape(6, -1).numpy(), 0.3, axis=1)
    np.testing.assert_allclose(below[:, 0, 0], expected, rtol=1e-6)
    target[0] = 255
    below = low_coherence(x, target, CHANNELS, AugmentOptions(scale_by="quantile"))
    assert torch.equal(scale_coherence(x, target, CHANNELS, torch.tensor(0.0), below, EVERY)[0], x[0])


def test_one_depth_a_patch_or_one_a_pixel():
    x, target = batch(side=32)
    target[:] = 0
    for per, distinct in (("patch", 6), ("pixel", 6 * 32 * 32)):
        options = replace(OFF, scale_coherence=1, scale_below=1.0, scale_per=per)
        scaled, _ = augment(x, target, CHANNELS, options, seeded())
        depth = (scaled[:, 2] / x[:, 2]).numpy()
        assert (depth >= 0).all()
        assert (depth <= 1).all()
        assert len(np.unique(depth.round(4))) > 0.6 * distinct
        if per == "patch":
            assert np.ptp(depth, axis=(1, 2)).max() < 1e-5


def test_scaled_amplitudes_are_those_of_scaled_images():
    """Scaling normalised amplitudes equals normalising scaled amplitudes with the kernel."""
    rng = np.random.default_rng(0)
    amplitude = rng.rayleigh(3.0, (2, 2, 20, 20)).astype("float32")
    median, mad = 3.5, 1.4
    factors = np.array([0.5, 2.0], "float32").reshape(1, 2, 1, 1)
    normal = torch.from_numpy(modified_tanh(amplitude, median, mad))
    x = torch.cat([normal, torch.rand(2, 1, 20, 20, generator=seeded())], dim=1)
    target = torch.zeros(2, 20, 20, dtype=torch.uint8)
    brightness = torch.full((2, 2), median / mad)
    found = scale_amplitudes(x, target, CHANNELS, torch.from_numpy(factors), brightness)
    expected = modified_tanh(amplitude * factors, median, mad)
    np.testing.assert_allclose(found[:, :2], expected, atol=2e-4)
    assert torch.equal(found[:, 2], x[:, 2])


def test_holes_stay_holes():
    x, target = batch()
    x[:, :2, :3] = 0.5
    target[:, :3] = 255
    options = replace(OFF, speckle=1, gain=1)
    moved, label = augment(x, target, CHANNELS, options, seeded(), brightness=torch.full((6, 2), 2.6))
    assert torch.equal(moved[:, :2, :3], x[:, :2, :3])
    assert (moved[:, :2, 3:] != x[:, :2, 3:]).float().mean() > 0.9
    assert torch.equal(label, target)
    with pytest.raises(ValueError, match="brightness"):
        augment(x, target, CHANNELS, options, seeded())


def test_speckle_has_the_moments_of_its_looks():
    for looks in (3.0, 8.0):
        intensity = speckle((400, 500), looks, seeded()) ** 2
        assert float(intensity.mean()) == pytest.approx(1, abs=0.005)
        assert float(intensity.var()) == pytest.approx(1 / looks, rel=0.03)


def test_cut_mix_takes_a_rectangle_with_its_labels():
    x, target = batch(side=16)
    partners = torch.tensor([1, 2, 3, 4, 5, 0])
    boxes = torch.tensor([[0.25, 0.5, 0.5]]).repeat(6, 1)
    chosen = torch.tensor([True] * 5 + [False])
    mixed, label = cut_mix(x, target, partners, boxes, chosen)
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[4:12, 4:12] = True  # a quarter of the area, around the centre
    assert torch.equal(mixed[0], torch.where(inside, x[1], x[0]))
    assert torch.equal(label[0], torch.where(inside, target[1], target[0]))
    assert torch.equal(mixed[5], x[5])
    assert torch.equal(label, (mixed[:, 2] < 0.3).to(torch.uint8))
    mixed, label = augment(x, target, CHANNELS, replace(OFF, cut_mix=1, flip_range=0.5), seeded())
    assert (label != target).any()
    assert torch.equal(label, (mixed[:, 2] < 0.3).to(torch.uint8))


def test_probabilities():
    x, target = batch()
    same, label = augment(x, target, CHANNELS, OFF, seeded())
    assert torch.equal(same, x)
    assert torch.equal(label, target)
    always = replace(OFF, flip_azimuth=1, flip_range=1, swap_dates=1)
    moved, label = augment(x, target, CHANNELS, always, seeded())
    assert torch.equal(moved, x[:, [1, 0, 2]].flip(-1, -2))
    assert torch.equal(label, target.flip(-1, -2))
    many, none = torch.rand(2000, 3, 1, 2, generator=seeded()), torch.zeros(2000, 1, 2, dtype=torch.uint8)
    moved, _ = augment(many, none, CHANNELS, replace(OFF, flip_range=0.3), seeded())
    share = (moved != many).flatten(1).any(dim=1).float().mean()
    assert float(share) == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 2000))


@pytest.mark.parametrize(
    ("name", "kept"), [("speckle", [2]), ("gain", [2]), ("scale_coherence", [0, 1]), ("cut_mix", [0, 1, 2])]
)
def test_one_augmentation_does_not_move_the_others(name, kept):
    """Channels that an augmentation does not modify are unchanged by enabling it: other random draws are the same."""
    one, of_one = batch(count=1)
    x, target = one.expand(12, -1, -1, -1), of_one.expand(12, -1, -1)  # identical, so that pasting has no effect
    brightness = torch.full((12, 2), 2.6)
    options = replace(OFF, flip_azimuth=0.5, flip_range=0.5, shear=0.5, swap_dates=0.5)
    alone, label = augment(x, target, CHANNELS, options, seeded(), brightness=brightness)
    assert len({values.numpy().tobytes() for values in alone}) > 6
    options = replace(options, **{name: 0.5}, scale_below=1.0)
    beside, same = augment(x, target, CHANNELS, options, seeded(), brightness=brightness)
    assert torch.equal(same, label)
    assert torch.equal(beside[:, kept], alone[:, kept])
    assert torch.equal(beside, alone) == (len(kept) == 3)


def drawn(options, count=4000, side=2):
    """Return the factors (N, 2, side, side) applied to amplitudes at the median, over images of different amplitude."""
    x = torch.full((count, 3, side, side), 0.5)
    target = torch.zeros(count, side, side, dtype=torch.uint8)
    brightness = torch.linspace(2, 4, 2 * count).reshape(count, 2)
    found, _ = augment(x, target, CHANNELS, replace(OFF, **options), seeded(), brightness=brightness)
    assert torch.equal(found[:, 2], x[:, 2])
    scores = SATURATION * torch.atanh(2 * found[:, :2].double() - 1) / SCALE
    return ((brightness[..., None, None] + scores) / brightness[..., None, None]).numpy()


def test_gains_are_in_decibels_one_a_date():
    decibels = 20 * np.log10(drawn({"gain": 1, "gain_db": 1.5}))
    assert np.ptp(decibels, axis=(2, 3)).max() < 1e-4
    before, after = decibels[:, :, 0, 0].T
    for values in (before, after):
        assert values.mean() == pytest.approx(0, abs=4 * 1.5 / math.sqrt(4000))
        assert values.std() == pytest.approx(1.5, rel=4 / math.sqrt(8000))
    assert np.corrcoef(before, after)[0, 1] == pytest.approx(0, abs=4 / math.sqrt(4000))
    changed = (drawn({"gain": 0.25}) != 1).any(axis=(1, 2, 3))
    assert changed.mean() == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 4000))


def test_speckle_multiplies_each_pixel_of_each_date_by_its_own():
    """Check the given looks and mean intensity 1; tanh saturates for five pixels in a million."""
    intensity = drawn({"speckle": 1, "speckle_looks": 12.0}) ** 2
    count = intensity.size
    assert intensity.mean() == pytest.approx(1, abs=4 * math.sqrt(1 / 12 / count))
    assert intensity.var() == pytest.approx(1 / 12, rel=0.06)
    pixels = intensity.transpose(1, 2, 3, 0).reshape(8, -1)
    others = np.corrcoef(pixels) - np.eye(8)
    assert np.abs(others).max() < 5 / math.sqrt(4000)


def test_shears_are_of_every_angle_either_way(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "shear", lambda x, target, channels, degrees, who: seen.append(degrees) or (x, target))
    x, target = batch()
    augment(x.repeat(500, 1, 1, 1), target.repeat(500, 1, 1), CHANNELS, replace(OFF, shear=1), seeded())
    degrees = seen[0].numpy()
    np.testing.assert_allclose([degrees.min(), degrees.max()], [-10, 10], atol=0.1)
    assert degrees.std() == pytest.approx(20 / math.sqrt(12), rel=0.05)


def test_without_coherence():
    x, target = batch()
    moved, label = augment(x[:, :2], target, CHANNELS[:2], AugmentOptions(), seeded())
    assert moved.shape == (6, 2, 8, 8)
    assert label.shape == target.shape


@pytest.mark.parametrize(
    "wrong", [{"shear": 1.5}, {"shear_degrees": 90}, {"speckle_looks": 0}, {"gain_db": -1}, {"scale_by": "mean"}]
)
def test_wrong_options(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        AugmentOptions(**wrong)
