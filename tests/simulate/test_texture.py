import numpy as np
import pytest
from scipy import stats

from sarcd.simulate.classes import Cover, table
from sarcd.simulate.fields import stream
from sarcd.simulate.speckle import speckle
from sarcd.simulate.texture import gamma_of_normal, texture


@pytest.mark.parametrize("order", [2.0, 4.0, 10.0, 30.0])
def test_gamma_of_normal_is_gamma_distributed(order):
    normal = np.random.default_rng(0).standard_normal(20_000, dtype=np.float32)
    drawn = gamma_of_normal(normal, order)
    assert stats.kstest(drawn, stats.gamma(order, scale=1 / order).cdf).pvalue > 0.01
    assert (np.diff(drawn[np.argsort(normal)]) >= 0).all()  # quantile for quantile


@pytest.mark.parametrize("cover", [Cover.BENCH_FLOOR, Cover.BENCH_FACE, Cover.BUILDINGS])
def test_products_have_the_moments_of_the_k_distribution(cover):
    order = float(table("texture_order")[cover])
    ground = np.full((1200, 1200), cover, np.uint8)
    grain = texture(stream(1, "texture"), ground)
    assert grain.dtype == np.float32
    assert grain.mean() == pytest.approx(1, abs=0.02)
    assert grain.var() == pytest.approx(1 / order, rel=0.08)
    intensity = np.abs(speckle(stream(1, "speckle"), ground.shape, oversampling=(1.2, 1.2))) ** 2 * grain
    # E[I^n] = n! Gamma(order + n) / (Gamma(order) order^n)
    assert (intensity**2).mean() == pytest.approx(2 * (1 + 1 / order), rel=0.06)
    assert (intensity**3).mean() == pytest.approx(6 * (1 + 1 / order) * (1 + 2 / order), rel=0.2)


def test_texture_is_correlated_in_space_and_each_class_has_its_own():
    ground = np.full((400, 400), Cover.WATER, np.uint8)
    ground[:, 200:] = Cover.BUILDINGS
    grain = texture(stream(2, "texture"), ground)
    assert grain[:, :200].var() == pytest.approx(1 / 30, rel=0.15)
    assert grain[:, 200:].var() == pytest.approx(1 / 2, rel=0.15)
    water = grain[:, :200] - 1

    def correlation(lag):
        return np.mean(water[lag:] * water[:-lag]) / water.var()

    # Noise smoothed by a Gaussian of 1.5 pixels correlates as exp(-lag^2 / (4 * 1.5^2)).
    assert correlation(1) == pytest.approx(np.exp(-1 / 9), abs=0.05)
    assert correlation(3) == pytest.approx(np.exp(-1), abs=0.06)
    assert abs(correlation(12)) < 0.06
