"""PCA-k-means against scikit-learn's PCA and KMeans on individually extracted blocks."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from sarcd.change.kernels.thresholds.pca_kmeans import BlockSplit, block_features, pca_kmeans


@pytest.fixture
def image(rng):
    """Return a difference image with patches of change, float32."""
    where = gaussian_filter(rng.normal(size=(48, 57)), 4)
    return (np.abs(rng.normal(0, 0.4, where.shape)) + 1.5 * (where > np.quantile(where, 0.85))).astype("float32")


def blocks_of(image, side):
    padded = np.pad(image.astype(float), ((side - 1) // 2, side // 2), mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, (side, side))


@pytest.mark.parametrize(("side", "components"), [(4, 3), (3, 2), (5, 6)])
def test_equals_scikit_learn(image, side, components):
    found = pca_kmeans([image], block=side, components=components)
    rows, columns = (size // side * side for size in image.shape)
    tiles = [image[y : y + side, x : x + side].ravel() for y in range(0, rows, side) for x in range(0, columns, side)]
    pca = PCA(components).fit(np.array(tiles, float))
    overlap = np.abs(found.basis.reshape(components, -1) @ pca.components_.T)
    np.testing.assert_allclose(np.diag(overlap), 1, atol=1e-8)
    features = pca.transform(blocks_of(image, side).reshape(-1, side * side))
    clusters = KMeans(2, n_init=5, random_state=0).fit(features)
    changed = clusters.labels_.reshape(image.shape) == clusters.labels_.ravel()[image.argmax()]
    assert (found.apply(image) == changed).mean() > 0.999
    assert found.facts["share"] == pytest.approx(changed.mean(), abs=0.002)


def test_features_are_projections_of_blocks(image, rng):
    basis, mean = rng.normal(size=(2, 4, 4)), rng.normal(size=(4, 4))
    expected = np.einsum("yxij,sij->syx", blocks_of(image, 4) - mean, basis)
    np.testing.assert_allclose(block_features(image, basis, mean), expected)
    holes = image.copy()
    holes[10:12, 20] = np.nan
    padded = blocks_of(holes, 4)
    filled = np.where(np.isnan(padded), np.nanmean(padded, axis=(2, 3), keepdims=True), padded)
    np.testing.assert_allclose(
        block_features(holes, basis, mean), np.einsum("yxij,sij->syx", filled - mean, basis), rtol=1e-9, atol=1e-9
    )


def test_holes_are_unknown_and_the_rule_survives_being_kept(image):
    image[3:9, 5:20] = np.nan
    found = pca_kmeans([image])
    kept = BlockSplit.from_dict(found.to_dict())
    np.testing.assert_array_equal(kept.apply(image), found.apply(image))
    np.testing.assert_array_equal(found.apply(image) == 255, np.isnan(image))


def test_larger_values_are_changed_however_few_or_many(rng):
    for share in (0.03, 0.8):
        image = np.abs(rng.normal(0, 0.2, (60, 60))).astype("float32")
        image[: round(60 * share)] += 3
        found = pca_kmeans([image])
        assert found.apply(image)[0].all()
        assert not found.apply(image)[-1].any()


def test_nothing_to_split():
    assert pca_kmeans([np.ones((20, 20), "float32")]) is None
    assert pca_kmeans([np.full((20, 20), np.nan, "float32")]) is None
    assert pca_kmeans([np.ones((3, 3), "float32")]) is None
