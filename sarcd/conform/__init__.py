"""Convert any dataset that resembles a scene to the form of the schema, or refuse it.

Every public function that takes a scene begins with `sarcd.store.openable.take`, which calls `conform`. Names, order
and dtypes are converted without loss; pairs that have to be dropped are logged. Any other deviation raises a
`SceneError` whose hint says what to change.
"""

from __future__ import annotations

from typing import Any

import xarray as xr

from sarcd import schema
from sarcd.conform.dates import conform_pairs, conform_times
from sarcd.conform.dims import conform_dims
from sarcd.conform.values import conform_values
from sarcd.errors import SceneError

__all__ = ["conform"]


def conform(scene: Any, *, images: bool = True) -> xr.Dataset:
    """Convert a dataset to the form of the schema, or refuse it.

    Parameters
    ----------
    scene : xr.Dataset
        A scene, for example a subset of one, with dims in another order or under other names, or written by another
        program.
    images : bool
        Whether the dataset must hold images; scoring a map needs none.

    Returns
    -------
    xr.Dataset
        A new dataset with the dims, order and dtypes of the schema, increasing dates, and pairs whose dates are all in
        `time`. Lazy data stay lazy, and the input is not modified.

        Accepted are: dims in any order; dims named for example ``latitude``, ``azimuth``, ``row`` or ``northing``, or
        identified by CF attributes (``axis``, ``standard_name``, units of degrees); extra dims of size 1; dates encoded
        as CF numbers; a subset of the dates with the pairs among them; a single pair or date selected by ``isel``;
        exact zeros as no-data in complex images; boolean or other integer labels.

    Raises
    ------
    SceneError
        If the dataset cannot be converted. The error says what does not match and how to change it.

    Examples
    --------
    >>> import numpy as np
    >>> dates = np.array(["2023-03-19", "2023-03-31"], "datetime64[us]")
    >>> scene = xr.Dataset({"slc": (("row", "col", "date"), np.ones((4, 5, 2), "complex64"))}, coords={"date": dates})
    >>> conform(scene)["slc"].dims
    ('time', 'y', 'x')
    >>> conform(xr.Dataset({"ndvi": ("y", [1.0])}))
    Traceback (most recent call last):
    ...
    sarcd.errors.SceneError: no 'slc' and no 'amplitude'. Make the scene with 'sarcd ingest IMAGE... -o'.
    """
    if not isinstance(scene, xr.Dataset):
        raise SceneError(
            f"expected an xarray Dataset, not {_article(type(scene).__name__)}",
            hint="pass a Dataset with 'slc' or 'amplitude', such as xr.open_zarr('scene.zarr')",
        )
    schema.check_version(scene)
    if images:
        schema.images_of(scene)
    if all(name in scene for name in schema.IMAGES):
        raise SceneError(
            "both 'slc' and 'amplitude' are present",
            source=schema.source_of(scene),
            hint="drop one of them: scene.drop_vars('amplitude')",
        )
    encoding = dict(scene.encoding)
    found = schema.with_pair_dates(scene.copy(deep=False))
    found = conform_times(conform_dims(found))
    # Results can be scored and exported without the images that they were computed from.
    found = conform_values(conform_pairs(found, within_dates=images), images=images)
    found.encoding = encoding
    return found


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
