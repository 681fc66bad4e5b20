"""Every network from labels to scores: trained briefly, saved, used for mapping, and evaluated."""

import pytest

from sarcd import jobs
from sarcd.config import AugmentOptions, PredictOptions, TrainOptions
from sarcd.metrics import evaluate
from sarcd.models.file import load_model
from sarcd.store.scene import open_scene
from sarcd.training.trainer import train
from tests.factories.labelled_scenes import toy_scene

NETWORKS = {
    "unet-small": {"widths": [4, 6]},
    "siamese-unet": {"fusion": "diff", "coherence": "stream"},
    "tinycd": {"backbone": "b0"},
    "changerex": {"dropout": 0.0},
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return toy_scene(tmp_path_factory.mktemp("toy") / "toy.zarr")


@pytest.mark.parametrize("name", NETWORKS)
def test_from_labels_to_a_score(name, scene, tmp_path):
    options = TrainOptions(
        model=name, network=NETWORKS[name], patch=64, batch=2, epochs=1, device="cpu", augment=AugmentOptions(shear=0)
    )
    model = tmp_path / "m.safetensors"
    train(options, [scene], [], model)
    loaded = load_model(model)
    assert loaded.card.architecture == name
    for option, value in NETWORKS[name].items():
        assert getattr(loaded.network, option) == (tuple(value) if isinstance(value, list) else value)
    result = jobs.predict(scene, model, PredictOptions(device="cpu"), name=name.replace("-", "_"))
    if not loaded.network.exact_tiles:
        assert result.tile == 64  # as in training
    scores = evaluate(open_scene(scene), variable=f"change_{name.replace('-', '_')}")
    assert scores["tp"].sel(over="pooled") + scores["fn"].sel(over="pooled") == 3 * 24**2
