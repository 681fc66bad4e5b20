"""Coherence levels of whole scenes are recovered, whichever part of the scene changed."""

import numpy as np
import pytest

from sarcd.change.kernels.significance.history import LAST_FOUND, flat_prior, truths
from sarcd.change.kernels.significance.levels import fit_prior, fit_scale, histogram, mean_truth
from tests.factories.stacks import coherence_of, pair_sums

LOOKS = 16


def drawn(seed, truth, count=20_000):
    return histogram(coherence_of(pair_sums(np.random.default_rng(seed), LOOKS, truth, count)))


def test_histogram_by_hand():
    counts = histogram(np.tanh([0, LAST_FOUND * 2 / 191, LAST_FOUND * 2.4 / 191, 9, np.nan]))
    assert counts[[0, 2, 191]].tolist() == [1, 2, 1]
    assert counts.sum() == 4


def test_the_distribution_of_truths_is_found():
    prior = fit_prior([drawn(0, 0.3) + drawn(1, 0.8)], LOOKS, flat=0.0)
    assert prior.sum() == pytest.approx(1)
    assert mean_truth(prior) == pytest.approx(0.55, abs=0.02)
    assert prior[truths() > 0.6].sum() == pytest.approx(0.5, abs=0.03)
    assert prior[abs(truths() - 0.3) < 0.15].sum() > 0.43
    mixed = fit_prior([drawn(0, 0.3)], LOOKS)
    assert mixed.min() >= 0.1 / len(mixed)
    np.testing.assert_array_equal(fit_prior([np.zeros(192)], LOOKS), flat_prior())


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("changed", [0.0, 0.25])
def test_the_loss_of_a_scene_is_told_from_change(scale, changed):
    """With two kinds of ground, a change of a quarter of it is not a loss of the whole scene."""
    rule = fit_prior([drawn(2, 0.5) + drawn(3, 0.85)], LOOKS)
    kept = round(20_000 * (1 - changed))
    now = drawn(4, 0.5 * scale, kept) + drawn(5, 0.85 * scale, kept)
    if changed:
        now = now + drawn(6, 0.0, 40_000 - 2 * kept)
    assert fit_scale(now, rule, LOOKS) == pytest.approx(scale, rel=0.1)


def test_pairs_of_unlike_scales_have_one_distribution():
    snow = drawn(7, 0.32)
    together = fit_prior([drawn(8, 0.8), snow], LOOKS, [1.0, 0.4], flat=0.0)
    assert mean_truth(together) == pytest.approx(0.8, abs=0.02)
    assert fit_scale(np.zeros(192), together, LOOKS) == 1
