"""Temperature scaling: recovers a known temperature, and does no harm to calibrated logits."""

import numpy as np
import pytest
import torch

from sarcd.training.validation import LogitCounts, calibrate, calibration_error, cross_entropy, divide_logits
from tests.factories.networks import random_network


def overconfident(temperature, count=400_000):
    """Make logits that are `temperature` times too large, and labels sampled from the true probability."""
    rng = np.random.default_rng(0)
    true = rng.normal(-1, 1.5, count)
    labels = rng.random(count) < 1 / (1 + np.exp(-true))
    counts = LogitCounts()
    for part in np.array_split(np.arange(count), 7):
        counts.add(torch.from_numpy(temperature * true[part]), torch.from_numpy(labels[part].astype("uint8")))
    return counts, temperature * true, labels


@pytest.mark.parametrize("temperature", [0.6, 1.0, 2.5])
def test_finds_the_temperature(temperature):
    counts, _, _ = overconfident(temperature)
    found = calibrate(counts)
    assert found.temperature == pytest.approx(temperature, rel=0.02)
    assert found.error_after < 0.003
    if temperature != 1:
        assert found.error_before > 5 * found.error_after


def test_measures_are_those_of_the_single_pixels():
    counts, logits, labels = overconfident(2.0)
    p = 1 / (1 + np.exp(-logits))
    expected = -np.where(labels, np.log(p), np.log(1 - p)).mean()
    # Logits are counted in bins of 1/64; the tolerance covers binning, not the processor.
    assert cross_entropy(counts) == pytest.approx(expected, abs=1e-4)
    bins = np.minimum((p * 15).astype(int), 14)
    error = sum((bins == b).mean() * abs(p[bins == b].mean() - labels[bins == b].mean()) for b in range(15))
    assert calibration_error(counts) == pytest.approx(error, abs=1e-3)


def test_one_class_or_none_says_nothing():
    counts = LogitCounts()
    assert calibrate(counts).temperature == 1
    counts.add(torch.tensor([0.3, -2.0, float("inf")]), torch.tensor([0, 0, 255], dtype=torch.uint8))
    found = calibrate(counts)
    assert (found.temperature, found.error_before) == (1, found.error_after)
    assert counts.values.sum() == 2


def test_a_network_is_calibrated_in_its_last_layer():
    network = random_network(widths=(4, 8))
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        network.head.bias.fill_(-1.5)
        before = network(x)
        divide_logits(network, 2.5)
        # Only the last layer is summed again: 4 float32 products, 2 roundings of 2^-24 for logits of 1.5.
        torch.testing.assert_close(network(x), before / 2.5, atol=1e-5, rtol=1e-5)
