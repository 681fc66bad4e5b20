"""Simulated sites: prevalence of change, scores of thresholds and an oracle, and simulation cost.

SARCD_BENCH_SHAPE enlarges the largest site; 30000x20000 takes 11 GB of disk in pytest's temporary folder.
"""

import math
import os
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

from sarcd.metrics.kernels.scores import best_threshold
from sarcd.simulation.core.classes import Cover
from sarcd.simulation.core.options import SITES
from sarcd.simulation.core.parts import Part, simulate_arrays
from tests.benchmarks.measure import run_measured, seconds, table

pytestmark = pytest.mark.benchmark

WINDOWS, ORACLE_WINDOW = (5, 7), 13
DAYS = (0.0, 11.0)
LARGEST = tuple(int(side) for side in os.environ.get("SARCD_BENCH_SHAPE", "8192x8192").split("x"))


def mean(values, window):
    return ndimage.uniform_filter(values, window, mode="nearest")


def coherence_of(part: Part, window):
    z1, z2 = part.slc
    cross = z1 * z2.conj()
    power = mean(np.abs(z1) ** 2, window) * mean(np.abs(z2) ** 2, window)
    return np.hypot(mean(cross.real, window), mean(cross.imag, window)) / np.sqrt(power)


def log_ratio_of(part: Part, window):
    before, after = (mean(np.abs(z) ** 2, window) for z in part.slc)
    return np.abs(np.log(after / before))


def average_precision(truth, score):
    order = np.argsort(-score, kind="stable")
    hit = truth[order] == 1
    return float((np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)).mean())


def likely_in_class(part: Part, coherence):
    """Score an oracle that knows the class of each pixel and the probability of change at each coherence."""
    label, bins = part.label[0], 50
    place = bins * part.cover.astype(np.int64) + np.minimum(bins * coherence, bins - 1).astype(np.int64)
    counts = [np.bincount(place[label == value], minlength=bins * len(Cover)) for value in (0, 1)]
    return (counts[1] / np.maximum(counts[0] + counts[1], 1))[place]


def judged(name, size, seeds):
    """Return prevalence and scores of one site, pooled over several seeds."""
    made = [simulate_arrays(SITES[name], (size, size), DAYS, seed=seed) for seed in seeds]
    labels = [part.label[0] for part in made]
    keep = [label != 255 for label in labels]
    truth = np.concatenate([label[known] for label, known in zip(labels, keep, strict=True)])

    def gathered(maps):
        return np.concatenate([one[known] for one, known in zip(maps, keep, strict=True)])

    def best(score_of):
        return max((best_threshold(truth, gathered(score_of(w)))[1], w) for w in WINDOWS)

    side = size // 256 * 256
    patches = [(label[:side, :side] == 1).reshape(side // 256, 256, -1, 256).any(axis=(1, 3)) for label in labels]
    low = np.mean([((part.coherence[0] < 0.25) & (part.label[0] == 0)).mean() for part in made])
    by_coherence = best(lambda w: [-coherence_of(part, w) for part in made])
    by_ratio = best(lambda w: [log_ratio_of(part, w) for part in made])
    precision = [
        average_precision(truth, gathered([score(part, 7) for part in made]))
        for score in (lambda part, w: -coherence_of(part, w), log_ratio_of)
    ]
    oracle = best_threshold(truth, gathered([likely_in_class(p, coherence_of(p, ORACLE_WINDOW)) for p in made]))[1]
    return {
        "patches with change": f"{np.mean(patches):.1%}",
        "changed pixels": f"{np.mean(truth == 1):.2%}",
        "masked": f"{1 - np.mean(np.concatenate(keep)):.1%}",
        "low coherence, no change": f"{low:.1%}",
        "F1 coherence": f"{by_coherence[0]:.3f}",
        "F1 log-ratio": f"{by_ratio[0]:.3f}",
        "AP coherence": f"{precision[0]:.3f}",
        "AP log-ratio": f"{precision[1]:.3f}",
        "F1 oracle": f"{oracle:.3f}",
    }


@pytest.mark.parametrize(("size", "seeds"), [(1024, range(6)), (3840, (10,))])
def test_prevalence_and_thresholds(size, seeds):
    found = {name: judged(name, size, seeds) for name in SITES}
    header = ["site", *next(iter(found.values()))]
    title = f"Simulated sites of {size} x {size}, {len(seeds)} seed(s), two dates, thresholds at their best"
    table(title, header, [(name, *row.values()) for name, row in found.items()])
    for row in found.values():
        assert float(row["F1 coherence"]) < 0.55
        assert float(row["F1 log-ratio"]) < 0.35
        assert float(row["F1 oracle"]) > float(row["F1 coherence"]) + 0.3


def test_speed():
    """Measure seconds per million pixels and date in one process, beside NumPy's complex normal sampling."""
    simulate_arrays(SITES["A"], (64, 64), DAYS)
    drawn = np.random.Generator(np.random.Philox(0))
    rows = []
    for name in SITES:
        for dates in (2, 5):
            days = tuple(11.0 * date for date in range(dates))
            made = partial(simulate_arrays, SITES[name], (1024, 1024), days, seed=1)
            taken = min(seconds(made) for _ in range(2))
            yardstick = min(seconds(lambda: drawn.standard_normal((2, 1024, 1024), np.float32)) for _ in range(3))
            each = taken / dates / 1.048576
            rows.append((name, dates, f"{each:.2f}", f"{1 / each:.2f}", f"{each * 1.048576 / yardstick:.1f}"))
            assert each * 1.048576 < 100 * yardstick
    table(
        "Simulating 1024 x 1024 in memory, one thread",
        ["site", "dates", "s a Mpx and date", "Mpx and dates a s", "times numpy's complex normal numbers"],
        rows,
    )


def test_memory(tmp_path):
    """Peak memory of `sarcd simulate` does not grow with the scene."""
    rows, peaks = [], []
    for shape in ((1024, 1024), (2048, 4096), LARGEST):
        where = tmp_path / f"{shape[0]}.zarr"
        taken, peak, code = run_measured(["simulate", str(where), "--size", "{}x{}".format(*shape), "--seed", "1"])
        assert code == 0
        rows.append(("{} x {}".format(*shape), f"{taken:.0f}", f"{taken / math.prod(shape) * 1e6:.2f}", f"{peak:.2f}"))
        peaks.append(peak)
    table("sarcd simulate, two dates, store included", ["size", "s", "s a Mpx", "peak memory, GiB"], rows)
    assert peaks[-1] < 1.2 * peaks[1]
