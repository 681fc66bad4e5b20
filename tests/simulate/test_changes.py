import numpy as np
import pytest

from sarcd.simulate.changes import LOUDEST_DB, QUIET_DB, WORKED, _cut_off, draw_changes
from sarcd.simulate.classes import Cover
from sarcd.simulate.fields import stream
from sarcd.simulate.landcover import LandMix, build


@pytest.fixture(scope="module")
def ground():
    return build(0, "T", (512, 512), LandMix())


@pytest.fixture(scope="module")
def many(ground):
    return [patch for seed in range(12) for patch in draw_changes(stream(seed, "changes"), ground, share=0.05)]


@pytest.mark.parametrize("share", [0.01, 0.03, 0.06])
def test_changes_cover_the_share_asked_for(ground, share):
    changed = np.zeros(ground.cover.shape, bool)
    for patch in draw_changes(stream(1, "changes"), ground, share=share):
        changed[patch.box] |= patch.inside
    assert 0.85 * share < changed.mean() <= 1.1 * share


def test_all_kinds_occur(many):
    assert {patch.kind for patch in many} == {"cut", "blast", "slump", "lobe", "heaps"}


def test_changes_touch_worked_ground_only(ground, many):
    for patch in many:
        assert patch.inside.any()
        assert np.isin(ground.cover[patch.box][patch.inside], WORKED).all()
        assert not patch.rise_m[~patch.inside].any()


def test_coherence_goes_to_at_most_a_tenth(many):
    left = np.array([patch.coherence for patch in many])
    assert left.min() >= 0
    assert left.max() <= 0.1
    assert left.std() > 0.02


def test_a_third_of_the_changes_is_too_quiet_for_amplitude(many):
    offsets = np.array([patch.offset_db for patch in many])
    quiet = np.abs(offsets) <= QUIET_DB
    assert np.abs(offsets).max() <= LOUDEST_DB
    assert quiet.mean() == pytest.approx(1 / 3, abs=3.5 * np.sqrt(2 / 9 / len(many)))
    assert not any(patch.rise_m.any() for patch, hush in zip(many, quiet, strict=True) if hush)
    assert any(patch.rise_m.any() for patch in many)
    assert (offsets > QUIET_DB).any()
    assert (offsets < -QUIET_DB).any()


def test_patches_do_not_end_at_the_edge_of_their_box(ground, many):
    # A straight edge would give the patch away: where the box lies inside the scene its rim is unchanged.
    for patch in many:
        for axis in (0, 1):
            rim = patch.inside.any(axis=1 - axis)
            assert patch.box[axis].start == 0 or not rim[0]
            assert patch.box[axis].stop == ground.cover.shape[axis] or not rim[-1]


def test_a_cut_lies_along_a_bench(ground, many):
    (pit,) = ground.pits
    inward = np.full(ground.cover.shape, np.nan, np.float32)
    inward[pit.outline.box] = pit.outline.inward_px
    for patch in many:
        if patch.kind == "cut":
            assert np.ptp(inward[patch.box][patch.inside]) < 3.2 * pit.bench_px


def test_where_nothing_can_be_worked_nothing_is_drawn(ground):
    flooded = build(0, "T", (128, 128), LandMix())
    flooded.cover[:] = Cover.WATER
    assert draw_changes(stream(0, "changes"), flooded, share=0.05) == []


def test_a_patch_that_runs_into_its_box_is_cut_off_unless_the_scene_ends_there():
    inside = np.zeros((4, 5), bool)
    inside[1:3, 0] = True
    assert _cut_off(inside, (slice(10, 14), slice(20, 25)), (100, 100))
    assert not _cut_off(inside, (slice(10, 14), slice(0, 5)), (100, 100))
    assert _cut_off(inside[:, ::-1], (slice(10, 14), slice(20, 25)), (100, 100))
    assert not _cut_off(inside[:, ::-1], (slice(10, 14), slice(95, 100)), (100, 100))
    assert not _cut_off(np.pad(inside, 1), (slice(10, 16), slice(20, 27)), (100, 100))
