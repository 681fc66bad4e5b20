"""Reproduce the pretrained model of sarcd: ``python examples/model [FOLDER]``.

Simulates different mines (`sarcd.simulation.sites.varied`), some without any change, and trains on them with
``config.toml``. If it is interrupted, the same command resumes. It takes three quarters of an hour on two cores that
multiply bfloat16, and longer on others; the scenes take 8.5 GB.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from sarcd import jobs
from sarcd.config import TrainOptions, read_toml
from sarcd.simulation import sites
from sarcd.store.create import write_scene

CONFIG = Path(__file__).with_name("config.toml")
SIZE, DATES = 1024, 3
SCENES, WITHOUT_CHANGE, VALIDATION = 240, 60, 16
FIRST_SEED = {"learn": 10_000, "none": 20_000, "validation": 30_000}
"""First seed of each kind; those for the evaluation are others."""


def scenes(folder: Path, kind: str, count: int, size: int, options: TrainOptions) -> list[Path]:
    """Simulate the scenes that do not exist yet, with statistics and coherence."""
    paths = []
    for seed in range(FIRST_SEED[kind], FIRST_SEED[kind] + count):
        paths.append(folder / f"{kind}-{seed}.zarr")
        if not paths[-1].exists():
            site = sites.varied(seed, no_change=kind == "none")
            write_scene(sites.simulate(site, size=size, seed=seed, dates=DATES), paths[-1])
        jobs.statistics(paths[-1], per_date=False)  # as for the pretrained model, for any levels
        jobs.coherence(paths[-1], options.coherence)
    return paths


def main() -> None:
    """Simulate the scenes and train the model."""
    from sarcd.training.trainer import train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="model", type=Path, help="output directory")
    parser.add_argument("--only-scenes", action="store_true", help="simulate the scenes, without training")
    parser.add_argument("--trial", action="store_true", help="one small scene of each kind and one epoch, as a test")
    arguments = parser.parse_args()
    counts, size = ((1, 1, 1), 256) if arguments.trial else ((SCENES, WITHOUT_CHANGE, VALIDATION), SIZE)
    started = time.monotonic()
    options = read_toml(CONFIG, TrainOptions, epochs=1 if arguments.trial else None)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    learn, none, validation = (
        scenes(arguments.folder, kind, count, size, options) for kind, count in zip(FIRST_SEED, counts, strict=True)
    )
    if arguments.only_scenes:
        return
    result = train(options, learn + none, validation, arguments.folder / "mines.safetensors", note=print)
    print(f"{result.path}: {result.patches} patches an epoch, validation F1 {result.scores['f1']:.3f}")
    print(f"{(time.monotonic() - started) / 60:.0f} minutes in this run")


if __name__ == "__main__":
    main()
