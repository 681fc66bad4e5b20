import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, stats

from sarcd.simulation.core.fields import RandomStreams, Region, above, correlated, filtered, gaussian_kernel

DICE = RandomStreams(3, "T")


def test_a_stream_depends_on_its_name_alone():
    first = DICE.stream("speckle", 0).random(4)
    DICE.stream("texture").random(100)
    assert np.array_equal(first, DICE.stream("speckle", 0).random(4))
    for other in (
        RandomStreams(4, "T").stream("speckle", 0),
        RandomStreams(3, "U").stream("speckle", 0),
        DICE.stream("speckle", 1),
        DICE.stream("speckle"),
        DICE.stream("noise", 0),
    ):
        assert not np.array_equal(first, other.random(4))


WHOLE = Region(-70, -40, 260, 240)


@given(st.integers(0, 259), st.integers(0, 239), st.integers(1, 100), st.integers(1, 100))
def test_a_part_of_a_field_is_the_field_there(top, left, height, width):
    height, width = min(height, 260 - top), min(width, 240 - left)
    part = Region(WHOLE.top + top, WHOLE.left + left, height, width)
    box = slice(top, top + height), slice(left, left + width)
    kernel = gaussian_kernel(1.5)
    for draw in (
        lambda region: DICE.white(region, "w"),
        lambda region: DICE.white(region, "c", parts=2).reshape(*region.shape, 2),
        lambda region: DICE.fractal(region, "f", coarsest=64),
        lambda region: DICE.fractal(region, "f", coarsest=128, finest=8),
        lambda region: correlated(DICE, region, "w", kernels=(kernel, kernel)),
    ):
        assert draw(part).tobytes() == np.ascontiguousarray(draw(WHOLE)[box]).tobytes()


def test_white_noise_is_normal_to_its_tails():
    drawn = DICE.white(Region(-5, -70, 1000, 1000), "w").ravel()
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    for limit in (2.0, 3.0, 3.6, 4.2):
        expected = drawn.size * 2 * stats.norm.sf(limit)
        assert np.count_nonzero(np.abs(drawn) > limit) == pytest.approx(expected, abs=4 * np.sqrt(expected))
    assert abs(drawn.reshape(1000, 1000)[:, 1:].ravel() @ drawn.reshape(1000, 1000)[:, :-1].ravel()) < 4 * 1000


def test_blocks_and_names_are_independent():
    first, second = (DICE.white(Region(0, 64 * i, 64, 64), "w").ravel() for i in (0, 1))
    other = DICE.white(Region(0, 0, 64, 64), "v").ravel()
    assert abs(np.corrcoef([first, second, other])[np.triu_indices(3, 1)]).max() < 0.06


def test_fractal_is_of_unit_variance_and_zero_mean():
    # Many small independent fields: one field has few coarse features, so its own variance is a poor estimate.
    region = Region(0, 0, 128, 128)
    fields = np.stack([RandomStreams(seed, "T").fractal(region, "f", coarsest=16, roughness=0.6) for seed in range(40)])
    assert abs(fields.mean()) < 0.03
    assert fields.var() == pytest.approx(1, abs=0.05)
    # The lattice must be invisible: pixels on and between the lattice points have equal variance.
    by_place = fields.reshape(40, 8, 16, 8, 16).var(axis=(0, 1, 3))
    assert by_place.max() / by_place.min() < 1.4


def test_roughness_and_scale_mean_what_they_say():
    def step(**scales):
        return np.diff(DICE.fractal(Region(0, 0, 256, 256), "f", **scales), axis=1).std()

    assert step(coarsest=128, roughness=0.4) < step(coarsest=128, roughness=0.7)
    assert step(coarsest=128, finest=32) < step(coarsest=128, finest=2)
    assert step(coarsest=256) < step(coarsest=16)


def test_turbulence_has_its_spectral_slope():
    steps = []
    for seed in range(12):
        field = RandomStreams(seed, "T").fractal(
            Region(0, 0, 512, 512), "f", coarsest=512, finest=1, roughness=2 ** (-1 / 3)
        )
        steps.append([np.mean((field[:, lag:] - field[:, :-lag]) ** 2) for lag in (8, 16, 32, 64)])
    slope = np.polyfit(np.log((8, 16, 32, 64)), np.log(np.mean(steps, axis=0)), 1)[0]
    # A two-dimensional power spectrum of slope 8/3 is a structure function of slope 8/3 - 2.
    assert slope == pytest.approx(2 / 3, abs=0.12)


@pytest.mark.parametrize("parts", [1, 2])
def test_filters_are_convolutions(rng, parts):
    ky, kx = gaussian_kernel(1.0), gaussian_kernel(2.0)[2:-2]
    values = rng.standard_normal((30, 40, parts)).astype(np.float32)
    got = filtered(values.reshape(30, -1), ky, kx, parts).reshape(30 - len(ky) + 1, -1, parts)
    for part in range(parts):
        full = ndimage.convolve(values[..., part].astype(np.float64), np.outer(ky, kx))
        reach = len(ky) // 2, len(kx) // 2
        np.testing.assert_allclose(got[..., part], full[reach[0] : -reach[0], reach[1] : -reach[1]], atol=1e-5)


def test_shares_of_fields():
    field = DICE.white(Region(0, 0, 500, 500), "w")
    for share in (0.02, 0.3, 0.9):
        assert (field > above(share)).mean() == pytest.approx(share, abs=0.004)


def test_regions_find_their_parts():
    region = Region(-10, 20, 30, 40)
    assert region.around((0.0, 30.0), 3.0) == (slice(7, 14), slice(7, 14))
    assert region.around((-12.0, 25.0), 4.0) == (slice(0, 3), slice(1, 10))
    assert region.around((-30.0, 30.0), 5.0) is None
    assert region.part((slice(7, 14), slice(2, 4))) == Region(-3, 22, 7, 2)
    assert region.grown(1, 2, 5) == Region(-11, 18, 32, 47)
