"""Tables of docs/coherence.md: estimators compared with the ground truth of simulated speckle."""

import time
from itertools import product

import numpy as np
import pytest

from sarcd import estimation
from sarcd.config import ESTIMATORS, CoherenceOptions
from sarcd.estimation.coherence_layers import estimate
from sarcd.estimation.kernels import fringe, weighted
from sarcd.estimation.kernels.bias import mean_coherence
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.estimation.looks import calibrate
from tests.benchmarks.measure import table
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

pytestmark = pytest.mark.benchmark
TRUTHS = (0.0, 0.3, 0.6, 0.9)


def test_mean_and_deviation():
    rows = []
    for looks in WINDOWS:
        for truth in TRUTHS:
            (mean, error), (deviation, _) = moments(separate_windows(looks, truth))
            expected = mean_coherence(np.array([truth]), looks)[0]
            square = mean_coherence(np.array([truth]), looks, power=2)[0]
            spread = np.sqrt(square - expected**2)
            assert abs(mean - expected) < 4 * error
            assert deviation == pytest.approx(spread, rel=0.02)
            rows.append(
                (looks, truth, f"{mean:.4f} ± {error:.4f}", f"{expected:.4f}", f"{deviation:.4f}", f"{spread:.4f}")
            )
    table("Sample coherence", ("looks", "true coherence", "mean", "theory", "standard deviation", "theory"), rows)


def test_fringes():
    rows = []
    for oversampling in (None, 1.2):
        for truth in (0.3, 0.5, 0.8):
            means = [mean_of(truth, oversampling=oversampling)]
            means += [mean_of(truth, oversampling=oversampling, ramp=ramp) for ramp in (PERIOD_10,)]
            for ramp in ((0.0, 0.0), PERIOD_10):
                means.append(mean_of(truth, oversampling=oversampling, ramp=ramp, estimator="fringe"))
            means += [*_half(truth, oversampling), _local(truth, oversampling)]
            assert means[1] < means[0] - 0.05  # loss of the boxcar by the ramp
            np.testing.assert_allclose(means[2:6], means[0], atol=0.007)
            rows.append((oversampling or "white", truth, *(f"{mean:.3f}" for mean in means)))
    header = ("oversampling", "true coherence", "boxcar", "boxcar, ramp", "fringe", "fringe, ramp")
    header += ("half a ramp: flat half", "ramped half", "two ramps")
    table("Mean of 5 x 5 coherence without a ramp and with one of 10 pixels per fringe", header, rows)


def _half(truth, oversampling):
    """Return the means of both halves of a scene of which only one has a ramp."""
    before, after = noise_pair(np.random.default_rng(7), (600, 600), truth, oversampling=oversampling)
    turned = after * np.exp(1j * PERIOD_10[1] * np.maximum(np.arange(600) - 300, 0))
    found = estimation.coherence(scene_of(before, turned.astype("complex64")), estimator="fringe").values[0, 10:-10]
    return [float(found[:, part].mean()) for part in (slice(20, 280), slice(320, 580))]


def _local(truth, oversampling):
    """Return the mean with opposite ramps in the two halves, only one of which is the pair's ramp."""
    before, after = noise_pair(np.random.default_rng(7), (600, 600), truth, oversampling=oversampling)
    turned = after * np.exp(1j * PERIOD_10[1] * np.abs(np.arange(600) - 300))
    found = estimation.coherence(scene_of(before, turned.astype("complex64")), estimator="fringe").values[0, 10:-10]
    return float(found[:, np.r_[20:280, 320:580]].mean())


def test_bias():
    rows = []
    for oversampling, window in ((None, 5), (1.2, 5), (1.2, 7)):
        for estimator in ESTIMATORS:
            options = {"oversampling": oversampling, "window": window, "estimator": estimator, "side": 900}
            square = mean_of(0.0, power=2, debias=True, **options)
            means = [mean_of(truth, debias=True, **options) for truth in TRUTHS[1:]]
            plain = mean_of(0.3, **options)
            assert square < 0.1  # 0 after a perfect correction; 1 / looks, up to 0.19, without one
            np.testing.assert_allclose(means, TRUTHS[1:], atol=0.03)
            row = (f"{square:.3f}", f"{plain:.3f}", *(f"{mean:.3f}" for mean in means))
            rows.append((oversampling or "white", f"{window} x {window}", estimator, *row))
    header = ("oversampling", "window", "estimator", "mean square at 0", "mean at 0.3 with bias")
    table("With the bias removed", (*header, *(f"mean at {truth}" for truth in TRUTHS[1:])), rows)


def test_effective_looks():
    scene = scene_of(*noise_pair(np.random.default_rng(1), (600, 600), 0.5, oversampling=1.2))
    rows = []
    for side in (3, 5, 7, 9):
        looks = calibrate(scene, CoherenceOptions(window=side, debias=True), []).looks
        found = 1 / mean_of(0.0, oversampling=1.2, window=side, power=2, side=1200)
        measured, formula = estimation.effective_looks(scene, side), looks_by_formula(1.2, side)
        assert measured == pytest.approx(formula, rel=0.02)
        assert looks.floor == pytest.approx(found, rel=0.02)
        row = (f"{measured:.2f}", f"{formula:.2f}")
        rows.append((f"{side} x {side}", *row, f"{looks.floor:.2f}", f"{found:.2f}"))
    header = ("window", "effective looks", "from the formula", "looks for the bias", "1 / mean square at coherence 0")
    table("Looks, Hamming 0.6, 1.2 times oversampled", header, rows)


