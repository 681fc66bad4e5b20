"""The loss, by its formula, and blind where there is no label."""

import torch

from sarcd.learn.losses import binary_cross_entropy


def test_formula_and_ignored_pixels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 5, 6), generator=generator, requires_grad=True)
    target = torch.randint(0, 2, (2, 5, 6), generator=generator).to(torch.uint8)
    target[0, :2] = 255
    loss = binary_cross_entropy(logits, target)
    p = torch.sigmoid(logits.detach().double())
    terms = -torch.where(target == 1, p.log(), (1 - p).log())[target != 255]
    torch.testing.assert_close(loss.detach().double(), terms.mean(), rtol=1e-6, atol=1e-6)
    loss.backward()
    assert (logits.grad[0, :2] == 0).all()
    assert (logits.grad[target != 255] != 0).all()


def test_ignored_pixels_may_hold_anything():
    logits = torch.tensor([[[0.0, float("nan"), float("inf")]]], requires_grad=True)
    loss = binary_cross_entropy(logits, torch.tensor([[[1, 255, 255]]], dtype=torch.uint8))
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert binary_cross_entropy(logits, torch.full((1, 1, 3), 255, dtype=torch.uint8)) == 0
