import numpy as np
import pytest
from scipy import stats

from sarcd.simulation.core.classes import Cover, gamma_table, table, texture
from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.speckle import speckle_over

REGION = Region(0, 0, 900, 900)


@pytest.mark.parametrize("cover", [Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.BUILDINGS, Cover.WATER])
def test_quantiles_are_those_of_gamma(cover):
    order = float(table("texture_order")[cover])
    at = np.linspace(-5, 5, 1001)
    reference = stats.gamma(order, scale=1 / order).ppf(stats.norm.cdf(at))
    np.testing.assert_allclose(gamma_table()[cover], reference, rtol=2e-5)


@pytest.mark.parametrize("cover", [Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.BUILDINGS])
def test_products_have_the_moments_of_the_k_distribution(cover):
    order = float(table("texture_order")[cover])
    grain = texture(RandomStreams(1, "T"), REGION, "texture", cover=np.full(REGION.shape, cover, np.uint8))
    assert grain.dtype == np.float32
    assert grain.mean() == pytest.approx(1, abs=0.02)
    assert grain.var() == pytest.approx(1 / order, rel=0.08)
    assert stats.kstest(grain[::14, ::14].ravel(), stats.gamma(order, scale=1 / order).cdf).pvalue > 0.01
    intensity = np.abs(speckle_over(RandomStreams(1, "T"), REGION, "speckle", oversampling=(1.2, 1.2))) ** 2 * grain
    # E[I^n] = n! Gamma(order + n) / (Gamma(order) order^n)
    assert (intensity**2).mean() == pytest.approx(2 * (1 + 1 / order), rel=0.06)
    assert (intensity**3).mean() == pytest.approx(6 * (1 + 1 / order) * (1 + 2 / order), rel=0.2)


def test_texture_is_correlated_in_space_and_each_class_has_its_own():
    cover = np.full((400, 400), Cover.WATER, np.uint8)
    cover[:, 200:] = Cover.BUILDINGS
    grain = texture(RandomStreams(2, "T"), Region(0, 0, 400, 400), "texture", cover=cover)
    assert grain[:, :200].var() == pytest.approx(1 / 30, rel=0.15)
    assert grain[:, 200:].var() == pytest.approx(1 / 2, rel=0.15)
    water = grain[:, :200] - 1

    def correlation(lag):
        return np.mean(water[lag:] * water[:-lag]) / water.var()

    # Noise smoothed by a Gaussian of 1.5 pixels correlates as exp(-lag^2 / (4 * 1.5^2)).
    assert correlation(1) == pytest.approx(np.exp(-1 / 9), abs=0.05)
    assert correlation(3) == pytest.approx(np.exp(-1), abs=0.06)
    assert abs(correlation(12)) < 0.06
