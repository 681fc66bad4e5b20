"""Coherence tests: distributions against the density, false-alarm rates against the nominal ones."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import hyp2f1

from sarcd.change.kernels.significance.coherence import (
    coherence_cdf,
    coherent_ratio_p,
    correlation_p,
    fisher_p,
    look_steps,
    looks_of_step,
    more,
    power_of_loss,
)
from sarcd.change.kernels.significance.history import history_p
from sarcd.change.kernels.significance.looks import berger
from sarcd.errors import OptionError
from tests.factories.stacks import coherence_of, pair_sums, rates, speckle_stack


@pytest.mark.parametrize(("looks", "truth", "at"), [(2.5, 0.4, 0.5), (8.96, 0.7, 0.4), (30, 0.95, 0.93), (9, 0.0, 0.3)])
def test_distribution_is_the_integral_of_the_density(looks, truth, at):
    """Return the density of Touzi et al. 1999."""

    def density(g):
        scale = 2 * (looks - 1) * (1 - truth**2) ** looks * g * (1 - g * g) ** (looks - 2)
        return scale * hyp2f1(looks, looks, 1, (truth * g) ** 2)

    assert float(coherence_cdf(np.array(at), truth, looks)) == pytest.approx(quad(density, 0, at)[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["sample", "berger"])
def test_no_correlation_is_the_case_of_coherence_0(kind):
    g = np.linspace(0, 1, 11)
    np.testing.assert_allclose(correlation_p(g, 7.3, kind), 1 - coherence_cdf(g, 0.0, 7.3, kind), atol=1e-12)
    assert float(correlation_p(np.array(0.5), 3)) == pytest.approx(0.75**2)
    with pytest.raises(OptionError, match="sample or berger"):
        more("other")


def test_many_looks_and_high_coherence_neither_overflow_nor_stick():
    g = np.array([0.5, 0.985, 0.99, 0.9915, 1.0])
    p = coherence_cdf(g, 0.99, 441.0)
    assert p[0] < 1e-12
    assert 0.4 < p[2] < 0.6
    assert p[-1] == 1
    assert (np.diff(p) > 0).all()


def test_one_look_is_refused():
    assert np.isnan(coherence_cdf(np.array(0.5), 0.5, 1.0))
    assert np.isnan(correlation_p(np.array(1.0), 1.0))
    assert np.isnan(coherence_cdf(np.array([np.nan, 0.5]), [0.5, np.nan], 9.0)).all()


@pytest.mark.parametrize("looks", [2, 4, 9])
@pytest.mark.parametrize("truth", [0.0, 0.7])
def test_rates_of_false_alarms(looks, truth):
    sums = pair_sums(np.random.default_rng(21), looks, truth, 200_000)
    g = coherence_of(sums)
    b = berger(g, sums[0], sums[1])
    ratio = coherent_ratio_p(sums[1] / sums[0], looks, g)
    lost = coherence_cdf(b, truth, looks, "berger")
    found = [rates(p, (0.05, 0.01)) for p in (coherence_cdf(g, truth, looks), lost, fisher_p(ratio, lost))]
    if truth == 0:
        found += [rates(correlation_p(g, looks), (0.05, 0.01)), rates(correlation_p(b, looks, "berger"), (0.05, 0.01))]
    np.testing.assert_allclose(found, 1, atol=0.1)


def test_bergers_coherence_is_independent_of_the_ratio():
    sums = pair_sums(np.random.default_rng(22), 4, 0.8, 200_000)
    g = coherence_of(sums)
    ratio = coherent_ratio_p(sums[1] / sums[0], 4, g)
    low = berger(g, sums[0], sums[1]) < 0.7
    # the ratio's p-value is uniform in its low tail too, unlike that of low sample coherences
    assert (ratio[low] <= 0.05).mean() == pytest.approx(0.05, abs=0.004)


def test_power_is_the_share_of_losses_found():
    truth, looks = 0.7, float(looks_of_step(look_steps(np.array(9.0))))
    lost = coherence_of(pair_sums(np.random.default_rng(23), 9, 0.0, 100_000))
    share = (coherence_cdf(lost, truth, looks) <= 0.01).mean()
    assert float(power_of_loss(np.array(truth), looks, 0.01)) == pytest.approx(share, abs=0.005)
    found = power_of_loss(np.array([0.0, 0.2, 0.5, 0.9, np.nan]), 25, 0.01)
    assert found[0] == pytest.approx(0.01, rel=0.01)
    assert (np.diff(found[:4]) > 0).all()
    assert np.isnan(found[4])


def test_history_flags_no_more_than_asked_for_where_it_can_judge(rng):
    """Stable ground with all dates equally coherent has the fewest false alarms; losses are detected."""
    for truth in (0.1, 0.5, 0.8, 0.95):
        flat = speckle_stack(rng, (4, 9, 20_000), truth)
        g = [coherence_of(_sums(flat[i], flat[i + 1])) for i in range(3)]
        p, power = history_p(g[2][None], np.full((1, 20_000), 9.0), np.stack(g[:2])[:, None], _nines(2), 0.05)
        assert ((p <= 0.05) & (power >= 0.5)).mean() <= 0.05
        lost = coherence_of(_sums(flat[3], speckle_stack(rng, (1, 9, 20_000), 0.0)[0]))
        p, power = history_p(lost[None], np.full((1, 20_000), 9.0), np.stack(g[:2])[:, None], _nines(2), 0.05)
        assert (p <= 0.05).mean() == pytest.approx(power.mean(), abs=0.01)


def test_history_by_integration(rng):
    """Compare with the mean distribution over the posterior given one earlier pair, on an independent grid."""
    looks = float(looks_of_step(look_steps(np.array(9.0))))
    z = np.linspace(0, 3, 2001)
    truth = np.tanh(z)
    density = (1 - truth**2) ** looks * hyp2f1(looks, looks, 1, (0.8 * truth) ** 2)
    expected = (density * coherence_cdf(np.full(z.shape, 0.4), truth, looks)).sum() / density.sum()
    nine = np.full((1, 1), 9.0)
    p, _ = history_p(np.full((1, 1), 0.4), nine, np.full((1, 1, 1), 0.8), nine[None], 0.01)
    assert float(p[0, 0]) == pytest.approx(expected, rel=0.01)


def test_history_knows_what_it_does_not_know():
    nine = np.full((1, 3), 9.0)
    now, past = np.array([[np.nan, 0.5, 0.5]]), np.array([[[0.5, np.nan, 0.9]], [[0.5, np.nan, np.nan]]])
    p, power = history_p(now, nine, past, np.stack([nine, nine]), 0.01)
    np.testing.assert_array_equal(np.isnan(p), [[True, True, False]])
    np.testing.assert_array_equal(np.isnan(power), np.isnan(p))


def _sums(one, two):
    return (abs(one) ** 2).sum(0), (abs(two) ** 2).sum(0), abs((one * two.conj()).sum(0))


def _nines(pairs):
    return np.full((pairs, 1, 20_000), 9.0)
