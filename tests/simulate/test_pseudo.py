import numpy as np
import pytest

from sarcd.simulate.classes import Cover, table
from sarcd.simulate.fields import stream
from sarcd.simulate.landcover import LandMix, build
from sarcd.simulate.pseudo import MOISTURE_KEEPS, POROUS, VEHICLES_ON, Pseudo, dry, vehicles, weather_db, wetness


@pytest.fixture(scope="module")
def cover():
    return build(0, "T", (512, 512), LandMix()).cover


def test_moisture_brightens_porous_ground_and_keeps_its_coherence(cover):
    state = wetness(stream(0, "wet"), cover, share=0.2)
    moist = state.kind == Pseudo.MOISTURE
    assert np.isin(cover[moist], POROUS).all()
    assert moist[np.isin(cover, POROUS)].mean() == pytest.approx(0.2, abs=0.005)
    assert state.offset_db[moist].min() >= 2
    assert state.offset_db[moist].max() <= 5
    assert state.keeps[moist].min() >= np.float32(MOISTURE_KEEPS[0])
    assert state.keeps[moist].max() <= MOISTURE_KEEPS[1]
    assert np.ptp(state.offset_db[moist]) > 1


def test_wet_tailings_darken_and_lose_coherence(cover):
    state = wetness(stream(0, "wet"), cover, share=0.3)
    flooded = state.kind == Pseudo.WET_TAILINGS
    assert flooded[cover == Cover.TAILINGS].mean() == pytest.approx(0.3, abs=0.02)
    assert (cover[flooded] == Cover.TAILINGS).all()
    step = table("sigma0_db")[Cover.TAILINGS_WET] - table("sigma0_db")[Cover.TAILINGS]
    np.testing.assert_array_equal(state.offset_db[flooded], step)
    kept = table("coherence")[Cover.TAILINGS] * state.keeps[flooded]
    np.testing.assert_allclose(kept, table("coherence")[Cover.TAILINGS_WET], atol=1e-6)


def test_dry_ground_is_as_it_was(cover):
    state = wetness(stream(1, "wet"), cover, share=0.25)
    rest = state.kind == Pseudo.NONE
    assert not state.offset_db[rest].any()
    assert (state.keeps[rest] == 1).all()
    nothing = wetness(stream(1, "wet"), cover, share=0.0)
    for got, wanted in zip(vars(nothing).values(), vars(dry(cover.shape)).values(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    half = np.zeros(cover.shape, bool)
    half[:256] = True
    dried = state.dried(half)
    assert not dried.kind[:256].any()
    assert (dried.keeps[:256] == 1).all()
    np.testing.assert_array_equal(dried.offset_db[256:], state.offset_db[256:])


def test_wet_ground_dries_before_it_is_wetted_again(cover):
    first = wetness(stream(2, "wet"), cover, share=0.5)
    second = wetness(stream(3, "wet"), cover, share=0.5, before=first)
    assert (second.kind > 0).any()
    assert not ((first.kind > 0) & (second.kind > 0)).any()


def test_vehicles_stand_where_vehicles_go(cover):
    trucks = vehicles(stream(0, "trucks"), cover, per_megapixel=800)
    assert len(trucks.y) == pytest.approx(800 * cover.size / 1e6, abs=60)
    assert np.isin(cover[trucks.y, trucks.x], VEHICLES_ON).all()
    on_road = np.isin(cover[trucks.y, trucks.x], (Cover.ROAD, Cover.ROAD_BUSY))
    assert on_road.mean() == pytest.approx(0.5, abs=0.02)
    assert trucks.power_db.min() >= 14
    assert len(vehicles(stream(0, "trucks"), np.full_like(cover, Cover.WATER), per_megapixel=800).y) == 0


def test_weather_changes_water_and_plants_only():
    drawn = np.stack([weather_db(stream(seed, "weather")) for seed in range(400)])
    assert set(np.flatnonzero(drawn.any(axis=0))) == {Cover.WATER, Cover.VEGETATION, Cover.TAILINGS_WET}
    assert drawn[:, Cover.WATER].std() == pytest.approx(2, rel=0.15)
