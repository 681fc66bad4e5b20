"""Median and MAD of a scene, lazily, against numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd import ops
from sarcd.errors import StatisticsError
from sarcd.ops.statistics import ATTRIBUTE, AmplitudeStatistics, compute_statistics
from tests.scenes import memory_scene


def by_numpy(amplitude):
    values = amplitude[np.isfinite(amplitude)].astype("float64")
    median = np.median(values)
    return median, np.median(np.abs(values - median).astype("float32").astype("float64"))


@given(y=st.integers(1, 20), x=st.integers(1, 20), holes=st.sampled_from([0.0, 0.4]), seed=st.integers(0, 2**32 - 1))
def test_lazy_equals_numpy_for_any_chunking(y, x, holes, seed):
    scene = memory_scene(np.random.default_rng(seed), (2, 20, 20), holes=holes)
    expected = by_numpy(np.abs(scene.slc.values))
    found = ops.amplitude_statistics(scene.chunk(time=1, y=y, x=x)).compute()
    assert (found["median"].item(), found["mad"].item()) == expected
    eager = ops.amplitude_statistics(scene)
    assert (eager["median"].item(), eager["mad"].item()) == expected


def test_per_date(rng):
    scene = memory_scene(rng, (3, 30, 30))
    found = ops.amplitude_statistics(scene.chunk(), per_date=True).compute()
    for i, image in enumerate(np.abs(scene.slc.values)):
        assert (found["median"].values[i], found["mad"].values[i]) == by_numpy(image)


def test_lazy_and_shared(rng, raise_if_dask_computes):
    scene = memory_scene(rng).chunk(y=20)
    with raise_if_dask_computes():
        normalized = ops.normalize(scene)
    np.testing.assert_allclose(normalized, ops.normalize(scene.compute()), atol=1e-6)
    assert abs(float(np.median(normalized)) - 0.5) < 1e-3


def test_no_spread_and_nothing_valid(rng):
    scene = memory_scene(rng)
    flat = scene.copy(data={"slc": np.full(scene.slc.shape, 3, "complex64")})
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        ops.amplitude_statistics(flat)
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        ops.normalize(flat.chunk()).compute()
    empty = scene.copy(data={"slc": np.full(scene.slc.shape, np.nan + 0j, "complex64")})
    with pytest.raises(StatisticsError, match="no valid pixel"):
        ops.amplitude_statistics(empty)


def test_given_stored_and_model_statistics(rng):
    scene = memory_scene(rng)
    given_ = ops.normalize(scene, statistics=(1.0, 0.5))
    score = 0.6745 * (np.abs(scene.slc.values) - 1.0) / 0.5
    np.testing.assert_allclose(given_, (np.tanh(score / 3) + 1) / 2, atol=1e-6)
    model = AmplitudeStatistics.given(1.0, 0.5)
    np.testing.assert_array_equal(ops.normalize(scene, statistics=model), given_)
    stored = scene.assign_attrs({ATTRIBUTE: model.to_json()})
    np.testing.assert_array_equal(ops.normalize(stored), given_)
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        ops.normalize(scene, statistics=(1.0, 0.0))


def test_per_date_statistics_normalise_each_date(rng):
    scene = memory_scene(rng)
    statistics = compute_statistics(scene, per_date=True)
    normalized = ops.normalize(scene, statistics=statistics)
    medians = np.median(normalized.values.reshape(2, -1), axis=1)
    np.testing.assert_allclose(medians, 0.5, atol=1e-3)
    later = scene.assign_coords(time=scene.time + np.timedelta64(5, "D"))
    with pytest.raises(StatisticsError, match="--refresh"):
        ops.normalize(later, statistics=statistics)


def test_json_round_trip(rng):
    statistics = compute_statistics(memory_scene(rng))
    assert AmplitudeStatistics.from_json(statistics.to_json()) == statistics
