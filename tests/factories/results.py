"""Scenes with results, for tests of figures and exported files."""

import numpy as np
import rasterio.crs
import xarray as xr
from affine import Affine
from rasterio.control import GroundControlPoint

from sarcd import schema
from sarcd.geography.georeference import Georeference, to_coordinates
from sarcd.store.create import NewScene, SceneLayout
from sarcd.store.scene import publish
from tests.factories.scenes import dates, random_slc

UTM = Georeference(rasterio.crs.CRS.from_epsg(32632), Affine(20.0, 0.0, 600_000.0, 0.0, -10.0, 5_100_000.0))
DEGREES = Georeference(rasterio.crs.CRS.from_epsg(4326), Affine(2e-4, 0.0, 10.0, 0.0, -1e-4, 60.0))
ASKEW = Georeference(UTM.crs, Affine(16.0, 12.0, 600_000.0, 12.0, -16.0, 5_100_000.0))


def control_points(shape=(60, 80), crs=4326):
    """Make ground control points on an affine grid near 10 E, 60 N, in degrees by default."""
    height, width = shape
    corners = [(0.0, 0.0), (0.0, width), (height, 0.0), (height, width), (height / 2, width / 2)]
    points = [
        GroundControlPoint(row, col, 10.0 + 2e-4 * col + 1e-5 * row, 60.0 - 1e-4 * row, 12.0, str(number), "")
        for number, (row, col) in enumerate(corners, start=1)
    ]
    return Georeference(rasterio.crs.CRS.from_epsg(crs), None, tuple(points))


def made(parameters=None):
    return {
        "sarcd_operation": "predict",
        "sarcd_parameters": {"threshold": 0.5, **(parameters or {})},
        "sarcd_version": "0.1.0",
    }


def results(rng, shape=(60, 80), *, pairs=2, georeference=None):
    """Make two changed patches in each pair, 4 x 6 and 3 x 3 pixels, and a hole in the data; NumPy arrays by name."""
    count = (pairs, *shape)
    probability = rng.uniform(0.0, 0.4, count).astype(np.float32)
    probability[:, 10:14, 20:26] = 0.9
    probability[:, 30:33, 50:53] = 0.7
    probability[:, 40:45, 0:5] = np.nan
    change = np.where(np.isnan(probability), 255, probability >= 0.5).astype(np.uint8)
    label = np.zeros(count, np.uint8)
    label[:, 10:14, 20:26] = 1
    label[:, 50:52, 60:64] = 1
    return {
        "coherence": rng.random(count, np.float32),
        "change_probability": probability,
        "change": change,
        "label": label,
    }


def scene_with_results(rng, shape=(60, 80), *, pairs=2, georeference=None, images="slc", keep=None):
    """Make a scene in memory with all results, or only those to keep."""
    slc = random_slc(rng, (pairs + 1, *shape))
    slc[:, 40:45, 0:5] = np.nan
    times = dates(pairs + 1)
    coordinates = to_coordinates(georeference or Georeference(), shape)
    values = results(rng, shape, pairs=pairs)
    variables = {images: (("time", "y", "x"), slc if images == "slc" else np.abs(slc))}
    for name in values if keep is None else keep:
        attrs = made() if name.startswith("change") else {}
        variables[name] = (("pair", "y", "x"), values[name], {**schema.VARIABLES[name].attrs(), **attrs})
    return xr.Dataset(
        variables,
        coords={
            "time": times,
            "before": ("pair", times[:-1]),
            "after": ("pair", times[1:]),
            "y": ("y", coordinates.y, coordinates.y_attrs),
            "x": ("x", coordinates.x, coordinates.x_attrs),
            "spatial_ref": ((), 0, coordinates.spatial_ref),
        },
    )


def stored_results(path, rng, shape=(60, 80), *, pairs=2, georeference=None, chunk=32, complete=None):
    """Store the same scene in small chunks; returns its path."""
    coordinates = to_coordinates(georeference or Georeference(), shape)
    slc = random_slc(rng, (pairs + 1, *shape))
    layout = SceneLayout(
        dates(pairs + 1),
        coordinates.y,
        coordinates.x,
        spatial_ref=coordinates.spatial_ref,
        y_attrs=coordinates.y_attrs,
        x_attrs=coordinates.x_attrs,
        chunk=chunk,
    )
    with NewScene(path, layout) as store:
        store.array("slc")[...] = slc
        for name, values in results(rng, shape, pairs=pairs).items():
            attrs = {} if name == "label" else {**made(), schema.COMPLETE: complete or [True] * pairs}
            store.create(name, values.shape, attrs, chunks=(1, chunk, chunk))
            store.array(name)[...] = values
            publish(store, add=[name])
    return path
