"""Peak memory of the commands on an 8192 x 8192 pair, each in its own process with default settings."""

import numpy as np
import pytest
import rasterio
import torch
from rasterio.windows import Window

from sarcd.config import CoherenceOptions
from sarcd.models.file import ModelCard, save_model
from sarcd.networks import create_model
from tests.benchmarks.measure import run_measured, table

pytestmark = pytest.mark.benchmark
SIDE = 8192


def write_images(folder):
    """Write two complex GeoTIFFs of correlated noise, in strips as most processors write them."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 1, "dtype": "complex64"}
    paths = [folder / "20230319.tif", folder / "20230331.tif"]
    with rasterio.open(paths[0], "w", **profile) as first, rasterio.open(paths[1], "w", **profile) as second:
        for row in range(0, SIDE, 256):
            shared, one, two = (
                rng.standard_normal((256, SIDE, 2), np.float32).view(np.complex64)[..., 0] for _ in range(3)
            )
            window = Window(0, row, SIDE, 256)
            first.write(shared + one, 1, window=window)
            second.write(shared + two, 1, window=window)
    return [str(path) for path in paths]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_memory(tmp_path):
    images, scene, model = write_images(tmp_path), str(tmp_path / "scene.zarr"), tmp_path / "m.safetensors"
    network = create_model("unet", in_channels=3)
    card = ModelCard("unet", {"widths": list(network.widths)}, ("before", "after", "coherence"), CoherenceOptions())
    torch.manual_seed(0)
    save_model(model, network, card)
    commands = {
        "sarcd ingest": ["ingest", *images, "-o", scene],
        "sarcd statistics": ["statistics", scene],
        "sarcd coherence": ["coherence", scene],
        "sarcd predict": ["predict", scene, "--model", str(model)],
    }
    rows = []
    for name, arguments in commands.items():
        taken, peak, code = run_measured(arguments)
        assert code == 0
        rows.append((name, f"{peak:.2f}", f"{taken:.0f}", f"{SIDE * SIDE / 1e6 / taken:.2f}"))
    title = f"A pair of {SIDE} x {SIDE} complex64 at default settings"
    table(title, ["command", "peak memory, GiB", "seconds", "Mpx/s"], rows)
    assert all(float(row[1]) < 2 for row in rows)
