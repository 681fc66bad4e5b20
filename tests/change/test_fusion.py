"""Fusion of difference images: lazy equals eager, statistics of unchanged ground, and invalid input."""

import numpy as np
import pytest
from hypothesis import given, settings

from sarcd.attributes import parameters_of
from sarcd.change.postprocessing import fuse
from sarcd.change.ratios import log_ratio, mean_ratio
from sarcd.errors import OptionError, StatisticsError
from tests.change.test_thresholding import changed_scene, truth
from tests.estimation.test_coherence import cuts


@settings(max_examples=3)
@given(y=cuts(48), x=cuts(52))
def test_lazy_equals_eager_for_any_chunking(y, x):
    scene = changed_scene(np.random.default_rng(2))
    scene.amplitude[0, 3, 4] = np.nan
    images = [log_ratio(scene), mean_ratio(scene, window=3)]
    lazy = [images[0], images[1].chunk(pair=1, y=y, x=x)]
    for method in ("standardised", "rank"):
        found = fuse(lazy, method=method)
        assert found.chunks == ((1,), y, x)
        expected = fuse(images, method=method)
        np.testing.assert_array_equal(found, expected)
        assert found.attrs == expected.attrs
        assert expected.isnull().sum() == 1


@pytest.mark.parametrize("method", ["standardised", "rank"])
def test_changed_ground_stands_out(method, rng):
    scene = changed_scene(rng, (2, 100, 100))
    found = fuse([log_ratio(scene), mean_ratio(scene, window=3)], method=method)
    changed = np.broadcast_to(truth(found, 0.1), found.shape[1:])
    assert np.median(found.values[0][changed]) > np.quantile(found.values[0][~changed], 0.98)
    assert parameters_of(found)["differences"] == ["log_ratio", "mean_ratio"]


def test_unchanged_ground_is_in_standard_deviations(rng):
    scenes = [changed_scene(rng, (2, 200, 200), share=0) for _ in range(2)]
    images = [abs(log_ratio(scene, signed=True)) * scale for scene, scale in zip(scenes, (1, 9), strict=True)]
    found = fuse(images)
    assert found.std() == pytest.approx(1, abs=0.15)
    assert abs(found.median()) < 0.3
    twice = fuse([images[0], images[0]])
    np.testing.assert_allclose(twice, fuse([images[0]]), atol=1e-4)


def test_what_is_refused(rng):
    scene = changed_scene(rng)
    image = log_ratio(scene)
    with pytest.raises(OptionError, match="Use standardised or rank"):
        fuse([image], method="magic")
    with pytest.raises(OptionError, match="no difference images"):
        fuse([])
    with pytest.raises(OptionError, match="from one scene and the same pairs"):
        fuse([image, image[:, :10]])
    with pytest.raises(OptionError, match="is signed"):
        fuse([image, log_ratio(scene, signed=True)])
    with pytest.raises(StatisticsError, match="fuse by rank"):
        fuse([image, image.where(image > 9, 0)])
