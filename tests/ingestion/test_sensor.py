"""Sensor information from metadata."""

import pytest

from sarcd.ingestion.sensor import common_facts, sensor_facts


@pytest.mark.parametrize(
    ("tags", "degrees"),
    [
        ({"xml": "<a><incidenceAngleMidSwath>3.53e+01</incidenceAngleMidSwath></a>"}, 35.3),
        ({"xml": "<p:incidenceAngle>29.0</p:incidenceAngle><incidenceAngle>35.0</incidenceAngle>"}, 32.0),
        ({"xml": "".join(f"<incidenceAngle>{angle}</incidenceAngle>" for angle in (20, 24, 40))}, 24.0),
        ({"xml": '<incidenceAngleNearRange units="deg">30</incidenceAngleNearRange>'}, None),
        (
            {
                "xml": '<incidenceAngleNearRange units="deg">30</incidenceAngleNearRange>'
                '<incidenceAngleFarRange units="deg">33</incidenceAngleFarRange>'
            },
            31.5,
        ),
        ({"NEAR_RANGE_INCIDENCE_ANGLE": "30", "FAR_RANGE_INCIDENCE_ANGLE": "34"}, 32.0),
        ({"CEOS_INC_ANGLE": "  38.70 "}, 38.7),
        ({"INCIDENCE_CENTER": "-41.5"}, 41.5),
        ({"TIFFTAG_IMAGEDESCRIPTION": '{"center_pixel": {"incidence_angle": 44.25, "x": 1}}'}, 44.25),
        ({"INCIDENCE_ANGLE": "0.61"}, None),  # radians are not guessed
        ({"INCIDENCE_ANGLE": "none"}, None),
        ({"SOLAR": "<sunIncidence>30</sunIncidence>"}, None),
    ],
)
def test_incidence(tags, degrees):
    found = sensor_facts(tags)
    assert found.get("incidence_deg") == (None if degrees is None else pytest.approx(degrees))


@pytest.mark.parametrize(
    ("xml", "kind"),
    [
        ("<slantRangePixelSpacing>2.3</slantRangePixelSpacing>", "slant"),
        ("<groundRangePixelSpacing>10</groundRangePixelSpacing>", "ground"),
        ("<projection>Slant Range</projection><rangePixelSpacing>2.3</rangePixelSpacing>", "slant"),
        ("<projection>Ground Range</projection><rangePixelSpacing>10</rangePixelSpacing>", "ground"),
        ("<rangePixelSpacing>10</rangePixelSpacing>", None),
        (
            "<groundRangePixelSpacing>10</groundRangePixelSpacing><slantRangePixelSpacing>3</slantRangePixelSpacing>",
            None,
        ),
    ],
)
def test_kind_of_range(xml, kind):
    found = sensor_facts({"metadata": f"{xml}<azimuthPixelSpacing>13.9</azimuthPixelSpacing>"})
    assert found.get("range_spacing") == kind
    assert found["spacing_m"][0] == 13.9


def test_images_have_to_agree():
    assert common_facts([{"incidence_deg": 35.0}, {"incidence_deg": 35.3}]) == {"incidence_deg": 35.0}
    assert common_facts([{"incidence_deg": 35.0}, {"incidence_deg": 36.0}]) == {}
    assert common_facts([{"range_spacing": "slant"}, {"range_spacing": "ground"}]) == {}
    assert common_facts([{"range_spacing": "slant"}, {}]) == {"range_spacing": "slant"}
