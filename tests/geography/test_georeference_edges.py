"""Edge cases of georeferences: other grid mappings, units, types, full circles, and invalid ones."""

import numpy as np
import pytest
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from sarcd.errors import InputError, SceneError
from sarcd.geography.georeference import Georeference, of_dataset, of_scene, to_coordinates
from tests.factories.rasters import open_raster, write_raster

SHAPE = (6, 8)
UTM = CRS.from_epsg(32632)
DEGREES = CRS.from_epsg(4326)
PLACE = Affine(20.0, 0.0, 600_000.0, 0.0, -10.0, 5_100_000.0)


def scene_of(attrs=None, *, name="spatial_ref", y=None, x=None, units="m", **dataset_attrs):
    y = 5_099_995.0 - 10 * np.arange(SHAPE[0]) if y is None else y
    x = 600_010.0 + 20 * np.arange(SHAPE[1]) if x is None else x
    unit = {} if units is None else {"units": units}
    return xr.Dataset(
        {"amplitude": (("y", "x"), np.ones((len(y), len(x)), "float32"), {"grid_mapping": name})},
        coords={"y": ("y", y, unit), "x": ("x", x, unit), name: ((), 0, attrs or {})},
        attrs=dataset_attrs,
    )


CF = {
    "grid_mapping_name": "transverse_mercator",
    "latitude_of_projection_origin": 0.0,
    "longitude_of_central_meridian": 9.0,
    "scale_factor_at_central_meridian": 0.9996,
    "false_easting": 500_000.0,
    "false_northing": 0.0,
    "semi_major_axis": 6_378_137.0,
    "inverse_flattening": 298.257223563,
}


@pytest.mark.parametrize("name", ["spatial_ref", "crs", "transverse_mercator"])
@pytest.mark.parametrize(
    "attrs",
    [{"crs_wkt": UTM.to_wkt()}, {"spatial_ref": UTM.to_wkt()}, {"epsg_code": "EPSG:32632"}, {"epsg": 32632}, CF],
    ids=["crs_wkt", "spatial_ref", "code", "number", "cf"],
)
def test_grid_mappings(name, attrs):
    found = of_scene(scene_of(attrs, name=name))
    np.testing.assert_allclose(found.transform[:6], PLACE[:6])
    if attrs is not CF:
        assert found.crs == UTM
    assert found.crs.is_projected
    assert found.crs.to_dict()["proj"] in ("utm", "tmerc")


def test_a_grid_mapping_among_the_variables_and_in_the_longer_form():
    scene = scene_of({"crs_wkt": UTM.to_wkt()}, name="crs").reset_coords("crs")
    scene["amplitude"].attrs["grid_mapping"] = "crs: x y"
    assert of_scene(scene).crs == UTM


def test_a_crs_among_the_attributes():
    assert of_scene(scene_of(crs="EPSG:32632")).crs == UTM
    assert of_scene(scene_of(crs="+init=epsg:32632")).crs == UTM


@pytest.mark.parametrize(
    "attrs", [{"crs_wkt": "no WKT"}, {"epsg": "none"}, {"grid_mapping_name": "of nobody"}, {"GeoTransform": "1 2 x"}]
)
def test_what_cannot_be_read_is_refused(attrs):
    with pytest.raises(SceneError, match=r"'crs' cannot be read \(.*\)[.] Write it with rioxarray"):
        of_scene(scene_of(attrs, name="crs"))


def test_a_crs_places_no_pixel_numbers():
    """Otherwise they would be read as metres from the CRS's origin."""
    counted = to_coordinates(Georeference(), SHAPE)
    attrs = {"crs_wkt": UTM.to_wkt()}
    scene = scene_of(attrs, y=counted.y, x=counted.x, units="1")
    assert of_scene(scene) == Georeference()
    whole = scene_of(attrs, y=5_099_995 - 10 * np.arange(6), x=600_010 + 20 * np.arange(8))  # integer metres
    np.testing.assert_allclose(of_scene(whole).transform[:6], PLACE[:6])


