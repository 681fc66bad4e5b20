"""Losses compared with their formulas; unlabelled pixels have no effect."""

import pytest
import torch

from sarcd.config import LossOptions
from sarcd.errors import OptionError
from sarcd.training.losses import binary_cross_entropy, focal, soft_dice, total_loss


def example():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 5, 6), generator=generator, requires_grad=True)
    target = torch.randint(0, 2, (2, 5, 6), generator=generator).to(torch.uint8)
    target[0, :2] = 255
    return logits, target


def terms(logits, target):
    """Return the probability of the true class, the probability of change, and labels, over labelled pixels."""
    p = torch.sigmoid(logits.detach().double())
    part = target != 255
    return torch.where(target == 1, p, 1 - p)[part], p[part], (target[part] == 1).double()


FORMULAS = {
    "bce": lambda true, p, y: -true.log().mean(),
    "dice": lambda true, p, y: 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1),
    "focal": lambda true, p, y: -(torch.where(y == 1, 0.3, 0.7) * (1 - true) ** 1.5 * true.log()).mean(),
}
LOSSES = {
    "bce": binary_cross_entropy,
    "dice": soft_dice,
    "focal": lambda logits, target: focal(logits, target, gamma=1.5, alpha=0.3),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_and_ignored_pixels(name):
    logits, target = example()
    loss = LOSSES[name](logits, target)
    torch.testing.assert_close(loss.detach().double(), FORMULAS[name](*terms(logits, target)), rtol=1e-6, atol=1e-6)
    loss.backward()
    assert (logits.grad[0, :2] == 0).all()
    assert (logits.grad[target != 255] != 0).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_ignored_pixels_may_hold_anything(name):
    logits = torch.tensor([[[0.0, float("nan"), float("inf")]]], requires_grad=True)
    loss = LOSSES[name](logits, torch.tensor([[[1, 255, 255]]], dtype=torch.uint8))
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert LOSSES[name](logits, torch.full((1, 1, 3), 255, dtype=torch.uint8)) == 0


def test_sum():
    logits, target = example()
    options = LossOptions(bce=0.5, dice=2.0, focal=3.0, focal_gamma=1.5, focal_alpha=0.3)
    expected = (
        0.5 * LOSSES["bce"](logits, target) + 2 * LOSSES["dice"](logits, target) + 3 * LOSSES["focal"](logits, target)
    )
    torch.testing.assert_close(total_loss(logits, target, options), expected)
    torch.testing.assert_close(total_loss(logits, target, LossOptions()), LOSSES["bce"](logits, target))


@pytest.mark.parametrize("wrong", [{"bce": 0}, {"dice": -1}, {"focal_gamma": -1}, {"focal_alpha": 1}])
def test_wrong_options(wrong):
    with pytest.raises(OptionError):
        LossOptions(**wrong)