def test_edge():
    scene, blurs = edge(), {}
    rows = []
    for estimator, window in (("boxcar", 5), ("boxcar", 7), ("gaussian", 9), ("adaptive", 7), ("adaptive", 9)):
        blur, left, right = blur_and_deviation(scene, estimator=estimator, window=window)
        blurs[estimator, window] = blur
        rows.append((f"{estimator} {window} x {window}", f"{blur:.2f}", f"{left:.4f}", f"{right:.4f}"))
    table(
        "Edge of 6 dB from coherence 0.8 to 0.2",
        ("estimator", "blur, pixels", "standard deviation at 0.8", "at 0.2"),
        rows,
    )
    assert blurs["adaptive", 7] < 0.6 * blurs["boxcar", 7]
    assert blurs["adaptive", 9] < 0.6 * blurs["gaussian", 9]


def test_speed():
    """Measure CPU seconds of the thread, which are robust against other load, relative to the plain boxcar."""
    side = 2048
    before, after = noise_pair(np.random.default_rng(0), (side, side), 0.5)
    looks = calibrate(scene_of(before, after), CoherenceOptions(debias=True), [(0, 1)]).looks
    seconds = {}
    for estimator in ESTIMATORS:
        for debias in (False, True):
            options = CoherenceOptions(estimator=estimator, debias=debias)
            rounds = [_thread_seconds(lambda o=options: estimate(before, after, o, looks, (0, 0))) for _ in range(5)]
            seconds[f"{estimator}{', debias' if debias else ''}"] = np.median(rounds[1:])
    options = CoherenceOptions(estimator="fringe")
    rounds = [_thread_seconds(lambda: estimate(before, after, options, looks, PERIOD_10)) for _ in range(5)]
    seconds["fringe of a pair with a ramp"] = np.median(rounds[1:])
    rows = [
        (name, f"{side**2 / taken / 1e6:.0f}", f"{taken / seconds['boxcar']:.1f}") for name, taken in seconds.items()
    ]
    table("Speed of 5 x 5 on one core", ("estimator", "Mpx/s", "time / boxcar"), rows)
    ratios = {name: taken / seconds["boxcar"] for name, taken in seconds.items()}
    assert ratios["gaussian"] < 6
    assert ratios["adaptive"] < 20
    assert ratios["fringe"] < 25
    assert ratios["fringe of a pair with a ramp"] < 50


def _thread_seconds(function):
    start = time.thread_time()
    function()
    return time.thread_time() - start


def test_threshold_of_frequencies(monkeypatch):
    """Bias of the fringe estimator relative to the boxcar without a ramp, by threshold; and with a local ramp."""
    rows = []
    for standard_errors in (0.0, 2.0, 2.5, 3.0):
        monkeypatch.setattr(fringe, "SIGNIFICANT", standard_errors)
        row = []
        for oversampling, truth in product((None, 1.2), (0.3, 0.5, 0.8)):
            before, after = noise_pair(np.random.default_rng(7), (600, 600), truth, oversampling=oversampling)
            turned = (after * np.exp(1j * PERIOD_10[1] * np.arange(600))).astype("complex64")
            plain = boxcar(before, after, (5, 5)).mean()
            losses = [np.abs(fringe.fringe(before, image, (5, 5))).mean() - plain for image in (after, turned)]
            assert standard_errors == 0 or losses[0] > -0.01  # a threshold avoids the loss from fitting noise
            row.append(" / ".join(f"{loss:+.3f}" for loss in losses))
        rows.append((standard_errors, *row))
    header = [f"{oversampling or 'white'}, {truth}" for oversampling, truth in product((None, 1.2), (0.3, 0.5, 0.8))]
    table("Mean minus boxcar mean without a ramp / with one for the local frequency", ("threshold", *header), rows)


def test_threshold_of_brightness(monkeypatch):
    """Fraction of pixels excluded by the adaptive estimator in a homogeneous area, and its cost, by threshold."""
    rows = []
    for threshold in (4.0, 6.0, 8.0):
        monkeypatch.setattr(weighted, "THRESHOLD", threshold)
        for truth in (0.3, 0.9):
            before, after = noise_pair(np.random.default_rng(7), (600, 600), truth)
            plain = boxcar(before, after, (7, 7))[5:-5, 5:-5]
            found, count = (part[5:-5, 5:-5] for part in weighted.adaptive(before, after, (7, 7), 9.0))
            found = np.abs(found)
            left_out = f"{1 - count.mean() / 49:.3f}"
            assert abs(found.mean() - plain.mean()) < 0.003
            assert found.std() < 1.5 * plain.std()
            rows.append(
                (threshold, truth, left_out, f"{found.mean() - plain.mean():+.4f}", f"{found.std() / plain.std():.2f}")
            )
    header = (
        "threshold",
        "true coherence",
        "fraction excluded",
        "mean minus boxcar mean",
        "standard deviation / boxcar",
    )
    table("Adaptive 7 x 7 on homogeneous white speckle", header, rows)
