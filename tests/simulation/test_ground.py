from dataclasses import replace

import numpy as np
import pytest

from sarcd.simulation.core.classes import SIGNATURES, Cover, table
from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.ground import build, heap_m, stairs_m
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.plan import draw_mine, mines_in

OPTIONS = SiteOptions("T", vegetation=0.3, town=True, river=True, fields=0.2, tailings=130.0)
DICE = RandomStreams(0, "T")
MINE = draw_mine(DICE, OPTIONS, 0, 0)
CENTRE = MINE.centre


@pytest.fixture(scope="module")
def region():
    return Region(round(CENTRE[0]) - 460, round(CENTRE[1]) - 460, 920, 920)


@pytest.fixture(scope="module")
def ground(region):
    return build(DICE, OPTIONS, region)


def test_every_class_has_a_signature():
    assert set(SIGNATURES) == set(Cover)
    assert (table("coherence") >= table("coherence_end")).all()


def test_all_classes_occur(ground):
    assert set(np.unique(ground.cover)) == {int(c) for c in Cover}


def test_a_part_of_the_ground_is_the_ground_there(ground, region):
    part = build(DICE, OPTIONS, Region(region.top + 200, region.left + 330, 150, 90))
    for name in ("cover", "height_m", "tone_db"):
        assert getattr(part, name).tobytes() == getattr(ground, name)[200:350, 330:420].tobytes(), name


def test_benches_by_hand():
    pit = replace(MINE.pit, bench_px=10.0, benches=3, bench_m=12.0, rim_m=5.0)
    inward = np.array([-7, -1, 0, 4, 9, 14, 19.9, 24, 29, 34, 90], np.float32)
    # A face of 65 degrees and 12 m takes 12 / tan(65 deg) / 2.5 = 2.2 pixels.
    expected = [17 - 12, 17 - 12, 5, -7, -7, -19, -19, -31, -31, -31, -31]
    expected[0] = expected[1] = 5
    np.testing.assert_allclose(stairs_m(pit, inward, 2.5), expected, atol=1e-4)
    halfway = stairs_m(pit, np.array([1.119], np.float32), 2.5)
    assert halfway[0] == pytest.approx(5 - 6, abs=0.01)


def test_dumps_stand_at_the_angle_of_repose():
    dump = replace(MINE.dumps[0], base_m=0.0, lift_m=18.0)
    slope = np.diff(heap_m(dump, np.arange(-5, 9, dtype=np.float32), 2.5)) / 2.5
    np.testing.assert_allclose(np.rad2deg(np.arctan(slope)), 37, atol=0.1)
    assert heap_m(dump, np.array([1e3], np.float32), 2.5)[0] == 36


def test_the_pit_is_terraced(ground):
    placed = ground.placed[(0, 0), -1]
    pit = MINE.pit
    cover, height = ground.cover[placed.box], ground.height_m[placed.box]
    step = np.floor(placed.inward_px / pit.bench_px)
    phase = placed.inward_px - step * pit.bench_px
    wall = (step >= 0) & (step < pit.benches) & np.isin(cover, (Cover.BENCH_FLOOR, Cover.BENCH_FACE))
    assert (cover[wall & (phase < 1.5)] == Cover.BENCH_FACE).all()
    assert (cover[wall & (phase > 3)] == Cover.BENCH_FLOOR).all()
    levels = [np.median(height[wall & (step == k) & (phase > 3)]) for k in range(pit.benches)]
    np.testing.assert_allclose(np.diff(levels), -pit.bench_m, atol=0.1)
    assert 10 <= pit.bench_m <= 15


def test_the_ramp_goes_down_to_the_bottom(ground):
    placed = ground.placed[(0, 0), -1]
    on_ramp = (ground.cover[placed.box] == Cover.ROAD_BUSY) & (placed.inward_px > 0)
    levels = np.unique((placed.inward_px[on_ramp] // MINE.pit.bench_px).astype(int))
    assert set(range(MINE.pit.benches)) <= set(levels)


def test_shares_follow_the_options():
    far = Region(9000, 200, 700, 900)  # including the mines
    plain = SiteOptions("T", vegetation=0.0, water=0.0, tailings=0.0)
    bare = build(DICE, plain, far)
    assert not np.isin(bare.cover, (Cover.VEGETATION, Cover.WATER, Cover.TAILINGS)).any()
    shares = [
        (build(DICE, replace(plain, vegetation=share), far).cover == Cover.VEGETATION).mean()
        for share in (0.2, 0.4, 0.6)
    ]
    assert 0.01 < shares[0] < shares[1] < shares[2] < 0.6


def test_there_is_a_mine_to_every_cell():
    cell = OPTIONS.cell_px
    whole = mines_in(DICE, OPTIONS, Region(0, 0, 3 * cell, 2 * cell))
    centres = {(int(mine.centre[0] // cell), int(mine.centre[1] // cell)) for mine in whole}
    assert {(row, column) for row in range(3) for column in range(2)} <= centres
    assert draw_mine(DICE, OPTIONS, -1, 4).centre == draw_mine(DICE, OPTIONS, -1, 4).centre
    assert draw_mine(DICE, OPTIONS, -1, 4).centre != draw_mine(RandomStreams(1, "T"), OPTIONS, -1, 4).centre


def test_a_mine_stays_within_its_reach():
    for seed in range(12):
        mine = draw_mine(RandomStreams(seed, "T"), OPTIONS, 0, 0)
        for shape in (mine.pit.outline, *(dump.outline for dump in mine.dumps)):
            away = np.hypot(shape.centre[0] - mine.centre[0], shape.centre[1] - mine.centre[1])
            assert away + shape.radius_px * np.sqrt(shape.stretch) < mine.reach_px
