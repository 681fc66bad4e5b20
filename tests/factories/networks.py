"""Small networks with random weights, shared by tests."""

import torch

from sarcd.config import CoherenceOptions
from sarcd.models.file import ModelCard, save_model
from sarcd.networks import create_model, model_options

WIDTHS = (4, 8, 12, 16)


def random_network(channels=3, *, seed=0, name="unet", **options):
    """Make a network in eval mode whose batch norm statistics are fitted and whose logits spread beyond 1."""
    if name == "unet":
        options.setdefault("widths", WIDTHS)
    torch.manual_seed(seed)
    network = create_model(name, in_channels=channels, **options)
    passes, side = (30, 128) if name == "unet" else (8, 64)
    network.train()
    with torch.no_grad():
        for _ in range(passes):
            network(torch.rand(2, channels, side, side))
        network.eval()
        spread = network(torch.rand(1, channels, 128, 128)).std()
        network.head.weight *= 1.5 / spread
        network.head.bias.zero_()
    return network


def random_model_file(
    path, channels=("before", "after", "coherence"), *, coherence=None, name="unet", training=None, **options
):
    """Write a model file with random weights; returns its path."""
    network = random_network(len(channels), name=name, **options)
    card = ModelCard(
        architecture=name,
        options={key: getattr(network, key) for key in model_options(name)},
        channels=channels,
        coherence=(coherence or CoherenceOptions()) if "coherence" in channels else None,
        training=training or {},
    )
    save_model(path, network, card)
    return path


def with_seen_statistics(network, seed):
    """Give batch norm statistics and weights the values of a trained network, with more precision than float32."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            torch.nn.init.normal_(module.bias, 0.3, 0.2, generator=generator)
    return network.double().eval()


def farthest(network, axis, step=3.0):
    """Change one pixel at each phase of the stride and return how far along an axis the output changes."""
    stride = network.stride
    centre = network.halo + stride
    sides = [2 * stride, 2 * stride]
    sides[axis] = 2 * centre + stride
    image = torch.rand(1, 3, *sides, dtype=torch.float64)
    back, ahead = [], []
    with torch.inference_mode():
        calm = network(image)
        for place in range(centre, centre + stride):
            for change in (step, -step):  # a maximum may mask an increase or a decrease, but hardly both
                moved = image.clone()
                moved.movedim(axis + 2, 0)[place, ..., stride] += change
                rows = (network(moved) != calm).movedim(axis + 2, 0).flatten(1).any(1).nonzero()
                back.append(place - int(rows.min()))
                ahead.append(int(rows.max()) - place)
    return max(back), max(ahead)
