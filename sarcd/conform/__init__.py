"""One check of what is given as a scene: a dataset is understood and brought to the schema's form, or refused.

Every public function that takes a scene begins with `sarcd.store.openable.take`, which calls `conform`. Understanding
means renaming, reordering and converting without loss; where pairs have to be left out, that is logged. Everything else
ends in a `SceneError` that says what to change.
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
    """Return a dataset in the form of the schema, or refuse it.

    Parameters
    ----------
    scene : xr.Dataset
        Anything that may be a scene: cut, reordered, with other names of its dimensions, written by other programs.
    images : bool
        Whether the dataset has to hold images; scores of a map need none.

    Returns
    -------
    xr.Dataset
        A new dataset with dims `time`, `pair`, `y`, `x` in the schema's order and its dtypes, increasing dates, and
        pairs whose dates are all in `time`. The data are lazy where they were, the caller's dataset is unchanged.

        Understood are other orders of the dims; names such as ``latitude``, ``azimuth``, ``row`` or ``northing``, and
        any name that CF attributes explain (``axis``, ``standard_name``, units of degrees); extra dims of one element;
        dates stored as CF numbers; some of the dates with the pairs among them; one pair or date selected by ``isel``;
        exact zeros as no-data in complex images; labels as booleans or other integers.

    Raises
    ------
    SceneError
        Saying what does not fit and how to change it.

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
            f"a scene is an xarray Dataset, not {_article(type(scene).__name__)}",
            hint="give a Dataset with 'slc' or 'amplitude', such as xr.open_zarr('scene.zarr')",
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
    # Results are scored and exported without the images they were made from.
    found = conform_values(conform_pairs(found, within_dates=images), images=images)
    found.encoding = encoding
    return found


def _article(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
