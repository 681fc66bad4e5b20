"""Small raster files, shared by tests."""

import warnings

import numpy as np
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning

UTM = {"crs": "EPSG:32631", "transform": Affine(10.0, 0.0, 500_000.0, 0.0, -20.0, 5_800_000.0)}


def ground_control_points(shape):
    height, width = shape
    corners = [(0.5, 0.5), (0.5, width - 0.5), (height - 0.5, 0.5), (height - 0.5, width - 0.5), (3.25, 4.125)]
    return [
        GroundControlPoint(
            row, col, 4.9 + 1e-4 * col + 1e-6 * row, 52.3 - 1e-4 * row, 12.5 + i, id=str(i), info=f"p{i}"
        )
        for i, (row, col) in enumerate(corners)
    ]


def write_raster(
    path, values, *, driver="GTiff", names=(), tags=None, mask=None, colours=None, scaling=None, **profile
):
    """Write (y, x) or (band, y, x) values and return the path as text."""
    values = np.asarray(values)
    bands = values[None] if values.ndim == 2 else values
    profile = {"dtype": str(bands.dtype), **profile}
    gcps = profile.pop("gcps", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(
            path, "w", driver=driver, count=len(bands), height=bands.shape[1], width=bands.shape[2], **profile
        ) as dataset:
            dataset.write(bands)
            if gcps is not None:
                dataset.gcps = gcps
            for index, name in enumerate(names, 1):
                dataset.set_band_description(index, name)
            if tags:
                dataset.update_tags(**tags)
            if colours:
                dataset.write_colormap(1, colours)
            if scaling:
                dataset.scales, dataset.offsets = ([value] * len(bands) for value in scaling)
            if mask is not None:
                dataset.write_mask(mask)
    return str(path)


def open_raster(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path)


def slc(rng, shape=(40, 50), dtype="complex64"):
    """Make circular noise without zeros, in integers below 1000 that every complex type represents exactly."""
    real, imaginary = rng.integers(1, 1000, (2, *shape))
    return (real - 1j * imaginary).astype(dtype)


def truncate(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