def test_one_row_or_column_wants_a_transform():
    attrs = {"crs_wkt": UTM.to_wkt()}
    with pytest.raises(
        SceneError, match=r"'x' has a single value, so the pixel size is unknown[.] Write the transform"
    ):
        of_scene(scene_of(attrs).isel(x=[2]))
    attrs["GeoTransform"] = " ".join(map(str, PLACE.to_gdal()))
    assert of_scene(scene_of(attrs).isel(x=[2], y=[1])).transform == Affine(
        20.0, 0.0, 600_040.0, 0.0, -10.0, 5_099_990.0
    )
    own = scene_of(spacing_m=[10.0, 20.0]).isel(x=[2])
    assert of_scene(own).transform.a == 20


@pytest.mark.parametrize(
    ("x", "wrong"),
    [
        (np.array([0.0, 1, 2, np.nan, 4, 5, 6, 7]), "'x' is not finite"),
        (np.zeros(8), "'x' is constant"),
        (np.array([0.0, 1, 2, 3, 4, 5, 6, 9]), "not evenly spaced"),
        (10.0 ** np.arange(8), "not evenly spaced"),
    ],
)
def test_coordinates_of_no_grid_are_refused(x, wrong):
    with pytest.raises(SceneError, match=wrong):
        of_scene(scene_of({"crs_wkt": UTM.to_wkt()}, x=x))


def test_coordinates_of_single_precision():
    """Pixels of 1e-4 degrees at 179 degrees east: float32 resolves 8 per cent of a pixel."""
    place = Affine(1e-4, 0.0, 179.0, 0.0, -1e-4, 10.0)
    exact = to_coordinates(Georeference(DEGREES, place), (60, 80))
    scene = scene_of(exact.spatial_ref, y=exact.y.astype("float32"), x=exact.x.astype("float32"), units="degrees_east")
    assert of_scene(scene).transform == place
    del scene["spatial_ref"].attrs["GeoTransform"]
    derived = of_scene(scene).transform
    assert derived.a == pytest.approx(1e-4, rel=3e-3)
    finer = to_coordinates(Georeference(DEGREES, Affine(1e-5, 0.0, 179.0, 0.0, -1e-5, 10.0)), (60, 80))
    with pytest.raises(SceneError, match="not evenly spaced"):  # float32 cannot represent such pixels
        of_scene(scene_of(finer.spatial_ref, y=finer.y, x=finer.x.astype("float32"), units="degrees_east"))


@pytest.mark.parametrize(
    ("crs", "units", "is_right"),
    [
        (UTM, "m", True),
        (UTM, "metre", True),
        (UTM, None, True),
        (UTM, "km", False),
        (UTM, "degrees_east", False),
        (CRS.from_epsg(2263), "US_survey_foot", True),
        (CRS.from_epsg(2263), "m", False),
        (CRS.from_user_input("+proj=utm +zone=32 +datum=WGS84 +units=km"), "km", True),
        (DEGREES, "degrees_north", True),
        (DEGREES, "m", False),
        (DEGREES, "radian", False),
        (CRS.from_wkt('LOCAL_CS["mine grid",UNIT["foot",0.3048]]'), "ft", True),
        (CRS.from_wkt('LOCAL_CS["mine grid",UNIT["foot",0.3048]]'), "m", False),
    ],
)
def test_units_of_coordinates_are_those_of_the_crs(crs, units, is_right):
    scene = scene_of({"crs_wkt": crs.to_wkt()}, y=np.arange(6.0), x=np.arange(8.0), units=units)
    if is_right:
        assert of_scene(scene).crs == crs
    else:
        with pytest.raises(SceneError, match=f"'y' is in {units}, which is not the unit of the CRS[.] Convert"):
            of_scene(scene)


# -- two images -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [180.1, -179.9, 0.1, 360.1])
def test_whole_turns_are_no_difference(first):
    a, b = (Georeference(DEGREES, Affine(1e-3, 1e-5, x, 0.0, -1e-3, 10.0)) for x in (first, first - 360))
    assert a.difference(b, SHAPE) is None
    assert b.difference(a, SHAPE) is None
    assert "shifted by up to 1 pixels" in a.difference(b.cropped((0, 1), (1, 1)), SHAPE)
    same_numbers = [Georeference(UTM, georeference.transform) for georeference in (a, b)]
    assert "shifted by" in same_numbers[0].difference(same_numbers[1], SHAPE)


