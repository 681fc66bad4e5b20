"""Tables of docs/detect.md for the network fitted to a pair: real pairs beside published figures, and simulated."""

import time
from itertools import product

import numpy as np
import pytest
import rasterio
import torch

from sarcd.detection.self_trained import FitOptions, map_pair
from sarcd.simulation.core.amplitude_pairs import Wanted, amplitude_pair
from tests.benchmarks.measure import seconds, table
from tests.factories.changed_pairs import LEARNED, PUBLISHED

pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

WAYS = {"default": FitOptions(), "one round of learning from sure pixels": FitOptions(rounds=1)}


def agreement(false_positives, false_negatives, truth):
    """Return percentage correct classification (PCC) and kappa, in per cent."""
    size, changed = truth.size, int(truth.sum())
    flagged = changed - false_negatives + false_positives
    agreed = 1 - (false_positives + false_negatives) / size
    chance = (changed * flagged + (size - changed) * (size - flagged)) / size**2
    return 100 * agreed, 100 * (agreed - chance) / (1 - chance) if chance < 1 else float("nan")


def errors(change, truth, known=None):
    known = np.ones(truth.shape, bool) if known is None else known
    found = change == 1
    return int((found & ~truth & known).sum()), int((~found & truth & known).sum())


def image(path):
    with rasterio.open(path) as file:
        return file.read(1)


@pytest.mark.parametrize("name", PUBLISHED)
def test_real_pairs(real_data, name):
    folder = real_data / "change" / name
    before, after, truth = (image(folder / f"{part}.bmp") for part in ("im1", "im2", "gt"))
    truth = truth >= 128
    rows = []
    for way, options in WAYS.items():
        start = time.perf_counter()
        found = map_pair(before, after, options)
        took = time.perf_counter() - start
        rows.append((way, *_row(*errors(found.change, truth), truth), f"{took:.0f}"))
    assert float(rows[0][5]) > 80
    published = LEARNED.get(name, {}) | PUBLISHED[name]
    rows += [(f"published: {method}", *_row(*counts, truth), "") for method, counts in published.items()]
    table(name, ("method", "FP", "FN", "OE", "PCC", "kappa", "seconds"), rows)


def _row(false_positives, false_negatives, truth):
    pcc, kappa = agreement(false_positives, false_negatives, truth)
    return false_positives, false_negatives, false_positives + false_negatives, f"{pcc:.2f}", f"{kappa:.2f}"


def test_floods(real_data):
    """Score every tenth pair of a different domain: images in decibels with water masks only."""
    rows = []
    for event in sorted((real_data / "flood").iterdir()):
        folder = event / "Sentinel1"
        totals, kappas = np.zeros(2, int), []
        masks = sorted((folder / "MASK").glob("*.png"), key=lambda path: int(path.stem.split("_")[-1]))[::10]
        truths = []
        for mask in masks:
            number = mask.stem.split("_")[-1]
            before, after = (image(next((folder / part).glob(f"*_{number}.png"))) for part in ("BEFORE", "AFTER"))
            truth = image(mask) > 127
            counts = errors(map_pair(before, after, decibels=True).change, truth)
            totals += counts
            truths.append(truth)
            if truth.mean() > 0.02:
                kappas.append(agreement(*counts, truth)[1])
        pooled = agreement(*(int(count) for count in totals), np.stack(truths))
        rows.append(
            (event.name, len(masks), *totals, f"{pooled[0]:.2f}", f"{pooled[1]:.2f}", f"{np.median(kappas):.1f}")
        )
    assert any(float(row[-1]) > 0 for row in rows)  # little is found in this domain
    table("Floods", ("event", "pairs", "FP", "FN", "PCC", "kappa, pooled", "kappa, median of pairs"), rows)


def test_unseen_pairs():
    """Score simulated pairs of all kinds that were used neither for the network nor for the threshold rule."""
    kappas, calm = [], []
    for seed in range(2 * 10**6, 2 * 10**6 + 120):
        pair = amplitude_pair(seed)
        truth, known = pair.label == 1, pair.label != 255
        change = map_pair(pair.before, pair.after).change
        if not truth.any():
            calm.append(100 * (change == 1).mean())
            continue
        kappas.append(agreement(*errors(change, truth, known), truth)[1])
    row = f"{np.mean(kappas):.1f}", f"{np.median(kappas):.1f}", f"{np.mean(calm):.2f}", f"{max(calm):.2f}"
    header = ("pairs with change", "kappa, mean", "median", "pairs without", "% flagged, mean", "most")
    table("Simulated pairs of 256 x 256", header, [(len(kappas), *row[:2], len(calm), *row[2:])])
    assert np.median(kappas) > 55
    assert np.mean(calm) < 2


@pytest.mark.parametrize("looks", [(1, 1), (1, 4), (4, 4), (16, 16)])
def test_simulated_pairs(looks):
    """Return median scores over seeds not used in training, two per kind of change."""
    rows = []
    for share, contrast in product((0.0, 0.005, 0.01, 0.05, 0.1, 0.2, 0.3), (2, 4, 6, 10)):
        if share == 0 and contrast > 2:
            continue
        results = []
        for seed in range(10**6, 10**6 + 4):
            kind = ("flood", "parcels", "blobs", "stripes")[seed % 4]
            pair = amplitude_pair(seed, wanted=Wanted(share=share, contrast_db=contrast, looks=looks, kind=kind))
            truth, known = pair.label == 1, pair.label != 255
            found = map_pair(pair.before, pair.after)
            kappa = agreement(*errors(found.change, truth, known), truth)[1]
            results.append((100 * truth.mean(), 100 * (found.change == 1).mean(), kappa))
        true, flagged, kappa = np.nanmedian(results, axis=0) if share else (*np.median(results, axis=0)[:2], np.nan)
        most = max(result[1] for result in results)
        assert share or most < 2
        assert contrast < 10 or share < 0.05 or kappa > 50
        rows.append(
            (
                f"{100 * share:g} %",
                contrast if share else "",
                f"{true:.2f} %",
                f"{flagged:.2f} %",
                f"{most:.2f} %",
                f"{kappa:.1f}",
            )
        )
    header = ("share wanted", "contrast dB", "share true", "flagged", "flagged, most", "kappa")
    table(f"Simulated pairs of {looks[0]} and {looks[1]} looks", header, rows)


@pytest.mark.parametrize("side", [256, 1000])
def test_cost(side):
    rng = np.random.default_rng(0)
    before, after = np.sqrt(rng.gamma(4, 0.25, (2, side, side)))
    after[: side // 4, : side // 4] *= 3
    matrix = torch.rand(2048, 2048)
    product_of_matrices = min(seconds(lambda: matrix @ matrix) for _ in range(3))
    rows = []
    for way, options in WAYS.items():
        start = time.perf_counter()
        map_pair(before, after, options)
        rows.append((way, f"{(taken := time.perf_counter() - start):.1f}"))
        if way == "default":
            assert taken < 300 * product_of_matrices * max(1, side**2 / 1e6)
    table(f"Seconds of a pair of {side} x {side} pixels", ("", "seconds"), rows)
