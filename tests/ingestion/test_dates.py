"""Acquisition dates from options, metadata and file names."""

import numpy as np
import pytest

from sarcd.errors import InputError, OptionError
from sarcd.ingestion.dates import acquisition_date, from_metadata, from_names, parse_date


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-03-19", "2023-03-19"),
        ("20230319", "2023-03-19"),
        ("2023-03-19T05:58", "2023-03-19T05:58"),
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
        with pytest.raises(OptionError, match="is not a date") as caught:
            parse_date(text)
        assert caught.value.option == "--date"
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
        (["20230319_123456.tif"], ["2023-03-19"]),  # a number after a date need not be a time
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
        ("image.tif", {}, "neither metadata nor name contain a date"),
        ("20230319_20230331.tif", {}, "its name contains 2 dates"),
        (
            "20230319.tif",
            {"SENSING_START": "2023-03-31T05:58:00"},
            "its date is 2023-03-31 in the metadata, but 2023-03-19 in the name",
        ),
    ],
)
def test_unknown_dates_are_refused_with_the_mend(path, tags, message):
    with pytest.raises(InputError, match=message) as caught:
        acquisition_date(path, tags)
    assert caught.value.source == path
    assert "--date" in caught.value.hint


def test_subdataset_paths():
    path = 'ZARR:"/data/stack/20230319-coreg.znap":/i_VV'
    assert acquisition_date(path, {}) == np.datetime64("2023-03-19")
    assert acquisition_date("HDF5:/data/a.h5://science/grid_20230319", {}) == np.datetime64("2023-03-19")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-03-19T01:30:00+02:00", "2023-03-18T23:30:00"),
        ("2023-03-19T23:30:00.5-0530", "2023-03-20T05:00:00.5"),
        ("2023-03-19 01:30:00 +02", "2023-03-18T23:30:00"),
        ("20230319T055800+0000", "2023-03-19T05:58:00"),
        ("2023-03-19T05:58:00 GMT", "2023-03-19T05:58:00"),
        ("2023-03-19T05:58:00,25Z", "2023-03-19T05:58:00.25"),
        ("2023-03-19T05:58+02:00", "2023-03-19T03:58"),
        ("2023:03:19 05:58:00", "2023-03-19T05:58:00"),
        ("2023/03/19 05:58:00", "2023-03-19T05:58:00"),
        ("2023-078T05:58:00.5", "2023-03-19T05:58:00.5"),
        ("2024-366", "2024-12-31"),
        ("2023-366", None),
        ("2023-000", None),
        ("19/03/2023", "2023-03-19"),
        ("03-19-2023", "2023-03-19"),
        ("05.05.2023 05:58:00", "2023-05-05T05:58:00"),
        ("03-04-2023", None),
        ("03/04/2023 05:58:00", None),
        ("19-MAR-23", None),
        ("230319", None),
        ("2023-03-19+02:00", None),  # a calendar day is not an instant that could be converted
        ("2023-03-19-05:30", None),
        ("2023-03-19T05:58:00+25:00", None),
        ("2023-03-19T05:58:00 CET", None),
    ],
)
def test_zones_orders_and_short_years(text, expected):
    found = from_metadata({"SENSING_START": text})
    assert found is None if expected is None else found == np.datetime64(expected, "us")
    if expected is None:
        with pytest.raises(OptionError, match="is not a date"):
            parse_date(text)


