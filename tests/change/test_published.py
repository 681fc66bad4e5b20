"""Difference images and thresholding rules on real pairs, against published results of the same methods."""

import pytest

from sarcd.change.ratios import log_ratio
from sarcd.change.thresholding import decide
from sarcd.estimation.looks import intensity_looks
from tests.factories.changed_pairs import PUBLISHED, errors, percent, read_pair

pytestmark = pytest.mark.realdata


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures_are_met(name, real_data):
    scene = read_pair(real_data / "change" / name)
    found = {
        "absolute log-ratio of 5 x 5 means, 2-means": decide(log_ratio(scene), method="kmeans"),
        "PCA-k-means (h = 4, S = 3) on log-ratio": decide(log_ratio(scene, window=1), method="pca_kmeans"),
    }
    for method, change in found.items():
        assert errors(change, scene) == pytest.approx(PUBLISHED[name][method], abs=12)
        assert percent(*errors(change, scene), scene)[1] == pytest.approx(
            percent(*PUBLISHED[name][method], scene)[1], abs=0.1
        )


def test_looks_of_yellow_river_differ_by_date_as_is_known(real_data):
    looks = intensity_looks(read_pair(real_data / "change" / "yellow_D")).values
    assert looks[0] > 2 * looks[1]
