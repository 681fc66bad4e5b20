"""False-alarm rates of the tests of change compared with nominal rates, and detection rates, on simulated speckle."""

import itertools
import time

import numpy as np
import pytest

from sarcd import change, estimation
from sarcd.change.kernels.significance.coherence import (
    coherence_cdf,
    coherent_ratio_p,
    correlation_p,
    fisher_p,
    ratio_p,
)
from sarcd.change.kernels.significance.history import history_p
from sarcd.change.kernels.significance.looks import berger, mean_power, ratio_looks, stack_looks
from sarcd.change.kernels.significance.omnibus import change_times, omnibus_p
from sarcd.estimation.kernels.bias import unbias
from sarcd.estimation.kernels.boxcar import boxcar
from sarcd.estimation.kernels.looks import eigenvalues, floor_looks
from sarcd.estimation.looks import looks_sample, measure_correlation
from sarcd.simulation.core.speckle import impulse_response, speckle
from tests.benchmarks.measure import table
from tests.factories.speckle import noise_pair
from tests.factories.stacks import coherence_of, pair_sums, rates, speckle_stack, stack_scene

pytestmark = pytest.mark.benchmark
COUNT = 1_000_000
NOMINAL = (0.05, 0.01, 0.001)
HEADER = tuple(f"{rate:.1%}" for rate in NOMINAL)


def shown(p, nominal=NOMINAL):
    return [f"{rate * over:.3%}" for rate, over in zip(nominal, rates(p, nominal), strict=True)]


ESTIMATED = ("ratio, coherence estimated", "ratio and coherence")
"""Tests with coherence estimated from the same few looks; the others are exact."""


def near_nominal(p, over=0.0):
    """Return whether rates are nominal within four standard errors plus a relative tolerance."""
    return all(
        abs(found - 1) < 4 / np.sqrt(rate * p.size) + over
        for rate, found in zip(NOMINAL, rates(p, NOMINAL), strict=True)
    )


def p_values_of(sums, looks, truth):
    """Return the p-values of all tests of a pair."""
    ratio = sums[1] / sums[0]
    found = {"F, dates independent": ratio_p(ratio, looks), "ratio, coherence known": ratio_p(ratio, looks, truth)}
    if looks > 1:
        g = coherence_of(sums)
        found["ratio, coherence estimated"] = coherent_ratio_p(ratio, looks, g)
        found["lost coherence, sample"] = coherence_cdf(g, truth, looks)
        lost = coherence_cdf(berger(g, sums[0], sums[1]), truth, looks, "berger")
        found["lost coherence, Berger"] = lost
        found["ratio and coherence"] = fisher_p(found["ratio, coherence estimated"], lost)
        if truth == 0:
            found["no correlation"] = correlation_p(g, looks)
    return found


