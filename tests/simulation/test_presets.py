from dataclasses import fields

import pytest

from sarcd.errors import OptionError
from sarcd.simulation.core.options import SITES, SiteOptions, varied, with_settings


def test_sites_differ_in_what_matters():
    for name in ("gain_db", "noise_db", "incidence_deg", "oversampling", "vegetation", "spacing_m"):
        assert len({getattr(site, name) for site in SITES.values()}) == 3, name
    assert [SITES[name].look for name in "ABC"] == ["right", "left", "right"]
    assert all(25 <= site.incidence_deg <= 45 for site in SITES.values())


def test_variation_spans_the_sites():
    drawn = [varied(seed) for seed in range(200)]
    for field in fields(SiteOptions):
        values = [getattr(one, field.name) for one in drawn]
        if field.name in ("site", "quiet"):
            continue
        assert len(set(values)) > 1, field.name
        for site in SITES.values():
            wanted = getattr(site, field.name)
            if isinstance(wanted, float):
                assert min(values) <= wanted <= max(values), field.name
    assert all(one.changes[0] > 0 for one in drawn)


def test_settings_as_text():
    made = with_settings(SITES["A"], ["gain_db=-3.5", "changes=2,7", "town=true", "look=left", "ramp=(0.1,-0.2)"])
    assert (made.gain_db, made.changes, made.town, made.look, made.ramp) == (-3.5, (2, 7), True, "left", (0.1, -0.2))
    assert with_settings(SITES["A"], []) == SITES["A"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("colour=red", "unknown site option 'colour'"),
        ("site=Q", "unknown site option 'site'"),
        ("gain_db=loud", "Write it as"),
        ("gain_db", "Write it as"),
        ("changes=3", "Write it as 3,4"),
        ("town=maybe", "Write it as false"),
        ("vegetation=3", "Use a value from 0 to 1"),
    ],
)
def test_settings_that_cannot_be_used(setting, said):
    with pytest.raises(OptionError, match=said):
        with_settings(SITES["A"], [setting])
