"""Scene-wide coherence changes: snow on one date, a longer interval, stable ground, and changed ground."""

import numpy as np
import pytest

from sarcd import change
from sarcd.change.coherence_past import bad_dates
from tests.factories.stacks import speckle_stack, stack_scene

SIDE, DATES = 96, 6
RATE = 0.001


def mine(rng, *, factors=(), changed=None):
    """Make white speckle of coherence 0.5, 0.7 and 0.9 in stripes, lower on some dates; new ground from one date on."""
    images = np.concatenate([speckle_stack(rng, (DATES, SIDE, SIDE // 3), c) for c in (0.5, 0.7, 0.9)], 2)
    if changed is not None:
        date, rows = changed
        images[date:, rows] = speckle_stack(rng, (DATES - date, rows.stop - rows.start, SIDE), 0.7)
    for date, factor in factors:
        noise = speckle_stack(rng, (1, SIDE, SIDE), 0.0)[0]
        images[date] = factor * images[date] + np.sqrt(1 - factor**2) * noise
    return stack_scene(images.astype("complex64"))


def flagged(found):
    return [(found.change[i] == 1).values.mean() for i in range(1, DATES - 1)]


def unknown(found):
    return [(found.undecidable[i] == 1).values.mean() for i in range(1, DATES - 1)]


def test_one_bad_date_neither_is_change_nor_blinds_what_follows(rng):
    """Without scaling, 95 and 53 % of unchanged ground were flagged in its pairs, then up to 86 % undecidable."""
    calm = change.coherence_test(mine(rng), expected="history", window=9, false_alarms=RATE)
    snow = change.coherence_test(mine(rng, factors=[(2, 0.3)]), expected="history", window=9, false_alarms=RATE)
    assert max(flagged(calm)) < 2 * RATE
    assert max(flagged(snow)) < 2 * RATE
    pairs_of_snow, later = unknown(snow)[:2], unknown(snow)[2:]
    assert min(pairs_of_snow) > 0.8  # too little coherence remains to detect a loss
    assert max(later) < max(unknown(calm)) + 0.05


def test_a_loss_of_the_whole_scene_over_a_longer_gap_is_no_change(rng):
    """Without scaling, a pair of 55 days after pairs of 11 flagged 2.7 to 4.8 % of stable ground."""
    scene = mine(rng, factors=[(5, 0.65)])
    found = change.coherence_test(scene, expected="history", window=9, false_alarms=RATE)
    assert max(flagged(found)) < 2 * RATE
    assert unknown(found)[-1] < 0.6


@pytest.mark.parametrize("factors", [[], [(2, 0.3)]])
def test_what_changed_is_found(factors, rng):
    changed = slice(40, 60)
    found = change.coherence_test(
        mine(rng, factors=factors, changed=(4, changed)), expected="history", window=9, false_alarms=RATE
    )
    inner = found.change[3].values[45:55, 34:]  # of ground of coherence 0.7 and 0.9
    assert (inner == 1).mean() > 0.95
    away = np.delete(found.change[3].values, np.s_[35:65], 0)
    assert (away == 1).mean() < 2 * RATE


def test_a_loss_is_measured_against_the_scene(rng):
    """For `coherence_loss`, snow is not a loss and is excluded from the history of later pairs."""
    calm, snow = (change.coherence_loss(mine(rng, factors=factors)).values for factors in ([], [(2, 0.3)]))
    spread = np.nanstd(calm[3])
    for pair in range(1, DATES - 1):
        assert np.nanmedian(snow[pair]) < 0.3 * spread
        assert (snow[pair] > 5 * spread).mean() < 1e-3
    assert np.nanstd(snow[4]) < 1.3 * spread
    never = change.never_coherent(mine(rng, factors=[(2, 0.15)])).values
    assert (never[1:3] == 1).mean() > 0.5
    assert (never[3:] == 1).mean() < 0.05


def test_bad_dates_are_named_by_their_option():
    times = np.arange("2023-01-01", "2023-01-07", dtype="datetime64[D]")
    steps = [(date, date + 1) for date in range(5)]

    def lines(*levels):
        return bad_dates(times, [(*step, level) for step, level in zip(steps, levels, strict=True)])

    assert lines(0.6, 0.5, 0.6, 0.7, 0.4) == []
    (line,) = lines(0.6, 0.1, 0.2, 0.7, 0.6)
    assert line.startswith(
        "coherence of both pairs of 2023-01-03 is far below that of the others (0.1 and 0.2, others 0.6)"
    )
    assert line.endswith("--exclude-date 2023-01-03")
    (line,) = lines(0.1, 0.2, 0.6, 0.7, 0.6)  # and none for the first date, whose only pair is with the bad date
    assert "2023-01-02" in line
    (line,) = lines(0.6, 0.6, 0.6, 0.7, 0.1)
    assert line.startswith("coherence of the one pair of 2023-01-06")
    assert bad_dates(times, [(0, 1, 0.1)]) == []
