"""Coherence against its history: by hand, and against the statistics of simulated unchanged coherence."""

import numpy as np
import pytest

from sarcd.change.kernels.coherence_history import coherence_loss, coherence_z, fisher, never_coherent
from tests.factories.speckle import noise_pair


def sample_coherence(rng, looks, true, count):
    """Return coherence estimated over the given number of independent looks, (1, count) float32."""
    a, b = noise_pair(rng, (looks, count), true)
    return (np.abs((a * b.conj()).sum(0)) / np.sqrt((np.abs(a) ** 2).sum(0) * (np.abs(b) ** 2).sum(0)))[None]


def test_by_hand():
    event = np.array([[0.2, 0.5, np.nan, 0.5]], "float32")
    past = np.array([[0.6, np.nan, 0.5, np.nan]], "float32"), np.array([[0.8, 0.5, 0.5, np.nan]], "float32")
    loss = coherence_loss(event, *past)
    expected = (np.arctanh(0.6) + np.arctanh(0.8)) / 2 - np.arctanh(0.2)
    np.testing.assert_allclose(loss, [[expected, 0, np.nan, np.nan]], atol=1e-6)
    spread = 2 * ((np.arctanh(0.8) - np.arctanh(0.6)) / 2) ** 2
    variance = (4 * (1 / 17) + spread) / 5
    z = coherence_z(event, *past, looks=10.0, prior=4.0)
    np.testing.assert_allclose(z, [[expected / np.sqrt(variance * 1.5), 0, np.nan, np.nan]], atol=1e-5)
    assert np.isfinite(fisher(np.ones(1)))


@pytest.mark.parametrize("past", [1, 2, 8])
@pytest.mark.parametrize("true", [0.4, 0.8])
def test_ground_that_stays_has_standard_scores(past, true, rng):
    images = [sample_coherence(rng, 15, true, 20000) for _ in range(past + 1)]
    z = coherence_z(*images, looks=15.0, prior=4.0)
    assert abs(z.mean()) < 0.03
    assert z.std() == pytest.approx(1, abs=0.08)
    assert (z > 1.645).mean() == pytest.approx(0.05, abs=0.015)


def test_ground_without_coherence_is_not_called_changed(rng):
    images = [sample_coherence(rng, 15, 0.0, 20000) for _ in range(4)]
    z = coherence_z(*images, looks=15.0, prior=4.0)
    assert (z > 1.645).mean() < 0.02


def test_a_loss_stands_out_on_ground_of_little_coherence(rng):
    past = [sample_coherence(rng, 40, 0.5, 5000) for _ in range(3)]
    lost = sample_coherence(rng, 40, 0.0, 5000)
    assert (coherence_z(lost, *past, looks=40.0, prior=4.0) > 1.645).mean() > 0.9
    assert np.median(coherence_loss(lost, *past)) > 0.2


@pytest.mark.parametrize("count", [1, 3])
def test_never_coherent_has_the_chosen_false_alarms(count, rng):
    past = [sample_coherence(rng, 12, 0.0, 40000) for _ in range(count)]
    found = never_coherent(*past, looks=12.0, false_alarm=0.05)
    assert (found == 0).mean() == pytest.approx(0.05, abs=0.005)
    coherent = [sample_coherence(rng, 12, 0.8, 2000), *past[1:]]
    assert (never_coherent(*(layer[:, :2000] for layer in coherent), looks=12.0, false_alarm=0.05) == 0).mean() > 0.99
    undefined = np.full((1, 2), np.nan, "float32")
    assert (never_coherent(undefined, looks=12.0, false_alarm=0.05) == 255).all()
