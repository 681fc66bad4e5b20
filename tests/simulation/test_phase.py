from dataclasses import replace

import numpy as np
import pytest

from sarcd.simulation.core.fields import RandomStreams, Region
from sarcd.simulation.core.options import SiteOptions
from sarcd.simulation.core.phase import RANGE_M, WAVELENGTH_M, baselines_m, geometric_loss, phase_of, pull

CALM = SiteOptions("T", turbulence_rad=0.0, height_error_m=0.0, baseline_m=0.0, ramp=(0.0, 0.0))
DICE = RandomStreams(0, "T")
REGION = Region(10_000, 25_000, 64, 80)
LEVEL = np.zeros(REGION.shape, np.float32)


def test_a_ramp_keeps_its_frequency_far_from_the_origin():
    phase = phase_of(DICE, replace(CALM, ramp=(0.01, -0.003)), REGION, 2, 0.0, LEVEL)
    np.testing.assert_allclose(np.abs(phase), 1, rtol=1e-5)
    along_y = np.angle(phase[1:] * phase[:-1].conj()).mean() / (2 * np.pi)
    along_x = np.angle(phase[:, 1:] * phase[:, :-1].conj()).mean() / (2 * np.pi)
    assert along_y == pytest.approx(-0.02, abs=1e-6)
    assert along_x == pytest.approx(0.006, abs=1e-6)


def test_wrong_heights_make_fringes_of_the_baseline():
    # The height of one fringe: lambda R sin(theta) / (2 B); a twentieth of the terrain's height is DEM error.
    ambiguity = WAVELENGTH_M * RANGE_M * np.sin(np.deg2rad(35)) / (2 * 100.0)
    height = np.linspace(0, 20 * ambiguity, 80, dtype=np.float32)[None].repeat(64, 0)
    phase = phase_of(DICE, CALM, REGION, 1, 100.0, height)
    turns = np.unwrap(np.angle(phase[0])) / (2 * np.pi)
    assert turns[-1] - turns[0] == pytest.approx(-1, abs=1e-3)
    still = phase_of(DICE, CALM, REGION, 1, 0.0, height)
    np.testing.assert_allclose(still, 1, atol=1e-6)


def test_turbulence_has_the_strength_asked_for():
    drawn = [
        phase_of(
            RandomStreams(seed, "T"), replace(CALM, turbulence_rad=0.4), Region(0, 0, 16, 16), 1, 0.0, LEVEL[:16, :16]
        )
        for seed in range(300)
    ]
    assert np.std([np.angle(one[0, 0]) for one in drawn]) == pytest.approx(0.4, rel=0.15)


def test_geometric_loss_by_hand():
    loss = geometric_loss(CALM, np.array([0.0, 150.0, -50.0]))
    resolution = 2.5 * np.sin(np.deg2rad(35)) * 1.2
    critical = WAVELENGTH_M * RANGE_M / (2 * resolution)  # at a local incidence of 45 degrees
    np.testing.assert_allclose(loss[0], [0, 150 / critical, 50 / critical], rtol=1e-5)
    assert loss[1, 2] == pytest.approx(200 / critical, rel=1e-5)
    # On level ground at 35 degrees it is 1 / tan(35 deg) times that; slopes towards the radar decorrelate more.
    slopes = np.tan(np.deg2rad(np.array([0.0, 20.0, -20.0, 35.0], np.float32)))
    expected = [1 / np.tan(np.deg2rad(35)), 1 / np.tan(np.deg2rad(15)), 1 / np.tan(np.deg2rad(55)), 20]
    np.testing.assert_allclose(pull(slopes, 35.0), expected, rtol=1e-4)


def test_baselines_begin_at_the_first_date():
    drawn = baselines_m(DICE, replace(CALM, baseline_m=80.0), 400)
    assert drawn[0] == 0
    assert drawn.std() == pytest.approx(80, rel=0.12)
    np.testing.assert_array_equal(baselines_m(DICE, replace(CALM, baseline_m=80.0), 3), drawn[:3])
