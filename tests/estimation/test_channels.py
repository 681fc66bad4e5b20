"""Features are the same for any chunking and for stored or computed coherence."""

import numpy as np
import pytest

from sarcd import estimation
from sarcd.config import CoherenceOptions, Window
from sarcd.errors import OptionError
from sarcd.estimation.channels import fill_holes
from tests.factories.scenes import memory_scene


def test_channels(rng):
    scene = memory_scene(rng, (3, 30, 30), holes=0.05)
    found = estimation.features(scene, pairs="all")
    assert found.dims == ("pair", "feature", "y", "x")
    assert found.shape == (3, 3, 30, 30)
    normalized, magnitude = estimation.normalize(scene), estimation.coherence(scene, pairs="all")
    np.testing.assert_array_equal(found[1, 0], normalized[0])
    np.testing.assert_array_equal(found[1, 1], normalized[2])
    np.testing.assert_array_equal(found[:, 2], magnitude)
    two = estimation.features(scene, channels=("before", "after"))
    np.testing.assert_array_equal(two[:, :, :, :], found.values[[0, 2], :2])


@pytest.mark.parametrize("chunks", [{"y": 7, "x": 11}, {"y": -1, "x": 1}, {"time": -1, "y": (1, 28, 1)}])
def test_lazy_equals_eager(rng, chunks):
    scene = memory_scene(rng, (2, 30, 30), holes=0.1)
    lazy = estimation.features(scene.chunk(chunks), statistics=(1.0, 0.5))
    np.testing.assert_allclose(lazy, estimation.features(scene, statistics=(1.0, 0.5)), atol=1e-5)


def test_stored_coherence_is_used_only_if_made_alike(rng):
    scene = memory_scene(rng)
    wide = estimation.coherence(scene, window=9)
    stored = scene.assign(coherence=wide.copy(data=np.full(wide.shape, 0.25, "float32")))
    alike = estimation.features(stored, coherence=CoherenceOptions(window=Window(9, 9)))
    assert (alike[0, 2] == 0.25).all()
    other = estimation.features(stored, coherence=CoherenceOptions(window=Window(5, 5)))
    np.testing.assert_array_equal(other[0, 2], estimation.coherence(scene, window=5)[0])


def test_detected_images_have_two_channels(rng):
    scene = memory_scene(rng)
    detected = scene.assign(amplitude=abs(scene.slc)).drop_vars("slc")
    assert estimation.features(detected).feature.values.tolist() == ["before", "after"]
    with pytest.raises(OptionError, match="channels"):
        estimation.features(scene, channels=("after", "before"))


def test_holes_are_filled_with_constants():
    values = np.array([[[np.nan, 0.2]], [[0.3, np.nan]], [[np.nan, 0.4]]], "float32")
    filled, valid = fill_holes(values, ("before", "after", "coherence"))
    np.testing.assert_allclose(filled, [[[0.5, 0.2]], [[0.3, 0.5]], [[0.0, 0.4]]])
    assert not valid.any()
