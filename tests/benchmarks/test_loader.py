"""Patches per second delivered to a network, beside a scan of the whole store and other ways of reading patches."""

import os
import statistics
import time
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
import xarray as xr

from sarcd import jobs
from sarcd.config import TrainOptions
from sarcd.networks import create_model
from sarcd.store.reader import SceneReader
from sarcd.store.scene import SceneStore
from sarcd.training.batches import Batches
from sarcd.training.datasets import prepare
from sarcd.training.losses import total_loss
from tests.benchmarks.measure import compare, table
from tests.factories.labelled_scenes import store_toy

pytestmark = pytest.mark.benchmark
SIDE, CHUNK, SIZE, ROUNDS = 4096, 1024, 256, 3
SOME = 64  # number of patches for the slow alternatives
SCAN = "full scan, no arithmetic"
PATCHES = (SIDE // SIZE) ** 2
CPU = torch.device("cpu")
OPTIONS = TrainOptions(patch=SIZE, batch=32, shuffle=64, cache="none")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Make a scene of integer noise at two dates, as in products; a fifth of the patches contain changes."""
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal((SIDE, SIDE, 2), np.float32).view(np.complex64)[..., 0] for _ in range(2)]
    slc = np.stack([noise[0], 0.8 * noise[0] + 0.6 * noise[1]]) * 100
    label = np.zeros((1, SIDE, SIDE), np.uint8)
    cells = rng.permutation(PATCHES)[: PATCHES // 5]
    for cell in cells:
        y, x = (SIZE * part for part in divmod(int(cell), SIDE // SIZE))
        label[0, y + 40 : y + 80, x + 40 : x + 80] = 1
    stored = store_toy(tmp_path_factory.mktemp("loader") / "a.zarr", np.round(slc), label, chunk=CHUNK)
    jobs.statistics(stored)
    return stored


def scan(path):
    """Decode every chunk of both images and the label."""
    store = SceneStore(path)
    arrays = store.array("slc"), store.array("label")
    for y, x in product(range(0, SIDE, CHUNK), repeat=2):
        window = slice(y, y + CHUNK), slice(x, x + CHUNK)
        for array, index in ((arrays[0], 0), (arrays[0], 1), (arrays[1], 0)):
            array[(index, *window)]


def drain(batches, epochs):
    for x, _, _ in batches.epoch(next(epochs)):
        assert x.shape[1:] == (3, SIZE, SIZE)


def loader(path, folder=None, **changes):
    """Return a function that reads one epoch, and its number of patches."""
    options = replace(OPTIONS, **changes)
    data = prepare(options, [path], [], folder=folder, draw_seed=0)
    return partial(drain, Batches(data.training, options, CPU, shuffle=True), iter(range(1000))), len(data.training)


class RandomWindows(torch.utils.data.Dataset):
    """Read patches naively: amplitudes and label of each patch with `isel`."""

    def __init__(self, path):
        self.scene = xr.open_zarr(path, chunks=None)

    def __len__(self):
        return PATCHES

    def __getitem__(self, number):
        y, x = (SIZE * part for part in divmod(int(number), SIDE // SIZE))
        part = self.scene.isel(y=slice(y, y + SIZE), x=slice(x, x + SIZE))
        return torch.from_numpy(np.abs(part["slc"].values)), torch.from_numpy(part["label"].values[0])


def by_isel(path):
    order = np.random.default_rng(0).permutation(PATCHES)[:SOME]
    for x, _ in torch.utils.data.DataLoader(RandomWindows(path), batch_size=32, sampler=order):
        assert x.shape[1:] == (2, SIZE, SIZE)


def by_xbatcher(path):
    """Read the same patches with xbatcher's generators under torch's data loader."""
    import xbatcher
    from xbatcher.loaders.torch import MapDataset

    part = slice(round(SOME**0.5) * SIZE)
    scene = xr.open_zarr(path, chunks={}).isel(y=part, x=part)
    arrays = np.abs(scene["slc"]), scene["label"]
    parts = [xbatcher.BatchGenerator(array, {"y": SIZE, "x": SIZE}, preload_batch=False) for array in arrays]
    for x, _ in torch.utils.data.DataLoader(MapDataset(*parts), batch_size=32, shuffle=True):
        assert x.shape[1:] == (2, SIZE, SIZE)


def consume():
    """Run training steps of the fastest network on patches in memory."""
    network = create_model("unet-small", 3).to(memory_format=torch.channels_last)
    x = torch.rand(8, 3, SIZE, SIZE).contiguous(memory_format=torch.channels_last)
    target = (x[:, 0] < 0.1).to(torch.uint8)
    for _ in range(2):
        total_loss(network(x)[:, 0], target, OPTIONS.loss).backward()


def chunks_read(function):
    """Count the chunks of images, labels and coherence decoded within the context."""
    keys, real = [], SceneReader._decode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SceneReader, "_decode", lambda self, key: keys.append(key) or real(self, key))
        function()
    return len(keys)


def processor_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(path, folder, title):
    ways = {
        SCAN: (partial(scan, path), PATCHES),
        "chunk order, all": loader(path, sampling="all"),
        "chunk order, all, 2 workers": loader(path, sampling="all", workers=2),
        "chunk order, balanced": loader(path),
        "chunk order, balanced, 2 workers": loader(path, workers=2),
        "random order, balanced": loader(path, order="random"),
        "cached on disk, balanced": loader(path, folder, cache="disk"),
        "cached in memory, balanced": loader(path, cache="memory"),
        "xbatcher, amplitudes only": (partial(by_xbatcher, path), SOME),
        "isel, amplitudes only": (partial(by_isel, path), SOME),
        "(consumed by training unet-small)": (consume, 16),
    }
    times = compare({name: call for name, (call, _) in ways.items()}, ROUNDS)
    speeds = {name: [count / value for value in times[name]] for name, (_, count) in ways.items()}
    yard = processor_seconds(ways[SCAN][0]) / PATCHES
    rows, ratios = [], {}
    for name, (call, count) in ways.items():
        ratio = statistics.median(a / b for a, b in zip(speeds[name], speeds[SCAN], strict=True))
        ratios[name] = ratio
        alone = "2 workers" not in name
        work = f"{processor_seconds(call) / count / yard:.1f}" if alone else "-"
        reads = f"{chunks_read(call) / count:.2f}" if alone and "order" in name else "-"
        rows.append((name, f"{statistics.median(speeds[name]):.0f}", f"{ratio:.2f}", work, reads))
    header = [
        "patches of 256 x 256",
        "patches/s",
        "/ full scan",
        "processor time / scan",
        "chunks read per patch",
    ]
    table(f"{title}; {os.cpu_count()} cores, torch with {torch.get_num_threads()} threads", header, rows)
    assert ratios["chunk order, all"] > 0.4
    assert ratios["chunk order, balanced"] > 3 * ratios["xbatcher, amplitudes alone"]
    assert min(ratios["kept on disk, balanced"], ratios["kept in memory, balanced"]) > 1


def test_loader(path, tmp_path):
    measure(path, tmp_path, f"{SIDE} x {SIDE}, 2 dates, coherence computed")
    jobs.coherence(path, OPTIONS.coherence)
    measure(path, tmp_path, f"{SIDE} x {SIDE}, 2 dates, coherence stored")
