import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from sarcd.detection.self_trained.fitted import best_threshold

LIMITS = {"lowest": 0.2, "least_kappa": 0.2, "least_gain": 0.05}


def dim_scores(seed=0, size=40000):
    """Make calibrated probabilities of which few exceed one half; also returns the ground truth."""
    rng = np.random.default_rng(seed)
    scores = np.where(rng.random(size) < 0.1, rng.beta(4, 6, size), rng.beta(1, 200, size))
    return scores, rng.random(size) < scores


def test_promise_is_kept_where_probabilities_are_right():
    scores, truth = dim_scores()
    found = best_threshold(scores, **LIMITS)
    assert cohen_kappa_score(truth, scores >= found.threshold) == pytest.approx(found.kappa, abs=0.02)
    assert found.changed == pytest.approx(truth.mean(), abs=0.005)
    assert found.flagged == pytest.approx((scores >= found.threshold).mean())


def test_no_other_threshold_is_better():
    scores, truth = dim_scores(1)
    found = best_threshold(scores, **LIMITS)
    assert found.threshold < 0.4
    best = max(cohen_kappa_score(truth, scores >= at) for at in np.arange(0.2, 0.51, 0.02))
    assert cohen_kappa_score(truth, scores >= found.threshold) > best - 0.01


def test_little_promise_leaves_one_half():
    rng = np.random.default_rng(0)
    assert best_threshold(rng.beta(1, 60, 10000), **LIMITS).threshold == 0.5
    clear = np.where(rng.random(10000) < 0.1, rng.beta(60, 1, 10000), rng.beta(1, 60, 10000))
    assert best_threshold(clear, **LIMITS).threshold == 0.5


@pytest.mark.parametrize("scores", [np.zeros(5), np.ones(5), np.full(1, 0.5)])
def test_scores_all_alike(scores):
    assert 0.2 <= best_threshold(scores, **LIMITS).threshold <= 0.5
