from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from sarcd.simulation.core.changes import KEPT, KINDS, LOUDEST_DB, QUIET_DB, apply_edits, draw_edits
from sarcd.simulation.core.classes import Cover, table
from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.ground import build
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.plan import draw_mine

OPTIONS = SiteOptions("T", vegetation=0.2, changes=(10, 10), pit=250.0)
DICE = RandomStreams(2, "T")
MINE = draw_mine(DICE, OPTIONS, 0, 0)
REGION = Region(round(MINE.centre[0]) - 520, round(MINE.centre[1]) - 520, 1040, 1040)


@pytest.fixture(scope="module")
def ground():
    return build(DICE, OPTIONS, REGION)


@pytest.fixture(scope="module")
def many():
    """Collected over many mines and pairs."""
    return [
        edit
        for seed in range(40)
        for edit in draw_edits(RandomStreams(seed, "T"), OPTIONS, draw_mine(RandomStreams(seed, "T"), OPTIONS, 0, 0), 0)
    ]


def fresh(ground):
    placed = {key: replace(one, inward_px=one.inward_px.copy()) for key, one in ground.placed.items()}
    return replace(
        ground, cover=ground.cover.copy(), height_m=ground.height_m.copy(), tone_db=ground.tone_db.copy(), placed=placed
    )


def one_of(kind):
    for pair in range(200):
        for edit in draw_edits(DICE, OPTIONS, MINE, pair):
            if edit.kind == kind:
                return edit
    raise AssertionError(kind)


def test_all_kinds_occur_and_the_first_is_a_cut(many):
    assert {edit.kind for edit in many} == set(KINDS)
    for pair in range(5):
        assert draw_edits(DICE, OPTIONS, MINE, pair)[0].kind == "cut"
    assert draw_edits(DICE, replace(OPTIONS, changes=(0, 0)), MINE, 0) == []


def test_coherence_goes_to_at_most_a_tenth(many):
    left = np.array([edit.coherence for edit in many])
    assert 0 <= left.min() < left.max() <= 0.1


def test_a_third_of_the_changes_is_too_quiet_for_amplitude(many):
    offsets = np.abs([edit.offset_db for edit in many])
    share = (offsets <= QUIET_DB).mean()
    assert share == pytest.approx(1 / 3, abs=3.5 * np.sqrt(2 / 9 / len(many)))
    assert offsets.max() <= LOUDEST_DB
    signs = np.sign([edit.offset_db for edit in many if abs(edit.offset_db) > QUIET_DB])
    assert 0.3 < (signs > 0).mean() < 0.7


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_change_edits_what_it_covers_and_nothing_else(ground, kind):
    edit = one_of(kind)
    after = fresh(ground)
    moved = apply_edits(after, [edit])
    changed = moved.changed
    assert changed.sum() > (500 if kind == "tailings" else 1000)
    assert not np.isin(ground.cover[changed], KEPT).any()
    np.testing.assert_array_equal(moved.coherence[changed], np.float32(edit.coherence))
    assert (moved.coherence[~changed] == 1).all()
    for name in ("cover", "height_m", "tone_db"):
        np.testing.assert_array_equal(getattr(after, name)[~changed], getattr(ground, name)[~changed])
    step = (after.height_m - ground.height_m)[changed]
    if kind == "cut":
        assert step.max() <= 1e-3
        assert step.min() < -0.8 * MINE.pit.bench_m
        assert np.isin(after.cover[changed], (Cover.BENCH_FLOOR, Cover.BENCH_FACE)).all()
    elif kind == "slump":  # lower at the top, higher at the foot
        assert step.min() < -3
        assert step.max() > 3
    else:
        assert step.max() > 1
        assert step.min() > -1.5
    # A single object larger than a network's resolution.
    pieces = np.bincount(ndimage.label(changed)[0].ravel())[1:]
    assert pieces.max() > 0.75 * changed.sum()  # wet tailings cut off some parts
    assert ndimage.binary_opening(changed, np.ones((12, 12))).any()


def test_changes_do_not_end_at_the_edge_of_their_reach(ground, many):
    for edit in (one_of(kind) for kind in KINDS):
        after = fresh(ground)
        changed = apply_edits(after, [edit]).changed
        wide = apply_edits(fresh(ground), [replace(edit, centre=edit.centre)]).changed
        np.testing.assert_array_equal(changed, wide)
        y, x = np.nonzero(changed)
        away = np.abs([y + REGION.top - edit.centre[0], x + REGION.left - edit.centre[1]]).max()
        assert away < edit.reach_px - 1, edit


def test_a_part_changes_as_the_whole(ground):
    edits = draw_edits(DICE, OPTIONS, MINE, 0)
    whole = fresh(ground)
    moved = apply_edits(whole, edits)
    y, x = (int(side) - 60 for side in edits[0].centre)
    part = build(DICE, OPTIONS, Region(y, x, 130, 90))
    there = apply_edits(part, edits)
    box = slice(y - REGION.top, y - REGION.top + 130), slice(x - REGION.left, x - REGION.left + 90)
    assert there.changed.any()
    np.testing.assert_array_equal(there.changed, moved.changed[box])
    np.testing.assert_array_equal(part.height_m, whole.height_m[box])
    np.testing.assert_array_equal(part.tone_db, whole.tone_db[box])


def test_brightness_changes_by_what_was_drawn(ground):
    # For heaps on a dump the class stays, so the mean changes by the offset, up to the texture of the ground before.
    edit = replace(one_of("heaps"), offset_db=-3.0)
    after = fresh(ground)
    changed = apply_edits(after, [edit]).changed & (ground.cover == Cover.DUMP)
    sigma0 = table("sigma0_db")
    step = (sigma0[after.cover] + after.tone_db - sigma0[ground.cover])[changed]
    np.testing.assert_allclose(step, -3, atol=1e-5)


def test_work_goes_on_where_it_stopped(ground):
    edit = one_of("cut")
    once, twice = fresh(ground), fresh(ground)
    apply_edits(once, [edit])
    apply_edits(twice, [edit])
    moved = apply_edits(twice, [edit])
    deeper = (twice.height_m - once.height_m)[moved.changed]
    assert deeper.min() < -5
    assert deeper.max() <= 1e-3
