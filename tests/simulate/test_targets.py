import numpy as np
import pytest

from sarcd.simulate.speckle import impulse_response
from sarcd.simulate.targets import REACH_PX, add_targets, point_spread


def test_a_target_has_the_systems_point_spread():
    image = np.zeros((40, 40), np.complex64)
    add_targets(image, np.array([20]), np.array([15]), np.array([3j]), oversampling=(1.2, 1.4))
    assert image[20, 15] == pytest.approx(3j)
    along_y = impulse_response(1.2)[16 - REACH_PX : 17 + REACH_PX]
    np.testing.assert_allclose(image[20 - REACH_PX : 21 + REACH_PX, 15].imag, 3 * along_y / along_y.max(), atol=1e-6)
    assert point_spread((1.2, 1.4)).max() == 1


def test_targets_add_up_and_are_cut_at_the_border():
    image = np.ones((10, 12), np.complex64)
    y, x = np.array([0, 9, 5, 5, -50, 30]), np.array([0, 11, 6, 6, 3, 3])
    add_targets(image, y, x, np.full(6, 2 + 0j), oversampling=(1.2, 1.2))
    assert image[5, 6].real == pytest.approx(1 + 2 + 2, abs=0.1)
    assert image[0, 0].real == pytest.approx(3, abs=0.1)
