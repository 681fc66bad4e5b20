"""Clustering of values against scikit-image, scikit-learn, exhaustive search and the definition of fuzzy c-means."""

from itertools import combinations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans

from sarcd.change.kernels.thresholds.clusters import fuzzy, kmeans, memberships, otsu, ward
from sarcd.change.kernels.thresholds.histogram import Split, count_cells, histogram


def of(values):
    return histogram(count_cells(np.asarray(values, "float32")))


@pytest.fixture
def mixture(rng):
    """Return magnitudes of which a tenth are large, float32."""
    values = np.concatenate([np.abs(rng.normal(0, 0.3, 9000)), rng.normal(2, 0.4, 1000)])
    return values.astype("float32")


def test_otsu_is_scikit_images(mixture):
    filters = pytest.importorskip("skimage.filters", reason="needs scikit-image")
    found = of(mixture)
    expected = filters.threshold_otsu(hist=(found.counts, found.centres))
    assert found.centres[np.searchsorted(found.low, otsu(found).above) - 1] == pytest.approx(expected)


def test_otsu_leaves_the_least_variance_within():
    rng = np.random.default_rng(1)
    values = np.round(rng.gamma(2, size=60), 1).astype("float32")
    cuts = np.unique(values)[1:]
    within = [
        sum(part.size * part.astype(float).var() for part in (values[values < cut], values[values >= cut]))
        for cut in cuts
    ]
    found = otsu(of(values))
    best = cuts[int(np.argmin(within))]
    np.testing.assert_array_equal(found.apply(values), values >= best)
    total = values.size * values.astype(float).var()
    assert found.facts["separability"] == pytest.approx(1 - min(within) / total, abs=0.01)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_kmeans_is_no_worse_than_lloyds_iterations(classes, mixture):
    found = kmeans(of(mixture), classes=classes)
    other = KMeans(classes, n_init=5, random_state=0).fit(mixture[:, None])
    np.testing.assert_allclose(found.facts["centres"], np.sort(other.cluster_centers_.ravel()), atol=0.03)
    highest = other.labels_ == other.cluster_centers_.argmax()
    assert (found.apply(mixture) == highest).mean() > 0.998


def test_kmeans_finds_the_best_of_all_partitions():
    values = np.array([0, 1, 2, 10, 11, 30, 31, 60], "float32")
    for classes in (2, 3, 4, 5):
        sums = {}
        for cuts in combinations(range(1, len(values)), classes - 1):
            parts = np.split(values.astype(float), cuts)
            sums[cuts] = sum(((part - part.mean()) ** 2).sum() for part in parts)
        best = min(sums, key=sums.get)
        found = kmeans(of(values), classes=classes)
        assert found.above == values[best[-1]]
        centres = [part.mean() for part in np.split(values.astype(float), best)]
        np.testing.assert_allclose(found.facts["centres"], centres, rtol=0.01, atol=1e-9)


def test_ward_is_scikit_learns(rng):
    values = np.concatenate([rng.gamma(2, 0.2, 900), rng.normal(3, 0.3, 100)]).astype("float32")
    found = ward(of(values))
    labels = AgglomerativeClustering(2, linkage="ward").fit_predict(values[:, None])
    upper = labels == labels[values.argmax()]
    assert (found.apply(values) == upper).mean() > 0.99


def test_fuzzy_centres_are_those_that_their_memberships_make(mixture):
    found = fuzzy(of(mixture))
    centres = np.array(found.facts["centres"])
    distance = np.abs(mixture[None].astype(float) - centres[:, None])
    degree = 1 / (distance**2 * (1 / distance**2).sum(0))
    np.testing.assert_allclose(memberships(mixture.astype(float), centres), degree, atol=1e-9)
    np.testing.assert_allclose((degree**2 @ mixture) / (degree**2).sum(1), centres, atol=0.005)
    assert found.above == pytest.approx(centres.mean())
    assert memberships(np.array([2.0]), np.array([2.0, 3.0])).ravel().tolist() == [1, 0]


@pytest.mark.parametrize("method", [otsu, kmeans, fuzzy, ward])
def test_both_tails_leave_the_largest_class(method, rng):
    values = np.concatenate([rng.normal(m, 0.2, n) for m, n in ((-3, 500), (0.5, 8000), (4, 300))]).astype("float32")
    found = method(of(values), tails="both")
    assert found.below is not None
    assert -3 < found.below < 0.5 < found.above < 4
    np.testing.assert_allclose(found.facts["shares"], np.array([500, 8000, 300]) / 8800, atol=0.01)
    lopsided = np.concatenate([rng.normal(m, 0.2, n) for m, n in ((0, 8000), (2, 500), (4, 300))]).astype("float32")
    only_above = method(of(lopsided), tails="both")
    assert only_above.below is None
    assert 0 < only_above.above < 2


@pytest.mark.parametrize("method", [otsu, kmeans, fuzzy, ward])
def test_one_value_has_no_second_class(method):
    found = method(of(np.full(50, 3.0)))
    assert not found.found
    assert not found.apply(np.full(5, 3.0, "float32")).any()


@pytest.mark.parametrize("method", [otsu, kmeans, fuzzy, ward])
def test_a_change_of_scale_moves_the_threshold_with_it(method, mixture):
    assert method(of(8 * mixture)).above == pytest.approx(8 * method(of(mixture)).above, rel=0.01)


def test_a_split_keeps_what_it_is():
    split = Split("otsu", above=1.5, below=-2.0, facts={"centres": [0.0, 2.0]})
    assert Split.from_dict(split.to_dict()) == split
    assert split.apply(np.array([-3, -2, 0, 1.5, np.nan], "float32")).tolist() == [1, 0, 0, 1, 255]
