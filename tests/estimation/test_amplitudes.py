"""Lazy median and MAD of a scene against NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcd import estimation
from sarcd.errors import StatisticsError
from sarcd.estimation.amplitudes import ATTRIBUTE, AmplitudeStatistics, completed, compute_statistics
from tests.factories.scenes import memory_scene


def by_numpy(amplitude):
    values = amplitude[np.isfinite(amplitude)].astype("float64")
    median = np.median(values)
    return median, np.median(np.abs(values - median).astype("float32").astype("float64"))


@given(y=st.integers(1, 20), x=st.integers(1, 20), holes=st.sampled_from([0.0, 0.4]), seed=st.integers(0, 2**32 - 1))
def test_lazy_equals_numpy_for_any_chunking(y, x, holes, seed):
    scene = memory_scene(np.random.default_rng(seed), (2, 20, 20), holes=holes)
    expected = by_numpy(np.abs(scene.slc.values))
    found = estimation.statistics(scene.chunk(time=1, y=y, x=x)).compute()
    assert (found["median"].item(), found["mad"].item()) == expected
    eager = estimation.statistics(scene)
    assert (eager["median"].item(), eager["mad"].item()) == expected


def test_per_date(rng):
    scene = memory_scene(rng, (3, 30, 30))
    found = estimation.statistics(scene.chunk(), per_date=True).compute()
    for i, image in enumerate(np.abs(scene.slc.values)):
        assert (found["median"].values[i], found["mad"].values[i]) == by_numpy(image)


def test_lazy_and_shared(rng, raise_if_dask_computes):
    scene = memory_scene(rng).chunk(y=20)
    with raise_if_dask_computes():
        normalized = estimation.normalize(scene)
    np.testing.assert_allclose(normalized, estimation.normalize(scene.compute()), atol=1e-6)
    assert abs(float(np.median(normalized)) - 0.5) < 1e-3


def test_no_spread_and_nothing_valid(rng):
    scene = memory_scene(rng)
    flat = scene.copy(data={"slc": np.full(scene.slc.shape, 3, "complex64")})
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        estimation.statistics(flat)
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        estimation.normalize(flat.chunk()).compute()
    empty = scene.copy(data={"slc": np.full(scene.slc.shape, np.nan + 0j, "complex64")})
    with pytest.raises(StatisticsError, match="no valid pixel"):
        estimation.statistics(empty)


def test_given_stored_and_model_statistics(rng):
    scene = memory_scene(rng)
    given_ = estimation.normalize(scene, statistics=(1.0, 0.5))
    score = 0.6745 * (np.abs(scene.slc.values) - 1.0) / 0.5
    np.testing.assert_allclose(given_, (np.tanh(score / 3) + 1) / 2, atol=1e-6)
    model = AmplitudeStatistics.given(1.0, 0.5)
    np.testing.assert_array_equal(estimation.normalize(scene, statistics=model), given_)
    stored = scene.assign_attrs({ATTRIBUTE: model.to_json()})
    np.testing.assert_array_equal(estimation.normalize(stored), given_)
    with pytest.raises(StatisticsError, match="MAD of amplitude is 0"):
        estimation.normalize(scene, statistics=(1.0, 0.0))


def test_per_date_statistics_normalise_each_date(rng):
    scene = memory_scene(rng)
    statistics = compute_statistics(scene, per_date=True)
    normalized = estimation.normalize(scene, statistics=statistics)
    medians = np.median(normalized.values.reshape(2, -1), axis=1)
    np.testing.assert_allclose(medians, 0.5, atol=1e-3)
    later = scene.assign_coords(time=scene.time + np.timedelta64(5, "D"))
    with pytest.raises(StatisticsError, match="--refresh"):
        estimation.normalize(later, statistics=statistics)


def test_json_round_trip(rng):
    statistics = compute_statistics(memory_scene(rng))
    assert AmplitudeStatistics.from_json(statistics.to_json()) == statistics


def louder(scene, decibels, date=1):
    images = scene.slc.values.copy()
    images[date] *= np.float32(10 ** (decibels / 20))
    return scene.copy(data={"slc": images})


@pytest.mark.parametrize(("decibels", "per_date"), [(0.5, False), (1.5, True), (-6.0, True)])
def test_per_date_where_levels_differ(rng, decibels, per_date):
    scene = memory_scene(rng, (3, 60, 60), coherence=0.99)
    scene = louder(scene, decibels)
    chosen = compute_statistics(scene)
    assert chosen.per_date is per_date
    assert chosen.jump_db == pytest.approx(abs(decibels), abs=0.3)
    explicit = {wish: compute_statistics(scene, per_date=wish) for wish in (True, False)}
    assert chosen == explicit[per_date]
    assert explicit[True].level == explicit[False].level == explicit[True].median
    for chunked in (scene, scene.chunk(time=1, y=25)):
        normalized = estimation.normalize(chunked)
        np.testing.assert_array_equal(normalized, estimation.normalize(scene, statistics=chosen))
        stored = chunked.assign_attrs({ATTRIBUTE: chosen.to_json()})
        np.testing.assert_array_equal(estimation.normalize(stored), normalized)


def test_share_of_valid_pixels(rng):
    scene = memory_scene(rng, (2, 20, 30))
    scene.slc.values[1, :5] = np.nan
    statistics = compute_statistics(scene)
    assert statistics.valid == (1.0, 0.75)
    assert AmplitudeStatistics.from_json(statistics.to_json()) == statistics


def test_statistics_of_older_scenes_are_read(rng):
    kept = {"median": [1.0], "mad": [0.5], "dates": ["2023-03-19T00:00:00.000000"], "per_date": False}
    statistics = AmplitudeStatistics.from_json(kept)
    assert (statistics.level, statistics.valid, statistics.jump_db) == ((), (), 0.0)
    assert statistics.to_json() == kept


def test_a_date_without_a_pixel_is_no_jump(rng):
    scene = memory_scene(rng, (3, 40, 40))
    scene.slc.values[1] = np.nan
    assert not compute_statistics(scene).per_date
    scene = louder(scene, 6.0, date=2)
    statistics = compute_statistics(scene)
    assert statistics.per_date
    assert statistics.level[1] == 0
    assert np.isfinite(estimation.normalize(scene).values[[0, 2]]).all()
    with pytest.raises(StatisticsError, match="no valid pixel in an image"):
        compute_statistics(scene, per_date=True)


def test_a_few_pixels_say_nothing_of_levels(rng):
    few, more = (louder(memory_scene(rng, (2, 27, width)), 6.0) for width in (37, 38))  # 999 pixels, and more
    assert compute_statistics(few).level == (0.0, 0.0)
    assert not compute_statistics(few).per_date
    assert compute_statistics(more).per_date


def test_dates_that_were_added_get_their_own(rng):
    scene = louder(memory_scene(rng, (3, 40, 40)), 6.0)
    first = compute_statistics(scene.isel(time=slice(2)))
    assert first.per_date
    whole = completed(first, scene)
    assert whole == compute_statistics(scene, per_date=True)
    assert completed(whole, scene) is whole
    pooled = compute_statistics(scene.isel(time=slice(2)), per_date=False)
    assert completed(pooled, scene) is pooled