def test_false_alarms_of_pairs():
    rng, rows = np.random.default_rng(1), []
    for looks in (1, 2, 4, 9):
        for truth in (0.0, 0.6, 0.9):
            for name, p in p_values_of(pair_sums(rng, looks, truth, COUNT // 2), looks, truth).items():
                rows.append((name, looks, truth, *shown(p)))
                assert name in ESTIMATED or near_nominal(p)
                assert rates(p, NOMINAL)[1] < 2
    table(f"False alarms, {COUNT // 2:,} pairs a row", ("test", "looks", "coherence", *HEADER), rows)


def test_false_alarms_of_stacks():
    rng, rows = np.random.default_rng(2), []
    for looks in (1, 4, 9):
        for dates in (2, 3, 5, 10):
            p, changed = change_times(rng.gamma(looks, size=(dates, COUNT)), looks, 0.01)
            rows.append((looks, dates, *shown(p), f"{changed.any(0).mean():.3%}"))
            assert near_nominal(p, 0.1)  # the distribution of the omnibus test is a series expansion
    table(f"Omnibus test, {COUNT:,} stacks a row", ("looks", "dates", *HEADER, "with a date, at 1 %"), rows)


def test_detection():
    rng, rows = np.random.default_rng(3), []
    for looks in (9, 25):
        for truth in (0.0, 0.6, 0.8, 0.9):
            for kept in (True, False):
                for change_db in (0, 3, 6):
                    if (kept and change_db == 0) or (truth == 0 and not kept):
                        continue
                    sums = pair_sums(rng, looks, truth if kept else 0.0, 100_000, change_db=change_db)
                    found = p_values_of(sums, looks, truth)
                    names = [*list(found)[:4], "ratio and coherence"]
                    powers = {name: (found[name] <= 0.01).mean() for name in names}
                    assert powers["ratio, coherence known"] >= powers["F, dates independent"] - 0.01
                    detected = [f"{power:.1%}" for power in powers.values()]
                    rows.append((looks, truth, "kept" if kept else "lost", f"{change_db} dB", *detected))
    header = ("looks", "coherence before", "coherence", "change", *names)
    table("Detected at 1 % false alarms", header, rows)


def test_which_coherence():
    """Use 3 x 3 means of white speckle, with coherence ignored, known, estimated on the same pixels or on more."""
    rows = []
    for truth in (0.0, 0.3, 0.6, 0.9):
        rng = np.random.default_rng(4)
        for change_db in (0, 3):
            before, after = noise_pair(rng, (1500, 1500), truth)
            after = after * np.float32(10 ** (change_db / 20))
            valid = np.ones(before.shape, bool)
            ratio = (mean_power(after, valid, (3, 3)) / mean_power(before, valid, (3, 3)))[9:-9, 9:-9]
            row = [ratio_p(ratio, 9), ratio_p(ratio, 9, truth)]
            same = boxcar(before, after, (3, 3))[9:-9, 9:-9]
            row.append(coherent_ratio_p(ratio, 9, same))
            row.append(ratio_p(ratio, 9, unbias(same, 9)))
            for side in (5, 9):
                more = boxcar(before, after, (side, side))[9:-9, 9:-9]
                row.append(ratio_p(ratio, 9, unbias(more, side**2)))
            flagged = [(p <= 0.01).mean() for p in row]
            if change_db == 0:
                assert flagged[1] == pytest.approx(0.01, rel=0.15)
                assert flagged[2] < 0.02
            rows.append((truth, "none" if change_db == 0 else f"{change_db} dB", *(f"{part:.2%}" for part in flagged)))
    names = ("ignored", "known", "estimated, same 3 x 3", "same, no bias", "5 x 5, no bias", "9 x 9, no bias")
    table("Flagged at 1 %, by the coherence used", ("coherence", "change", *names), rows)


def test_oversampled():
    rows = []
    for side in (3, 5, 7):
        for truth in (0.0, 0.6, 0.9):
            before, after = noise_pair(np.random.default_rng(5), (2000, 2000), truth, oversampling=1.2)
            scene = stack_scene(np.stack([before, after]))
            correlation = measure_correlation(looks_sample(scene), (side, side))
            weights = np.ones(side), np.ones(side)
            valid, inner = np.ones(before.shape, bool), (slice(side, -side),) * 2
            powers = [mean_power(image, valid, (side, side))[inner] for image in (before, after)]
            ratio, g = powers[1] / powers[0], boxcar(before, after, (side, side))[inner].astype(float)
            floor = floor_looks(weights, correlation)
            b = berger(g, *powers)
            shares = []
            for rate in (0.05, 0.01):
                looks = ratio_looks(weights, correlation, rate)
                estimated = coherent_ratio_p(ratio, looks, g)
                lost = coherence_cdf(b, truth, floor, "berger")
                plain = estimation.effective_looks(scene, side)
                found = (
                    ratio_p(ratio, plain, truth),
                    ratio_p(ratio, looks, truth),
                    estimated,
                    coherence_cdf(g, truth, floor),
                    fisher_p(estimated, lost),
                    correlation_p(g, looks),
                )
                flagged = [(p <= rate).mean() for p in found]
                assert flagged[1] == pytest.approx(rate, rel=0.15)
                assert flagged[2] < 2 * rate
                shares += [f"{part:.2%}" for part in flagged]
            pairs = [f"{one} / {two}" for one, two in zip(shares[:6], shares[6:], strict=True)]
            pairs[-1] = pairs[-1] if truth == 0 else ""
            rows.append((f"{side} x {side}", f"{plain:.1f}", f"{floor:.1f}", f"{looks:.1f}", truth, *pairs))
    names = ("ratio, looks of variance", "ratio", "ratio, estimated", "loss of coherence", "both", "no correlation")
    header = ("window", "looks of variance", "of coherence", "of the 1 % ratio", "coherence", *names)
    table("1.2 times oversampled speckle: flagged at 5 % / 1 %", header, rows)


def test_moving_centroid():
    """Simulate TOPS bursts that were not deramped: both dates times exp(j pi y^2 / 150), window 5 x 5."""
    side, chirp = 700, np.exp(1j * np.pi * np.arange(700)[:, None] ** 2 / 150)
    rng = np.random.default_rng(8)
    first, second = (speckle(rng, (side, side), oversampling=(1.4, 1.2)) for _ in range(2))
    rows = []
    for name, turn in (("constant", 1), ("varying", chirp)):
        scenes = {
            truth: stack_scene(
                np.stack([first * turn, (truth * first + np.sqrt(1 - truth**2) * second) * turn]).astype("complex64")
            )
            for truth in (0.0, 0.6)
        }
        flagged = []
        for rate in (0.05, 0.01, 0.001):
            scores = (
                change.ratio_test(scenes[0.6], false_alarms=rate).change_score,
                change.no_correlation_test(scenes[0.0]),
                change.coherence_test(scenes[0.6], expected=0.6, false_alarms=rate).change_score,
            )
            flagged.append([float((score.values >= -np.log10(rate)).mean()) / rate for score in scores])
        mean = float(estimation.coherence(scenes[0.0], debias=True).mean())
        looks = estimation.effective_looks(scenes[0.6], 5)
        ratios = [" / ".join(f"{each:.2f}" for each in test) for test in zip(*flagged, strict=True)]
        rows.append((name, f"{looks:.2f}", *ratios, f"{mean:.3f}"))
        assert np.max(flagged) < 1.2
    header = ("Doppler centroid", "effective looks", "ratio test", "no correlation", "loss of coherence, 0.6")
    header += ("mean debiased coherence at 0",)
    table("False alarms over nominal at 5 / 1 / 0.1 %, 1.4 x 1.2 times oversampled", header, rows)
    assert rows[0][1:] == rows[1][1:]  # a moving centroid has no effect


def test_omnibus_of_oversampled_speckle():
    """Compare false alarms over nominal with looks for the number of dates and with looks for two dates.

    Means over 5 x 5 pixels, 1.2 times oversampled, are sampled from the eigenvalues of their correlation.
    """
    response, weights = impulse_response(1.2), (np.ones(5), np.ones(5))
    lags = np.array([response[lag:] @ response[:-lag] for lag in range(1, 5)])
    rng, rows, count = np.random.default_rng(9), [], 300_000
    for name, correlation in (("white", (np.zeros(4),) * 2), ("1.2", (lags, lags))):
        values = eigenvalues(weights, correlation)
        for dates in (3, 5, 10):
            means = sum(value * rng.standard_exponential((dates, count)) for value in values)
            row = []
            for rate in (0.01, 0.001):
                looks = stack_looks(weights, correlation, dates, rate)
                over = [rates(omnibus_p(means, n), (rate,))[0] for n in (looks.whole[-1], looks.whole[0])]
                assert abs(over[0] - 1) < 4 / np.sqrt(rate * count) + 0.02
                row += [f"{found:.2f}" for found in over]
            rows.append((name, dates, *row))
    header = (
        "oversampling",
        "dates",
        "1 %",
        "1 %, with looks for two dates",
        "0.1 %",
        "0.1 %, with looks for two dates",
    )
    table("Omnibus test of 5 x 5 pixels: false alarms over nominal", header, rows)


def test_history():
    """Use ground of equal coherence between all dates, and of coherence that decays by a factor per date."""
    rng, rows, count = np.random.default_rng(6), [], 50_000
    for looks in (9, 25):
        for earlier in (1, 3):
            for truth in (0.0, 0.4, 0.6, 0.8, 0.95):
                many = np.full((1, count), float(looks))
                row = [looks, earlier, truth]
                equal = speckle_stack(rng, (earlier + 2, looks, count), truth)
                for stack in (equal, _decaying(rng, (earlier + 2, looks, count), truth)):
                    lost = speckle_stack(rng, (1, looks, count), 0.0)[0]
                    past = np.stack([_g(stack[i], stack[i + 1]) for i in range(earlier)])[:, None]
                    p, power = history_p(_g(stack[-2], stack[-1])[None], many, past, np.stack([many] * earlier), 0.01)
                    gone, _ = history_p(_g(stack[-2], lost)[None], many, past, np.stack([many] * earlier), 0.01)
                    testable = power >= 0.5
                    flagged = ((p <= 0.01) & testable).mean()
                    row += [f"{flagged:.2%}", f"{testable.mean():.0%}"]
                    if stack is equal:
                        assert flagged < 0.02
                row.append(f"{((gone <= 0.01) & testable).mean():.1%}")
                rows.append(row)
    header = (
        "looks",
        "earlier pairs",
        "coherence",
        "flagged, equal",
        "testable",
        "flagged, decaying",
        "testable",
        "lost: found",
    )
    table("Coherence against its history at 1 %", header, rows)


def test_coherent_stacks():
    rng, rows = np.random.default_rng(7), []
    for truth in (0.0, 0.6, 0.9):
        for change_db in (0, 3):
            stack = speckle_stack(rng, (6, 9, 100_000), truth)
            stack[3:] *= np.float32(10 ** (change_db / 20))
            p = omnibus_p((abs(stack) ** 2).mean(1), 9)
            pairs = [
                coherent_ratio_p(_power(two) / _power(one), 9, _g(one, two)) for one, two in itertools.pairwise(stack)
            ]
            either = np.min(pairs, 0) * len(pairs)
            flagged = [(q <= 0.01).mean() for q in (p, either)]
            assert change_db or max(flagged) < 0.015
            rows.append((truth, f"{change_db} dB", *(f"{part:.2%}" for part in flagged)))
    header = ("coherence", "change, date 3 of 6", "omnibus", "any of 5 pairs, estimated coherence, Bonferroni")
    table("Stacks of 9 looks, flagged at 1 %", header, rows)


def test_speed():
    scene = stack_scene(speckle_stack(np.random.default_rng(0), (5, 1024, 1024), 0.7))
    runs = {
        "ratio, dates independent": lambda: change.ratio_test(scene.isel(time=[0, 1]), coherence="none"),
        "ratio, coherence estimated": lambda: change.ratio_test(scene.isel(time=[0, 1])),
        "loss of coherence, 0.7": lambda: change.coherence_test(scene.isel(time=[0, 1]), expected=0.7),
        "ratio and coherence, 0.7": lambda: change.combined_test(scene.isel(time=[0, 1]), expected=0.7),
        "loss of coherence, history of 3 (last of 4 pairs)": lambda: change.coherence_test(
            scene, expected="history", pairs=[tuple(scene.time.values[3:])]
        ),
        "omnibus, 5 dates": lambda: change.omnibus_test(scene),
        "boxcar coherence": lambda: estimation.coherence(scene.isel(time=[0, 1])),
    }
    rows, taken = [], {}
    for name, run in runs.items():
        run()
        seconds = []
        for _ in range(3):
            start = time.thread_time()
            run()
            seconds.append(time.thread_time() - start)
        taken[name] = np.median(seconds)
        rows.append((name, f"{taken[name] / 1.048576:.2f}"))
    table("Seconds a million pixels on one core, windows of 5 x 5", ("test", "seconds"), rows)
    assert max(taken.values()) < 200 * taken["boxcar coherence"]


def _decaying(rng, shape, factor):
    images = [speckle_stack(rng, (1, *shape[1:]), 0.0)[0]]
    for _ in range(shape[0] - 1):
        images.append(factor * images[-1] + np.sqrt(1 - factor**2) * speckle_stack(rng, (1, *shape[1:]), 0.0)[0])
    return np.stack(images)


def _power(image):
    return (abs(image) ** 2).mean(0)


def _g(one, two):
    return abs((one * two.conj()).sum(0)) / np.sqrt((abs(one) ** 2).sum(0) * (abs(two) ** 2).sum(0))
