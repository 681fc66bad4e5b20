"""Probability of change from the class densities of Kittler and Illingworth's thresholds."""

import numpy as np
import pytest
from scipy.stats import gennorm

from sarcd.change.kernels.thresholds.histogram import Split, count_cells, histogram
from sarcd.change.kernels.thresholds.kittler import kittler, probability_of_change

FACTS = {"shares": [0.1, 0.7, 0.2], "means": [-4.0, 0.0, 5.0], "deviations": [0.8, 1.0, 1.5], "shapes": [2.0, 1.3, 3.0]}


@pytest.mark.parametrize(
    ("classes", "below", "above", "unchanged"),
    [
        ((0, 1, 2), -2.0, 3.0, 1),
        ((1, 2), None, 3.0, 0),
        ((0, 1), -2.0, None, 1),
        ((0, 1, 2), 3.0, None, 2),
        ((0, 1, 2), None, -2.0, 0),
    ],
)
def test_equals_the_densities_of_scipy(classes, below, above, unchanged):
    facts = {name: [values[i] for i in classes] for name, values in FACTS.items()}
    values = np.linspace(min(facts["means"]), max(facts["means"]), 50)
    parts = []
    for share, mean, deviation, shape in zip(*facts.values(), strict=True):
        scale = deviation / gennorm(shape).std()
        parts.append(share * gennorm(shape, mean, scale).pdf(values))
    expected = 1 - parts[unchanged] / np.sum(parts, axis=0)
    found = probability_of_change(values, Split("kittler_gg", above, below, facts))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_right_as_often_as_it_says(rng):
    changed = rng.random(300_000) < 0.2
    values = np.where(changed, rng.normal(3.5, 1, changed.size), rng.normal(0, 1, changed.size)).astype("float32")
    split = kittler(histogram(count_cells(values)), shape=2.0)
    probability = probability_of_change(values, split)
    flagged = split.apply(values) == 1
    wrong = np.where(flagged, 1 - probability, probability).mean()
    assert wrong == pytest.approx((flagged != changed).mean(), rel=0.35)  # truncated classes appear narrower
    assert abs(probability[np.abs(values - split.above) < 0.02].mean() - 0.5) < 0.1


def test_no_surer_or_less_sure_beyond_the_outermost_mean():
    facts = {"shares": [0.9, 0.1], "means": [0.0, 4.0], "deviations": [1.0, 0.5], "shapes": [0.6, 4.0]}
    found = probability_of_change(np.array([4.0, 40.0]), Split("kittler_gg", 2.0, None, facts))
    assert found[0] == found[1] > 0.5


def test_of_one_class_nothing_is_change():
    facts = {"shares": [1.0], "means": [0.0], "deviations": [1.0], "shapes": [2.0]}
    found = probability_of_change(np.array([0.0, 9.0, np.nan]), Split("kittler", None, None, facts))
    np.testing.assert_array_equal(found, [0, 0, np.nan])
