"""Validation scores of a network before and after temperature scaling."""

from dataclasses import replace

import pytest
import torch

from sarcd.config import CoherenceOptions, TrainOptions, Window
from sarcd.training.batches import Batches
from sarcd.training.datasets import prepare
from sarcd.training.distributed import join_process_group
from sarcd.training.validation import calibrated, validate
from tests.factories.labelled_scenes import toy_scene
from tests.factories.networks import random_network

OPTIONS = TrainOptions(patch=32, batch=4, coherence=CoherenceOptions(window=Window(5, 5)), device="cpu")


@pytest.mark.parametrize("threshold", [0.5, 0.6])
@pytest.mark.parametrize("counted", [True, False])
def test_scores_after_calibration_are_those_of_judging_again(tmp_path, threshold, counted):
    options = replace(OPTIONS, threshold=threshold)
    data = prepare(options, [toy_scene(tmp_path / "a.zarr")], [toy_scene(tmp_path / "b.zarr", seed=1)], draw_seed=0)
    batches = Batches(data.validation, options, torch.device("cpu"), shuffle=False)
    network = random_network()
    with torch.no_grad():
        network.head.weight *= 8  # far too confident
    with join_process_group("cpu") as processes:
        before, counts = validate(network, batches, options, processes)
        found, after = calibrated(network, batches, options, processes, before, counts if counted else None)
        expected, _ = validate(network, batches, options, processes)
    assert found.temperature > 1.5
    assert after["cross_entropy"] < before["cross_entropy"]
    assert (before["tp"] == expected["tp"]) == (threshold == 0.5)
    assert after == pytest.approx(expected, abs=3e-3)  # logits are counted in bins of 1/64
    data.close()
