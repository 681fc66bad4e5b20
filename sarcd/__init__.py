"""Change maps between radar images of the same ground.

Importing sarcd registers the ``.sarcd`` accessor of xarray datasets and loads nothing heavy: torch, numba, dask,
rasterio and matplotlib are imported when something first needs them.

Examples
--------
::

    import xarray as xr
    import sarcd

    scene = xr.open_zarr("scene.zarr")
    scene.sarcd.coherence(window=7)
"""

__version__ = "0.1.0"

from sarcd.accessor import SceneAccessor  # modules below read the version

__all__ = ["SceneAccessor", "__version__"]
