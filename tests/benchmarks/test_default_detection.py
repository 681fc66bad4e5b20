"""`detect` as it comes, on simulated scenes: no change, little and much of it, even and textured ground, all looks."""

from functools import partial

import numpy as np
import pytest
from scipy import ndimage

import sarcd  # noqa: F401  registers .sarcd
from sarcd import sites
from sarcd.kernels.scores import kappa
from sarcd.simulate.classes import Cover
from tests.benchmarks.measure import table
from tests.default_scenes import SHARES, amplitude_scene, complex_scene, counts

pytestmark = pytest.mark.benchmark
SEEDS = (0, 1)
LOOKS = (1, 3, 4, 9)
WINDOW = 5  # of the tests, in pixels
HEADER = ("ground", "% changed", "% flagged", "most", "kappa %")


def judged(make):
    """Per cent changed, flagged (mean and most) and kappa over seeds of scenes."""
    totals, flagged = np.zeros(4, int), []
    for seed in SEEDS:
        scene = make(seed)
        found = counts(scene, scene.sarcd.detect().change)
        totals += found
        flagged.append(100 * (found[0] + found[1]) / sum(found))
    changed = 100 * (totals[0] + totals[2]) / totals.sum()
    score = f"{100 * float(kappa(*totals)):.1f}" if totals[0] + totals[2] else ""
    return f"{changed:.2f}", f"{np.mean(flagged):.2f}", f"{max(flagged):.2f}", score


@pytest.mark.parametrize("looks", LOOKS)
def test_amplitudes(looks):
    rows = []
    for textured in (False, True):
        for share in SHARES:
            row = judged(partial(amplitude_scene, share=share, looks=looks, textured=textured))
            rows.append(("textured" if textured else "even", *row))
    table(f"Detected images of {looks} looks, 256 x 256, changes of 6 dB", HEADER, rows)


def test_sizes():
    rows = []
    for side in (256, 512, 1024):
        for share in (0.0, 0.01, 0.1):
            options = {"side": side, "share": share, "textured": True}
            makers = partial(amplitude_scene, looks=4, **options), partial(complex_scene, **options)
            for name, make in zip(("detected, 4 looks", "complex"), makers, strict=True):
                row = judged(make)
                rows.append((name, side, *row))
    table("Textured ground", ("images", "side", *HEADER[1:]), rows)


@pytest.mark.parametrize("coherence", [0.0, 0.6, 0.9])
def test_complex_pairs(coherence):
    rows = []
    for textured in (False, True):
        for share in SHARES:
            row = judged(partial(complex_scene, share=share, coherence=coherence, textured=textured))
            rows.append(("textured" if textured else "even", *row))
    table(f"Complex images of coherence {coherence}, 256 x 256, changes of 6 dB", HEADER, rows)


@pytest.mark.parametrize("dates", [2, 3])
def test_sites_without_change(dates):
    """What differs although nothing of interest changed differs really, in brightness or coherence: counted apart."""
    rows = []
    for seed in range(4):
        scene = sites.site(sites.varied(seed, no_change=True), size=384, seed=seed, dates=dates, truth=True)
        found = scene.sarcd.detect().isel(pair=-1)
        unsteady = scene.land_cover.isin([Cover.WATER, Cover.VEGETATION, Cover.ROAD_BUSY, Cover.TAILINGS_WET])
        pseudo = ((scene.pseudo_change != 0).any("pair") | unsteady).values
        steady = ~ndimage.binary_dilation(pseudo | (scene.mask.values != 0), np.ones((WINDOW, WINDOW)))
        known, flagged = (found.change != 255).values, (found.change == 1).values
        shares = [100 * flagged[known & where].mean() for where in (True, pseudo, steady)]
        rows.append((seed, f"{100 * pseudo[known].mean():.1f}", *(f"{share:.2f}" for share in shares)))
    header = ("site", "% pseudo-changes", "% flagged", "of pseudo-changes", "of ground that no window shares with them")
    table(f"{dates} complex images of sites where nothing of interest changed", header, rows)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_sites_with_change(name):
    rows = []
    for dates in (2, 3):
        scene = sites.site(name, size=640, dates=dates)
        found = counts(scene.isel(pair=[-1]), scene.sarcd.detect().change[-1:])
        changed, flagged = (100 * (found[0] + other) / sum(found) for other in (found[2], found[1]))
        rows.append((dates, f"{changed:.2f}", f"{flagged:.2f}", f"{100 * float(kappa(*found)):.1f}"))
    title = f"Site {name}: changes of interest, against all that differs"
    table(title, ("dates", "% changed", "% flagged", "kappa %"), rows)
