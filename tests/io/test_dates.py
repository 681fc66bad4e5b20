"""Dates of acquisition from what the user, the metadata and the name say."""

import numpy as np
import pytest

from sarcd.errors import InputError, OptionError
from sarcd.io.dates import acquisition_date, from_metadata, from_names, parse_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-03-19", "2023-03-19"),
        ("20230319", "2023-03-19"),
        ("2023-03-19T05:58", None),
        ("2023-03-19T05:58:00", "2023-03-19T05:58:00"),
        ("2023-03-19 05:58:00.25Z", "2023-03-19T05:58:00.25"),
        ("20230319T055800", "2023-03-19T05:58:00"),
        ("19Mar2023", "2023-03-19"),
        ("26-FEB-2003 17:55:30.843491", "2003-02-26T17:55:30.843491"),
        ("2023-02-30", None),
        ("19Xyz2023", None),
        ("yesterday", None),
        ("2023", None),
        ("2023-03-19T25:00:00", None),
    ],
)
def test_parse(text, expected):
    if expected is None:
        with pytest.raises(OptionError, match="is no date") as caught:
            parse_date(text)
        assert caught.value.where == "--date"
    else:
        assert parse_date(text) == np.datetime64(expected, "us")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["20230319.tif"], ["2023-03-19"]),
        (["slc_2023-03-19_vv.tif"], ["2023-03-19"]),
        (["2023_03_19.tif"], ["2023-03-19"]),
        (["i_VV_19Mar2023"], ["2023-03-19"]),
        (["x_20230319T055800.tif"], ["2023-03-19T05:58:00"]),
        (["x20230319055800.tif"], ["2023-03-19T05:58:00"]),
        (["20230319_123456.tif"], ["2023-03-19"]),  # a number behind a date need not be a time
        (["s1a-iw1-slc-vv-20230331t055033-20230331t055058-047884.tiff"], ["2023-03-31T05:50:33"]),
        (["20230319-coreg.znap", "i_VV_19Mar2023"], ["2023-03-19"]),
        (["20230319.znap", "slc_20230319T055800"], ["2023-03-19T05:58:00"]),
        (["20230319_20230331.tif"], ["2023-03-19", "2023-03-31"]),
        (["orbit_047884.tif", "1234567890123"], []),
        (["20231319.tif", "19000230.tif"], []),
    ],
)
def test_names(names, expected):
    assert from_names(names) == [np.datetime64(text, "us") for text in expected]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"ACQUISITION_START_TIME": "2009-03-13T00:00:01Z"}, "2009-03-13T00:00:01"),
        ({"CEOS_ACQUISITION_TIME": "19970718024119087               "}, "1997-07-18T02:41:19.087"),
        ({"NITF_IDATIM": "20160921164107", "NITF_FDT": "20180418132450"}, "2016-09-21T16:41:07"),
        ({"MPH_SENSING_START": "26-FEB-2003 17:55:30.843491"}, "2003-02-26T17:55:30.843491"),
        (
            {"xml:isce": "<Radar><sensingStart>2003-02-26T17:55:30.843491759</sensingStart></Radar>"},
            "2003-02-26T17:55:30.843491",
        ),
        ({"xml:DES": "<a:CollectStart>2016-09-21T16:41:07.000000Z</a:CollectStart>"}, "2016-09-21T16:41:07"),
        ({"science_LSAR_identification_zeroDopplerStartTime": "2012-07-17T14:36:47.5"}, "2012-07-17T14:36:47.5"),
        (
            {"TIFFTAG_DATETIME": "2020:01:01 00:00:00", "PROCESSING_TIME": "2020-01-01", "NITF_FDT": "20180418132450"},
            None,
        ),
        ({"SENSING_STOP": "2020-01-01", "FIRST_LINE_TIME": "UNK"}, None),
        ({}, None),
    ],
)
def test_metadata(tags, expected):
    found = from_metadata(tags)
    assert found is None if expected is None else found == np.datetime64(expected, "us")


def test_metadata_come_before_the_name():
    tags = {"SENSING_START": "2023-03-19T05:58:00"}
    assert acquisition_date("a/20230319.tif", tags) == np.datetime64("2023-03-19T05:58:00")
    assert acquisition_date("a/20230319_20230331.tif", tags) == np.datetime64("2023-03-19T05:58:00")
    assert acquisition_date("a/20230319.tif", {}) == np.datetime64("2023-03-19")


def test_folder_named_by_a_date_alone():
    assert acquisition_date("slc/20230319/image.slc", {}) == np.datetime64("2023-03-19")
    with pytest.raises(InputError, match="neither metadata nor name"):
        acquisition_date("download_20230319/image.slc", {})


@pytest.mark.parametrize(
    ("path", "tags", "message"),
    [
        ("image.tif", {}, "neither metadata nor name hold one"),
        ("20230319_20230331.tif", {}, "its name holds 2 dates"),
        ("20230319.tif", {"SENSING_START": "2023-03-31T05:58:00"}, "metadata say 2023-03-31, the name says 2023-03-19"),
    ],
)
def test_unknown_dates_are_refused_with_the_mend(path, tags, message):
    with pytest.raises(InputError, match=message) as caught:
        acquisition_date(path, tags)
    assert caught.value.where == path
    assert "--date" in caught.value.mend


def test_subdataset_paths():
    path = 'ZARR:"/data/stack/20230319-coreg.znap":/i_VV'
    assert acquisition_date(path, {}) == np.datetime64("2023-03-19")
    assert acquisition_date("HDF5:/data/a.h5://science/grid_20230319", {}) == np.datetime64("2023-03-19")
