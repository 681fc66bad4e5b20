"""Defaults of `detect`: no detections without change, and few where little changed."""

import json

import pytest

import sarcd  # noqa: F401  registers .sarcd
from sarcd.attributes import parameters_of
from sarcd.config import DetectOptions
from sarcd.metrics.kernels.scores import kappa
from sarcd.store.create import write_scene
from sarcd.store.scene import open_scene
from sarcd_cli.main import main
from tests.factories.default_scenes import amplitude_scene, complex_scene, complex_stack, counts

KINDS = {
    "1 look": (amplitude_scene, {"looks": 1}),
    "1 look, textured": (amplitude_scene, {"looks": 1, "textured": True}),
    "4 looks, textured": (amplitude_scene, {"looks": 4, "textured": True}),
    "complex": (complex_scene, {"coherence": 0.6}),
    "complex, textured": (complex_scene, {"coherence": 0.9, "textured": True}),
    "three complex": (complex_stack, {"coherence": 0.6}),
    "three complex, hardly coherent": (complex_stack, {"coherence": 0.1, "textured": True}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_changed(kind):
    make, options = KINDS[kind]
    change = make(3, side=192, **options).sarcd.detect(method="auto-label-free").change
    assert (change == 1).mean() < 0.005
    assert (change == 255).sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_little_changed(kind):
    make, options = KINDS[kind]
    scene = make(4, side=192, share=0.01, **options)
    hits, false_alarms, misses, rest = counts(scene, scene.sarcd.detect(method="auto-label-free").change)
    assert (hits + false_alarms) / scene.label.size < 0.02
    assert kappa(hits, false_alarms, misses, rest) > 0.4


def test_complex_images_are_given_the_pretrained_network_which_predict_then_finds_done(tmp_path, capsys):
    path = tmp_path / "scene.zarr"
    write_scene(complex_scene(3, side=96, coherence=0.6), path)
    assert main(["detect", str(path), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["variables"] == ["change_probability", "change"]
    assert "complex images: the pretrained network" in captured.err
    assert open_scene(path).change.attrs["why"] == open_scene(path)[["slc"]].sarcd.detect().change.attrs["why"]
    assert main(["predict", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions_computed"] == 0


def test_options_of_tests_choose_among_the_methods_without_labels(tmp_path):
    scene = complex_scene(3, side=96, coherence=0.6)
    assert parameters_of(scene.sarcd.detect(method=DetectOptions(false_alarms=0.01)).change)["method"] == "ratio-test"
    assert "change_score" in scene.sarcd.detect(method="auto-label-free")
