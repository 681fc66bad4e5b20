"""Lee filters: by hand, against loops, and their effect on homogeneous areas, edges and holes."""

import numpy as np
import pytest

from sarcd.change.kernels.speckle_filters import lee, refined_lee


def between(own, window, looks):
    """Return Lee's estimate for a pixel from the valid values of its window."""
    mean, variance = window.mean(), window.var()
    k = 0.0 if variance == 0 else max(0.0, (1 - mean**2 / (looks * variance)) / (1 + 1 / looks))
    return mean + k * (own - mean)


def test_lee_is_the_formula_at_every_pixel(rng):
    power = rng.gamma(1, size=(8, 9))
    power[3, 3] = np.nan
    found = lee(power, (5, 3), looks=2.0)
    for y, x in np.ndindex(power.shape):
        window = power[max(y - 2, 0) : y + 3, max(x - 1, 0) : x + 2]
        if (y, x) == (3, 3):
            assert np.isnan(found[y, x])
        else:
            assert found[y, x] == pytest.approx(between(power[y, x], window[np.isfinite(window)], 2.0), rel=1e-5)


HALVES = {
    (0, 1): lambda y, x: x >= 0,
    (0, -1): lambda y, x: x <= 0,
    (1, 0): lambda y, x: y >= 0,
    (-1, 0): lambda y, x: y <= 0,
    (1, 1): lambda y, x: x + y >= 0,
    (-1, -1): lambda y, x: x + y <= 0,
    (-1, 1): lambda y, x: x - y >= 0,
    (1, -1): lambda y, x: x - y <= 0,
}


def test_refined_lee_is_the_formula_at_inner_pixels(rng):
    power = rng.gamma(1, size=(13, 14)) * np.where(np.add.outer(np.arange(13), np.arange(14)) < 12, 1, 5)
    found = refined_lee(power, looks=1.0)
    for y, x in ((6, 6), (5, 7), (4, 4), (8, 9), (7, 3)):
        part = {
            (j, i): power[y + 2 * j - 1 : y + 2 * j + 2, x + 2 * i - 1 : x + 2 * i + 2].mean()
            for j in (-1, 0, 1)
            for i in (-1, 0, 1)
        }
        gradients = {}
        for step in ((0, 1), (1, 0), (1, 1), (-1, 1)):
            signs = {place: np.sign(place[0] * step[0] + place[1] * step[1]) for place in part}
            gradients[step] = abs(sum(sign * part[place] for place, sign in signs.items()))
        step = max(gradients, key=gradients.get)
        opposite = (-step[0], -step[1])
        side = min((step, opposite), key=lambda place: abs(part[place] - part[0, 0]))
        window = np.array([power[y + j, x + i] for j in range(-3, 4) for i in range(-3, 4) if HALVES[side](j, i)])
        assert window.size == 28
        assert found[y, x] == pytest.approx(between(power[y, x], window, 1.0), rel=1e-5)


@pytest.mark.parametrize("looks", [1.0, 4.0])
def test_even_ground_is_averaged_without_bias(looks, rng):
    power = rng.gamma(looks, 1 / looks, (200, 200))
    for filtered, least in ((lee(power, (7, 7), looks), 8), (refined_lee(power, looks), 4)):
        assert filtered.mean() == pytest.approx(1, abs=0.06)
        assert power.var() / filtered.var() > least
    many = lee(power, (7, 7), looks=1e9)  # without speckle nothing is averaged
    np.testing.assert_allclose(many, power, rtol=1e-4, atol=1e-6)


def test_the_refined_filter_keeps_edges_of_every_direction():
    y, x = np.indices((40, 40))
    for where in (x < 20, y < 20, x + y < 40, x - y < 3):
        edge = np.where(where, 1.0, 100.0)
        inner = (slice(6, -6), slice(6, -6))
        np.testing.assert_allclose(refined_lee(edge, looks=1.0)[inner], edge[inner], rtol=1e-6)
    blurred = lee(np.where(x < 20, 1.0, 1.5), (7, 7), looks=1.0)
    assert not np.isin(blurred, [1.0, 1.5]).all()


def test_holes_stay_and_leave_their_neighbours(rng):
    power = rng.gamma(1, size=(20, 20))
    holes = power.copy()
    holes[5:9, 5:9] = np.nan
    for kernel in (lambda image: lee(image, (7, 7), 1.0), lambda image: refined_lee(image, 1.0)):
        np.testing.assert_array_equal(np.isnan(kernel(holes)), np.isnan(holes))
        np.testing.assert_array_equal(kernel(holes)[14:], kernel(power)[14:])
