"""Incidence angle and kind of range, from options and files into new and existing scenes."""

import json

import numpy as np
import pytest
import xarray as xr

from sarcd.config import IngestOptions
from sarcd.errors import OptionError
from sarcd.ingestion.append import append
from sarcd.ingestion.scene import ingest
from sarcd.store.info import scene_info
from sarcd_cli.main import main
from tests.factories.rasters import UTM, slc, write_raster

DAYS = ("20230319", "20230331")
XML = "<a><incidenceAngleMidSwath>35.3</incidenceAngleMidSwath></a>"
SPACING = {"CEOS_PIXEL_SPACING_METERS": "7.9", "CEOS_LINE_SPACING_METERS": "4.0"}


def images(tmp_path, rng, *, detected=False, tags=None, **profile):
    values = [slc(rng) for _ in DAYS]
    values = [np.abs(each).astype("float32") for each in values] if detected else values
    named = zip(DAYS, values, strict=True)
    return [write_raster(tmp_path / f"{day}.tif", each, tags=tags, **profile) for day, each in named]


@pytest.mark.parametrize(
    ("detected", "options", "tags", "attrs"),
    [
        (False, {}, SPACING, {"range_spacing": "slant"}),
        (True, {"kind": "amplitude"}, SPACING, {"range_spacing": "ground"}),
        (False, {"kind": "amplitude"}, SPACING, {"range_spacing": "slant"}),  # amplitudes of complex images
        (True, {"kind": "amplitude", "range_spacing": "slant"}, SPACING, {"range_spacing": "slant"}),
        (
            False,
            {"spacing_m": (1.0, 2.0), "incidence_deg": 30.0},
            {},
            {"range_spacing": "slant", "incidence_deg": 30.0},
        ),
        (False, {}, {**SPACING, "XML": XML}, {"range_spacing": "slant", "incidence_deg": 35.3}),
        (False, {"incidence_deg": 34.0}, {"XML": XML}, {"incidence_deg": 34.0}),
        (False, {}, {}, {}),
    ],
)
def test_what_a_scene_is_told(tmp_path, rng, detected, options, tags, attrs):
    ingest(images(tmp_path, rng, detected=detected, tags=tags), tmp_path / "a.zarr", IngestOptions(**options))
    found = xr.open_zarr(tmp_path / "a.zarr").attrs
    assert {key: found[key] for key in ("range_spacing", "incidence_deg") if key in found} == attrs


def test_a_map_has_no_range(tmp_path, rng):
    ingest(images(tmp_path, rng, tags=SPACING, **UTM), tmp_path / "a.zarr")
    assert "range_spacing" not in xr.open_zarr(tmp_path / "a.zarr").attrs


def test_the_angle_is_added_to_a_scene(tmp_path, rng, capsys):
    path = tmp_path / "a.zarr"
    ingest(images(tmp_path, rng), path, IngestOptions(spacing_m=(4.0, 3.0)))
    assert main(["ingest", "--append", "-o", str(path), "--incidence", "33.5"]) == 0
    assert scene_info(path)["sensor"] == {"spacing_m": [4.0, 3.0], "range_spacing": "slant", "incidence_deg": 33.5}
    report = append([], path, IngestOptions(range_spacing="ground"))
    assert (report.pairs, report.dates) == (1, ())
    assert xr.open_zarr(path).attrs["range_spacing"] == "ground"
    later = write_raster(tmp_path / "20230412.tif", slc(rng))
    assert append([later], path, IngestOptions(incidence_deg=34.0)).pairs == 2
    capsys.readouterr()
    assert main(["info", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sensor"]["incidence_deg"] == 34.0


@pytest.mark.parametrize("options", [{"incidence_deg": 0.0}, {"incidence_deg": 90.0}, {"range_spacing": "sideways"}])
def test_options_that_are_none(options):
    with pytest.raises(OptionError, match=f"{next(iter(options))}: .* (is .*|cannot be used)[.] Use "):
        IngestOptions(**options)
