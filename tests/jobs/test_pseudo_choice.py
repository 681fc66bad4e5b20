"""Pseudo-labels of given maps, checked by hand over several scenes; and the steps of self-training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sarcd.jobs.stored_pseudo_labels as module
from sarcd.attributes import parameters_of
from sarcd.config import PseudoOptions, TrainOptions
from sarcd.errors import MismatchError
from sarcd.jobs.stored_pseudo_labels import PseudoLabelResult, pseudo_label, self_train
from sarcd.store.results import variable_name
from sarcd.store.scene import open_scene
from sarcd.training import trainer as training
from tests.factories.labelled_scenes import add_layer
from tests.factories.networks import random_model_file
from tests.factories.scenes import stored_scene

PATCH, LEARNT_FROM = 16, 8
OPTIONS = PseudoOptions(confidence=0.8, min_confident=0.6, max_patches=1000)
SHAPES = {"a.zarr": (3, 50, 70), "b.zarr": (2, 32, 90)}  # with rows and columns outside all patches


def made_up_map(rng, shape):
    """Make probabilities (pair, y, x) in cells of varying confidence, partly or fully changed; some are invalid."""
    pairs, height, width = shape[0] - 1, *shape[1:]
    out = np.empty((pairs, height, width), "float32")
    for y in range(0, height, PATCH):
        for x in range(0, width, PATCH):
            cell = out[:, y : y + PATCH, x : x + PATCH]
            cell[...] = rng.uniform(0, rng.choice([0.1, 0.4, 0.7]), cell.shape)
            share = rng.choice([0, 0.3, 0.95], p=[0.5, 0.25, 0.25])
            turned, vague = rng.random(cell.shape) < share, rng.random(cell.shape) < share / 4
            cell[turned] = 1 - cell[turned]
            cell[vague] = rng.random(vague.sum())
    out[rng.random(out.shape) < 0.03] = np.nan
    return out


@pytest.fixture
def maps(tmp_path, rng, monkeypatch):
    """Store scenes with their maps, which do not depend on the network."""
    found = {str(stored_scene(tmp_path / name, rng, shape)): made_up_map(rng, shape) for name, shape in SHAPES.items()}

    def given(scene, model, predict, *, name, **options):
        variable = variable_name("change_probability", name)
        if variable not in open_scene(scene):
            add_layer(scene, variable, found[scene] if not name else 1 - found[scene])

    monkeypatch.setattr(module.stored_prediction, "predict", given)
    return found


@pytest.fixture
def model(tmp_path):
    training = {"options": {"patch": PATCH}, "patches": LEARNT_FROM + 3, "pseudo_patches": 3}
    return random_model_file(tmp_path / "m.safetensors", widths=(4,), training=training)


def cells(maps):
    """Yield every patch: scene, pair, position and probabilities (PATCH, PATCH)."""
    for scene, values in maps.items():
        for pair, y, x in np.ndindex(len(values), *(size // PATCH for size in values.shape[1:])):
            place = np.s_[pair, y * PATCH : (y + 1) * PATCH, x * PATCH : (x + 1) * PATCH]
            yield (scene, pair, y, x), place, values[place]


def qualified(maps, *, reading="either"):
    """Return the patches with over 60 % of pixels above 0.8 certainty: whether any changed, and the mean certainty."""
    found = {}
    for key, _, p in cells(maps):
        sure = p > 0.8 if reading == "change" else (p > 0.8) | (p < np.float32(1) - np.float32(0.8))
        if sure.sum() > 0.6 * PATCH**2:
            found[key] = (p > 0.5).any(), np.nanmean(np.maximum(p, 1 - p))
    return found


def labelled(maps, name="pseudo_label"):
    """Return the labelled patches; also check that their labels are those of the map, and that there are no others."""
    found = set()
    for scene, values in maps.items():
        labels = open_scene(scene)[name].values
        for key, place, p in cells({scene: values}):
            if (labels[place] != 255).any():
                found.add(key)
                np.testing.assert_array_equal(labels[place], np.where(np.isnan(p), 255, p > 0.5))
                labels[place] = 255
        assert (labels == 255).all()
    return found


@pytest.mark.parametrize("reading", ["either", "change"])
def test_every_patch_that_qualifies_by_either_reading(maps, model, reading):
    expected = qualified(maps, reading=reading)
    result = pseudo_label(list(maps), model, replace(OPTIONS, reading=reading))
    assert labelled(maps) == set(expected)
    assert 0 < len(expected) < (2 * 12 + 10)
    with_change = sum(changed for changed, _ in expected.values())
    assert result == PseudoLabelResult("pseudo_label", 34, len(expected), len(expected), with_change)
    if reading == "either":
        assert 0 < with_change < len(expected)


def test_at_most_as_many_as_the_network_learnt_from_over_all_scenes(maps, model):
    expected = qualified(maps)
    result = pseudo_label(list(maps), model, replace(OPTIONS, max_patches=None))
    chosen = labelled(maps)
    assert result.chosen == len(chosen) == LEARNT_FROM < len(expected) == result.qualified
    changed = sorted((certainty for is_changed, certainty in expected.values() if is_changed), reverse=True)
    taken = sorted((expected[key][1] for key in chosen if expected[key][0]), reverse=True)
    assert result.with_change == LEARNT_FROM // 2 < len(changed)
    np.testing.assert_allclose(taken, changed[: LEARNT_FROM // 2])
    for scene in maps:
        assert parameters_of(open_scene(scene).pseudo_label)["max_patches"] == LEARNT_FROM


def test_choice_and_seed_are_heeded(maps, model):
    options = replace(OPTIONS, max_patches=6)
    chosen = []
    for choice, seed in (("stratified", 0), ("stratified", 1), ("random", 0), ("random", 1)):
        changed = replace(options, choice=choice, seed=seed)
        pseudo_label(list(maps), model, changed, overwrite=True)
        chosen.append(frozenset(labelled(maps)))
    assert len(set(chosen)) == 4
    surest = [{key for key in one if qualified(maps)[key][0]} for one in chosen[:2]]
    assert surest[0] == surest[1]  # the seed affects only the patches without change


def test_a_suffix_names_map_and_labels(maps, model):
    pseudo_label(list(maps), model, OPTIONS, name="other")
    turned = {scene: 1 - values for scene, values in maps.items()}
    assert labelled(turned, "pseudo_label_other") == set(qualified(turned))
    assert all("pseudo_label" not in open_scene(scene) for scene in maps)


def test_self_training(tmp_path, monkeypatch):
    """A network is trained and labels patches, on which a second network is then also trained."""
    calls, of_another = [], []

    def train(options, scenes, validation, output, *, pseudo=(), pseudo_name="", **more):
        calls.append((options.epochs, Path(output).name, *((*pseudo, pseudo_name) if pseudo else ())))
        Path(output).parent.mkdir(exist_ok=True)
        Path(output).touch()

    def label(scenes, model, options, *, name, overwrite=False, **more):
        calls.append((*scenes, Path(model).name, name, *(["overwrite"] if overwrite else [])))
        if name in of_another and not overwrite:
            raise MismatchError("of another training")
        return PseudoLabelResult("", 4, 3, 2, 1)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(module, "pseudo_label", label)
    options = TrainOptions(epochs=9)
    output = tmp_path / "m.safetensors"
    self_train(options, ["a"], [], ["new"], output)
    first, labels = (9, "round-0.safetensors"), ("new", "round-0.safetensors", "round0")
    last = (9, "m.safetensors", "new", "pseudo_label_round0")
    assert calls == [first, labels, last]
    output.unlink()  # as if stopped in the last training: the labelling network exists
    calls.clear()
    of_another.append("round0")
    self_train(options, ["a"], [], ["new"], output)
    assert calls == [labels, (*labels, "overwrite"), last]
    calls.clear()
    of_another.clear()
    self_train(options, ["a"], [], ["new"], output, overwrite=True)
    assert calls == [first, labels, last]
