"""Requirements and measurements on any available GPU; skipped without one.

::

    make gpu-check
"""

import time

import numpy as np
import pytest
import torch

from sarcd.config import TrainOptions
from sarcd.networks import ARCHITECTURES, create_model
from sarcd.networks.folding import for_inference
from sarcd.training.losses import total_loss
from sarcd.training.setup import bytes_per_patch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SIDE = 256


def network_on(device, name):
    torch.manual_seed(0)
    return create_model(name, 3).to(device, memory_format=torch.channels_last)


def patches(count, device="cuda", side=SIDE):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(count, 3, side, side, generator=generator)
    return x.to(device, memory_format=torch.channels_last), (x[:, 2] < 0.3).to(torch.uint8).to(device)


def seconds(function, rounds=5):
    times = []
    for _ in range(rounds + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_forward_agrees_with_the_cpu(name):
    """Exact mode disables TF32; reduced precision stays close to it."""
    network = network_on("cpu", name).eval()
    x, _ = patches(1, "cpu")
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        expected = torch.sigmoid(network(x))
        for precision, most in (("float32", 1e-4), ("float16", 0.05), ("bfloat16", 0.15)):
            quick = for_inference(network.cuda(), precision=precision)
            found = torch.sigmoid(quick(x.to("cuda", PRECISIONS[precision])).float()).cpu()
            differing = float((found - expected).abs().max())
            print(f"\n{name} {precision}: probabilities differ from the CPU's by up to {differing:.1e}")
            assert differing < most
            network.cpu()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_step(precision):
    """A step in each precision lowers the loss on its own batch by about as much as on the CPU."""
    options = TrainOptions()
    network = network_on("cuda", "unet-small").train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "float16")
    x, target = patches(8)
    losses = []
    for _ in range(20):
        with torch.autocast("cuda", PRECISIONS[precision], enabled=precision != "float32"):
            logits = network(x)[:, 0]
        loss = total_loss(logits.float(), target, options.loss)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(loss))
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.8 * losses[0]


def test_memory_of_a_step_is_foreseen():
    options = TrainOptions()
    network = network_on("cuda", "unet").train()
    foreseen = 16 * bytes_per_patch(network, options, torch.device("cuda"))
    x, target = patches(16)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    total_loss(network(x)[:, 0], target, options.loss).backward()
    taken = torch.cuda.max_memory_allocated() - before
    print(f"\na step of 16 patches takes {taken / 2**30:.2f} GiB, foreseen {foreseen / 2**30:.2f}")
    assert 0.3 * foreseen < taken < 1.5 * foreseen


def test_throughput():
    properties = torch.cuda.get_device_properties(0)
    print(f"\n{properties.name}, {properties.total_memory / 2**30:.0f} GiB, torch {torch.__version__}")
    """Measure patches per second in inference and training by network and precision, beside the CPU of the machine."""
    rows = []
    for name in ARCHITECTURES:
        network = network_on("cuda", name)
        for precision, kind in PRECISIONS.items():
            count = 64
            x, target = patches(count)
            quick = for_inference(network.eval(), precision=precision)
            inputs = x.to(kind)
            with torch.inference_mode():
                forward = count / seconds(lambda q=quick, i=inputs: q(i))
            network.train()
            scaler = torch.amp.GradScaler("cuda", enabled=precision == "float16")

            def step(network=network, x=x, target=target, kind=kind, scaler=scaler):
                with torch.autocast("cuda", kind, enabled=kind != torch.float32):
                    logits = network(x)[:, 0]
                scaler.scale(total_loss(logits.float(), target, TrainOptions().loss)).backward()
                network.zero_grad(set_to_none=True)

            torch.cuda.reset_peak_memory_stats()
            training = count / seconds(step)
            peak = torch.cuda.max_memory_allocated() / 2**30
            rows.append((name, precision, forward, forward * SIDE**2 / 1e6, training, peak))
    forwards = {(name, precision): forward for name, precision, forward, *_ in rows}
    assert all(forwards[name, "float16"] > 0.8 * forwards[name, "float32"] for name in ARCHITECTURES)
    print(f"\n{'network':14}{'precision':11}{'forward/s':>11}{'Mpx/s':>9}{'train/s':>9}{'GiB':>7}")
    for name, precision, forward, pixels, training, peak in rows:
        print(f"{name:14}{precision:11}{forward:>11.0f}{pixels:>9.0f}{training:>9.0f}{peak:>7.1f}")
