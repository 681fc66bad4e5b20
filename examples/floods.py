"""Map floods of unseen events: train on three events and evaluate on the fourth, for each of the four.

Run with ``python examples/floods.py DATA [FOLDER]``. DATA holds the Sentinel-1 pairs of OMBRIA (Drakonakis et al. 2022,
doi:10.1109/JSTARS.2022.3155559), a folder an event: ``EVENT/Sentinel1/{BEFORE,AFTER,MASK}``, 256 x 256 PNGs of scaled
decibels, paired by their numbers. For comparison, a threshold on the difference before - after is fitted on the same
three events. The best threshold of the test event itself is also shown; in practice it is unknown.
"""

import argparse
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
import rasterio.errors
import xarray as xr

from sarcd.config import TrainOptions, read_toml
from sarcd.metrics.kernels.scores import best_threshold, confusion_counts, scores
from sarcd.store.create import write_scene
from sarcd.training.trainer import train

SIDE, COLUMNS = 256, 6
DATES = np.array(["2021-01-01", "2021-01-02"], "datetime64[us]")  # not in the files; only the order matters

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("data", type=Path)
parser.add_argument("folder", nargs="?", default="floods", type=Path)
parser.add_argument("--seeds", default=1, type=int)
parser.add_argument("--epochs", type=int, help="epochs, instead of those in the configuration file")
arguments = parser.parse_args()


def read(event: str, kind: str) -> dict[int, np.ndarray]:
    """Return the images of one kind by their numbers."""
    images = {}
    for path in sorted((arguments.data / event / "Sentinel1" / kind).glob("*.png")):
        with rasterio.open(path) as file:
            images[int(re.findall(r"\d+", path.stem)[-1])] = file.read(1)
    return images


def mosaic(tiles: list[np.ndarray], empty: float) -> np.ndarray:
    """Lay tiles side by side, row by row."""
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.full((rows * SIDE, COLUMNS * SIDE), empty, "float32")
    for index, tile in enumerate(tiles):
        y, x = index // COLUMNS * SIDE, index % COLUMNS * SIDE
        sheet[y : y + SIDE, x : x + SIDE] = tile
    return sheet


def scene_of(event: str) -> str:
    """Write an event as one scene, in which each training patch is one image pair."""
    path = arguments.folder / f"{event}.zarr"
    if not path.exists():
        before, after, mask = (read(event, kind) for kind in ("BEFORE", "AFTER", "MASK"))
        numbers = sorted(before.keys() & after.keys() & mask.keys())
        images = [mosaic([kind[number] for number in numbers], np.nan) for kind in (before, after)]
        label = mosaic([np.where(mask[number] >= 128, 1, 0) for number in numbers], 255)
        scene = xr.Dataset(
            {
                # Scaled decibels are used as amplitudes: they suit normalisation by median and MAD better than
                # linear values, which a few bright pixels would dominate.
                "amplitude": (("time", "y", "x"), np.stack(images)),
                "label": (("pair", "y", "x"), label[None].astype("uint8")),
            },
            coords={
                "time": DATES,
                "before": ("pair", DATES[:1]),
                "after": ("pair", DATES[1:]),
                "y": np.arange(images[0].shape[0]),
                "x": np.arange(images[0].shape[1]),
            },
        )
        write_scene(scene, path)
    return str(path)


def difference(event: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels and the decrease of each pixel, before minus after."""
    scene = xr.open_zarr(scene_of(event))
    before, after = scene["amplitude"].values
    return scene["label"].values[0], before - after


def f1_at(truth: np.ndarray, score: np.ndarray, threshold: float) -> float:
    """Return F1 at a threshold."""
    tp, fp, fn, tn = confusion_counts(truth, score, threshold=threshold)[:4]
    return float(scores(tp, fp, fn, tn)["f1"])


def network_f1(event: str, others: list[str], seed: int) -> float:
    """Train on the other events and return F1 on the test event, which does not affect the training."""
    options = replace(read_toml(Path(__file__).with_suffix(".toml"), TrainOptions, epochs=arguments.epochs), seed=seed)
    output = arguments.folder / f"without-{event}-{seed}.safetensors"
    options = replace(options, score_every=options.epochs, calibrate=False)
    scenes = [scene_of(other) for other in others]
    return float(train(options, scenes, [scene_of(event)], output, overwrite=output.exists()).scores["f1"])


warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)  # PNGs have no georeferencing
arguments.folder.mkdir(parents=True, exist_ok=True)
events = sorted(path.name for path in arguments.data.iterdir() if (path / "Sentinel1").is_dir())
print(f"F1 on the test event; network: mean of {arguments.seeds} seeds")
print(f"{'test event':12}{'network':>10}{'threshold of the others':>26}{'best threshold':>16}", flush=True)
rows = []
for event in events:
    others = [other for other in events if other != event]
    training = [difference(other) for other in others]
    fitted, _ = best_threshold(*(np.concatenate([part[i].ravel() for part in training]) for i in (0, 1)))
    truth, score = difference(event)
    network = np.mean([network_f1(event, others, seed) for seed in range(arguments.seeds)])
    rows.append((network, f1_at(truth, score, fitted), best_threshold(truth.ravel(), score.ravel())[1]))
    print(f"{event:12}{rows[-1][0]:>10.3f}{rows[-1][1]:>26.3f}{rows[-1][2]:>16.3f}", flush=True)
network, fitted, best = np.mean(rows, axis=0)
print(f"{'mean':12}{network:>10.3f}{fitted:>26.3f}{best:>16.3f}")
