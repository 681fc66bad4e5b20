"""Sums of standardised scores and of ranks, against the statistics of correlated images and SciPy's Fisher method."""

import numpy as np
import pytest
from scipy.stats import combine_pvalues

from sarcd.change.kernels.postprocessing import rank_sum, standardised_sum, sum_deviation
from sarcd.change.kernels.thresholds.histogram import count_cells, histogram


@pytest.mark.parametrize("correlation", [0.0, 0.7])
def test_the_sum_of_unchanged_ground_has_unit_deviation(correlation, rng):
    first = rng.normal(size=50000)
    second = correlation * first + np.sqrt(1 - correlation**2) * rng.normal(size=50000)
    layers = [3 + 2 * first, 5 + 0.1 * second]
    deviation = sum_deviation(layers, (3, 5), (2, 0.1))
    assert deviation == pytest.approx(np.sqrt(2 + 2 * correlation), rel=0.03)
    found = standardised_sum(*layers, medians=(3, 5), spreads=(2, 0.1), deviation=deviation)
    assert found.std() == pytest.approx(1, abs=0.02)


def test_changed_pixels_do_not_count_in_the_correlation(rng):
    layers = list(rng.normal(size=(2, 50000)))
    for layer in layers:
        layer[:5000] += 50  # changed in both layers; without robust estimation these alone would make the correlation 1
    layers[0][5000] = np.nan
    assert sum_deviation(layers, (0, 0), (1, 1)) == pytest.approx(np.sqrt(2), rel=0.02)
    assert sum_deviation([np.full(9, 99.0)] * 2, (0, 0), (1, 1)) == pytest.approx(np.sqrt(2))
    assert sum_deviation([layers[1]], (0,), (1,)) == pytest.approx(1)


def test_two_images_tell_more_than_one(rng):
    layers = rng.normal(size=(2, 20000)) + np.where(np.arange(20000) < 2000, 3, 0)
    both = standardised_sum(*layers, medians=(0, 0), spreads=(1, 1), deviation=np.sqrt(2))
    changed = np.arange(20000) < 2000
    at_5_percent = [(image[changed] > np.quantile(image[~changed], 0.95)).mean() for image in (both, *layers)]
    assert at_5_percent[0] > max(at_5_percent[1:]) + 0.04


def test_ranks_are_summed_as_fisher_does(rng):
    layers = [rng.gamma(1, size=400).astype("float32"), rng.normal(size=400).astype("float32")]
    histograms = [histogram(count_cells(layer)) for layer in layers]
    found = rank_sum(*layers, histograms=histograms)
    processes = [1 - (layer.argsort().argsort() + 0.5) / 400 for layer in layers]
    expected = [combine_pvalues([a, b], "fisher").statistic / 4 for a, b in zip(*processes, strict=True)]
    ordinary = np.minimum(*processes) > 0.02  # below this, half a rank matters
    np.testing.assert_allclose(found[ordinary], np.array(expected)[ordinary], atol=0.12)
    layers[0][3] = np.nan
    assert np.isnan(rank_sum(*layers, histograms=histograms)[3])


def test_ranks_know_the_order_alone(rng):
    layer = rng.normal(size=5000).astype("float32")
    once = rank_sum(layer, histograms=[histogram(count_cells(layer))])
    grown = np.exp(3 * layer)
    np.testing.assert_allclose(rank_sum(grown, histograms=[histogram(count_cells(grown))]), once, atol=0.3)
    assert np.corrcoef(once, rank_sum(grown, histograms=[histogram(count_cells(grown))]))[0, 1] > 0.999
