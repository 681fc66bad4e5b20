"""Coherence against its history: pairs of different coherence, outliers, and rates on testable ground."""

import numpy as np
import pytest

from sarcd.change.kernels.significance.coherence import look_steps, looks_of_step
from sarcd.change.kernels.significance.history import flat_prior, history_p
from sarcd.change.kernels.significance.levels import fit_prior, histogram
from tests.factories.stacks import coherence_of, pair_sums

LOOKS, COUNT = 9, 40_000
NINE = float(looks_of_step(look_steps(np.array(9.0))))


def drawn(rng, truths):
    """Sample coherences of ground with several true values in equal parts, for one independent pair."""
    return np.concatenate([coherence_of(pair_sums(rng, LOOKS, truth, COUNT)) for truth in truths])


def judge(now, past, rate=0.01, **options):
    nines = np.full((len(past) + 1, 1, now.size), 9.0)
    p, power = history_p(now[None], nines[0], np.stack(past)[:, None], nines[1:], rate, **options)
    return p[0], power[0] >= 0.5


def test_a_pair_in_which_the_scene_lost_coherence_is_held_against_that(rng):
    """Coherence is usually 0.8 and 0.4 in the tested pair; without the scale of that pair most of it is flagged."""
    past, now = [drawn(rng, [0.8]) for _ in range(2)], drawn(rng, [0.4])
    assert (judge(now, past)[0] <= 0.01).mean() > 0.3
    assert (judge(now, past, scales=[1, 1, 0.5])[0] <= 0.01).mean() == pytest.approx(0.01, abs=0.005)


def test_a_past_pair_in_which_the_scene_lost_coherence_blinds_nothing(rng):
    past, snow, now = [drawn(rng, [0.8]) for _ in range(2)], drawn(rng, [0.2]), drawn(rng, [0.0])
    blinded = judge(now, [*past, snow])
    matched = judge(now, [*past, snow], scales=[1, 1, 0.25, 1])
    without = judge(now, past)
    assert blinded[1].mean() < 0.5
    assert matched[1].mean() > without[1].mean() - 0.01
    assert (matched[0] <= 0.01).mean() > 0.95 * (without[0] <= 0.01).mean()


def test_ground_that_changed_once_is_no_riddle_for_ever():
    past = [np.array([each]) for each in (0.85, 0.8, 0.05, 0.85)]
    now = np.array([0.1])
    (plain,), (robust,) = judge(now, past)[0], judge(now, past, outliers=0.02)[0]
    (without,) = judge(now, [past[0], past[1], past[3]])[0]
    assert plain > 10 * without
    assert robust < 2 * without


def test_scales_move_the_truths(rng):
    """Compare one earlier pair with numerical integration on an independent grid."""
    from scipy.special import hyp2f1

    from sarcd.change.kernels.significance.coherence import coherence_cdf

    truth = np.tanh(np.linspace(0, 3, 2001))
    before, now = 0.9 * truth, 0.5 * truth
    density = (1 - before**2) ** NINE * hyp2f1(NINE, NINE, 1, (0.7 * before) ** 2)
    expected = (density * coherence_cdf(np.full(truth.shape, 0.2), now, NINE)).sum() / density.sum()
    assert judge(np.array([0.2]), [np.array([0.7])], scales=[0.9, 0.5])[0] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("truths", [[0.3], [0.6], [0.8], [0.0, 0.3, 0.6, 0.8, 0.9]])
def test_with_the_scenes_own_distribution_the_rate_holds_on_what_is_judged(truths, rng):
    """A flat prior far exceeds the rate on ground of coherence 0.3 that qualifies for testing only by chance."""
    rate, past = 0.01, [drawn(rng, truths) for _ in range(2)]
    now = drawn(rng, truths)
    prior = fit_prior([histogram(layer) for layer in past], LOOKS)
    p, fit = judge(now, past, rate, prior=prior, outliers=0.02)
    assert (p <= rate).mean() < 1.2 * rate
    assert ((p <= rate) & fit).sum() <= 1.3 * rate * fit.sum() + 10
    share = {0.3: 0.0, 0.6: 0.002, 0.8: 0.99, 0.0: 0.39}[truths[0]]
    assert fit.mean() == pytest.approx(share, abs=0.02)
    p, fit = judge(now, past, rate, prior=flat_prior())
    assert (p <= rate).mean() < 1.6 * rate  # nearly nominal over all pixels
    if truths == [0.3]:
        assert 0 < fit.mean() < 0.01
        assert (p[fit] <= rate).mean() > 0.05


def test_what_is_lost_is_found_as_without_a_prior(rng):
    past, lost = [drawn(rng, [0.7, 0.8, 0.9]) for _ in range(3)], drawn(rng, [0.0, 0.0, 0.0])
    prior = fit_prior([histogram(layer) for layer in past], LOOKS)
    plain, matched = judge(lost, past), judge(lost, past, prior=prior, outliers=0.02, scales=[1.0] * 4)
    assert (matched[0] <= 0.01).mean() > (plain[0] <= 0.01).mean() - 0.01
