"""The demo: map the changes of a simulated mine with the pretrained model, and score the map."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sarcd import change, jobs
from sarcd.engine.tasks import Progress, silent
from sarcd.errors import OptionError
from sarcd.exporting.export_files import export
from sarcd.metrics import evaluate
from sarcd.metrics.kernels.scores import best_threshold
from sarcd.optional import require
from sarcd.simulation import sites
from sarcd.store.create import write_scene
from sarcd.store.scene import open_scene

SITE: sites.SiteName = "B"
"""Site with the most varied land cover; the model was not trained on sites of this kind."""

_SIZE = 1024


@dataclass(frozen=True)
class DemoResult:
    """Files and scores of the demo.

    Parameters
    ----------
    folder : Path
        Folder of all files.
    files : dict
        Paths by kind: `scene`, `map` and `picture`.
    f1 : dict
        F1 against the ground truth: of the network, and of coherence and the log-ratio, each at the threshold that
        is best for this ground truth.
    seconds : float
        Total run time.
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
    """Simulate a site, map its changes and score the map.

    Parameters
    ----------
    folder : str or Path
        Folder to write to; it is created.
    seed : int
        Seed of the site.
    overwrite : bool
        Replace the results of an earlier run.
    progress : callable
        Called with a description and a total. It returns a context manager whose value is called with each advance.
    note : callable
        Called with one line of text per step.

    Returns
    -------
    DemoResult

    Raises
    ------
    OptionError
        If the folder holds an earlier run and `overwrite` is False.
    MissingPackageError
        If PyTorch or matplotlib is not installed.
    """
    require("torch", "safetensors", "matplotlib")
    started = time.monotonic()
    folder = Path(folder)
    scene = folder / "scene.zarr"
    if not overwrite and scene.exists():
        raise OptionError(
            "already contains a run of the demo", source=str(folder), hint="choose another folder, or pass --overwrite"
        )
    folder.mkdir(parents=True, exist_ok=True)
    note(f"simulating site {SITE}, which no network was trained on")
    with progress(f"simulate {SITE}", 1) as advance:
        write_scene(sites.simulate(SITE, size=_SIZE, seed=seed), scene, overwrite=overwrite)
        advance(1)
    jobs.statistics(scene, progress=progress)
    jobs.coherence(scene, progress=progress)
    note("mapping its changes with the pretrained model")
    jobs.predict(scene, progress=progress)
    f1 = scores_of(scene)
    files = {"scene": str(scene)}
    for key, filename in (("map", "change_probability.tif"), ("picture", "change.png")):
        note(f"writing {filename}")
        files[key] = str(export(open_scene(scene), folder / filename, overwrite=overwrite).path)
    return DemoResult(folder, files, f1, time.monotonic() - started)


def scores_of(path: str | Path) -> dict[str, float]:
    """Return the F1 of the stored map, and of coherence and the log-ratio at their best thresholds.

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
        "coherence_threshold": -scene["coherence"].values,  # low coherence indicates change
        "log_ratio_threshold": change.log_ratio(scene).values,
    }
    best = {name: float(best_threshold(truth, np.asarray(score))[1]) for name, score in candidates.items()}
    return {"network": float(evaluate(scene)["f1"].sel(over="pooled")), **best}
