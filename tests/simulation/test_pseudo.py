from dataclasses import replace

import numpy as np
import pytest

from sarcd.simulation.core.classes import Cover, table
from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.pseudo import (
    MOISTURE_KEEPS,
    POROUS,
    TRAFFIC,
    WET_TAILINGS_DB,
    Pseudo,
    dry,
    vehicles,
    weather_db,
    wetness,
)

OPTIONS = SiteOptions("T", moist=(0.2, 0.2))
DICE = RandomStreams(0, "T")
REGION = Region(-30, 50, 700, 600)


@pytest.fixture(scope="module")
def cover():
    return np.random.default_rng(0).integers(0, len(Cover), (14, 12)).repeat(50, 0).repeat(50, 1).astype(np.uint8)


@pytest.fixture(scope="module")
def state(cover):
    return wetness(DICE, OPTIONS, REGION, 1, cover, np.zeros(REGION.shape, bool))


def test_moisture_brightens_porous_ground_and_keeps_its_coherence(cover, state):
    moist = state.kind == Pseudo.MOISTURE
    assert np.isin(cover[moist], POROUS).all()
    assert 0.08 < moist[np.isin(cover, POROUS)].mean() < 0.35
    assert state.offset_db[moist].min() >= 2
    assert state.offset_db[moist].max() <= 5
    assert state.keeps[moist].min() >= np.float32(MOISTURE_KEEPS[0])
    assert state.keeps[moist].max() <= MOISTURE_KEEPS[1]
    assert np.ptp(state.offset_db[moist]) > 1


def test_wet_tailings_darken_and_lose_coherence(cover, state):
    flooded = state.kind == Pseudo.WET_TAILINGS
    assert flooded.any()
    assert (cover[flooded] == Cover.TAILINGS).all()
    step = table("sigma0_db")[Cover.TAILINGS_WET] - table("sigma0_db")[Cover.TAILINGS]
    assert step == WET_TAILINGS_DB
    np.testing.assert_array_equal(state.offset_db[flooded], step)
    kept = table("coherence")[Cover.TAILINGS] * state.keeps[flooded]
    np.testing.assert_allclose(kept, table("coherence")[Cover.TAILINGS_WET], atol=1e-6)


def test_dry_ground_is_as_it_was(cover, state):
    rest = state.kind == Pseudo.NONE
    assert not state.offset_db[rest].any()
    assert (state.keeps[rest] == 1).all()
    nothing = np.zeros(REGION.shape, bool)
    for never in (
        wetness(DICE, replace(OPTIONS, moist=(0.0, 0.0)), REGION, 1, cover, nothing),
        wetness(DICE, OPTIONS, REGION, 0, cover, nothing),
        wetness(DICE, OPTIONS, REGION, 1, cover, ~nothing),
    ):
        for got, wanted in zip(vars(never).values(), vars(dry(REGION.shape)).values(), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_vehicles_stand_where_vehicles_go(cover):
    trucks = vehicles(DICE, OPTIONS, REGION, 0, cover)
    stands = cover[np.floor(trucks.y).astype(int) + 30, np.floor(trucks.x).astype(int) - 50]
    for kind in Cover:
        expected = OPTIONS.vehicles * TRAFFIC.get(kind, 0) * np.count_nonzero(cover == kind) / 1e6
        assert np.count_nonzero(stands == kind) == pytest.approx(expected, abs=4 * np.sqrt(expected) + 1e-9)
    power_db = 20 * np.log10(np.abs(trucks.amplitude))
    assert 2 <= power_db.min() < power_db.max() <= 14
    later = vehicles(DICE, OPTIONS, REGION, 1, cover)
    assert not set(trucks.y) & set(later.y)
    assert len(vehicles(DICE, OPTIONS, REGION, 0, np.full_like(cover, Cover.WATER)).y) == 0


def test_vehicles_of_a_part_are_those_of_the_whole(cover):
    whole = vehicles(DICE, OPTIONS, REGION, 0, cover)
    part = vehicles(DICE, OPTIONS, Region(200, 180, 130, 240), 0, cover[230:360, 130:370])
    inside = (whole.y >= 200) & (whole.y < 330) & (whole.x >= 180) & (whole.x < 420)
    np.testing.assert_array_equal(part.y, whole.y[inside])
    np.testing.assert_array_equal(part.amplitude, whole.amplitude[inside])


def test_weather_changes_water_and_plants_only():
    drawn = np.stack([weather_db(RandomStreams(seed, "T"), 1) for seed in range(400)])
    assert set(np.flatnonzero(drawn.any(axis=0))) == {Cover.WATER, Cover.VEGETATION, Cover.TAILINGS_WET}
    assert drawn[:, Cover.WATER].std() == pytest.approx(2, rel=0.15)
