import numpy as np
import pytest
from scipy import stats

from sarcd.errors import OptionError
from sarcd.simulation.core.amplitude_pairs import Wanted, _gamma, amplitude_pair
from sarcd.simulation.core.pair_ground import KINDS


def test_a_seed_is_a_pair():
    one, same, other = amplitude_pair(3, (80, 64)), amplitude_pair(3, (80, 64)), amplitude_pair(4, (80, 64))
    np.testing.assert_array_equal(one.after, same.after)
    np.testing.assert_array_equal(one.label, same.label)
    assert not np.array_equal(one.after, other.after)


@pytest.mark.parametrize("kind", KINDS)
def test_change_is_where_the_label_says(kind):
    found = []
    for seed in range(4):
        pair = amplitude_pair(seed, (128, 128), Wanted(share=0.1, contrast_db=10, looks=(16, 16), kind=kind, sign=-1))
        before, after = (np.log(image + 1) for image in (pair.before, pair.after))
        difference = np.abs(before - after - np.median(before - after))
        found.append(difference[pair.label == 1].mean() / difference[pair.label == 0].mean())
        assert 0.005 < (pair.label == 1).mean() < 0.35
    assert np.median(found) > 2


def test_no_change_has_no_label():
    pair = amplitude_pair(0, (96, 96), Wanted(share=0))
    assert not pair.label.any()
    assert pair.wanted.share == 0


def test_what_is_wanted_is_told():
    wanted = Wanted(share=0.2, contrast_db=6, looks=(1, 4), kind="blobs", sign=0)
    assert amplitude_pair(5, (64, 64), wanted).wanted == wanted


@pytest.mark.parametrize("looks", [1.0, 4.0, 12.5])
def test_speckle_has_the_distribution_of_its_looks(looks):
    normal = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    assert stats.kstest(_gamma(normal, looks), stats.gamma(looks, scale=1 / looks).cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("wish", "name"),
    [({"share": 1.2}, "share"), ({"looks": (0, 1)}, "looks"), ({"kind": "war"}, "kind"), ({"sign": 2}, "sign")],
)
def test_wishes_that_cannot_be_met(wish, name):
    with pytest.raises(OptionError, match=name):
        Wanted(**wish)
