"""Information that a scene keeps about the paths of its images."""

import numpy as np
import pytest

from sarcd.ingestion.files import source_name, split_path
from sarcd.ingestion.scene import ingest
from sarcd.store.scene import open_scene
from tests.factories.rasters import slc, write_raster


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/20230319.tif", "20230319.tif"),
        ("20230319.tif", "20230319.tif"),
        ("/vsizip//data/a.zip/b.tif", "b.tif"),
        ('ZARR:"/path/x.zarr":/i_VV', "x.zarr:/i_VV"),
        ("HDF5:/data/a.h5://science/slc", "a.h5://science/slc"),
        ("NETCDF:a.nc:slc", "a.nc:slc"),
        ("https://127.0.0.1:8080/a/b.tif", "https://127.0.0.1:8080/a/b.tif"),
        ("https://127.0.0.1:8080/a/b.tif?x=1", "https://127.0.0.1:8080/a/b.tif?x=1"),
        ("https://me:pass@host:8080/a/b.tif", "https://host:8080/a/b.tif"),
        ("https://me:p@ss@host/a/b.tif", "https://host/a/b.tif"),
        ("https://host/a@b/c.tif", "https://host/a@b/c.tif"),
        ("https://host/b.tif?X-Amz-Credential=a&x=1", "https://host/b.tif"),
        ("https://host/b.tif?sv=2022&sp=r&sig=abc", "https://host/b.tif"),
        ("https://host/b.tif?t=0123456789abcdef0123456789", "https://host/b.tif"),
        ("/vsicurl/https://me:pass@host/b.tif?token=1", "/vsicurl/https://host/b.tif"),
        ("/vsizip//vsicurl/https://host/a.zip/b.tif", "/vsizip//vsicurl/https://host/a.zip/b.tif"),
        ("s3://bucket/key.tif", "s3://bucket/key.tif"),
        ("/vsis3/bucket/a/key.tif", "/vsis3/bucket/a/key.tif"),
        ('ZARR:"/vsicurl/https://me:pass@127.0.0.1:80/x.zarr":/i_VV', "/vsicurl/https://127.0.0.1:80/x.zarr:/i_VV"),
        ("NETCDF:https://127.0.0.1:80/x.nc:slc", "https://127.0.0.1:80/x.nc:slc"),
        ("https://host/b.tif#me", "https://host/b.tif#me"),
        ("https://host/b.tif?x=1#token=abc", "https://host/b.tif"),
        ("https://host/b.tif?p=hunter2", "https://host/b.tif"),
        ("https://host/b.tif?code=aa.bb.cc", "https://host/b.tif"),
        ("https://host/b.tif?0a1b2c3d4e5f60718293a4b5c6", "https://host/b.tif"),
        ("https://host/b.tif?pw=hunter", "https://host/b.tif"),
        ("https://host/b.tif?version=2&format=raw", "https://host/b.tif?version=2&format=raw"),
        ("https://host/b.tif;jsessionid=ABCD", "https://host/b.tif"),
        (
            "/vsicurl?header.Authorization=Bearer%20abc&url=https%3A%2F%2Fme%3Apass%40host%2Fb.tif%3Ftoken%3D1",
            "/vsicurl/https://host/b.tif",
        ),
        ("/vsicurl/ftp://me:pass@host/b.tif", "/vsicurl/ftp://host/b.tif"),
        ("vrt://https://me:pass@host/b.tif?bands=1", "vrt://https://host/b.tif?bands=1"),
        ("vrt:///data/b.tif?bands=2", "vrt://b.tif?bands=2"),
        ("WMS:https://me:pass@host/wms?layers=a", "https://host/wms?layers=a"),
        ("ZARR:/vsicurl/https://me:pass@host/x.zarr", "/vsicurl/https://host/x.zarr"),
        ("PG:host=h dbname=d user=me password='my pass' table=t", "PG:host=h dbname=d table=t"),
        ("file:///data/b.tif", "b.tif"),
        ("zip:///data/a.zip!b.tif", "a.zip!b.tif"),
        ("GTIFF_DIR:2:/data/b.tif", "b.tif:2"),
        ("NITF_IM:0:/data/b.ntf", "b.ntf:0"),
        ("DERIVED_SUBDATASET:AMPLITUDE:/data/b.tif", "b.tif:AMPLITUDE"),
        (
            "SENTINEL1_CALIB:UNCALIB:/data/a.SAFE/manifest.safe:IW1_VV:AMPLITUDE",
            "manifest.safe:UNCALIB:IW1_VV:AMPLITUDE",
        ),
    ],
)
def test_sources(path, expected):
    assert source_name(path) == expected


def test_parts_of_paths():
    assert split_path("https://127.0.0.1:8080/a/b.tif?x=1")[0].parts == ("/", "a", "b.tif")
    assert [str(part) for part in split_path("NETCDF:https://h:80/a.nc:slc")] == ["/a.nc", "slc"]
    assert [str(part) for part in split_path("C:/data/a.tif")] == ["C:/data/a.tif", ""]
    assert [str(part) for part in split_path("HDF5:/data/a.h5://slc")] == ["/data/a.h5", "//slc"]


def test_a_scene_keeps_names_of_files(tmp_path, rng):
    for day in ("20230319", "20230331"):
        write_raster(tmp_path / f"{day}.tif", slc(rng))
    ingest([tmp_path / "20230319.tif", f"{tmp_path}/20230331.tif"], tmp_path / "scene.zarr")
    scene = open_scene(tmp_path / "scene.zarr")
    assert scene["slc"].attrs["sources"] == ["20230319.tif", "20230331.tif"]
    assert np.isfinite(scene["slc"].values).all()
