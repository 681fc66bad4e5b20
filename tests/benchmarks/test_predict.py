"""Prediction from store to store, beside the bare network on the same padded tiles."""

import numpy as np
import pytest
import torch

from sarcd import jobs
from sarcd.config import CoherenceOptions, PredictOptions
from sarcd.inference import Tiling, forward
from sarcd.models.file import ModelCard, load_model, save_model
from sarcd.networks import create_model
from sarcd.simulation.sites import simulate
from sarcd.store.create import write_scene
from sarcd.store.scene import open_scene
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
SIDE = 3072


@pytest.mark.parametrize("name", ["unet-small", "unet"])
def test_predict(tmp_path, name):
    path = tmp_path / "scene.zarr"
    write_scene(simulate("A", size=SIDE), path)
    jobs.statistics(path)
    torch.manual_seed(0)
    network = create_model(name, in_channels=3)
    card = ModelCard(name, {"widths": list(network.widths)}, ("before", "after", "coherence"), CoherenceOptions())
    save_model(tmp_path / "m.safetensors", network, card)
    loaded = load_model(tmp_path / "m.safetensors").quick()
    rows = []
    for tile in (512, 1024):
        tiling = Tiling((SIDE, SIDE), loaded.network.stride, loaded.network.tile_halo, tile)
        region = slice(0, SIDE), slice(0, SIDE)
        shapes = [tiling.source(core) for core in tiling.cores(region)]
        inputs = [
            np.zeros((1, 3, source[0].stop - source[0].start, source[1].stop - source[1].start), np.float32)
            for source in shapes
        ]
        options = PredictOptions(tiles=tile, batch=1)
        runs = {
            "job": lambda options=options: jobs.predict(path, tmp_path / "m.safetensors", options, overwrite=True),
            "bare": lambda inputs=inputs: [forward(loaded.network, values, loaded.device) for values in inputs],
        }
        times = compare(runs, rounds=2)
        assert np.isfinite(open_scene(path).change_probability).any()
        rows.append(
            (
                tile,
                f"{SIDE * SIDE / 1e6 / float(np.median(times['job'])):.3f}",
                f"{SIDE * SIDE / 1e6 / float(np.median(times['bare'])):.3f}",
                f"{1 / ratio(times, 'job', 'bare'):.2f}",
                f"{tiling.kept_share((1024, 1024)):.2f}",
            )
        )
    table(
        f"Prediction with {name} of a simulated scene of {SIDE} x {SIDE}, coherence in the same pass",
        ["tile, pixels", "job, Mpx/s", "network alone, Mpx/s", "job / network", "fraction of computed pixels kept"],
        rows,
    )
