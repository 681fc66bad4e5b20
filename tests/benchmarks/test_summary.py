"""Accuracy of multi-date summaries on known changes, and their cost."""

import time

import numpy as np
import pytest
import xarray as xr

from sarcd import change
from sarcd.simulation import sites
from tests.benchmarks.measure import table
from tests.factories.scenes import dates
from tests.factories.stacks import KINDS, TRUTH, speckle_stack, stack_scene

pytestmark = pytest.mark.benchmark
SIDE, MARGIN = 120, 4
LAYERS = ("change_count", "first_change", "last_change", "persistence")


def blocks(rng, coherence, decibels):
    """Make six dates of four patches as in `tests.factories.stacks.changing_stack`, with the given change in dB."""
    gain, shape = np.float32(10 ** (decibels / 20)), (6, SIDE, SIDE)
    calm, returns, twice = (speckle_stack(rng, shape, coherence) for _ in range(3))
    stays = speckle_stack(rng, shape, coherence, breaks=(2,))
    stays[2:] *= gain
    returns[3] *= gain
    twice[1:] *= gain
    twice[4:] *= gain
    return stack_scene(np.concatenate([calm, stays, returns, twice], 2))


def test_known_times():
    rng, rows = np.random.default_rng(1), []
    for coherence in (0.0, 0.8):
        for decibels in (0, 3, 6):
            scene = blocks(rng, coherence, decibels)
            sources = {"omnibus": "omnibus"}
            if coherence:
                test = change.combined_test(scene, expected=coherence, false_alarms=0.001, looks=25)
                sources["combined-test, coherence known"] = test.change
            for name, source in sources.items():
                found = scene.sarcd.summarise(source, looks=25)
                calm = found.change_count.isel(y=slice(MARGIN, -MARGIN), x=slice(MARGIN, SIDE - MARGIN))
                assert float((calm > 0).mean()) < 0.02
                if decibels == 6:
                    assert right_dates(found) > 0.95
                rows.append((name, coherence, f"{decibels} dB", *shares(found, decibels)))
    names = ("persistent", "reverted", "twice")
    header = ("input", "coherence", "change of intensity", "unchanged: flagged")
    header += tuple(f"{name}: first date correct" for name in names)
    header += ("persistent: mean persistence", "reverted: mean persistence")
    table("Blocks of speckle of 25 looks, six dates", header, rows)


def right_dates(found):
    """Return the fraction of changed pixels, away from edges, with the correct first date."""
    kinds = list(enumerate(KINDS))[1:]
    columns = [slice(i * SIDE + MARGIN, (i + 1) * SIDE - MARGIN) for i, _ in kinds]
    first = found.first_change.isel(y=slice(MARGIN, -MARGIN))
    return np.mean([(first.isel(x=x) == TRUTH[kind][1]).mean() for (_, kind), x in zip(kinds, columns, strict=True)])


def shares(found, decibels):
    """Return the percentage of pixels of each patch, away from its edges."""
    parts = {
        kind: found.isel(y=slice(MARGIN, -MARGIN), x=slice(i * SIDE + MARGIN, (i + 1) * SIDE - MARGIN))
        for i, kind in enumerate(KINDS)
    }
    row = [f"{float((parts['calm'].change_count > 0).mean()):.2%}"]
    for kind in KINDS[1:]:
        right = float((parts[kind].first_change == TRUTH[kind][1]).mean())
        row.append(f"{right:.1%}" if decibels or kind == "stays" else "-")
    for kind in ("stays", "returns"):
        known = parts[kind].persistence
        row.append(f"{float(known.mean()):.2f}" if (decibels or kind == "stays") and known.notnull().any() else "-")
    return row


