"""A batch in parts or over several processes is equivalent to the whole batch at once."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from sarcd.config import AugmentOptions, CoherenceOptions, TrainOptions, Window, read_toml
from sarcd.engine.memory import Limit
from sarcd.models.file import load_model
from sarcd.networks import create_model
from sarcd.training import setup as micro_batch
from sarcd.training.setup import bytes_per_patch, choose_micro_batch
from sarcd.training.trainer import train
from tests.factories.labelled_scenes import toy_scene
from tests.training import two_steps

STILL = AugmentOptions(flip_azimuth=0, flip_range=0, shear=0, swap_dates=0, scale_coherence=0)
OPTIONS = TrainOptions(
    network={"widths": (4, 8)},
    coherence=CoherenceOptions(window=Window(5, 5)),
    patch=32,
    batch=8,
    epochs=1,
    device="cpu",
    augment=STILL,
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    hole = (slice(0, 40), slice(0, 100))  # patches with few labels, which averaging over patches would overweight
    return toy_scene(folder / "learn.zarr", hole=hole), toy_scene(folder / "judge.zarr", seed=1)


def test_parts_of_a_batch_add_up(tmp_path, scenes):
    """Equal except for batch norm, which sees one part at a time; weights and loss stay close."""
    results = [
        train(replace(OPTIONS, micro_batch=size), [scenes[0]], [], tmp_path / f"{size}.safetensors")
        for size in (8, 3, 1)
    ]
    assert [read_toml(result.run / "config.toml", TrainOptions).micro_batch for result in results] == [8, 3, 1]
    whole, *parts = (load_model(result.path).network.state_dict() for result in results)
    for part in parts:
        assert any(not torch.equal(part[name], whole[name]) for name in whole)
    for result in results[1:]:
        assert result.loss == pytest.approx(results[0].loss, rel=0.1)


def test_gradients_of_parts_are_those_of_the_batch():
    """With fixed batch norms the results are equal up to rounding, also if patches differ in their number of labels."""
    from sarcd.training.checkpoint import TrainState
    from sarcd.training.distributed import ProcessGroup
    from sarcd.training.loop import StepOptions, TrainingLoop

    torch.manual_seed(0)
    network = create_model("unet", 3, widths=(4, 8)).eval()
    x = torch.rand(5, 3, 16, 16)
    target = (torch.rand(5, 16, 16) < 0.3).to(torch.uint8)
    target[0, :, :12] = 255
    target[3] = 255
    found = []
    for size in (5, 2):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10])
        train_state = TrainState(network, optimizer, schedule, torch.amp.GradScaler("cpu", enabled=False))
        processes = ProcessGroup(0, 1, torch.device("cpu"))
        options = StepOptions(micro_batch=size)
        loss, count = TrainingLoop(train_state, options, processes).step(x, target)
        assert count == int((target != 255).sum())
        found.append((loss, [value.grad.clone() for value in network.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)  # against float64, AVX2 or SSE4.1: 9e-8
    for one, other in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)  # likewise: 4e-9 of 0.2


def test_micro_batch_follows_the_memory(monkeypatch):
    network = create_model("unet", 3, widths=(4, 8))
    cpu = torch.device("cpu")
    options = replace(OPTIONS, batch=64)
    needed = bytes_per_patch(network, options, cpu)
    assert bytes_per_patch(network, replace(options, patch=64), cpu) == pytest.approx(4 * needed, rel=0.1)
    free = type("Memory", (), {"available": int(20.5 * needed / micro_batch._SHARE["cpu"])})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert choose_micro_batch(network, options, cpu) == 16  # four equal parts of at most 20
    assert choose_micro_batch(network, replace(options, micro_batch=5), cpu) == 5
    assert choose_micro_batch(network, options, cpu, world=4) == 16
    monkeypatch.setattr(micro_batch, "free_memory", lambda: Limit(free.available // 2, "left by a container"))
    assert choose_micro_batch(network, options, cpu) == 10  # seven equal parts


def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    """Gradients are compared, not the optimiser's result, because Adam would hide any constant factor."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]  # any free port
    command += ["--module", "tests.training.two_steps", str(tmp_path)]
    root = Path(__file__).parents[2]
    places = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": places}
    if sys.platform == "linux":
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    expected, _ = two_steps.step(micro_batch=5)
    assert expected["count"] == (two_steps.batch()[1] != 255).sum()
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found["count"] == expected["count"]
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)  # as for parts


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, scenes):
    """Use torch's launcher on CPUs; batch norms see half of each batch, so losses are close but not equal."""
    options = ["patch=32", "batch=8", "epochs=3", "network.widths=[4, 8]", "device=cpu", "learning_rate=0.01"]
    flags = [part for setting in options for part in ("--set", setting)]
    augment = ("flip_azimuth", "flip_range", "shear", "swap_dates", "scale_coherence")
    flags += [part for name in augment for part in ("--set", f"augment.{name}=0")]

    def run(name, *launcher):
        output = tmp_path / f"{name}.safetensors"
        command = [sys.executable, *launcher, "-m", "sarcd_cli.main", "train", scenes[0], "--val", scenes[1]]
        command += ["-o", str(output), *flags]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr
        return load_model(output).card.training, done.stdout

    alone, _ = run("alone")
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "localhost", "--master-port"]
    together, printed = run("together", *launcher, "29533")
    assert printed.count("together.safetensors") == 1  # only one of them prints
    assert together["loss"] == pytest.approx(alone["loss"], rel=0.15)
    assert together["scores"]["tn"] + together["scores"]["fp"] == alone["scores"]["tn"] + alone["scores"]["fp"]
