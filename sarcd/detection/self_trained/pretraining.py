"""The network that ships with sarcd: trained on simulated pairs alone, the start for every scene.

``python -m sarcd.detection.self_trained.pretraining FILE`` makes it anew, in one run of about an hour on two cores
that compute in bfloat16; it wants 9 GB of memory.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import numpy as np

from sarcd.detection.kernels.pair_features import CHANNELS, measure_scale, pair_features
from sarcd.detection.self_trained.crops import Example, Plan, learn
from sarcd.errors import ModelError
from sarcd.networks.unet import UNet
from sarcd.progress import Progress, silent
from sarcd.simulation.core.amplitude_pairs import amplitude_pair
from sarcd.store.atomic import write_durably

PRIOR = Path(__file__).with_name("pretraining.safetensors")

PAIRS, PLAN, SEED = 7990, Plan(steps=16000, average=0.998, precision="bfloat16"), 0
"""Simulated pairs of 256 x 256 pixels, how the network learns from them, and the seed of its weights and crops."""

_WIDTHS = (16, 32, 48, 64)


def new_network(seed: int = SEED, widths: tuple[int, ...] = _WIDTHS) -> UNet:
    """Return a network that has learnt nothing, by default of the size of the one that ships."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(len(CHANNELS), widths=widths, bottleneck=widths[-1])


@functools.lru_cache(maxsize=1)
def load_prior() -> UNet:
    """Return the network that ships, in eval mode; nobody may change it.

    Raises
    ------
    ModelError
        If its file is not there, or not whole.

    Examples
    --------
    >>> sum(parameter.numel() for parameter in load_prior().parameters())
    435873
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = new_network()
    try:
        weights = load_file(PRIOR)
        network.load_state_dict({name: value.to(network.state_dict()[name].dtype) for name, value in weights.items()})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ModelError(
            "the network that ships with sarcd cannot be read", where=str(PRIOR), mend="install sarcd anew"
        ) from error
    return network.eval()


def simulated(seed: int) -> Example:
    """Return what a network sees of a simulated pair, in half precision."""
    pair = amplitude_pair(seed)
    scale = measure_scale([(pair.before, pair.after)])
    assert scale is not None  # there is speckle everywhere
    return Example(pair_features(pair.before, pair.after, scale).astype(np.float16), pair.label)


def make_prior(
    path: str | Path,
    *,
    pairs: int = PAIRS,
    plan: Plan = PLAN,
    progress: Progress = silent,
) -> None:
    """Simulate pairs, train the network on them, write its weights in half precision.

    Parameters
    ----------
    path : str or Path
        File to write, safetensors.
    pairs : int
        Number of pairs; about 1 MB of memory each.
    plan : Plan
        How it learns.
    progress : callable
        Told of pairs simulated and steps done.
    """
    import torch
    from safetensors.torch import save

    examples = []
    with progress("simulating", pairs) as advance:
        for seed in range(pairs):
            examples.append(simulated(seed))
            advance(1)
    network = learn(new_network(), examples, plan, seed=SEED, progress=progress)
    half = {
        name: (value.to(torch.float16) if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    write_durably(Path(path), save(half))


if __name__ == "__main__":
    make_prior(sys.argv[1])
