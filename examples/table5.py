"""The paper's Table 5 in small: what coherence, augmentation and pseudo-labels add, on simulated sites.

Run with ``python examples/table5.py [FOLDER] [--seeds 3]``. A network learns on site A (three dates) and is judged on
site B, which it never sees but for its pseudo-labels; then the same the other way round. Each row is one configuration
file of ``examples/table5/``, which ``sarcd train --config`` takes as well. A second table says what the networks of the
third row gain from each variant of prediction, and what that costs. Stopped at any moment, the same command goes on
where it was. Sites and networks are small; with three seeds it takes about an hour on two cores.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from sarcd.config import PredictOptions, TrainOptions, read_toml
from sarcd.evaluate import evaluate
from sarcd.io.write import write_scene
from sarcd.jobs import write_coherence, write_prediction, write_statistics
from sarcd.learn.train import train
from sarcd.pseudo_label import self_train
from sarcd.sites import site

CONFIGS = Path(__file__).with_suffix("")
ROWS = ("amplitudes", "coherence", "augmentation", "pseudo-labels")
FOLDS = (("A", "B"), ("B", "A"))
VARIANTS = {
    "plain": {},
    "swap": {"swap": True},
    "flips": {"flips": True},
    "adapt": {"adapt": True},
    "all seeds": {},
    "all seeds, swap": {"swap": True},
}

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder", nargs="?", default="table5", type=Path)
parser.add_argument("--seeds", default=3, type=int)
parser.add_argument("--size", default=1024, type=int, help="side of the sites in pixels")
parser.add_argument("--epochs", type=int, help="other than in the files")
arguments = parser.parse_args()


def scene_of(name: str) -> str:
    """Return a stored site with statistics and coherence."""
    path = arguments.folder / f"{name}-{arguments.size}.zarr"
    if not path.exists():
        write_scene(site(name, size=arguments.size, seed=0, dates=3), path)
    write_statistics(path)
    write_coherence(path, read_toml(CONFIGS / "coherence.toml", TrainOptions).coherence)
    return str(path)


def f1_of(row: str, learn: str, judge: str, seed: int) -> float:
    """Train as a row says, and return F1 on the site that is judged."""
    output = arguments.folder / f"{row}-{learn}{judge}-{seed}.safetensors"
    scores = output.with_suffix(".json")
    if not scores.exists():
        options = replace(read_toml(CONFIGS / f"{row}.toml", TrainOptions, epochs=arguments.epochs), seed=seed)
        scenes = [scene_of(learn)], [scene_of(judge)]
        if row == "pseudo-labels":
            result = self_train(options, *scenes, scenes[1], output, overwrite=output.exists())
        else:
            result = train(options, *scenes, output, overwrite=output.exists())
        scores.write_text(json.dumps(result.scores))
    return json.loads(scores.read_text())["f1"]


arguments.folder.mkdir(parents=True, exist_ok=True)
print(f"F1 at 0.5 on simulated sites of {arguments.size}^2 pixels, mean +- deviation of {arguments.seeds} seeds")
print(f"{'':16}" + "".join(f"{f'{learn} to {judge}':>20}" for learn, judge in FOLDS), flush=True)
for row in ROWS:
    cells = []
    for learn, judge in FOLDS:
        found = [f1_of(row, learn, judge, seed) for seed in range(arguments.seeds)]
        cells.append(f"{np.mean(found):.4f} +- {np.std(found):.4f}")
    print(f"{row:16}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def predicted(variant: str, learn: str, judge: str) -> tuple[list[float], float]:
    """Return F1 of each network, or of all of them together, and the seconds of one map."""
    networks = [arguments.folder / f"augmentation-{learn}{judge}-{seed}.safetensors" for seed in range(arguments.seeds)]
    groups = [networks] if variant.startswith("all seeds") else [[network] for network in networks]
    found, seconds = [], []
    for group in groups:
        start = time.perf_counter()
        options = PredictOptions(**VARIANTS[variant])
        write_prediction(scene_of(judge), group, options, suffix="variant", overwrite=True)
        seconds.append(time.perf_counter() - start)
        scores = evaluate(xr.open_zarr(scene_of(judge)), variable="change_variant")
        found.append(float(scores["f1"].sel(over="pooled")))
    return found, float(np.median(seconds))


print("\nF1 of the networks with augmentation, by how the map is made")
print(f"{'':16}" + "".join(f"{f'{learn} to {judge}':>20}" for learn, judge in FOLDS) + f"{'time':>8}", flush=True)
plain = 0.0
for variant in VARIANTS:
    results = [predicted(variant, learn, judge) for learn, judge in FOLDS]
    taken = sum(seconds for _, seconds in results)
    plain = plain or taken
    cells = [f"{np.mean(found):.4f} +- {np.std(found):.4f}" for found, _ in results]
    print(f"{variant:16}" + "".join(f"{cell:>20}" for cell in cells) + f"{taken / plain:>8.1f}", flush=True)
