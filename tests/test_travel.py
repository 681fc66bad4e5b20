"""Results of every verb survive netCDF, Zarr and GeoTIFF through xarray alone, including their attributes."""

import importlib.util
import json

import numpy as np
import pytest
import rasterio
import xarray as xr

from sarcd import change, estimation, jobs, predict, schema
from sarcd import detection as detect
from sarcd import metrics as evaluate
from sarcd.attributes import PARAMETERS, decode, fitted_of, parameters_of, portable
from sarcd.config import CoherenceOptions, DetectOptions, SummaryOptions
from sarcd.exporting.export_files import export
from sarcd.models.pretrained import MINES
from sarcd.simulation import sites

ENGINES = {"h5netcdf": "h5netcdf", "netcdf4": "netCDF4", "scipy": "scipy"}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Simulate a scene with statistics and every kind of result."""
    path = tmp_path_factory.mktemp("travel") / "scene.zarr"
    sites.write_site(path, "A", size=64, dates=3)
    jobs.statistics(path)
    jobs.coherence(path, CoherenceOptions(window=7), phase=True)
    jobs.detect(path, DetectOptions(method="log-ratio", uncertainty=True))
    jobs.detect(path, DetectOptions(method="coherence-loss"), name="loss")
    jobs.summarise(path, SummaryOptions(of="omnibus"))
    return path


def _results(scene):
    found = detect.detect(scene, method="ratio-test")
    yield "scene", scene
    yield "statistics", estimation.statistics(scene)
    yield "coherence", estimation.coherence(scene, debias=True).to_dataset()
    yield "phase", estimation.coherence_phase(scene).to_dataset()
    yield "normalize", estimation.normalize(scene).to_dataset()
    yield "features", estimation.features(scene).to_dataset()
    yield "difference", change.log_ratio(scene, signed=True).to_dataset()
    yield "decide", change.opening(change.decide(change.log_ratio(scene), method="kmeans"), radius=1).to_dataset()
    yield "fuse", change.fuse([change.log_ratio(scene), change.mean_ratio(scene)]).to_dataset()
    yield "lee", change.lee(scene)
    yield "detect", found
    yield "rules", detect.detect(scene, method=DetectOptions(method="neighbourhood-ratio"))
    yield "combined", detect.detect(scene, method=DetectOptions(method="combined-test", uncertainty=True))
    yield "network", predict(scene, model=MINES, device="cpu")
    yield "summarise", change.summarise(scene, found.change)
    yield "omnibus", change.omnibus_test(scene)
    yield "evaluate", evaluate.evaluate(scene.assign(change=found.change), bootstrap=20, objects=True)
    report = evaluate.report([scene.assign(change_score=found.change_score)], variable="change_score", threshold=3.0)
    yield "curves", report.curves


@pytest.fixture(scope="module")
def results(stored):
    simulated = sites.simulate("A", size=64, dates=3)
    lazy = simulated.chunk(y=40).sarcd.coherence().to_dataset()
    made = [*_results(xr.open_zarr(stored)), ("simulated", simulated), ("lazy", lazy)]
    return [(verb, result if verb in ("scene", "lazy") else result.load()) for verb, result in made]


def _attributes(dataset):
    yield "", dataset.attrs
    for name, variable in dataset.variables.items():
        yield str(name), variable.attrs


def _is_plain(value):
    if isinstance(value, list):
        return all(type(item) in (int, float) for item in value) or all(type(item) is str for item in value)
    return type(value) in (str, int, float)


def test_no_attribute_is_more_than_text_numbers_or_flat_lists(results):
    seen = 0
    for verb, result in results:
        for name, attrs in _attributes(result):
            for key, value in attrs.items():
                assert _is_plain(value), (verb, name, key, value)
                seen += 1
    assert seen > 300


def test_what_made_a_result_is_text_that_tells_all(results):
    made = [array for _, result in results for array in result.data_vars.values() if PARAMETERS in array.attrs]
    assert len(made) > 30
    for array in made:
        assert json.loads(array.attrs[PARAMETERS]) == parameters_of(array)
    (rules,) = (result for verb, result in results if verb == "rules")
    assert [sorted(fact) for fact in fitted_of(rules.change)] == [["after", "before", "rule"]] * 2


def _same(found, expected):
    """Return whether an attribute survived; lists may become arrays, or scalars if they had one item."""
    if isinstance(expected, str) or not np.size(expected):
        return np.array_equal(found, expected)
    return np.atleast_1d(found).tolist() == np.atleast_1d(expected).tolist()


@pytest.mark.parametrize("engine", list(ENGINES))
def test_attributes_through_netcdf(results, tmp_path, engine):
    if importlib.util.find_spec(ENGINES[engine]) is None:
        pytest.skip(f"{ENGINES[engine]} is not installed")
    for number, (verb, result) in enumerate(results):
        told = {}
        for name, attrs in _attributes(result):
            # xarray itself uses these for the encoding; netCDF3 has no lists of text
            kept = {key: value for key, value in attrs.items() if key not in ("units", "calendar", "grid_mapping")}
            if engine == "scipy":
                kept = {key: value for key, value in kept.items() if not _is_text_list(value)}
            told[f"of_{name}"] = ((), 0.0, kept)
        file = tmp_path / f"{number}.nc"
        xr.Dataset(told, attrs=told["of_"][2]).to_netcdf(file, engine=engine)
        with xr.open_dataset(file, engine=engine) as back:
            for name, (_, _, attrs) in told.items():
                assert set(back[name].attrs) == set(attrs), (verb, name)
                for key, value in attrs.items():
                    assert _same(back[name].attrs[key], value), (verb, name, key)


def _is_text_list(value):
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_whole_results_through_netcdf(results, tmp_path, engine):
    if importlib.util.find_spec(ENGINES[engine]) is None:
        pytest.skip(f"{ENGINES[engine]} is not installed")
    for number, (verb, result) in enumerate(results):
        result = result.drop_vars("slc", errors="ignore")  # netCDF has no complex numbers
        result.to_netcdf(tmp_path / f"{number}.nc", engine=engine)
        with xr.open_dataset(tmp_path / f"{number}.nc", engine=engine) as back:
            xr.testing.assert_equal(back.load(), result.load())
            for name, array in result.data_vars.items():
                assert parameters_of(back[name]) == parameters_of(array), (verb, name)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:.*does not have a Zarr V3 specification")  # zarr's warning about text coordinates
def test_whole_results_through_plain_zarr(results, tmp_path, version):
    for number, (verb, result) in enumerate(results):
        if version == 2:
            result = portable(result)  # without the codecs of the stored scene, of Zarr v3
        result.to_zarr(tmp_path / f"{number}.zarr", zarr_format=version, consolidated=False)
        back = xr.open_zarr(tmp_path / f"{number}.zarr", consolidated=False)
        assert back.attrs == result.attrs, verb
        for name, array in result.variables.items():
            assert back.variables[name].attrs == array.attrs, (verb, name)
        np.testing.assert_equal(back[next(iter(result.data_vars))].values, next(iter(result.data_vars.values())).values)
        if verb == "scene":
            again = detect.detect(back, method="ratio-test")
            xr.testing.assert_equal(again.change.load(), detect.detect(result, method="ratio-test").change.load())
            assert fitted_of(back.change) == fitted_of(result.change)


def test_tags_of_geotiffs(stored, tmp_path):
    scene = xr.open_zarr(stored)
    names = ("coherence", "coherence_phase", "change_score", "change", "uncertainty", "change_loss", "persistence")
    for name in names:
        written = export(scene, tmp_path / f"{name}.tif", variable=name)
        with rasterio.open(written) as raster:
            tags = raster.tags()
        assert json.loads(tags[PARAMETERS]) == parameters_of(scene[name]) != {}
        for key, value in scene[name].attrs.items():
            if key.startswith("sarcd_") and key != schema.COMPLETE:
                assert tags[key] == value, (name, key)
    assert json.loads(tags["dates"]) == scene.persistence.attrs["dates"]


def test_statistics_stay_with_a_copy(stored, tmp_path):
    xr.open_zarr(stored).to_zarr(tmp_path / "copy.zarr", consolidated=False)
    kept = xr.open_zarr(tmp_path / "copy.zarr", consolidated=False).attrs["amplitude_statistics"]
    assert decode(kept) == jobs.statistics(stored)[0].to_json()
