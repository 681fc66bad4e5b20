"""Rules are fitted to the whole scene: independent of chunking, stored with the map, right for few or no changes."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from sarcd.attributes import parameters_of
from sarcd.change.kernels.thresholds.clusters import otsu
from sarcd.change.kernels.thresholds.histogram import count_cells, histogram
from sarcd.change.ratios import log_ratio
from sarcd.change.thresholding import DECISIONS, apply_rules, decide, fit_rules, rules_of
from sarcd.errors import OptionError, StatisticsError
from tests.estimation.test_coherence import cuts
from tests.factories.scenes import dates


def changed_scene(rng, shape=(2, 48, 52), *, share=0.1, looks=4):
    """Make an amplitude scene in whose later images some rows have four times the amplitude."""
    power = rng.gamma(looks, 1 / looks, shape)
    power[1:, : round(share * shape[1])] *= 8
    return xr.Dataset(
        {"amplitude": (("time", "y", "x"), np.sqrt(power).astype("float32"))},
        coords={"time": dates(shape[0]), "y": np.arange(shape[1]), "x": np.arange(shape[2])},
    )


def truth(change, share):
    return np.arange(change.sizes["y"])[:, None] < round(share * change.sizes["y"])


@settings(max_examples=4)
@given(y=cuts(48), x=cuts(52))
def test_lazy_equals_eager_for_any_chunking(y, x):
    scene = changed_scene(np.random.default_rng(3))
    scene.amplitude[0, 20:25, 5:30] = np.nan
    eager = log_ratio(scene)
    lazy = eager.chunk(pair=1, y=y, x=x)
    for method in ("kmeans", "kittler", "pca_kmeans"):
        change = decide(lazy, method=method)
        assert change.chunks == lazy.chunks
        expected = decide(eager, method=method)
        np.testing.assert_array_equal(change, expected)
        assert change.attrs == expected.attrs
        np.testing.assert_array_equal(change == 255, eager.isnull())


@pytest.mark.parametrize("method", DECISIONS)
def test_change_is_found(method, rng):
    scene = changed_scene(rng, (2, 150, 160))
    signed = method.startswith("kittler")
    change = decide(log_ratio(scene, signed=signed), method=method)
    assert (change[0] != truth(change, 0.1)).mean() < 0.03
    assert (change.name, change.dtype, change.dims) == ("change", np.uint8, ("pair", "y", "x"))
    assert parameters_of(change)["difference"] == "log_ratio"
    kept = rules_of(change)
    assert kept[0].found
    np.testing.assert_array_equal(apply_rules(log_ratio(scene, signed=signed), kept), change)


def test_sparse_and_absent_change_where_clusters_take_a_fifth(rng):
    for share, least in ((0.0, 0.0), (0.01, 0.009)):
        difference = log_ratio(changed_scene(rng, (2, 300, 300), share=share), window=3, signed=True)
        for method in ("kittler", "kittler_gg"):
            change = decide(difference, method=method)
            assert least <= change.mean() < share + 0.005
        if not share:
            assert decide(abs(difference), method="kmeans").mean() > 0.1
    assert not fit_rules(log_ratio(changed_scene(rng, (2, 90, 90), share=0), signed=True), method="kittler")[0].found


def test_each_pair_has_its_own_rule_unless_pooled(rng):
    scene = changed_scene(rng, (3, 60, 60))
    scene.amplitude[2] *= 5
    difference = log_ratio(scene, pairs="all")
    rules = fit_rules(difference)
    assert len({rule.above for rule in rules}) == 3
    values = difference.values[1]
    assert rules[1] == otsu(histogram(count_cells(values)))
    pooled = fit_rules(difference, pooled=True)
    assert len(pooled) == 3
    assert {rule.above for rule in pooled} == {otsu(histogram(count_cells(difference.values))).above}
    assert fit_rules(difference, method="pca_kmeans", pooled=True)[2].found


def test_fitting_reads_and_applying_is_lazy(rng, raise_if_dask_computes):
    difference = log_ratio(changed_scene(rng).chunk(y=20, x=30))
    rules = fit_rules(difference, method="pca_kmeans")
    with raise_if_dask_computes():
        assert apply_rules(difference, rules).chunks is not None


def test_a_sample_of_a_large_image_is_enough_for_blocks(rng, monkeypatch):
    monkeypatch.setattr("sarcd.estimation.levels.sample_blocks.__kwdefaults__", {"side": 16, "count": 4})
    scene = changed_scene(rng, (2, 200, 300))
    change = decide(log_ratio(scene), method="pca_kmeans")
    assert (change[0] != truth(change, 0.1)).mean() < 0.03
    np.testing.assert_array_equal(decide(log_ratio(scene).chunk(y=33, x=71), method="pca_kmeans"), change)


def test_bad_options(rng):
    difference = log_ratio(changed_scene(rng))
    signed = log_ratio(changed_scene(rng), signed=True)
    for message, given_options in {
        "Use otsu, kittler": {"method": "magic"},
        "Use upper or both": {"tails": "lower"},
        "otsu has no option 'classes'. Leave it out": {"classes": 3},
        "Use 2 or more": {"method": "kmeans", "classes": 1},
        "Use 3 or more": {"method": "kmeans", "classes": 2, "tails": "both"},
        "exceed the 4 pixels of a block": {"method": "pca_kmeans", "block": 2, "components": 5},
    }.items():
        with pytest.raises(OptionError, match=message):
            decide(difference, **given_options)
    with pytest.raises(OptionError, match="needs magnitudes"):
        decide(signed, method="pca_kmeans")
    with pytest.raises(OptionError, match="2 rules for 1 pair"):
        apply_rules(difference, fit_rules(difference) * 2)
    for method in ("otsu", "pca_kmeans"):
        with pytest.raises(StatisticsError, match="no valid pixel"):
            decide(difference * np.nan, method=method)