def test_whole_turns_of_control_points():
    def points(turns):
        places = [(0, 0), (0, 8), (6, 0), (6, 8)]
        return tuple(
            GroundControlPoint(r, c, 179.996 + 1e-3 * c + 360 * t, 10 - 1e-3 * r)
            for (r, c), t in places_of(places, turns)
        )

    def places_of(places, turns):
        return zip(places, turns, strict=True)

    one, other = (Georeference(DEGREES, None, points(turns)) for turns in ((0, 0, 0, 0), (0, -1, 0, -1)))
    assert one.difference(other, SHAPE) is None
    assert other.difference(Georeference(DEGREES, None, other.cropped((0, 1), (1, 1)).gcps), SHAPE)


# -- rasters --------------------------------------------------------------------------------------------------------


def vrt(path, *, transform=None, points=(), wkt=""):
    """A raster as text, which can contain what GDAL would not write."""
    raster = write_raster(path.with_suffix(".tif"), np.ones(SHAPE, "uint8"))
    place = "" if transform is None else f"<SRS>{wkt}</SRS><GeoTransform>{transform}</GeoTransform>"
    gcps = "".join(f'<GCP Id="{i}" Pixel="{p[0]}" Line="{p[1]}" X="{p[2]}" Y="{p[3]}"/>' for i, p in enumerate(points))
    listed = f'<GCPList Projection="{wkt}">{gcps}</GCPList>' if points else ""
    band = f"<SimpleSource><SourceFilename>{raster}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    path.write_text(
        f'<VRTDataset rasterXSize="{SHAPE[1]}" rasterYSize="{SHAPE[0]}">{place}{listed}'
        f'<VRTRasterBand dataType="Byte" band="1">{band}</VRTRasterBand></VRTDataset>'
    )
    return str(path)


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ({"transform": "0, 0, 0, 0, 0, -10", "wkt": "EPSG:32632"}, "the transform is singular, so pixels have no area"),
        (
            {"transform": "6e5, 10, 10, 5e6, 10, 10", "wkt": "EPSG:32632"},
            "the transform is singular, so pixels have no area",
        ),
        ({"transform": "6e5, nan, 0, 5e6, 0, -10", "wkt": "EPSG:32632"}, "is not finite"),
        ({"transform": "6e5, 10, 0, inf, 0, -10", "wkt": "EPSG:32632"}, "is not finite"),
        (
            {"transform": "10, 1e-4, 0, 52, 0, -1e-4", "wkt": "EPSG:32632"},
            "pixels are 0.0001 m wide, so the transform is in",
        ),
        (
            {"transform": "6e5, 10, 0, 5e6, 0, -10", "wkt": "EPSG:4978"},
            "geocentric, which is not a map CRS[.] Reproject",
        ),
        (
            {"transform": "6e5, 10, 0, 5e6, 0, -10", "wkt": "EPSG:4326"},
            "rows are beyond the pole, at a latitude of 5e.06",
        ),
        ({"transform": "10, 1e-3, 0, 90.002, 0, -1e-3", "wkt": "EPSG:4326"}, "at a latitude of 90.002"),
        ({"points": [(0, 0, "nan", 1), (8, 0, 1, 1), (0, 6, 0, 0)], "wkt": "EPSG:4326"}, "is not finite"),
    ],
)
def test_what_places_no_pixel_is_refused_with_its_file(tmp_path, told, wrong):
    path = vrt(tmp_path / "a.vrt", **told)
    with open_raster(path) as dataset, pytest.raises(InputError, match=wrong) as caught:
        of_dataset(dataset)
    assert caught.value.source == path
    assert caught.value.hint


def test_rows_whose_centres_lie_on_the_pole_are_rows(tmp_path):
    path = vrt(tmp_path / "a.vrt", transform="10, 1e-3, 0, 90.0005, 0, -1e-3", wkt="EPSG:4326")
    with open_raster(path) as dataset:
        assert of_dataset(dataset).transform.f == 90.0005


@pytest.mark.parametrize("code", [2180, 3035, 4326, 31467])
def test_crs_that_are_spelt_in_another_way_are_no_difference(code):
    """Esri's software uses other names and gives no axis order."""
    transform = Affine(1e-3, 0.0, 4.0, 0.0, -1e-3, 50.0)
    known = CRS.from_epsg(code)
    spelt = CRS.from_wkt(known.to_wkt(version="WKT1_ESRI"))
    assert Georeference(known, transform).difference(Georeference(spelt, transform), SHAPE) is None
    other = Georeference(CRS.from_epsg(4258), transform)
    assert Georeference(known, transform).difference(other, SHAPE).startswith("CRS (EPSG:4258, not")


