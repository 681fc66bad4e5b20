import numpy as np
import pytest
from scipy import ndimage, stats

from sarcd.simulate.fields import correlated_normal, fractal, gaussian_kernel, stream


def test_a_stream_depends_on_its_name_alone():
    first = stream(3, "speckle", 0).random(4)
    stream(3, "texture").random(100)
    assert np.array_equal(first, stream(3, "speckle", 0).random(4))
    for other in (stream(4, "speckle", 0), stream(3, "speckle", 1), stream(3, "speckle"), stream(3, "noise", 0)):
        assert not np.array_equal(first, other.random(4))


@pytest.mark.parametrize("shape", [(1, 1), (5, 301), (257, 64)])
def test_fractal_has_the_shape_asked_for(shape):
    field = fractal(stream(0, "f"), shape, coarsest=64)
    assert field.shape == shape
    assert field.dtype == np.float32
    assert field.flags.c_contiguous
    assert np.isfinite(field).all()


def test_fractal_is_of_unit_variance_and_zero_mean():
    # Many small independent fields: one field has few coarse features, so its own variance says little.
    fields = np.stack([fractal(stream(seed, "f"), (128, 128), coarsest=16, roughness=0.6) for seed in range(40)])
    assert abs(fields.mean()) < 0.03
    assert fields.var() == pytest.approx(1, abs=0.05)
    # No lattice may show: pixels on and between the lattice points vary alike.
    by_place = fields.reshape(40, 8, 16, 8, 16).var(axis=(0, 1, 3))
    assert by_place.max() / by_place.min() < 1.35


def test_roughness_and_scale_mean_what_they_say():
    def step(**scales):
        field = fractal(stream(1, "f"), (512, 512), **scales)
        return np.diff(field, axis=1).std()

    assert step(coarsest=128, roughness=0.4) < step(coarsest=128, roughness=0.7)
    assert step(coarsest=128, finest=32) < step(coarsest=128, finest=2)
    assert step(coarsest=256) < step(coarsest=16)


def test_turbulence_has_its_spectral_slope():
    roughness = 2 ** (-1 / 3)
    steps = []
    for seed in range(12):
        field = fractal(stream(seed, "f"), (512, 512), coarsest=512, finest=1, roughness=roughness)
        steps.append([np.mean((field[:, lag:] - field[:, :-lag]) ** 2) for lag in (8, 16, 32, 64)])
    slope = np.polyfit(np.log((8, 16, 32, 64)), np.log(np.mean(steps, axis=0)), 1)[0]
    # A two-dimensional power spectrum of slope 8/3 is a structure function of slope 8/3 - 2.
    assert slope == pytest.approx(2 / 3, abs=0.12)


@pytest.mark.parametrize("complex_", [False, True])
def test_correlated_noise_is_the_filter_of_white_noise(complex_):
    ky, kx = gaussian_kernel(1.0), gaussian_kernel(2.0)
    field = correlated_normal(stream(2, "n"), (40, 50), (ky, kx), complex_=complex_)
    rng = stream(2, "n")
    y, x = 40 + len(ky) - 1, 50 + len(kx) - 1
    if complex_:
        white = (rng.standard_normal((y, 2 * x), dtype=np.float32) / np.float32(np.sqrt(2))).view(np.complex64)
    else:
        white = rng.standard_normal((y, x), dtype=np.float32)
    reference = ndimage.convolve(white, np.outer(ky, kx))
    inner = (slice(len(ky) // 2, len(ky) // 2 + 40), slice(len(kx) // 2, len(kx) // 2 + 50))
    np.testing.assert_allclose(field, reference[inner], atol=1e-5)


def test_correlated_noise_is_normal_up_to_the_border():
    kernel = gaussian_kernel(1.5)
    field = correlated_normal(stream(5, "n"), (800, 800), (kernel, kernel), complex_=False)
    assert stats.kstest(field[::12, ::12].ravel(), "norm").pvalue > 0.01
    assert field[0].std() == pytest.approx(1, abs=0.12)
    assert field.std() == pytest.approx(1, abs=0.02)