PRODUCTS = [
    ("S1A_IW_SLC__1SDV_20230331T055032_20230331T055059_047884_05C0F4_3703.SAFE", "2023-03-31T05:50:32"),
    ("S1A_IW_SLC__1SDV_20230331T235950_20230401T000017_047884_05C0F4_3703.zip", "2023-03-31T23:59:50"),
    ("s1a-iw1-slc-vv-20230331t235951-20230401t000016-047884-05c0f4-004.tiff", "2023-03-31T23:59:51"),
    ("S1_136231_IW2_20200604T022312_VV_7C85-BURST.tiff", "2020-06-04T02:23:12"),
    ("S1A_IW_20230319T055800_DVP_RTC10_G_gpuned_1234_VV.tif", "2023-03-19T05:58:00"),
    ("2023-03-19-05-58-00_UMBRA-04_SICD_MM.nitf", "2023-03-19T05:58:00"),
    ("2023-03-19-20-23-03_UMBRA-05_GEC.tif", "2023-03-19T20:23:03"),
    ("RS2_OK76385_PK678063_DK606752_F6F_20190903_101010_HH_SLC.tif", "2019-09-03T10:10:10"),
    ("RCM1_OK1052581_PK1051888_1_SC30MCPB_20200618_115516_CH_CV_MLC", "2020-06-18T11:55:16"),
    ("TSX1_SAR__SSC______SM_S_SRA_20230319T055800_20230319T055808.xml", "2023-03-19T05:58:00"),
    ("TDX1_SAR__MGD_RE___HS_S_SRA_20230319T235957_20230320T000002.tif", "2023-03-19T23:59:57"),
    ("PAZ1_SAR__SSC______SM_S_SRA_20230319T055800_20230319T055808", "2023-03-19T05:58:00"),
    ("CSKS1_SCS_B_HI_05_HH_RA_SF_20230319055800_20230319055808.h5", "2023-03-19T05:58:00"),
    ("CSG_SSAR1_SCS_B_0101_STR_012_HH_RA_F_20230319055800_20230319055808_1_F_22N_Z00_N00.h5", "2023-03-19T05:58:00"),
    ("IMG-HH-ALOS2014410740-140829-UBDR1.1__A", "2014-08-29"),
    ("0000123456_001001_ALOS2012345678-230319.zip", "2023-03-19"),
    ("ICEYE_X7_SLC_SM_36542_20230319T055800.h5", "2023-03-19T05:58:00"),
    ("CAPELLA_C02_SM_SLC_HH_20230319055800_20230319055808.tif", "2023-03-19T05:58:00"),
    (
        "NISAR_L2_PR_GSLC_001_005_A_219_2005_DHDH_A_20230319T055800_20230319T055830_D00340_P_P_J_001.h5",
        "2023-03-19T05:58:00",
    ),
    ("OPERA_L2_CSLC-S1_T064-135518-IW1_20230319T055800Z_20230401T000000Z_S1A_VV_v0.1.h5", "2023-03-19T05:58:00"),
    ("OPERA_L2_RTC-S1_T064-135518-IW1_20230319T055800Z_20230401T000000Z_S1A_30_v1.0_VV.tif", "2023-03-19T05:58:00"),
    ("ASA_IMS_1PNUPA20030319_055800_000000162015_00235_05390_0024.N1", "2003-03-19T05:58:00"),
    ("SAR_IMS_1PNESA19960319_055800_00000018A001_00235_24390_0000.E1", "1996-03-19T05:58:00"),
    ("ER02_SAR_RAW_0P_19960319T055800_19960319T055817_UPA_04857_0000.CEOS", "1996-03-19T05:58:00"),
    ("GF3_MYN_FSI_001234_E116.1_N39.9_20230319_L1A_HH_L10002345678.tiff", "2023-03-19"),
    ("LT1A_MONO_KRN_STRIP1_000643_E37.4_N37.1_20230319_SLC_HH_S2A_0000012345.tiff", "2023-03-19"),
    ("K5_20230319055800_000000_00001_A_SL1_HH_SCS_B_L1A.h5", "2023-03-19T05:58:00"),
    ("19-03-2023_vv.tif", "2023-03-19"),
    ("vv_03.19.2023.tif", "2023-03-19"),
    ("20230319_day_19450101.tif", "2023-03-19"),  # the second is too early for a radar image
]


