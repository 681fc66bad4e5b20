"""The demo with five seeds: the network against thresholds optimised on the ground truth."""

import pytest

from sarcd.demo import run
from tests.benchmarks.measure import table

pytestmark = pytest.mark.benchmark


def test_demo(tmp_path):
    rows, wins = [], 0
    for seed in range(5):
        result = run(tmp_path / str(seed), seed=seed)
        won = result.f1["network"] > max(value for name, value in result.f1.items() if name != "network")
        wins += won
        rows.append((seed, *(f"{value:.3f}" for value in result.f1.values()), f"{result.seconds:.0f}"))
    table(
        "sarcd demo: F1 on the unseen simulated site",
        ["seed", "network", "coherence threshold at its best", "log-ratio threshold at its best", "seconds"],
        rows,
    )
    assert wins >= 4