def test_mine():
    """Simulate a mine: labels mark blasting and dumping; pseudo-changes are moisture and vehicles."""
    scene = sites.simulate("A", size=640, dates=6, truth=True)
    label, wet = scene.label.values, (scene.pseudo_change > 0).any("pair").values
    judged, real = (label != 255).all(0), (label == 1).any(0)
    first = np.where(real, (label == 1).argmax(0) + 1, 0)
    pseudo, calm = judged & ~real & wet, judged & ~real & ~wet
    sources = {
        "omnibus": "omnibus",
        "combined-test": change.combined_test(scene, expected="history", false_alarms=0.001).change,
        "labels": "label",
    }
    rows, more = [], []
    for name, source in sources.items():
        found = scene.sarcd.summarise(source)
        flagged = (found.change_count.values > 0) & (found.change_count.values < 255)
        told = found.first_change.values
        right = told == first
        times = [one[real & flagged] for one in (right, told < first, told > first)]
        at = [real & flagged, pseudo & flagged, calm & flagged]
        shown = [one.sum() / all_.sum() for one, all_ in zip(at, (real, pseudo, calm), strict=True)]
        rows.append((name, *(f"{share:.1%}" for share in (*shown, *(one.mean() for one in times)))))
        if name == "the labels themselves":
            assert shown == [1, 0, 0]
        else:
            assert shown[0] > 1.5 * shown[1] > 3 * shown[2]
        early = told < 5  # the persistence of a change on the last date is unknown
        values = [found.persistence.values[one & early] for one in (real & right & flagged, *at[:2])]
        known = [one[~np.isnan(one)] for one in values]
        separated = [area(one, known[2]) for one in known[:2]]
        means = [
            f"{one.mean():.2f} ({one.size / all_.size:.0%})" if one.size else "-"
            for one, all_ in zip(known, values, strict=True)
        ]
        stays = [f"{(one == 1).mean():.0%}" if one.size else "-" for one in known[1:]]
        more.append((name, *means, *stays, *separated))
    header = ("input", "labelled: flagged", "pseudo-change: flagged", "other: flagged")
    header += ("labelled and flagged: first date correct", "too early", "too late")
    table("Site A, 640 x 640, six dates: pixels", header, rows)
    header = ("input", "labelled, first date correct", "labelled, flagged", "pseudo-change")
    header += ("labelled: 1", "pseudo-change: 1", "AUC, date correct", "AUC")
    table("Mean persistence (percentage of the pixels that have one); labelled against pseudo-change", header, more)
    assert min(float(row[-1]) for row in more[:2]) > 0.6


def area(higher, lower):
    """Return the area under the ROC curve; ties count half."""
    if not higher.size or not lower.size:
        return "-"
    higher = np.sort(higher)
    below = np.searchsorted(higher, lower, "left").sum() + np.searchsorted(higher, lower, "right").sum()
    return f"{1 - below / 2 / higher.size / lower.size:.2f}"


def test_speed():
    """Worst case for comparisons: every pixel changes permanently, on a different date for each 16 x 16 block."""
    rng, rows = np.random.default_rng(2), []
    for count in (3, 6, 12):
        first = np.kron(rng.integers(1, count, (32, 32)), np.ones((16, 16), int))
        after = np.arange(count)[:, None, None] >= first
        scene = stack_scene(speckle_stack(rng, (count, 512, 512), 0.7) * np.where(after, np.float32(4), np.float32(1)))
        times = dates(count)
        change = xr.DataArray(
            (after[1:] & ~after[:-1]).astype("uint8"),
            dims=("pair", "y", "x"),
            coords={"before": ("pair", times[:-1]), "after": ("pair", times[1:])},
        )
        runs = {
            "maps, counts alone": lambda scene=scene, change=change: scene.sarcd.summarise(change, persistence=False),
            "maps": lambda scene=scene, change=change: scene.sarcd.summarise(change, looks=20),
            "omnibus": lambda scene=scene: scene.sarcd.summarise("omnibus", looks=20),
            "coherence": lambda scene=scene: scene.sarcd.coherence(),
        }
        row = [count]
        for run in runs.values():
            run()
            start = time.thread_time()
            run()
            row.append(f"{(time.thread_time() - start) / 0.262144:.2f}")
        rows.append(row)
        assert float(row[1]) < 5 * float(row[4])  # counting takes no longer than reading
    header = ("dates", *list(runs)[:3], "for comparison: coherence of all pairs")
    table("Seconds a million pixels on one core, windows of 5 x 5", header, rows)
