"""Multi-date summaries: count, dates and persistence of changes."""

import numpy as np

from sarcd.change.kernels import summary
from sarcd.change.kernels.summary import count_changes, persistence
from tests.factories.stacks import speckle_stack

ARGUMENTS = {"window": (5, 5), "looks": (25.0, 25.0), "false_alarms": 0.01}


def planes(*values, shape=(20, 20)):
    return [np.full(shape, value, np.uint8) for value in values]


def inner(found):
    return found[4:-4, 4:-4]


def mean(found):
    """Return the mean away from the edges, ignoring the few pixels whose change is too faint to be followed."""
    known = np.isfinite(inner(found))
    assert known.mean() > 0.95
    return inner(found)[known].mean()


def test_counts_by_hand():
    changed = np.array([[0, 1, 255, 1, 0], [0, 0, 255, 1, 255], [0, 255, 255, 1, 1]], "uint8")[:, None]
    count, first, last = count_changes(changed)
    np.testing.assert_array_equal(count, [[0, 1, 255, 3, 1]])
    np.testing.assert_array_equal(first, [[0, 1, -1, 1, 3]])
    np.testing.assert_array_equal(last, [[0, 1, -1, 3, 3]])
    assert (count.dtype, first.dtype, last.dtype) == (np.uint8, np.int16, np.int16)


def test_counts_do_not_wrap():
    count, _, last = count_changes(np.ones((300, 1, 1), np.uint8))
    assert (int(count[0, 0]), int(last[0, 0])) == (254, 300)


def test_new_ground_stays_though_it_is_as_bright(rng):
    """Blasting: coherence is lost between dates 1 and 2, but intensity is unchanged."""
    images = list(speckle_stack(rng, (5, 20, 20), 0.8, breaks=(2,)))
    found = persistence(images, planes(0, 1, 0, 0), **ARGUMENTS)
    assert mean(found) > 0.98


def test_what_came_back_is_told_by_its_coherence(rng):
    """A vehicle changes the backscatter on date 2 only."""
    images = list(speckle_stack(rng, (5, 20, 20), 0.8))
    images[2] = speckle_stack(rng, (1, 20, 20), 0.0)[0]
    found = persistence(images, planes(0, 1, 1, 0), **ARGUMENTS)
    assert mean(found) < 0.05


def test_wet_ground_dries(rng):
    """Intensity rises by 4 dB on date 2 and reverts on date 4 of 0 ... 5; the speckle stays the same throughout."""
    images = list(speckle_stack(rng, (6, 20, 20), 0.8))
    for date in (2, 3):
        images[date] = images[date] * np.float32(10 ** (4 / 20))
    found = persistence(images, planes(0, 1, 0, 1, 0), **ARGUMENTS)
    np.testing.assert_allclose(mean(found), 1 / 3, atol=0.05)


def test_never_coherent_ground_is_judged_by_brightness(rng):
    images = list(speckle_stack(rng, (5, 20, 20), 0.0))
    images[2] = images[2] * np.float32(4)
    found = persistence(images, planes(0, 1, 1, 0), **ARGUMENTS)
    assert mean(found) < 0.1
    amplitudes = [abs(image) for image in images]
    assert mean(persistence(amplitudes, planes(0, 1, 1, 0), **ARGUMENTS)) < 0.1
    for date in (3, 4):
        amplitudes[date] = amplitudes[date] * np.float32(4)
    assert mean(persistence(amplitudes, planes(0, 1, 0, 0), **ARGUMENTS)) == 1


def test_nobody_knows_without_a_change_or_at_the_end(rng):
    images = list(speckle_stack(rng, (3, 20, 20), 0.8))
    assert np.isnan(persistence(images, planes(0, 0), **ARGUMENTS)).all()
    assert np.isnan(persistence(images, planes(0, 1), **ARGUMENTS)).all()
    images[2][:] = np.nan
    assert np.isnan(persistence(images, planes(1, 255), **ARGUMENTS)).all()


def test_a_change_that_does_not_show_is_not_said_to_have_come_back(rng):
    """New ground of equal intensity that is never coherent: a map may have the change, these images do not show it."""
    images = list(speckle_stack(rng, (5, 20, 20), 0.0))
    found = inner(persistence(images, planes(0, 1, 0, 0), **ARGUMENTS))
    assert np.isnan(found).mean() > 0.97
    images[2:] = [image * np.float32(4) for image in images[2:]]
    assert mean(persistence(images, planes(0, 1, 0, 0), **ARGUMENTS)) > 0.97


def test_coherence_is_told_where_a_part_begins(rng, monkeypatch):
    """Its last bits depend on the first row; the replacement here depends on it entirely."""

    def by_row(before, _after, _window, _min_valid, first_row):
        rows = (np.arange(len(before)) + first_row) // 3 % 2
        return np.broadcast_to(np.float32(0.95) * rows[:, None], before.shape).astype(np.float32)

    monkeypatch.setattr(summary, "boxcar", by_row)
    images, changed = speckle_stack(rng, (6, 30, 20), 0.6), rng.integers(0, 2, (5, 30, 20)).astype("uint8")
    images *= rng.choice(np.float32([1, 3]), (6, 30, 1))
    whole = persistence(list(images), list(changed), **ARGUMENTS)
    for top in (7, 13):
        part = persistence(list(images[:, top:]), list(changed[:, top:]), first_row=top, **ARGUMENTS)
        np.testing.assert_array_equal(part[2:], whole[top + 2 :])
