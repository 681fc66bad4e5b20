import numpy as np
import pytest

from sarcd.simulate.classes import Cover, table
from sarcd.simulate.landcover import LandMix, build
from sarcd.simulate.options import SceneOptions
from sarcd.simulate.pseudo import Pseudo
from sarcd.simulate.story import Story

OPTIONS = SceneOptions(site="T", shape=(256, 256), days=(0.0, 4.0, 11.0, 15.0), mix=LandMix(), moist_share=(0.4, 0.5))


@pytest.fixture(scope="module")
def story():
    return Story(OPTIONS, 0, build(0, "T", OPTIONS.shape, OPTIONS.mix))


def test_coherences_of_all_dates_are_possible_together(story):
    matrix = np.moveaxis(story.coherence(slice(0, 256)), (0, 1), (2, 3))
    np.testing.assert_array_equal(matrix, matrix.swapaxes(2, 3))
    assert (matrix[..., range(4), range(4)] == 1).all()
    assert np.linalg.eigvalsh(matrix.astype(np.float64)).min() > -1e-6


def test_rows_do_not_depend_on_the_strip(story):
    whole = story.coherence(slice(0, 256))
    np.testing.assert_array_equal(story.coherence(slice(100, 131)), whole[:, :, 100:131])


def test_moved_ground_keeps_the_coherence_of_its_patch(story):
    matrix = story.coherence(slice(0, 256))
    for pair, patches in enumerate(story.patches):
        seen = np.zeros(OPTIONS.shape, bool)
        for patch in reversed(patches):  # later patches lie on top
            fresh = np.zeros(OPTIONS.shape, bool)
            fresh[patch.box] = patch.inside
            fresh &= ~seen
            np.testing.assert_allclose(matrix[pair + 1, pair][fresh], patch.coherence, atol=1e-5)
            seen |= fresh
        np.testing.assert_array_equal(seen, story.changed[pair])
        # Nothing that spans the change remembers what was before it.
        assert matrix[3, 0][seen].max() <= 0.1


def test_still_dry_ground_has_its_class_coherence(story):
    still = ~story.changed[1] & (story.wet[1].kind == 0) & (story.wet[2].kind == 0) & (story.cover == Cover.BENCH_FLOOR)
    got = story.coherence(slice(0, 256))[2, 1][still]
    end, decay = table("coherence_end")[Cover.BENCH_FLOOR], table("decay_days")[Cover.BENCH_FLOOR]
    start = end + (table("coherence")[Cover.BENCH_FLOOR] - end) * np.exp(11 / decay)
    assert got.mean() == pytest.approx((start - end) * np.exp(-7 / decay) + end, rel=0.06)
    assert 0.01 < got.std() < 0.1


def test_wet_ground_keeps_its_share(story):
    matrix = story.coherence(slice(0, 256))
    dry = Story(OPTIONS, 0, build(0, "T", OPTIONS.shape, OPTIONS.mix))
    dry.wet = [dry.wet[0]] * 4
    wet = (story.wet[1].kind == Pseudo.MOISTURE) & (story.wet[2].kind == 0)
    ratio = matrix[2, 1][wet] / dry.coherence(slice(0, 256))[2, 1][wet]
    np.testing.assert_allclose(ratio, story.wet[1].keeps[wet], rtol=1e-5)
    assert ratio.min() >= 0.7 - 1e-6


def test_moved_ground_is_dry_so_that_its_brightness_is_its_own(story):
    for pair, changed in enumerate(story.changed):
        assert not story.wet[pair].kind[changed].any()
        assert not story.wet[pair + 1].kind[changed].any()
        assert not story.pseudo_change(pair)[changed].any()


def test_wetted_and_dried_ground_is_a_pseudo_change_of_both_pairs(story):
    wet = story.wet[1].kind == Pseudo.MOISTURE
    for pair in (0, 1):
        kinds = np.unique(story.pseudo_change(pair)[wet])
        assert set(kinds) <= {Pseudo.MOISTURE, Pseudo.VEHICLE}
