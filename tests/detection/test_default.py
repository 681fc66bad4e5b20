"""What `detect` promises as it comes: nothing where nothing changed, and little where little did."""

import pytest

import sarcd  # noqa: F401  registers .sarcd
from sarcd.metrics.kernels.scores import kappa
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
    change = make(3, side=192, **options).sarcd.detect(method="auto").change
    assert (change == 1).mean() < 0.005
    assert (change == 255).sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_little_changed(kind):
    make, options = KINDS[kind]
    scene = make(4, side=192, share=0.01, **options)
    hits, false_alarms, misses, rest = counts(scene, scene.sarcd.detect(method="auto").change)
    assert (hits + false_alarms) / scene.label.size < 0.02
    assert kappa(hits, false_alarms, misses, rest) > 0.4
