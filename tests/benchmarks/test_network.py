"""Effect of each optimisation for inference on speed and on the probabilities."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from sarcd.demo import run
from sarcd.estimation.channels import features, fill_holes
from sarcd.inference import forward
from sarcd.models.file import load_model
from sarcd.models.pretrained import MINES
from sarcd.networks import create_model
from sarcd.networks.folding import for_inference
from sarcd.store.scene import open_scene
from tests.benchmarks.measure import compare, ratio, table

pytestmark = pytest.mark.benchmark
CPU = torch.device("cpu")


def steps(network):
    """Return the network after each optimisation, starting from a plain `network(x)`."""
    plain = network.eval().to(memory_format=torch.contiguous_format)
    return {
        "as trained": plain,
        "+ channels last": copy.deepcopy(plain).to(memory_format=torch.channels_last),
        "+ batch norm folded (default)": for_inference(plain),
        "+ compiled": for_inference(plain, compiled=True),
        "bfloat16, not compiled": for_inference(plain, precision="bfloat16"),
        "bfloat16, compiled": for_inference(plain, precision="bfloat16", compiled=True),
        "float16, not compiled": for_inference(plain, precision="float16"),
    }


def run_plain(network, inputs):
    with torch.inference_mode():
        return network(torch.from_numpy(inputs))[:, 0].numpy()


def trained_deviation(folder):
    """Measure the largest change of a probability by each step, for the pretrained network on the demo's scene."""
    run(folder)
    loaded = load_model(MINES)
    scene = open_scene(folder / "scene.zarr")
    side = slice(0, min(scene.sizes["y"], scene.sizes["x"]) // 16 * 16)
    seen = features(scene, channels=loaded.card.channels, coherence=loaded.card.coherence).isel(y=side, x=side)
    inputs = fill_holes(seen.values[0], loaded.card.channels)[0][None]
    logits = {name: forward(network, inputs, CPU) for name, network in steps(loaded.network).items()}
    found = {name: 1 / (1 + np.exp(-values.astype(float))) for name, values in logits.items()}
    return {name: float(np.abs(values - found["as trained"]).max()) for name, values in found.items()}


@pytest.mark.parametrize(("name", "side"), [("unet", 640), ("unet-small", 1152)])
def test_network(tmp_path, name, side):
    torch.manual_seed(0)
    inputs = np.random.default_rng(0).random((1, 3, side, side), np.float32)
    networks = steps(create_model(name, in_channels=3))
    calls = {step: lambda network=network: forward(network, inputs, CPU) for step, network in networks.items()}
    calls["as trained"] = lambda: run_plain(networks["as trained"], inputs)
    times = compare(calls)
    moved = trained_deviation(tmp_path)
    rows = [
        (
            step,
            f"{side * side / 1e6 / float(np.median(values)):.2f}",
            f"{1 / ratio(times, step, 'as trained'):.2f}",
            f"{moved[step]:.5f}",
        )
        for step, values in times.items()
    ]
    table(
        f"{name} on one tile of {side} x {side}; the last column is from the demo's trained network",
        ["step", "Mpx/s", "speed / 'as trained'", "largest difference in probability"],
        rows,
    )
    assert ratio(times, "+ batch norm folded (default)", "as trained") < 1
    assert max(moved[step] for step in ("+ channels last", "+ batch norm folded (default)", "+ compiled")) < 1e-4
    assert max(moved.values()) < 0.1


@pytest.mark.parametrize("name", ["unet", "unet-small"])
def test_tiles(name):
    """Measure map pixels per second by tile size: larger tiles waste less on their halo but fit caches less well."""
    network = for_inference(create_model(name, in_channels=3).eval())
    rng = np.random.default_rng(0)
    sides = {tile: tile + 2 * network.tile_halo for tile in (1024, 256, 512, 2048)}
    inputs = {tile: rng.random((1, 3, side, side), np.float32) for tile, side in sides.items()}
    times = compare({tile: partial(forward, network, inputs[tile], CPU) for tile in sides}, rounds=3)
    speeds = {tile: tile * tile / 1e6 / float(np.median(values)) for tile, values in times.items()}
    rows = [
        (tile, f"{speeds[tile]:.2f}", f"{speeds[tile] / speeds[1024]:.2f}", f"{(tile / sides[tile]) ** 2:.2f}")
        for tile in sorted(sides)
    ]
    table(f"{name} by tile", ["tile, pixels", "Mpx/s of map", "speed / 1024", "fraction of computed pixels kept"], rows)
    assert speeds[1024] > speeds[256]
