from dataclasses import replace

import numpy as np
import pytest

from sarcd.simulate.classes import SIGNATURES, Cover, table
from sarcd.simulate.landcover import LandMix, build


@pytest.fixture(scope="module")
def ground():
    return build(0, "T", (640, 640), LandMix(vegetation=0.3, town=True, river=True, fields=0.2))


def test_every_class_has_a_signature():
    assert set(SIGNATURES) == set(Cover)
    assert (table("coherence") >= table("coherence_end")).all()


def test_all_classes_occur(ground):
    assert set(np.unique(ground.cover)) == {int(c) for c in Cover}


def test_the_pit_is_terraced(ground):
    (pit,) = ground.pits
    # Along a line from the rim to the bottom the ground goes down in steps: floors level, faces steep.
    inward, cover = pit.outline.inward_px, ground.cover[pit.outline.box]
    level = np.floor(inward / pit.bench_px)
    phase = inward - level * pit.bench_px
    wall = (inward > 0) & (level < pit.benches) & np.isin(cover, (Cover.BENCH_FLOOR, Cover.BENCH_FACE))
    assert (cover[wall & (phase < 3.9)] == Cover.BENCH_FACE).all()
    assert (cover[wall & (phase > 4.1)] == Cover.BENCH_FLOOR).all()
    depths = [np.median(ground.height_m[pit.outline.box][wall & (level == k)]) for k in range(pit.benches)]
    np.testing.assert_allclose(np.diff(depths), -12, atol=4)


def test_the_ramp_spirals_to_the_bottom(ground):
    (pit,) = ground.pits
    cover = ground.cover[pit.outline.box]
    on_ramp = (cover == Cover.ROAD_BUSY) & (pit.outline.inward_px > 0)
    levels = np.unique((pit.outline.inward_px[on_ramp] // pit.bench_px).astype(int))
    assert set(range(pit.benches)) <= set(levels)


def test_shares_follow_the_mix():
    plain = LandMix(vegetation=0.0, water=0.0)
    bare = build(1, "T", (512, 512), plain)
    assert not np.isin(bare.cover, (Cover.VEGETATION,)).any()
    shares = [
        (build(1, "T", (512, 512), replace(plain, vegetation=share)).cover == Cover.VEGETATION).mean()
        for share in (0.2, 0.4, 0.6)
    ]
    assert 0.05 < shares[0] < shares[1] < shares[2] < 0.6
    wetter = build(1, "T", (512, 512), replace(plain, wet=0.9)).cover
    assert (wetter == Cover.TAILINGS).sum() < (bare.cover == Cover.TAILINGS).sum()


def test_a_large_scene_has_several_mines():
    ground = build(0, "T", (1024, 2048), LandMix())
    assert len(ground.pits) == 2
    assert len(ground.dumps) == 4


def test_the_same_name_and_seed_make_the_same_ground():
    first, again = (build(5, "T", (128, 200), LandMix()) for _ in range(2))
    assert first.cover.tobytes() == again.cover.tobytes()
    assert first.height_m.tobytes() == again.height_m.tobytes()
    assert (first.cover != build(6, "T", (128, 200), LandMix()).cover).any()
    assert (first.cover != build(5, "U", (128, 200), LandMix()).cover).any()
