"""Helpers for benchmarks: median time ratios to a baseline of the same run, and peak memory of a process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROUNDS = 5


def seconds(function: Callable[[], object]) -> float:
    """Return the duration of one call in seconds."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def compare(candidates: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Time each candidate once per round, in turn, after one warm-up round; return the seconds by name."""
    for function in candidates.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, function in candidates.items():
            times[name].append(seconds(function))
    return times


def ratio(times: dict[str, list[float]], name: str, yardstick: str) -> float:
    """Return the median over the rounds of a candidate's time divided by the baseline's."""
    return statistics.median(a / b for a, b in zip(times[name], times[yardstick], strict=True))


def speeds(times: dict[str, list[float]], pixels: int, yardstick: str) -> list[tuple[str, str, str]]:
    """Return each candidate's name, median speed in million pixels per second, and time relative to the baseline."""
    return [
        (name, f"{pixels / 1e6 / statistics.median(values):.0f}", f"{ratio(times, name, yardstick):.2f}")
        for name, values in times.items()
    ]


def run_measured(arguments: Sequence[str]) -> tuple[float, float, int]:
    """Run ``sarcd`` in a separate process (on Linux); return seconds, peak memory in GiB and the exit code.

    Polls the kernel's record, because the peak in `os.wait4` starts at the memory of the parent process.
    """
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([sys.executable, "-m", "sarcd_cli.main", *arguments])
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        peak = max(peak, int(fields.get("VmHWM", "0 kB").split()[0]))
        time.sleep(0.02)
    return time.perf_counter() - start, peak / 2**20, process.returncode


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table in Markdown."""
    print(f"\n\n{title}\n\n| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
