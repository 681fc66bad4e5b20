"""Augmentations, by what each must keep."""

import torch

from sarcd.config import AugmentOptions
from sarcd.learn.augment import augment, flip_azimuth, flip_range, swap_dates

CHANNELS = ("before", "after", "coherence")


def batch(count=6, side=8):
    generator = torch.Generator().manual_seed(3)
    x = torch.rand((count, 3, side, side), generator=generator)
    return x, (x[:, 2] < 0.3).to(torch.uint8)


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
    everything = torch.ones(len(x), dtype=torch.bool)
    swapped = swap_dates(x, CHANNELS, everything)
    assert torch.equal(swapped, x[:, [1, 0, 2]])
    assert torch.equal(swap_dates(swapped, CHANNELS, everything), x)
    assert torch.equal(swap_dates(x, CHANNELS, ~everything), x)


def test_probabilities():
    x, target = batch()
    off = AugmentOptions(flip_azimuth=0, flip_range=0, swap_dates=0)
    same, label = augment(x, target, CHANNELS, off, torch.Generator().manual_seed(0))
    assert torch.equal(same, x)
    assert torch.equal(label, target)
    always = AugmentOptions(flip_azimuth=1, flip_range=1, swap_dates=1)
    moved, label = augment(x, target, CHANNELS, always, torch.Generator().manual_seed(0))
    assert torch.equal(moved, x[:, [1, 0, 2]].flip(-1, -2))
    assert torch.equal(label, target.flip(-1, -2))
