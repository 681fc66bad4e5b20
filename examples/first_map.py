"""Train a network and map changes with it, in Python: simulate, train, map, evaluate, plot.

Run with ``python examples/first_map.py [FOLDER]``. The sites are small and the training is short, so that it takes
half a minute. Without `model`, `predict` uses the pretrained network, which was trained far longer.
"""

import sys
from pathlib import Path

import xarray as xr

import sarcd  # noqa: F401  registers the .sarcd accessor
from sarcd.config import TrainOptions
from sarcd.simulation.sites import simulate
from sarcd.store.create import write_scene
from sarcd.training.trainer import train

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "first_map")
folder.mkdir(parents=True, exist_ok=True)

# Two simulated mines with known changes. With images of your own: `sarcd ingest before.tif after.tif -o scene.zarr`.
write_scene(simulate("A", size=512, dates=3), folder / "learn.zarr", overwrite=True)
write_scene(simulate("B", size=512), folder / "scene.zarr", overwrite=True)

options = TrainOptions(
    network={"widths": (8, 16, 32)}, patch=64, batch=8, epochs=25, learning_rate=4e-3, schedule="one-cycle"
)
train(options, [folder / "learn.zarr"], [], folder / "model.safetensors", overwrite=True)

scene = xr.open_zarr(folder / "scene.zarr")  # plain xarray; everything below is lazy until it is computed
result = scene.sarcd.predict(model=folder / "model.safetensors")
print(result)

mapped = scene.assign(result.compute()).assign(coherence=scene.sarcd.coherence(window=5))
print(mapped.sarcd.evaluate()[["f1", "precision", "recall"]].to_dataframe())
mapped.sarcd.plot().savefig(folder / "map.png")
