"""What docs/coherence.md tabulates: estimators against the truth of simulated speckle."""

import numpy as np
import pytest

from sarcd import ops
from sarcd.config import ESTIMATORS
from sarcd.kernels.bias import mean_coherence
from tests.benchmarks.measure import compare, table
from tests.speckle import noise_pair
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
            rows.append(
                (looks, truth, f"{mean:.4f} ± {error:.4f}", f"{expected:.4f}", f"{deviation:.4f}", f"{spread:.4f}")
            )
    table("Sample coherence", ("looks", "truth", "mean", "theory", "deviation", "theory"), rows)


def test_fringes():
    rows = []
    for oversampling in (None, 1.2):
        for truth in (0.3, 0.5, 0.8):
            means = [mean_of(truth, oversampling=oversampling)]
            means += [mean_of(truth, oversampling=oversampling, ramp=ramp) for ramp in (PERIOD_10,)]
            for ramp in ((0.0, 0.0), PERIOD_10):
                means.append(mean_of(truth, oversampling=oversampling, ramp=ramp, estimator="fringe"))
            means.append(_local(truth, oversampling))
            rows.append((oversampling or "white", truth, *(f"{mean:.3f}" for mean in means)))
    header = ("oversampling", "truth", "boxcar", "boxcar, ramp", "fringe", "fringe, ramp", "fringe, ramp unknown")
    table("Mean of 5 x 5 coherence without a ramp and with one of 10 pixels a fringe", header, rows)


def _local(truth, oversampling):
    """Mean with half the scene ramped one way and half the other, so that there is no ramp in the mean."""
    before, after = noise_pair(np.random.default_rng(7), (600, 600), truth, oversampling=oversampling)
    turned = after * np.exp(1j * PERIOD_10[1] * np.abs(np.arange(600) - 300))
    found = ops.coherence(scene_of(before, turned.astype("complex64")), estimator="fringe").values[0, 10:-10]
    return float(found[:, np.r_[20:280, 320:580]].mean())


def test_bias():
    rows = []
    for oversampling, window in ((None, 5), (1.2, 5), (1.2, 7)):
        for estimator in ESTIMATORS:
            options = {"oversampling": oversampling, "window": window, "estimator": estimator, "side": 900}
            square = mean_of(0.0, power=2, debias=True, **options)
            means = [mean_of(truth, debias=True, **options) for truth in TRUTHS[1:]]
            plain = mean_of(0.3, **options)
            row = (f"{square:.3f}", f"{plain:.3f}", *(f"{mean:.3f}" for mean in means))
            rows.append((oversampling or "white", f"{window} x {window}", estimator, *row))
    header = ("oversampling", "window", "estimator", "mean square at 0", "mean at 0.3 with bias")
    table("With the bias removed", (*header, *(f"mean at {truth}" for truth in TRUTHS[1:])), rows)


def test_effective_looks():
    scene = scene_of(*noise_pair(np.random.default_rng(1), (600, 600), 0.5, oversampling=1.2))
    rows = [
        (f"{side} x {side}", f"{ops.effective_looks(scene, side):.2f}", f"{looks_by_formula(1.2, side):.2f}")
        for side in (3, 5, 7, 9)
    ]
    table("Effective looks, Hamming 0.6, 1.2 times oversampled", ("window", "estimated", "formula"), rows)


def test_edge():
    scene = edge()
    rows = []
    for estimator, window in (("boxcar", 5), ("boxcar", 7), ("gaussian", 9), ("adaptive", 7), ("adaptive", 9)):
        blur, left, right = blur_and_deviation(scene, estimator=estimator, window=window)
        rows.append((f"{estimator} {window} x {window}", f"{blur:.2f}", f"{left:.4f}", f"{right:.4f}"))
    table("Edge of 6 dB from coherence 0.8 to 0.2", ("estimator", "blur, pixels", "deviation at 0.8", "at 0.2"), rows)


def test_speed():
    side = 2048
    pair = noise_pair(np.random.default_rng(0), (side, side), 0.5)
    scene = scene_of(*pair)
    candidates = {
        f"{estimator}{', debias' if debias else ''}": (
            lambda estimator=estimator, debias=debias: ops.coherence(scene, estimator=estimator, debias=debias)
        )
        for estimator in ESTIMATORS
        for debias in (False, True)
    }
    times = compare(candidates)
    rows = [(name, f"{side**2 / np.median(seconds) / 1e6:.0f}") for name, seconds in times.items()]
    table("Speed, 5 x 5, one thread", ("estimator", "million pixels a second"), rows)
