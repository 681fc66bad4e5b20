"""Coherence compared with theory on simulated speckle of known coherence."""

import numpy as np
import pytest

from sarcd import estimation
from sarcd.estimation.kernels.bias import mean_coherence
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.estimation.kernels.fringe import fringe
from tests.factories.speckle import noise_pair
from tests.truth import (
    PERIOD_10,
    WINDOWS,
    blur_and_deviation,
    edge,
    looks_by_formula,
    mean_of,
    moments,
    scene_of,
    separate_windows,
)


@pytest.mark.parametrize("truth", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("looks", WINDOWS)
def test_mean_and_deviation_follow_theory(looks, truth):
    (mean, error), (deviation, error_of_deviation) = moments(separate_windows(looks, truth))
    expected = float(mean_coherence(np.array([truth]), looks)[0])
    square = float(mean_coherence(np.array([truth]), looks, power=2)[0])
    assert error <= 0.001
    assert error_of_deviation <= 0.001
    assert abs(mean - expected) < 4 * error
    assert abs(deviation - np.sqrt(square - expected**2)) < 4 * error_of_deviation


@pytest.mark.parametrize(("window", "factor"), [(5, 0.647), (7, 0.374)])
def test_an_uncompensated_ramp_costs_what_theory_says(window, factor):
    exact = abs(np.sin(window * PERIOD_10[1] / 2) / (window * np.sin(PERIOD_10[1] / 2)))
    assert exact == pytest.approx(factor, abs=5e-4)
    still, ramped = (noise_pair(np.random.default_rng(0), (40, 60), 1.0, ramp=ramp) for ramp in ((0, 0), PERIOD_10))
    clean = boxcar(np.ones_like(still[0]), ramped[1] / still[1], (window, window))
    np.testing.assert_allclose(clean[:, window:-window], exact, atol=1e-4)
    found = mean_of(0.8, window=window, ramp=PERIOD_10)
    assert found == pytest.approx(float(mean_coherence(np.array([0.8 * exact]), window**2)[0]), abs=0.01)


@pytest.mark.parametrize("oversampling", [None, 1.2])
@pytest.mark.parametrize("truth", [0.3, 0.5, 0.8])
def test_fringe_compensation_keeps_the_mean_with_a_ramp_and_without(truth, oversampling):
    wanted = mean_of(truth, oversampling=oversampling)
    for ramp in ((0.0, 0.0), PERIOD_10, (-PERIOD_10[1], 0.7)):
        found = mean_of(truth, oversampling=oversampling, ramp=ramp, estimator="fringe")
        assert abs(found - wanted) < 0.01, ramp
    assert wanted - mean_of(truth, oversampling=oversampling, ramp=PERIOD_10) > 0.05


@pytest.mark.parametrize("oversampling", [None, 1.2])
@pytest.mark.parametrize("truth", [0.3, 0.5, 0.8])
def test_a_ramp_on_half_the_scene_harms_no_flat_ground(truth, oversampling):
    before, after = noise_pair(np.random.default_rng(7), (400, 400), truth, oversampling=oversampling)
    ramp = np.exp(1j * PERIOD_10[1] * np.maximum(np.arange(400) - 200, 0)).astype("complex64")
    wanted = estimation.coherence(scene_of(before, after)).values[0, 10:-10]
    found = estimation.coherence(scene_of(before, after * ramp), estimator="fringe").values[0, 10:-10]
    for part in (slice(10, 190), slice(210, 390)):
        assert abs(float(found[:, part].mean()) - float(wanted[:, part].mean())) < 0.01


def test_choosing_between_ramp_and_none_lifts_no_floor():
    """At zero coherence, taking the larger of two estimates would add a bias of 0.03."""
    before, after = noise_pair(np.random.default_rng(8), (400, 400), 0.0)
    plain = np.abs(fringe(before, after, (5, 5)))
    chosen = np.abs(fringe(before, after, (5, 5), PERIOD_10))
    turned = (after * np.exp(1j * PERIOD_10[1] * np.arange(400))).astype("complex64")
    larger = np.maximum(boxcar(before, after, (5, 5)), boxcar(before, turned, (5, 5)))
    assert abs(chosen.mean() - plain.mean()) < 0.003
    assert larger.mean() - plain.mean() > 0.02


def test_fringe_compensation_follows_ramps_that_differ_from_place_to_place():
    """Opposite ramps in the two halves average to none, so only the local frequency finds them."""
    before, after = noise_pair(np.random.default_rng(2), (300, 600), 0.8)
    x = np.abs(np.arange(600) - 300)
    scene = scene_of(before, (after * np.exp(1j * PERIOD_10[1] * x)).astype("complex64"))
    halves = np.r_[20:280, 320:580]
    plain, compensated = (
        estimation.coherence(scene, estimator=estimator).values[0, 10:-10, halves].mean()
        for estimator in ("boxcar", "fringe")
    )
    assert plain < 0.56
    assert compensated > 0.79


def test_little_is_left_of_no_coherence():
    assert mean_of(0.0, power=2) > 0.035
    assert mean_of(0.0, power=2, debias=True) < 0.03


@pytest.mark.parametrize("oversampling", [None, 1.2])
@pytest.mark.parametrize("truth", [0.3, 0.6, 0.9])
def test_without_its_bias_the_mean_is_the_truth(truth, oversampling):
    found = mean_of(truth, oversampling=oversampling, debias=True, side=900)
    assert abs(found - truth) < 0.02


@pytest.mark.parametrize("window", [5, 7])
def test_effective_looks_of_an_oversampled_hamming_spectrum(window):
    scene = scene_of(*noise_pair(np.random.default_rng(1), (300, 320), 0.5, oversampling=1.2))
    found = estimation.effective_looks(scene, window)
    assert found == pytest.approx(looks_by_formula(1.2, window), rel=0.05)
    assert estimation.effective_looks(scene.chunk(y=100, x=50), window) == found
    white = scene_of(*noise_pair(np.random.default_rng(1), (300, 320), 0.5))
    assert estimation.effective_looks(white, window) == pytest.approx(window**2, rel=0.01)


def test_adaptive_blurs_an_edge_less_than_the_boxcar_at_equal_variance():
    scene = edge(rows=1500)
    blur, *deviations = blur_and_deviation(scene, estimator="adaptive", window=9)
    plain, *plain_deviations = blur_and_deviation(scene, window=7)
    assert all(a <= b for a, b in zip(deviations, plain_deviations, strict=True))
    assert blur < 0.7 * plain


@pytest.mark.parametrize("estimator", ["boxcar", "gaussian", "fringe"])
def test_windows_with_holes_have_fewer_looks(estimator):
    """With half the pixels invalid the bias is larger; the looks of the remaining pixels remove it."""
    before, after = noise_pair(np.random.default_rng(4), (600, 600), 0.3)
    before[:, ::2] = np.nan
    found = estimation.coherence(scene_of(before, after), estimator=estimator, debias=True, min_valid=0.3)
    assert abs(float(found[0, 10:-10, 10:-10].mean()) - 0.3) < 0.02
