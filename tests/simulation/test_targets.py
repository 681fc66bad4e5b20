import numpy as np
import pytest

from sarcd.simulation.core.fields import Region
from sarcd.simulation.core.outlines import draw_outline
from sarcd.simulation.core.plan import Yard
from sarcd.simulation.core.pseudo import Targets, add_targets, corners, reach_px
from sarcd.simulation.core.speckle import response_at

AREA = Region(100, 200, 40, 44)


def image_of(*places, rates=(1.2, 1.4), hamming=0.6):
    image = np.zeros(AREA.shape, np.complex64)
    y, x, peak = (np.array(side) for side in zip(*places, strict=True))
    add_targets(image, AREA, Targets(y.astype(float), x.astype(float), peak.astype(complex)), rates, hamming)
    return image


@pytest.mark.parametrize("hamming", [0.54, 0.6, 0.75])
def test_a_target_has_the_systems_point_spread(hamming):
    image = image_of((120, 215, 3j), hamming=hamming)
    assert image[20, 15] == pytest.approx(3j)
    reach = reach_px(hamming)
    steps = np.arange(-reach, reach + 1)
    for line, rate in ((image[20 - reach : 21 + reach, 15], 1.2), (image[20, 15 - reach : 16 + reach], 1.4)):
        expected = response_at(steps, rate, hamming=hamming) / response_at(np.zeros(1), rate, hamming=hamming)
        np.testing.assert_allclose(line.imag, 3 * expected, atol=1e-6)


def test_a_lighter_weight_has_higher_side_lobes_and_is_stamped_farther():
    assert [reach_px(hamming) for hamming in (0.5, 0.6, 0.75, 1.0)] == [6, 6, 12, 16]
    # The highest side lobe: -13.3 dB without weighting, -31.6 dB with 0.6 (Harris 1978 has -42.7 for 0.54).
    at = np.linspace(1.3, 6, 2000)
    for hamming, lobe_db in ((1.0, -13.3), (0.6, -31.6), (0.54, -42.7)):
        beyond = np.abs(response_at(at[at > (1.3 if hamming == 1 else 2)], 1.0, hamming=hamming)).max() / hamming
        assert 20 * np.log10(beyond) == pytest.approx(lobe_db, abs=0.3)


def test_a_target_between_pixels_is_sampled_there():
    image = image_of((120.5, 215.25, 1), rates=(1.3, 1.3))
    np.testing.assert_allclose(image[20, 15], image[21, 15], atol=1e-6)
    expected = (
        response_at(np.array([0.5]), 1.3) * response_at(np.array([0.25]), 1.3) / response_at(np.zeros(1), 1.3) ** 2
    )
    assert image[20, 15].real == pytest.approx(expected[0], abs=1e-6)


def test_targets_add_up_and_are_cut_at_the_border():
    image = image_of((100, 200, 2), (139, 243, 2), (105, 206, 2), (105, 206, 2), (40, 203, 2), (300, 203, 2))
    assert image[5, 6].real == pytest.approx(4, abs=0.15)
    assert image[0, 0].real == pytest.approx(2, abs=0.1)
    outside = image_of((98, 220, 5))
    assert np.abs(outside[0]).max() > 0.03
    assert not outside[6:].any()


def test_corners_stand_in_their_yard():
    rng = np.random.default_rng(0)
    outline = draw_outline(rng, (500.0, 300.0), radius_px=100)
    lots = rng.random((8, 20, 20), dtype=np.float32)
    found = corners([Yard(outline, 0.4, (26.0, 17.0), True, lots)])
    assert 20 < len(found.y) < 120
    assert np.hypot(found.y - 500, found.x - 300).max() < 85
    power_db = 20 * np.log10(np.abs(found.amplitude))
    assert 8 <= power_db.min() < power_db.max() <= 20
    assert len(corners([]).y) == 0
