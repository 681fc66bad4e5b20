"""Change maps between radar images of the same ground.

Importing sarcd registers the ``.sarcd`` accessor of xarray datasets and loads nothing heavy: torch, numba, dask,
rasterio and matplotlib are imported when something first needs them.

Examples
--------
::

    import sarcd

    scene = sarcd.open_scene("scene.zarr")
    sarcd.coherence(scene, window=7)  # or scene.sarcd.coherence(window=7)
    sarcd.jobs.coherence("scene.zarr", window=7)  # into the store, resumable
"""

__version__ = "0.1.0"

import lazy_loader

from sarcd.accessor import SceneAccessor as SceneAccessor  # modules below read the version

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]  # noqa: PLE0604  names alone
