"""Write cloud-optimised GeoTIFFs block by block."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
import rasterio.shutil
import xarray as xr
from rasterio._err import CPLE_BaseError  # GDAL errors of a failed copy have no public class
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from sarcd import schema
from sarcd.engine.memory import cores
from sarcd.errors import StoreError
from sarcd.geography.georeference import Georeference

TILE = 512
_CACHE_MB = 256  # GDAL's block cache; by default it is a fraction of the memory of the machine


@dataclass(frozen=True)
class RasterFacts:
    """Georeference and metadata of a GeoTIFF.

    Parameters
    ----------
    georeference : Georeference
        Georeference of the pixels.
    descriptions : sequence of str
        Description of each band.
    nodata : float or None
        Value of invalid pixels.
    units : str
        Units of all bands.
    tags : dict of str
        Tags of the file.
    """

    georeference: Georeference
    descriptions: Sequence[str]
    nodata: float | None = None
    units: str = "1"
    tags: dict[str, str] = field(default_factory=dict)


def write_cog(bands: xr.DataArray, path: Path, facts: RasterFacts) -> None:
    """Write a raster as a cloud-optimised GeoTIFF: 512 x 512 tiles, DEFLATE compression, overviews.

    Lazy data are computed block by block into an uncompressed GeoTIFF in the same folder, which GDAL's COG driver
    then copies, so only a few blocks are in memory at a time. Overviews are means of floats and modes of maps.

    Parameters
    ----------
    bands : (band, y, x) DataArray
        float32 or uint8.
    path : Path
        File to write, in a folder that the caller owns: after an error, partial files may remain in it.
    facts : RasterFacts
        Georeference, descriptions, no-data value, units and tags.

    Raises
    ------
    StoreError
        If the file cannot be written completely, usually for lack of disk space.
    """
    plain = path.with_name(f"{path.stem}.plain.tif")
    is_float = bands.dtype.kind == "f"
    with _gdal(path):
        _write_plain(bands, plain, facts)
        rasterio.shutil.copy(
            str(plain),
            str(path),
            driver="COG",
            compress="DEFLATE",
            predictor="YES" if is_float else "NO",
            blocksize=TILE,
            overview_resampling="AVERAGE" if is_float else "MODE",
            bigtiff="IF_SAFER",
            num_threads=str(cores()),
        )
        plain.unlink()
        _read_last_tiles(path)


@contextlib.contextmanager
def _gdal(path: Path) -> Iterator[None]:
    """Run GDAL with bounded memory, and convert its errors."""
    with warnings.catch_warnings(), rasterio.Env(GDAL_CACHEMAX=_CACHE_MB):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # images in radar geometry have no georeference
        try:
            yield
        except (RasterioError, CPLE_BaseError) as error:
            reason = " ".join(str(error.__cause__ or error).split())[:200]
            raise StoreError(f"GeoTIFF cannot be written ({reason})", source=str(path)) from error


def _write_plain(bands: xr.DataArray, path: Path, facts: RasterFacts) -> None:
    import dask.array as da

    sizes = dict(zip(bands.dims, (1, schema.CHUNK, schema.CHUNK), strict=True))
    lazy = da.asarray((bands if bands.chunks is not None else bands.chunk(sizes)).data)
    count, height, width = lazy.shape
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": lazy.dtype.name,
        "nodata": facts.nodata,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
        "interleave": "band",
        "bigtiff": "IF_SAFER",
        **facts.georeference.profile(),
    }
    with rasterio.open(path, "w", **profile) as raster:
        raster.update_tags(**facts.tags)
        raster.units = [facts.units] * count
        for number, description in enumerate(facts.descriptions, start=1):
            raster.set_band_description(number, description)
        target = _Target(raster)
        try:
            da.store(lazy, cast(Any, target), lock=False)
        finally:
            target.close()


class _Target:
    """Raster as a target of `dask.array.store`: one thread writes at a time while others compute."""

    def __init__(self, raster: Any) -> None:
        self._raster: Any = raster
        self._lock = threading.Lock()

    def __setitem__(self, index: tuple[slice, slice, slice], values: np.ndarray) -> None:
        band, y, x = index
        window = Window(x.start, y.start, x.stop - x.start, y.stop - y.start)
        with self._lock:
            if self._raster is not None:
                self._raster.write(values, indexes=list(range(band.start + 1, band.stop + 1)), window=window)

    def close(self) -> None:
        """Stop writing: after an error in one thread, the others are still running."""
        with self._lock:
            self._raster = None


def _read_last_tiles(path: Path) -> None:
    """Read the last tiles, since a full disk may go unnoticed until then."""
    with rasterio.open(path) as raster:
        left, top = (size - 1 for size in (raster.width, raster.height))
        for band in range(1, raster.count + 1):
            raster.read(band, window=Window(left, top, 1, 1))
