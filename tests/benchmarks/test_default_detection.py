"""`detect` with its defaults on simulated scenes: no, few and many changes; homogeneous and textured; several looks."""

import itertools
from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import sarcd  # noqa: F401  registers .sarcd
from sarcd.config import DetectOptions
from sarcd.detection.auto import choose
from sarcd.metrics.kernels.scores import kappa
from sarcd.simulation import sites
from sarcd.simulation.core.classes import Cover
from tests.benchmarks.measure import table
from tests.factories.default_scenes import SHARES, amplitude_scene, complex_scene, counts

pytestmark = pytest.mark.benchmark
SEEDS = (0, 1)
LOOKS = (1, 3, 4, 9)
WINDOW = 9  # the largest window of any method, in pixels
MINES = tuple(range(40, 52))
CALM = MINES[:4]  # also mapped without changes of interest
HEADER = ("ground", "% changed", "% flagged", "most", "kappa %")


def judged(make):
    """Return percentages changed and flagged (mean and maximum) and kappa, over scenes with different seeds."""
    totals, flagged = np.zeros(4, int), []
    for seed in SEEDS:
        scene = make(seed)
        found = counts(scene, scene.sarcd.detect(method="auto-label-free").change)
        totals += found
        flagged.append(100 * (found[0] + found[1]) / sum(found))
    changed = 100 * (totals[0] + totals[2]) / totals.sum()
    score = f"{100 * float(kappa(*totals)):.1f}" if totals[0] + totals[2] else ""
    if score:
        assert np.mean(flagged) < 2 * changed
        assert float(score) > 50
    else:
        assert max(flagged) < 0.5
    return f"{changed:.2f}", f"{np.mean(flagged):.2f}", f"{max(flagged):.2f}", score


@pytest.mark.parametrize("looks", LOOKS)
def test_amplitudes(looks):
    rows = []
    for textured in (False, True):
        for share in SHARES:
            row = judged(partial(amplitude_scene, share=share, looks=looks, textured=textured))
            rows.append(("textured" if textured else "homogeneous", *row))
    table(f"Amplitude images of {looks} looks, 256 x 256, changes of 6 dB", HEADER, rows)


def test_sizes():
    rows = []
    for side in (256, 512, 1024):
        for share in (0.0, 0.01, 0.1):
            options = {"side": side, "share": share, "textured": True}
            makers = partial(amplitude_scene, looks=4, **options), partial(complex_scene, **options)
            for name, make in zip(("amplitude, 4 looks", "complex"), makers, strict=True):
                row = judged(make)
                rows.append((name, side, *row))
    table("Textured ground", ("images", "side", *HEADER[1:]), rows)


@pytest.mark.parametrize("coherence", [0.0, 0.6, 0.9])
def test_complex_pairs(coherence):
    rows = []
    for textured in (False, True):
        for share in SHARES:
            row = judged(partial(complex_scene, share=share, coherence=coherence, textured=textured))
            rows.append(("textured" if textured else "homogeneous", *row))
    table(f"Complex images of coherence {coherence}, 256 x 256, changes of 6 dB", HEADER, rows)


def test_uncertainty():
    """Compare the mean `uncertainty` of flagged and of other pixels with their actual error rates."""
    rows = []
    makers = {"amplitude, 4 looks": partial(amplitude_scene, looks=4), "complex": complex_scene}
    for method, images in (("ratio-test", "complex"), ("log-ratio", "amplitude, 4 looks"), ("log-ratio", "complex")):
        for share in (0.01, 0.1):
            scene = makers[images](5, side=384, share=share)
            found = scene.sarcd.detect(method=method, uncertainty=True)
            flagged, doubt = found.change.values == 1, found.uncertainty.values
            wrong = flagged != (scene.label.values == 1)
            shares = [100 * of[part].mean() for part in (flagged, ~flagged) for of in (doubt, wrong)]
            assert shares[1] < shares[0] + 10  # a window extends across the edge of a change
            assert shares[3] < shares[2] + 3
            rows.append((method, images, f"{100 * share:g}", *(f"{value:.1f}" for value in shares)))
    header = (
        "method",
        "images",
        "% changed",
        "flagged: % wrong, estimated",
        "true",
        "other: % wrong, estimated",
        "true",
    )
    table("Decisions that are wrong", header, rows)
    scene = amplitude_scene(5, side=384, share=0.1, looks=4)
    found = scene.sarcd.detect(uncertainty=True)
    wrong, spread = found.change.values != scene.label.values, found.uncertainty.values
    edges = (0.0, 0.005, 0.02, 0.05, 0.5)
    bins = [(spread >= low) & (spread < high) for low, high in itertools.pairwise(edges)]
    rows = [
        (f"{low:g} to {high:g}", f"{100 * inside.mean():.1f}", f"{100 * wrong[inside].mean():.1f}")
        for (low, high), inside in zip(itertools.pairwise(edges), bins, strict=True)
    ]
    table("network, amplitude images of 4 looks, 10 % changed", ("spread", "% of pixels", "% of them wrong"), rows)
    assert wrong[bins[0]].mean() < 0.005 < wrong[bins[-1]].mean()


