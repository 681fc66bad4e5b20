"""Change maps between radar images of the same ground.

Importing sarcd registers the ``.sarcd`` accessor of xarray datasets and loads no heavy package: torch, numba,
dask, rasterio and matplotlib are imported on first use.

Examples
--------
::

    import sarcd

    scene = sarcd.open_scene("scene.zarr")
    sarcd.coherence(scene, window=7)  # or scene.sarcd.coherence(window=7)
    sarcd.jobs.coherence("scene.zarr", window=7)  # stored and resumable
"""

__version__ = "0.1.0"

import lazy_loader

from sarcd.accessor import SceneAccessor as SceneAccessor  # after the version, which its modules read

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = [*_names, "__version__"]  # noqa: PLE0604  all are names