@pytest.mark.parametrize(("name", "expected"), PRODUCTS)
def test_products(name, expected):
    assert acquisition_date(f"data/{name}", {}) == np.datetime64(expected, "us")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("S1AA_20230319T055800_20230331T055800_VVP012_INT80_G_ueF_ABCD_corr.tif", "its name contains 2 dates"),
        ("S1_136231_IW2_20200604_20200616_VV_INT80_0A1F.tif", "its name contains 2 dates"),
        ("20230319T055800_20230319T175800.tif", "its name contains 2 dates"),  # two passes of one day
        ("NISAR_L2_PR_GUNW_1_5_A_219_2_20230319T055800_20230319T055830_20230331T055800_20230331T055830.h5", "2 dates"),
        ("2023-03-19-2023-03-31.tif", "its name contains 2 dates"),
        ("03-04-2023_vv.tif", "03-04-2023 in its name may begin with the day or the month"),
        ("S1A_OPER_SAR_EOSSP__CORE_L1A_OLF_20230319T055800", "its name contains the processing date"),
        ("20990319.tif", "2099-03-19 in its name is in the future"),
        ("19230319.tif", "1923-03-19 in its name is before the first radar satellite"),
        ("23-03-19.tif", "neither metadata nor name contain a date"),
        ("IMG-HH-ALPSRP041020870-H1.0__A", "neither metadata nor name contain a date"),
    ],
)
def test_ambiguous_names_are_refused(name, message):
    with pytest.raises(InputError, match=message) as caught:
        acquisition_date(f"data/{name}", {})
    assert "--date" in caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ("RS2_OK76385_PK678063_DK606752_F6F_20190903_101010_HH_SLC/imagery_HH.tif", "2019-09-03T10:10:10"),
        ("TSX1_SAR__SSC______SM_S_SRA_20230319T055800_20230319T055808/IMAGEDATA/HH.cos", "2023-03-19T05:58:00"),
        ("0000123456_001001_ALOS2012345678-230319/IMG.tif", None),  # an archive's name
        ("ALOS2012345678-230319/IMG.tif", "2023-03-19"),
        ("download_RS2_20190903_101010/image.tif", None),
    ],
)
def test_folder_that_is_a_product(folders, expected):
    if expected is None:
        with pytest.raises(InputError, match="neither metadata nor name"):
            acquisition_date(folders, {})
    else:
        assert acquisition_date(folders, {}) == np.datetime64(expected, "us")


def test_metadata_that_cannot_be():
    with pytest.raises(
        InputError, match="the date 1970-01-01 in its metadata is before the first radar satellite of 1978"
    ):
        acquisition_date("20230319.tif", {"SENSING_START": "1970-01-01T00:00:00"})
    with pytest.raises(InputError, match="the date 2099-01-01 in its metadata is in the future"):
        acquisition_date("a.tif", {"SENSING_START": "2099-01-01"})
    with pytest.raises(InputError, match="'19-MAR-23 05:58:00' in its metadata is ambiguous"):
        acquisition_date("a.tif", {"MPH_SENSING_START": "19-MAR-23 05:58:00 "})
    assert acquisition_date("20230319.tif", {"MPH_SENSING_START": "19-MAR-23"}) == np.datetime64("2023-03-19")


def test_metadata_and_name_on_both_sides_of_midnight():
    name = "S1A_IW_SLC__1SDV_20230401T000000_20230401T000027_047884_05C0F4_3703.SAFE"
    told = acquisition_date(name, {"SENSING_START": "2023-03-31T23:59:59.9Z"})
    assert told == np.datetime64("2023-03-31T23:59:59.9")
    with pytest.raises(InputError, match="its date is 2023-03-31 in the metadata, but 2023-04-01 in the name"):
        acquisition_date(name, {"SENSING_START": "2023-03-31T12:00:00"})


def test_a_date_that_a_user_gave_is_taken_with_a_warning():
    with pytest.warns(UserWarning, match="--date: 2099-03-19 is in the future"):
        assert parse_date("2099-03-19") == np.datetime64("2099-03-19")
    with pytest.warns(UserWarning, match="before the first radar satellite"):
        parse_date("1923-03-19")


@pytest.mark.parametrize(
    "path",
    [
        "https://127.0.0.1:8080/20200101/20230319.tif?X-Amz-Date=20240101T000000Z&x=1",
        "/vsicurl/https://127.0.0.1:8080/a/20230319.tif",
        "s3://bucket-20200101/a/20230319.tif",
        'HDF5:"/vsicurl/https://127.0.0.1:8080/20230319.h5"://slc',
        "NETCDF:https://127.0.0.1:8080/a/20230319.nc:slc",
        "https://127.0.0.1:8080/20230319/image.tif",
        "/vsicurl?pc_url_signing=yes&url=https%3A%2F%2Fhost%2F20230319.tif%3Fse%3D2024-01-01",
        "ZARR:/vsicurl/https://me:pass@host/20230319.zarr",
        "GTIFF_DIR:2:/data/20200101/20230319.tif",
        "DERIVED_SUBDATASET:AMPLITUDE:/data/20200101/20230319.tif",
    ],
)
def test_dates_of_urls_are_those_of_the_file(path):
    assert acquisition_date(path, {}) == np.datetime64("2023-03-19")
