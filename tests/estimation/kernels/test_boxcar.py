"""Coherence kernel: by hand, against a brute-force sum, against theory, and its invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarcd.engine.framed import Framed
from sarcd.estimation.kernels.boxcar import boxcar, boxcar_framed


def brute_force(before, after, window, min_valid=0.5):
    """Compute coherence from its definition, pixel by pixel in float64."""
    height, width = before.shape
    half_y, half_x = window[0] // 2, window[1] // 2
    valid = np.isfinite(before) & np.isfinite(after)
    first, second = (np.where(valid, image, 0).astype(complex) for image in (before, after))
    out = np.full((height, width), np.nan)
    for y in range(height):
        for x in range(width):
            near = np.s_[max(0, y - half_y) : y + half_y + 1, max(0, x - half_x) : x + half_x + 1]
            count = valid[near].sum()
            if count < 2 or count < min_valid * valid[near].size:
                continue
            power = np.sqrt((np.abs(first[near]) ** 2).sum() * (np.abs(second[near]) ** 2).sum())
            if power > 0:
                out[y, x] = min(1, abs((first[near] * second[near].conj()).sum()) / power)
    return out


def noise(rng, shape):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype("complex64")


def test_by_hand():
    before = np.array([[1, 1j, -1]], "complex64")
    after = np.array([[1, 1, 1]], "complex64")
    # 3-pixel windows clipped at the border: (1, j), (1, j, -1), (j, -1)
    expected = [abs(1 + 1j) / 2, abs(1j) / 3, abs(1j - 1) / 2]
    np.testing.assert_allclose(boxcar(before, after, (1, 3))[0], expected, rtol=1e-6)


windows = st.tuples(st.sampled_from([1, 3, 5, 7, 11]), st.sampled_from([1, 3, 5, 7, 21])).filter(lambda w: w != (1, 1))


@given(
    shape=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    window=windows,
    hole=st.floats(0, 1),
    clean=st.integers(0, 24),
    min_valid=st.floats(0.05, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_brute_force(shape, window, hole, clean, min_valid, seed):
    """Holes begin at some row, from which on the kernel counts valid pixels."""
    rng = np.random.default_rng(seed)
    before, after = noise(rng, shape), noise(rng, shape)
    before[clean:][rng.random(shape)[clean:] < hole / 2] = np.nan + 1j * np.nan
    after[clean:][rng.random(shape)[clean:] < hole / 2] = np.inf
    found = boxcar(before, after, window, min_valid)
    expected = brute_force(before, after, window, min_valid)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("row", range(14))
def test_a_hole_is_counted_from_whatever_row_it_begins(rng, row):
    """Valid pixels are counted only from the first hole on, but the rows above must be included in the counts."""
    before, after = noise(rng, (16, 12)), noise(rng, (16, 12))
    before[row, 4] = np.nan
    for min_valid in (0.8, 1.0):
        found, expected = (estimate(before, after, (5, 3), min_valid) for estimate in (boxcar, brute_force))
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


@given(data=st.data(), window=windows, hole=st.sampled_from([0.0, 0.2]), first_hole=st.integers(0, 30))
def test_a_part_that_knows_its_place_has_the_bytes_of_the_whole(data, window, hole, first_hole):
    rng = np.random.default_rng(5)
    before, after = noise(rng, (40, 9)), noise(rng, (40, 9))
    before[first_hole:][rng.random((40 - first_hole, 9)) < hole] = np.nan
    whole = boxcar(before, after, window, 0.4)
    start = data.draw(st.integers(0, 39))
    stop = data.draw(st.integers(start + 1, 40))
    half = window[0] // 2
    outer = slice(max(start - half, 0), stop + half)
    found = boxcar(before[outer], after[outer], window, 0.4, first_row=outer.start)
    np.testing.assert_array_equal(found[start - outer.start :][: stop - start], whole[start:stop])


def test_wide_scenes_have_no_seam_between_strips(rng):
    before, after = noise(rng, (3, 9000)), noise(rng, (3, 9000))
    np.testing.assert_allclose(boxcar(before, after, (3, 9)), brute_force(before, after, (3, 9)), atol=1e-5)


@pytest.mark.parametrize("gain_db", [80, 150])
def test_bright_target_leaves_neighbours_outside_the_window_alone(rng, gain_db):
    before, after = noise(rng, (60, 60)), noise(rng, (60, 60))
    dark = boxcar(before, after, (5, 5))
    for image in (before, after):
        image[30, 30] *= 10 ** (gain_db / 20)
    bright = boxcar(before, after, (5, 5))
    outside = np.ones((60, 60), bool)
    outside[28:33, 28:33] = False
    np.testing.assert_array_equal(bright[outside], dark[outside])


def test_undefined_where_there_is_no_power():
    before = np.zeros((9, 9), "complex64")
    before[:, 6:] = 1
    found = boxcar(before, np.ones((9, 9), "complex64"), (3, 3))
    assert np.isnan(found[:, :5]).all()
    np.testing.assert_allclose(found[:, 7:], 1, rtol=1e-6)


def test_one_pixel_alone_is_undefined():
    assert np.isnan(boxcar(np.ones((1, 1), "complex64"), np.ones((1, 1), "complex64"), (5, 5))).all()


@given(
    scale=st.floats(1e-6, 1e6),
    phase=st.floats(-3, 3),
    image=hnp.arrays("float32", (2, 12, 9), elements=st.floats(-10, 10, width=32)),
)
def test_swap_scale_and_phase_change_nothing(scale, phase, image):
    rng = np.random.default_rng(1)
    before, after = noise(rng, (12, 9)) + image[0] + 1j * image[1], noise(rng, (12, 9))
    reference = boxcar(before, after, (5, 3))
    np.testing.assert_allclose(boxcar(after, before, (5, 3)), reference, atol=2e-6)
    turned = (after * scale * np.exp(1j * phase)).astype("complex64")
    np.testing.assert_allclose(boxcar(before, turned, (5, 3)), reference, atol=5e-6)


@pytest.mark.parametrize(("truth", "expected"), [(0.0, 0.178134), (0.3, 0.331010), (0.6, 0.607269), (0.9, 0.900432)])
def test_mean_of_25_looks_follows_theory(truth, expected):
    """Check E[g] of the sample coherence over L = 25 independent looks, from non-overlapping windows."""
    rng = np.random.default_rng(5)
    before = noise(rng, (800, 800))
    after = (truth * before + np.sqrt(1 - truth**2) * noise(rng, (800, 800))).astype("complex64")
    centres = boxcar(before, after, (5, 5))[2::5, 2::5]
    error = centres.std() / np.sqrt(centres.size)
    assert error < 0.001
    assert abs(centres.mean() - expected) < 4 * error


def test_empty_image():
    assert boxcar(np.empty((0, 5), "complex64"), np.empty((0, 5), "complex64"), (3, 3)).shape == (0, 5)


@given(data=st.data(), window=windows, hole=st.sampled_from([0.0, 0.2]), first_hole=st.integers(0, 24))
def test_a_framed_part_has_the_bytes_of_the_whole(data, window, hole, first_hole):
    """Any part, cut with a halo of the window's reach, gives the same bytes."""
    rng = np.random.default_rng(5)
    images = noise(rng, (25, 22)), noise(rng, (25, 22))
    images[0][first_hole:][rng.random((25 - first_hole, 22)) < hole] = np.nan
    (top, bottom), (left, right) = (
        sorted(data.draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True))) for size in (25, 22)
    )
    reach_y, reach_x = window[0] // 2, window[1] // 2
    rows, columns = slice(max(top - reach_y, 0), bottom + reach_y), slice(max(left - reach_x, 0), right + reach_x)
    parts = [
        Framed(
            image[top:bottom, left:right],
            above=image[rows.start : top, columns],
            below=image[bottom : rows.stop, columns].copy(),
            left=image[top:bottom, columns.start : left].copy(),
            right=image[top:bottom, right : columns.stop],
        )
        for image in images
    ]
    found = boxcar_framed(*parts, window, 0.4, rows.start)
    expected = boxcar(*images, window, 0.4)[top:bottom, left:right]
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("of", [np.s_[::2], np.s_[:, ::2], np.s_[::-1], np.s_[3:9, 2:11], np.s_[:1], np.s_[:, :1]])
def test_images_that_are_not_contiguous_are_read_as_they_lie(rng, of):
    before, after = noise(rng, (16, 12))[of], noise(rng, (16, 12))[of]
    np.testing.assert_array_equal(boxcar(before, after, (3, 3)), boxcar(before.copy(), after.copy(), (3, 3)))
    turned = boxcar(np.asfortranarray(before), after.astype("complex128"), (3, 3))
    np.testing.assert_array_equal(turned, boxcar(before.copy(), after.copy(), (3, 3)))
