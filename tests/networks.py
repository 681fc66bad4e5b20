"""Small networks with random weights that tests share."""

import torch

from sarcd.config import CoherenceOptions
from sarcd.model_file import ModelCard, save_model
from sarcd.models import create_model

WIDTHS = (4, 8, 12, 16)


def random_network(channels=3, *, seed=0, widths=WIDTHS):
    """A U-Net in eval mode whose batch norms have seen data and whose logits spread beyond 1."""
    torch.manual_seed(seed)
    network = create_model("unet", in_channels=channels, widths=widths)
    network.train()
    with torch.no_grad():
        for _ in range(30):
            network(torch.rand(2, channels, 128, 128))
        network.eval()
        spread = network(torch.rand(1, channels, 128, 128)).std()
        head = list(network.modules())[-1]
        head.weight *= 1.5 / spread
        head.bias.zero_()
    return network


def random_model_file(path, channels=("before", "after", "coherence"), *, coherence=None, **options):
    """Write a model file with random weights; returns its path."""
    network = random_network(len(channels), **options)
    card = ModelCard(
        architecture="unet",
        options={"widths": list(network.widths)},
        channels=channels,
        coherence=(coherence or CoherenceOptions()) if "coherence" in channels else None,
    )
    save_model(path, network, card)
    return path
