"""Tables of docs/scores.md: average precision beside scikit-learn's, coverage of confidence intervals, run time."""

import numpy as np
import pytest
from scipy import ndimage, special
from sklearn.metrics import average_precision_score

from sarcd import schema
from sarcd.metrics import evaluate
from sarcd.metrics.kernels.patches import bootstrap_intervals
from sarcd.metrics.kernels.scores import scores
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.scene import publish
from tests.benchmarks.measure import run_measured, table
from tests.factories.results_with_labels import DAYS, scene_of
from tests.metrics.kernels.test_patches import simulated_units

pytestmark = pytest.mark.benchmark
PIXELS, INTERVALS, RESAMPLES = 1_000_000, 2000, 1000
SIDES = (2048, 8192)
EVALUATE = "sarcd evaluate --variable change_probability"
COMMANDS = (
    EVALUATE,
    f"{EVALUATE} --objects",
    f"{EVALUATE} --objects --bootstrap 1000",
    "sarcd threshold --best-f1",
    "sarcd threshold --false-alarms-per-km2 2 --min-pixels 20",
)
TRUTHS = {"recall": 0.6, "precision": 36 / 56, "f1": 72 / 116}
"""Expected over the patches of `simulated_units`: 36 of 60 changed pixels detected, with 20 false alarms."""


def drawn_scores():
    """Return labels and probabilities by distribution; the logit is normal, with a higher mean for changed pixels."""
    rng = np.random.default_rng(0)
    cases = {
        "1 pixel in 2 changed": (0.5, 0.0, 1.0, 1.0),
        "1 in 20": (0.05, -3.0, 2.0, 1.5),
        "1 in 1000": (0.001, -7.0, 3.0, 1.5),
        "1 in 20, a very confident network": (0.05, -20.0, 22.0, 8.0),
        "1 in 20, all within 0.01 of 0.5": (0.05, 0.0, 0.01, 0.005),
        "1 in 20, all within 0.0001 of 0.5": (0.05, 0.0, 0.0001, 0.00005),
        "1 in 20, random ranking": (0.05, -3.0, 0.0, 1.5),
    }
    for name, (share, centre, step, spread) in cases.items():
        changed = rng.random(PIXELS) < share
        logit = centre + step * changed + spread * rng.standard_normal(PIXELS)
        yield name, changed, special.expit(logit).astype(np.float32)
    whole = np.round(special.expit(-3 + 2 * changed + 1.5 * rng.standard_normal(PIXELS)) * 255) / 255
    yield "1 in 20, stored as 8 bits", changed, whole.astype(np.float32)


def test_average_precision():
    rows = []
    for name, changed, probability in drawn_scores():
        scene = scene_of(
            changed.reshape(1, 1000, -1).astype("uint8"), change_probability=probability.reshape(1, 1000, -1)
        )
        result = evaluate(scene, variable="change_probability").isel(over=0)
        found, expected = float(result["average_precision"]), average_precision_score(changed, probability)
        bound = float(result["average_precision_error"])
        rows.append((name, f"{found:.6f}", f"{expected:.6f}", f"{abs(found - expected):.1e}", f"{bound:.1e}"))
        assert abs(found - expected) <= bound + 1e-9
    header = ["simulated probability", "sarcd", "scikit-learn", "difference", "error bound"]
    table(f"Average precision of {PIXELS:,} pixels", header, rows)


def rates(sums):
    found = scores(*sums.T)
    return {name: found[name] for name in TRUTHS}


def test_intervals():
    rng, rows = np.random.default_rng(0), []
    for patches in (5, 10, 30, 60, 200):
        held = dict.fromkeys(TRUTHS, 0)
        for seed in range(INTERVALS):
            units = simulated_units(rng, patches)
            ends = bootstrap_intervals(units, rates, resamples=RESAMPLES, seed=seed, level=0.95)
            for name, truth in TRUTHS.items():
                held[name] += ends[name][0] <= truth <= ends[name][1]
        rows.append((patches, *(f"{100 * held[name] / INTERVALS:.1f}" for name in TRUTHS)))
    error = 100 * np.sqrt(0.95 * 0.05 / INTERVALS)
    title = f"Of 100 intervals of 95 %, so many hold the truth ({INTERVALS} intervals, standard error {error:.1f})"
    table(title, ["patches", *TRUTHS], rows)
    assert all(92 < float(rate) < 97.5 for row in rows[2:] for rate in row[1:])


def store_map(path, side, tile=1024):
    """Make a labelled pair, a twentieth of it changed in blobs, and a probability that detects half of the change."""
    layout = SceneLayout(
        np.array(DAYS[:2], "datetime64[us]"),
        np.arange(side),
        np.arange(side),
        attrs={"spacing_m": [3, 3], "range_spacing": "ground"},
    )
    rng, shape = np.random.default_rng(0), (1, side, side)
    with NewScene(path, layout) as store:  # no image is written, because evaluation reads none
        for name in ("label", "change_probability"):
            store.create(name, shape, {schema.COMPLETE: [True]}, chunks=(1, tile, tile))
        for y in range(0, side, tile):
            for x in range(0, side, tile):
                truth, noise = (ndimage.gaussian_filter(rng.standard_normal((tile, tile), np.float32), 6) for _ in "ab")
                changed = truth > np.quantile(truth, 0.95)
                logit = 2 * (truth + noise) / truth.std() - 5
                part = (0, slice(y, y + tile), slice(x, x + tile))
                store.array("label")[part] = changed
                store.array("change_probability")[part] = special.expit(logit)
        publish(store, add=["label", "change_probability"])
    return str(path)


def test_time_and_memory(tmp_path):
    rows = []
    for side in SIDES:
        path = store_map(tmp_path / f"{side}.zarr", side)
        for line in COMMANDS:
            taken, peak, code = run_measured([*line.split()[1:], path])
            assert code == 0
            rows.append((side, f"`{line}`", f"{taken:.1f}", f"{peak:.2f}"))
    table("A simulated probability, each command in a process of its own", ["side", "command", "s", "GiB"], rows)