@pytest.mark.parametrize(
    ("domain", "text", "said"),
    [
        (
            "RPC",
            {"LINE_OFF": 3, "LINE_SCALE": 3},
            "georeferenced by rational polynomials .RPC., which are not supported.* gdalwarp -rpc",
        ),
        (
            "GEOLOCATION",
            {"X_DATASET": "lon.tif"},
            "georeferenced by geolocation arrays, which are not supported.* gdalwarp -geoloc",
        ),
    ],
)
def test_places_that_are_not_read_are_said(tmp_path, domain, text, said):
    polynomials = {f"{name}_NUM_COEFF": "1 " + "0 " * 19 for name in ("LINE", "SAMP")}
    polynomials |= {f"{name}_DEN_COEFF": "1 " + "0 " * 19 for name in ("LINE", "SAMP")}
    offsets = {f"{name}_{kind}": 1 for name in ("SAMP", "LAT", "LONG", "HEIGHT") for kind in ("OFF", "SCALE")}
    items = {**offsets, **polynomials, **text} if domain == "RPC" else text
    listed = "".join(f'<MDI key="{key}">{value}</MDI>' for key, value in items.items())
    path = vrt(tmp_path / "a.vrt")
    file = tmp_path / "a.vrt"
    own = f'<Metadata domain="{domain}">{listed}</Metadata><VRTRasterBand'
    file.write_text(file.read_text().replace("<VRTRasterBand", own))
    with open_raster(path) as dataset, pytest.warns(UserWarning, match=said):
        assert of_dataset(dataset) == Georeference()


@pytest.mark.parametrize("transform", [None, Affine.identity()])
def test_a_crs_without_a_transform_places_nothing(tmp_path, transform):
    profile = {} if transform is None else {"transform": transform}
    path = write_raster(tmp_path / "a.tif", np.ones(SHAPE, "uint8"), crs=UTM, **profile)
    with open_raster(path) as dataset, pytest.warns(UserWarning, match="has a CRS .EPSG:32632. but no transform"):
        assert of_dataset(dataset) == Georeference()


@pytest.mark.parametrize(
    "crs",
    [
        'LOCAL_CS["mine grid",UNIT["metre",1]]',
        'LOCAL_CS["mine grid",LOCAL_DATUM["d",0],UNIT["foot",0.3048],AXIS["X",EAST],AXIS["Y",NORTH]]',
        "EPSG:32632+5773",
        "EPSG:2180",
        "EPSG:4807",  # in grads
        "EPSG:2053",
        "EPSG:3031",
        "+proj=utm +zone=32 +datum=WGS84 +units=km",
        "+proj=tmerc +lat_0=50 +lon_0=7.3 +k=1 +ellps=bessel +towgs84=598.1,73.7,418.2 +units=m",
        "+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=0 +lon_0=18 +R=6371229",
    ],
)
def test_crs_of_every_kind_survive_a_scene(crs):
    georeference = Georeference(CRS.from_user_input(crs), Affine(0.5, 0.0, 30.0, 0.0, -0.25, 40.0))
    found = to_coordinates(georeference, SHAPE)
    coords = {"y": ("y", found.y, found.y_attrs), "x": ("x", found.x, found.x_attrs)}
    scene = xr.Dataset(coords={**coords, "spatial_ref": ((), 0, found.spatial_ref)})
    assert of_scene(scene).transform == georeference.transform
    assert of_scene(scene).crs.to_wkt() == georeference.crs.to_wkt() or of_scene(scene).crs == georeference.crs


@pytest.mark.parametrize("dtype", ["int64", "int32", "float64", "float32"])
def test_pixels_that_are_counted_lie_nowhere(dtype):
    scene = xr.Dataset(coords={"y": np.arange(40).astype(dtype), "x": np.arange(50).astype(dtype)})
    assert of_scene(scene).kind == "none"
    scene["x"].attrs["units"] = "m"
    assert of_scene(scene).kind == ("none" if dtype.startswith("int") else "transform")
    assert of_scene(scene.drop_attrs().assign_coords(x=scene["x"] + 0.5)).kind == "transform"