@pytest.mark.parametrize("dates", [2, 4])
def test_mines(dates):
    """Map the last pair of simulated mines with and without changes of interest.

    Moisture, vegetation, water and traffic cause real differences in intensity or coherence that are not of interest.
    Ground with none of them within a window is therefore counted separately. Unlabelled pixels count as not flagged.
    """
    smaller = DetectOptions("combined-test", window=5)
    by_coherence = ("combined-test", smaller, "coherence-test", "coherence-network") if dates > 2 else ()
    rows = []
    for method in ("ratio-test", "network", *by_coherence):
        without, steady, unknown = np.zeros(2, int), np.zeros(2, int), np.zeros(2, int)
        found = []
        for seed in MINES:
            if seed in CALM:
                scene, change = _last_pair(seed, dates, method, no_change=True)
                for total, where in ((without, True), (steady, ~_unsteady(scene))):
                    total += [(change == 1)[where].sum(), (change != 255)[where].sum()]
            scene, change = _last_pair(seed, dates, method)
            found.append(counts(scene.isel(pair=[-1]), scene.label[-1:].copy(data=change[None])))
            unknown += [((change == 255) & (scene.mask.values == 0)).sum(), change.size]
        hits, false_alarms, misses, rest = np.sum(found, axis=0)
        shares = [100 * total[0] / total[1] for total in (without, steady)]
        shares += [100 * part / (hits + false_alarms + misses + rest) for part in (hits + misses, hits + false_alarms)]
        name = f"{method} (auto-label-free)" if method == choose(scene)[0] else method
        name = "combined-test, --window 5" if method is smaller else name
        scores = 100 * float(kappa(hits, false_alarms, misses, rest)), 100 * np.mean([kappa(*each) for each in found])
        rows.append(
            (
                name,
                *(f"{share:.2f}" for share in shares),
                *(f"{score:.1f}" for score in scores),
                f"{hits / (hits + false_alarms):.2f}",
                f"{hits / (hits + misses):.2f}",
                f"{100 * unknown[0] / unknown[1]:.0f}",
            )
        )
    header = (
        "method",
        "no change: % flagged",
        "of stable ground, %",
        "% changed",
        "% flagged",
        "kappa, %",
        "mean kappa of scenes, %",
        "precision",
        "recall",
        "% undecidable",
    )
    table(f"{dates} complex images of {len(MINES)} simulated mines, the last pair", header, rows)
    kappas = {row[0]: float(row[5]) for row in rows}
    assert max(kappas, key=kappas.__getitem__).endswith("(auto-label-free)")
    assert all(float(row[2]) < 0.5 for row in rows)  # on undisturbed ground


def _last_pair(seed, dates, method, *, no_change=False):
    """Return a mine and the map of its last pair by a method with default options."""
    options = sites.varied(seed, no_change=no_change)
    scene = sites.simulate(options, size=448, seed=seed, dates=dates, truth=True)
    pairs = [tuple(scene.time.values[-2:])]
    return scene, scene.sarcd.detect(method=method, pairs=pairs).change.values[0]


def _unsteady(scene):
    """Return the ground within a window of a difference that is not of interest, or of layover and shadow."""
    restless = scene.land_cover.isin([Cover.WATER, Cover.VEGETATION, Cover.ROAD_BUSY, Cover.TAILINGS_WET])
    differs = (scene.pseudo_change != 0).any("pair") | restless | (scene.mask != 0)
    return ndimage.binary_dilation(differs.values, np.ones((WINDOW, WINDOW)))
