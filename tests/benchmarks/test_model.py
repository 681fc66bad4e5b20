"""The pretrained model applied on the command line to mines with seeds not used in training."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from sarcd.metrics import report
from sarcd.simulation import sites
from sarcd.simulation.core.classes import Cover
from sarcd.store.create import write_scene
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.benchmarks.measure import table

pytestmark = pytest.mark.benchmark

SEEDS, SIZE = range(510, 514), 2048
CALM = range(70_000, 70_040)
VARIED = range(60_000, 60_016)
SCORES = ("F1", "precision", "recall", "average precision", "calibration error", "F1 of each")


def command(*arguments):
    assert main([str(argument) for argument in arguments]) == 0


def scores_of(paths):
    """Return the maps made on the command line and their pooled scores, as text."""
    for path in paths:
        command("predict", path)
    scenes = [open_scene(path) for path in paths]
    found = report(scenes, variable="change").scores.sel(over="pooled")
    likely = report(scenes, variable="change_probability").scores.sel(over="pooled")
    each = [float(report([scene], variable="change").scores.f1.sel(over="pooled")) for scene in scenes]
    return (
        *(f"{float(found[key]):.3f}" for key in ("f1", "precision", "recall")),
        *(f"{float(likely[key]):.4f}" for key in ("average_precision", "expected_calibration_error")),
        " ".join(f"{value:.2f}" for value in each),
    )


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_model_on_sites(tmp_path, name):
    paths = [tmp_path / f"{name}{seed}.zarr" for seed in SEEDS]
    for seed, path in zip(SEEDS, paths, strict=True):
        command("simulate", path, "--site", name, "--size", SIZE, "--seed", seed)
    scores = dict(zip(SCORES, scores_of(paths), strict=True))
    table(
        f"The pretrained model on {len(paths)} unseen mines of {SIZE}^2 (simulated)",
        ["site", *SCORES],
        [(name, *scores.values())],
    )
    assert float(scores["F1"]) >= 0.85
    assert float(scores["calibration error"]) < 0.05


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_model_on_other_weights(tmp_path, name):
    """Products differ in the weighting of their spectrum, and therefore in looks and side lobes."""
    rows = []
    for weight in (0.54, 0.6, 0.75, 1):
        paths = [tmp_path / f"{weight}-{seed}.zarr" for seed in SEEDS]
        for seed, path in zip(SEEDS, paths, strict=True):
            command("simulate", path, "--site", name, "--size", 1024, "--seed", seed, "--set", f"hamming={weight}")
        rows.append((name, weight, *scores_of(paths)))
        assert float(rows[-1][2]) > 0.85
    table(f"The same with other spectral weights, {len(SEEDS)} mines of 1024^2", ["site", "Hamming", *SCORES], rows)


def test_model_on_varied_mines(tmp_path):
    paths = [tmp_path / f"{seed}.zarr" for seed in VARIED]
    for seed, path in zip(VARIED, paths, strict=True):
        write_scene(sites.simulate(sites.varied(seed), size=1024, seed=seed), path)
    rows = [(len(paths), *scores_of(paths))]
    table("The same on varied mines, as for training, 1024^2", ["mines", *SCORES], rows)
    assert float(rows[0][1]) > 0.8


def test_model_without_change(tmp_path):
    rows, flagged, pixels = [], 0, 0
    for seed in CALM:
        path = tmp_path / f"{seed}.zarr"
        write_scene(sites.simulate(sites.varied(seed, no_change=True), size=1024, seed=seed), path)
        command("predict", path)
        change = open_scene(path).change.values
        rows.append((seed, f"{np.mean(change[change != 255]):.3%}"))
        flagged, pixels = flagged + (change == 1).sum(), pixels + (change != 255).sum()
    rows.append(("all", f"{flagged / pixels:.3%}"))
    table("Fraction of unchanged scenes that is flagged (simulated)", ["seed", "flagged"], rows)
    assert flagged / pixels < 0.002


def test_model_errors():
    """Break down the errors of the pretrained network by ground class and distance to outlines and scene edges."""
    far_by_cover, cover = np.zeros(len(Cover)), np.zeros(len(Cover))
    alarms, near, far_at_edge, misses, at_outline = 0, 0, 0, 0, 0
    edge = np.ones((1536, 1536), bool)
    edge[48:-48, 48:-48] = False
    for name, seed in itertools.product("ABC", (600, 601, 610, 611)):
        scene = sites.simulate(name, size=1536, seed=seed, truth=True)
        change, label = scene.sarcd.detect().change.values[0], scene.label.values[0]
        alarm, missed = (change == 1) & (label == 0), (change == 0) & (label == 1)
        far = alarm & (ndimage.distance_transform_edt(label != 1) > 3)
        alarms, near, far_at_edge = alarms + alarm.sum(), near + (alarm & ~far).sum(), far_at_edge + (far & edge).sum()
        misses += missed.sum()
        at_outline += (missed & (ndimage.distance_transform_edt(label == 1) <= 3)).sum()
        ground = scene.land_cover.values
        far_by_cover += np.bincount(ground[far], minlength=len(Cover))
        cover += np.bincount(ground.ravel(), minlength=len(Cover))
    rows = [
        ("false alarms within 3 pixels of a change", f"{near / alarms:.0%}", ""),
        ("others within 48 pixels of the edge", f"{far_at_edge / (alarms - near):.0%}", f"{edge.mean():.0%}"),
        ("misses within 3 pixels of an outline", f"{at_outline / misses:.0%}", ""),
    ]
    shares, areas = far_by_cover / far_by_cover.sum(), cover / cover.sum()
    rows += [(f"others on {one.name.lower()}", f"{shares[one]:.0%}", f"{areas[one]:.1%}") for one in Cover]
    header = ["", "fraction of the pixels", "of the ground"]
    table("Where the pretrained model is wrong (simulated, twelve mines)", header, rows)
    assert near > 0.2 * alarms
    assert at_outline > 0.2 * misses


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_model_on_amsterdam(tmp_path, real_data):
    path = tmp_path / "amsterdam.zarr"
    command(
        "ingest", *(real_data / "slc" / "amsterdam" / f"{date}.tif" for date in ("20230319", "20230331")), "-o", path
    )
    command("predict", path)
    scene = open_scene(path)
    change, coherence = scene.change.values[0], scene.sarcd.coherence().values[0]
    flagged = change == 1
    known = np.isfinite(coherence)
    rows = [
        ("fraction flagged", f"{flagged.mean():.3%}"),
        ("their median coherence", f"{np.median(coherence[flagged & known]):.2f}" if flagged.any() else ""),
        ("median coherence of all", f"{np.median(coherence[known]):.2f}"),
    ]
    table("Amsterdam, 12 days, no known change", ["", ""], rows)
    assert flagged.mean() < 0.001
