"""Algorithm 1 on stored scenes: selected patches, provenance, and variables that are never modified."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from sarcd.attributes import parameters_of
from sarcd.config import CoherenceOptions, PseudoOptions, TrainOptions, Window
from sarcd.errors import MismatchError, TrainingError
from sarcd.jobs.stored_pseudo_labels import pseudo_label, self_train
from sarcd.models.file import load_model
from sarcd.store.scene import open_scene
from sarcd.training.trainer import train
from sarcd_cli.main import main
from tests.factories.labelled_scenes import toy_scene

OPTIONS = TrainOptions(
    network={"widths": (4, 8)},
    coherence=CoherenceOptions(window=Window(5, 5)),
    patch=32,
    batch=4,
    epochs=12,
    learning_rate=1e-2,
    schedule="one-cycle",
    device="cpu",
)
LOOSE = PseudoOptions(confidence=0.6, min_confident=0.5)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toys")
    scene = toy_scene(folder / "learn.zarr")
    return scene, train(OPTIONS, [scene], [], folder / "teacher.safetensors").path


@pytest.fixture
def unlabelled(tmp_path):
    return toy_scene(tmp_path / "new.zarr", seed=1, side=140, squares=((20, 30, 30), (70, 60, 24)), gain=3.0)


def test_labels_follow_the_map_in_chosen_patches_alone(learnt, unlabelled):
    human = open_scene(unlabelled)["label"].values
    result = pseudo_label([unlabelled], learnt[1], LOOSE)
    scene = xr.open_zarr(unlabelled)
    found, probability = scene["pseudo_label"].values, scene["change_probability"].values
    cells = found[0, :128, :128].reshape(4, 32, 4, 32)
    chosen = (cells != 255).any(axis=(1, 3))
    assert result.chosen == chosen.sum() > 0
    sure = np.maximum(probability, 1 - probability)[0, :128, :128].reshape(4, 32, 4, 32) > 0.6
    assert (sure.mean(axis=(1, 3))[chosen] > 0.5).all()
    mask = np.zeros(found.shape, bool)
    mask[0, :128, :128] = np.kron(chosen, np.ones((32, 32), bool))
    expected = np.where(mask & np.isfinite(probability), probability > 0.5, 255)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(scene["label"].values, human)
    attrs = scene["pseudo_label"].attrs
    assert attrs["sarcd_operation"] == "pseudo-label"
    assert parameters_of(attrs)["model"] == load_model(learnt[1]).digest
    assert parameters_of(attrs)["confidence"] == 0.6


def test_other_settings_are_refused_and_then_replace(learnt, unlabelled):
    first = pseudo_label([unlabelled], learnt[1], LOOSE)
    assert pseudo_label([unlabelled], learnt[1], LOOSE) == first
    with pytest.raises(MismatchError, match="max_patches"):
        pseudo_label([unlabelled], learnt[1], replace(LOOSE, max_patches=1))
    again = pseudo_label([unlabelled], learnt[1], replace(LOOSE, max_patches=1), overwrite=True)
    assert again.chosen == 1
    beside = pseudo_label([unlabelled], learnt[1], LOOSE, name="loose")
    assert beside.variable == "pseudo_label_loose"
    assert beside.chosen == first.chosen


def test_at_most_as_many_as_were_learnt_from(learnt, unlabelled):
    result = pseudo_label([unlabelled], learnt[1], PseudoOptions(confidence=0.5, min_confident=0))
    card = load_model(learnt[1]).card
    assert result.qualified == 16
    assert result.chosen == min(16, card.training["patches"])


def test_no_patch_is_sure_enough(learnt, unlabelled):
    with pytest.raises(TrainingError, match="--confidence"):
        pseudo_label([unlabelled], learnt[1], PseudoOptions(confidence=0.999999, min_confident=0.99))
    assert "pseudo_label" not in xr.open_zarr(unlabelled)


def test_training_on_both_kinds(tmp_path, learnt, unlabelled):
    result = pseudo_label([unlabelled], learnt[1], LOOSE)
    both = train(OPTIONS, [learnt[0]], [], tmp_path / "both.safetensors", pseudo=[unlabelled])
    alone = load_model(learnt[1]).card.training["patches"]
    assert both.pseudo_patches == result.chosen
    assert both.patches == alone + result.chosen
    card = load_model(both.path).card
    assert card.training["pseudo"] == ["new.zarr"]
    assert card.training["transductive"] == []
    # N counts only patches with manual labels, so that pseudo-labels do not increase later selections.
    assert alone < 16
    again = pseudo_label([unlabelled], both.path, PseudoOptions(confidence=0.5, min_confident=0), name="again")
    assert again.chosen == alone


def test_self_training_from_nothing_but_labels_and_new_ground(tmp_path, learnt, unlabelled):
    options = replace(OPTIONS, pseudo=LOOSE)
    result = self_train(options, [learnt[0]], [unlabelled], [unlabelled], tmp_path / "m.safetensors")
    assert result.pseudo_patches > 0
    assert result.scores["f1"] > 0.5
    card = load_model(result.path).card
    assert card.training["transductive"] == ["new.zarr"]  # evaluated on areas seen in training, as the file records
    assert "pseudo_label_round0" in xr.open_zarr(unlabelled)
    assert [path.name for path in result.run.glob("round-*.safetensors")] == ["round-0.safetensors"]


def test_command(learnt, unlabelled, capsys):
    arguments = ["pseudo-label", unlabelled, "--model", str(learnt[1]), "--confidence", "0.6", "--min-confident", "0.5"]
    assert main([*arguments, "--json", "--device", "cpu"]) == 0
    assert '"variable": "pseudo_label"' in capsys.readouterr().out
    assert main([*arguments, "--max-patches", "1", "--device", "cpu"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["pseudo-label", unlabelled, "--model", str(learnt[1]), "--confidence", "0.3"]) == 1
    assert "confidence" in capsys.readouterr().err
