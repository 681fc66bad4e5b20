"""Small objects, holes and outlines against scikit-image and SciPy."""

import numpy as np
import pytest
from scipy import ndimage

from sarcd.change.kernels.postprocessing import closed, opened, remove_small_holes, remove_small_objects


def blobs(rng, shape=(60, 70), share=0.5, smooth=1.0):
    noise = ndimage.gaussian_filter(rng.normal(size=shape), smooth)
    return (noise > np.quantile(noise, 1 - share)).astype(np.uint8)


@pytest.mark.parametrize("least", [1, 2, 7, 40])
def test_objects_and_holes_as_scikit_image_has_them(least, rng):
    morphology = pytest.importorskip("skimage.morphology", reason="needs scikit-image")
    change = blobs(rng)
    objects = morphology.remove_small_objects(change.astype(bool), max_size=least - 1, connectivity=2)
    np.testing.assert_array_equal(remove_small_objects(change, least), objects)
    holes = morphology.remove_small_holes(change.astype(bool), max_size=least, connectivity=1)
    np.testing.assert_array_equal(remove_small_holes(change, least), holes)


def test_objects_by_hand():
    change = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 255, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 255]], np.uint8)
    expected = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 255, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 255]], np.uint8)
    np.testing.assert_array_equal(remove_small_objects(change, 3), expected)
    np.testing.assert_array_equal(
        remove_small_objects(change, 2), np.where(np.arange(20).reshape(4, 5) == 15, 0, change)
    )


def test_ground_between_unknown_ground_is_no_hole():
    change = np.array([[255, 255, 255, 1], [255, 0, 255, 0], [255, 255, 255, 1]], np.uint8)
    expected = change.copy()
    expected[1, 3] = 1
    np.testing.assert_array_equal(remove_small_holes(change, 5), expected)
    np.testing.assert_array_equal(remove_small_holes(np.zeros((2, 2), np.uint8), 9), np.zeros((2, 2)))


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_opening_and_closing_as_scipy_has_them_on_more_ground(radius, rng):
    change = blobs(rng, smooth=1.5)
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc = x * x + y * y <= radius * radius
    inner = (slice(2 * radius, -2 * radius),) * 2
    np.testing.assert_array_equal(opened(change, radius)[inner], ndimage.binary_opening(change, disc)[inner])
    np.testing.assert_array_equal(closed(change, radius)[inner], ndimage.binary_closing(change, disc)[inner])
    assert (opened(change, radius) <= change).all()
    assert (closed(change, radius) >= change).all()
    np.testing.assert_array_equal(opened(opened(change, radius), radius), opened(change, radius))
    np.testing.assert_array_equal(closed(closed(change, radius), radius), closed(change, radius))


def test_unknown_ground_stays_and_the_border_takes_nothing():
    change = np.ones((6, 6), np.uint8)
    np.testing.assert_array_equal(opened(change, 2), change)
    change[0, 0] = 255
    for clean in (opened, closed):
        assert (clean(change, 1) == 255).sum() == 1
        assert clean(change, 1)[0, 0] == 255
