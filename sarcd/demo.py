"""The newcomer's first minutes: learn on one simulated mine, map the changes of another, and score the map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import ops, sites
from sarcd.config import CoherenceOptions, LossOptions, PredictOptions, TrainOptions, Window
from sarcd.errors import OptionError
from sarcd.evaluate import evaluate
from sarcd.export import export
from sarcd.io.progress import Progress, silent
from sarcd.io.store import open_scene
from sarcd.io.write import write_scene
from sarcd.jobs import write_coherence, write_prediction, write_statistics
from sarcd.kernels.scores import best_threshold

LEARN: sites.SiteName = "C"
JUDGE: sites.SiteName = "B"
"""The sites; they differ in calibration, noise, look side and land cover."""

_SIZE = 1024

OPTIONS = TrainOptions(
    model="unet",
    network={"widths": (8, 16, 32, 64)},
    coherence=CoherenceOptions(window=Window(7, 7)),
    patch=64,
    batch=16,
    epochs=12,
    draw="all",  # few patches of a balanced draw would show plants and water, which are not to be taken for change
    loss=LossOptions(bce=1, dice=1),  # of all patches few show change: entropy alone finds it late
    learning_rate=2e-3,
    schedule="one-cycle",
)
"""Training that fits two cores and a minute; a real run takes the defaults of `TrainOptions`."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo made and how it scored.

    Parameters
    ----------
    folder : Path
        Where everything is.
    files : dict
        Scene, model, map and picture, by what they are.
    f1 : dict
        F1 on the unseen site against the known truth: of the network, and of a threshold on coherence and on the
        log-ratio, each at its best threshold, which only the truth can tell.
    seconds : float
        Taken by all of it.
    """

    folder: Path
    files: dict[str, str]
    f1: dict[str, float]
    seconds: float


def run(
    folder: str | Path = "demo",
    *,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
    note: Callable[[str], None] = lambda text: None,
) -> DemoResult:
    """Simulate two sites, learn on one and map the changes of the other.

    Parameters
    ----------
    folder : str or Path
        Folder to write into; it is made.
    seed : int
        Of the sites and of the training.
    overwrite : bool
        Replace the results of an earlier run.
    progress : callable
        Called with a description and a total; gives a context whose value is called with each advance.
    note : callable
        Called with a line about each step.

    Returns
    -------
    DemoResult

    Raises
    ------
    OptionError
        If the folder holds an earlier run and `overwrite` is False.
    """
    from sarcd.learn.train import train

    started = time.monotonic()
    folder = Path(folder)
    learn, scene, model = folder / "learn.zarr", folder / "scene.zarr", folder / "model.safetensors"
    if not overwrite and any(path.exists() for path in (learn, scene, model)):
        raise OptionError("holds an earlier run", where=str(folder), mend="choose another folder, or pass --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    note(f"simulating site {LEARN} to learn from and site {JUDGE}, which the network never sees")
    # Three dates to learn from: two pairs show twice the changes.
    made: tuple[tuple[sites.SiteName, Path, int], ...] = ((LEARN, learn, 3), (JUDGE, scene, 2))
    for name, path, dates in made:
        with progress(f"simulate {name}", 1) as advance:
            site = sites.site(name, size=_SIZE, seed=seed, dates=dates)
            write_scene(site, path, overwrite=overwrite)
            advance(1)
        write_statistics(path, progress=progress)
        write_coherence(path, OPTIONS.coherence, progress=progress)
    note(f"training a small U-Net on site {LEARN}")
    train(replace(OPTIONS, seed=seed), [learn], [], model, overwrite=overwrite, progress=progress)
    note(f"mapping the changes of site {JUDGE}")
    write_prediction(scene, model, PredictOptions(), progress=progress)
    f1 = scores_of(scene)
    files = {"scene": str(scene), "model": str(model)}
    for key, filename in (("map", "change_probability.tif"), ("picture", "change.png")):
        note(f"writing {filename}")
        files[key] = str(export(open_scene(scene), folder / filename, overwrite=overwrite).path)
    return DemoResult(folder, files, f1, time.monotonic() - started)


def scores_of(path: str | Path) -> dict[str, float]:
    """Return F1 of the stored map, and of thresholds on coherence and log-ratio at their best.

    Parameters
    ----------
    path : str or Path
        Scene with `label`, `coherence` and `change`.

    Returns
    -------
    dict
        `network`, `coherence_threshold` and `log_ratio_threshold`, pooled over the pairs.
    """
    scene = open_scene(path)
    truth = scene["label"].values
    candidates: dict[str, Any] = {
        "coherence_threshold": -scene["coherence"].values,  # low coherence speaks for change
        "log_ratio_threshold": ops.log_ratio(scene).values,
    }
    best = {name: float(best_threshold(truth, np.asarray(score))[1]) for name, score in candidates.items()}
    return {"network": float(evaluate(scene)["f1"].sel(over="pooled")), **best}
