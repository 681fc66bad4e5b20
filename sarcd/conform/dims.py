"""Identify the dims time, pair, y and x of a dataset, and transpose its variables to the order of the schema."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import xarray as xr

from sarcd import schema
from sarcd.errors import SceneError

_WORDS = {
    "time": "time date dates datetime t epoch acquisition acquisition_time acquisition_date",
    "pair": "pair pairs interferogram ifg",
    "y": "y lat latitude northing north azimuth az azimuth_time line lines row rows rlat",
    "x": "x lon longitude easting east range rg slant_range slant_range_time sample samples pixel pixels "
    "col cols column columns rlon",
}
_NAMES = {role: tuple(words.split()) for role, words in _WORDS.items()}
_ROLES = {name: role for role, names in _NAMES.items() for name in names}

_AXES = {"T": "time", "Y": "y", "X": "x"}
_STANDARD_NAMES = {
    "time": "time",
    "projection_y_coordinate": "y",
    "projection_x_coordinate": "x",
    "latitude": "y",
    "longitude": "x",
    "grid_latitude": "y",
    "grid_longitude": "x",
}
_DEGREES = {"y": ("degrees_north", "degree_north", "degrees_n"), "x": ("degrees_east", "degree_east", "degrees_e")}


def own_variables(scene: xr.Dataset) -> list[str]:
    """Return the names of variables that the schema defines, without those that have a suffix."""
    return [str(name) for name in scene.data_vars if name in schema.VARIABLES]


def conform_dims(scene: xr.Dataset) -> xr.Dataset:
    """Rename and transpose the dims of the schema's variables to those of the schema.

    Raises
    ------
    SceneError
        If a dim cannot be identified and has more than one element, two dims are the same axis, or one is missing.
    """
    names = own_variables(scene)
    used = list(dict.fromkeys(dim for name in names for dim in scene[name].dims))
    scene = _without_pair_index(scene)
    scene = _renamed(scene, {dim: role for dim in used if (role := _role(scene, dim)) is not None})
    scene = _squeezed(scene, [dim for name in names for dim in scene[name].dims if dim not in _NAMES])
    scene = _with_selected(scene)
    for name in scene.data_vars:
        scene = _ordered(scene, str(name))
    return scene


def _without_pair_index(scene: xr.Dataset) -> xr.Dataset:
    """Replace a MultiIndex of before and after by plain coordinates."""
    index = scene.indexes.get("pair")
    return scene.reset_index("pair") if index is not None and index.nlevels > 1 else scene


def _role(scene: xr.Dataset, dim: Hashable) -> str | None:
    """Return which axis a dim is, None if it cannot be identified.

    The CF attributes of its coordinate come first, then its name, then dates in its coordinate or a coordinate along it
    that has a name of the schema, for example after `swap_dims`.
    """
    if dim in _NAMES:
        return str(dim)
    named = _ROLES.get(str(dim).lower())
    if dim in scene.coords:
        coordinate = scene[dim]
        attrs = {key: str(value) for key, value in {**coordinate.encoding, **coordinate.attrs}.items()}
        by_attrs = _AXES.get(attrs.get("axis", "").upper()) or _STANDARD_NAMES.get(
            attrs.get("standard_name", "").lower()
        )
        units = attrs.get("units", "").lower()
        by_attrs = by_attrs or next((role for role, words in _DEGREES.items() if units in words), None)
        if by_attrs is None and named is None and coordinate.dtype.kind == "M":
            by_attrs = "time"  # only without a known name: azimuth may be in units of time too
        if by_attrs is not None:
            return by_attrs
    along = [role for role in _NAMES if role in scene.coords and scene[role].dims == (dim,)]
    return named or (along[0] if len(along) == 1 else None)  # a list of points has both y and x along one dim


def _renamed(scene: xr.Dataset, roles: dict[Hashable, str]) -> xr.Dataset:
    for role in _NAMES:
        dims = [dim for dim, of in roles.items() if of == role]
        if len(dims) > 1:
            raise SceneError(
                f"dims {_listed(dims)} are both {role}",
                source=schema.source_of(scene),
                hint=f"select one element of one of them, or rename the other: scene.rename({{'...': '{role}'}})",
            )
        if not dims or dims == [role]:
            continue
        (dim,) = dims
        if role in scene.coords and scene[role].dims == (dim,):
            coordinate = scene[role].variable
            bare = scene.drop_vars([name for name in (role, dim) if name in scene.coords])
            scene = bare.rename({dim: role}).assign_coords({role: (role, coordinate.values, coordinate.attrs)})
        elif role in scene.variables:
            raise SceneError(
                f"dim '{dim}' is the {role} axis, but another variable is called '{role}'",
                source=schema.source_of(scene),
                hint=f"rename that variable: scene.rename({{'{role}': 'other_{role}'}})",
            )
        else:
            scene = scene.rename({dim: role})
    return scene


def _squeezed(scene: xr.Dataset, extra: Iterable[Hashable]) -> xr.Dataset:
    """Drop extra dims of one element, keeping what they were as coordinates."""
    for dim in dict.fromkeys(extra):
        size = scene.sizes[dim]
        if size != 1:
            name = next(name for name in own_variables(scene) if dim in scene[name].dims)
            listed = (
                f" ({', '.join(map(str, scene[dim].values[:4]))}{', ...' if size > 4 else ''})"
                if dim in scene.coords
                else ""
            )
            raise SceneError(
                f"'{name}' has the extra dim '{dim}' of {size}{listed}",
                source=schema.source_of(scene),
                hint=_hint_for_extra(scene, name, dim),
            )
        scene = scene.isel({dim: 0})
    return scene


def _hint_for_extra(scene: xr.Dataset, name: str, dim: Hashable) -> str:
    index = scene.indexes.get(dim)
    if index is not None and index.nlevels > 1:
        return f"unstack it: scene.unstack('{dim}')"
    if name == "slc" and scene[name].dtype.kind == "f" and scene.sizes[dim] == 2:
        real, imaginary = (f"scene['slc'].isel({dim}={part})" for part in (0, 1))
        return f"combine both parts: scene.assign(slc=({real} + 1j * {imaginary}).astype('complex64'))"
    missing = [role for role in schema.VARIABLES[name].dims if role not in scene[name].dims]
    taken = [role for role in missing if role in scene.variables]  # such as coordinates along both y and x
    dropped = f".drop_vars({taken})" if taken else ""
    choose = f"select one element, as in scene.isel({dim}=0)"
    if not missing:
        return choose
    return f"{choose}, or rename it if it is {' or '.join(missing)}: scene{dropped}.rename({{'{dim}': '...'}})"


def _with_selected(scene: xr.Dataset) -> xr.Dataset:
    """Restore dims `time` and `pair` after a single date or pair was selected."""
    lacking: dict[str, list[str]] = {}
    for name, array in scene.data_vars.items():
        wanted = schema.known(name)
        if wanted is not None and wanted.dims[0] in ("time", "pair") and set(array.dims) == set(wanted.dims[1:]):
            lacking.setdefault(wanted.dims[0], []).append(str(name))
    if "time" in lacking and "time" not in scene.dims and "time" in scene.coords and scene["time"].ndim == 0:
        scene = _expanded(scene, lacking["time"], "time", ["time"])
    ends = [name for name in ("before", "after") if name in scene.coords and scene[name].ndim == 0]
    if "pair" not in scene.dims and len(ends) == 2:
        scene = _expanded(scene, lacking.get("pair", []), "pair", ends)
    return scene


def _expanded(scene: xr.Dataset, names: list[str], dim: str, coordinates: list[str]) -> xr.Dataset:
    kept = {name: scene[name].variable for name in coordinates}
    bare = scene.drop_vars([*coordinates, *([dim] if dim in scene.coords and dim not in coordinates else [])])
    arrays = {name: bare[name].variable.expand_dims(dim) for name in names}
    coords = {name: (dim, value.values.reshape(1), value.attrs) for name, value in kept.items()}
    return bare.assign(arrays).assign_coords(coords)


def _ordered(scene: xr.Dataset, name: str) -> xr.Dataset:
    """Transpose a variable to the order of the schema.

    A variable of the schema must have all its dims; one with a suffix and other dims is left unchanged.
    """
    wanted = schema.known(name)
    if wanted is None:
        return scene
    dims = scene[name].dims
    if dims == wanted.dims:
        return scene
    if set(dims) == set(wanted.dims):
        return scene.assign({name: scene[name].variable.transpose(*wanted.dims)})
    if name not in schema.VARIABLES:
        return scene  # a variable of the user's own, such as a temporal mean of coherence
    missing, extra = ([str(d) for d in a if d not in b] for a, b in ((wanted.dims, dims), (dims, wanted.dims)))
    parts = [f"lacks {_listed(missing)}" if missing else "", f"has the extra {_listed(extra)}" if extra else ""]
    raise SceneError(
        f"'{name}' has dims {dims}, should be {wanted.dims}: it {' and '.join(filter(None, parts))}",
        source=schema.source_of(scene),
        hint=_hint(name, missing, extra),
    )


def _hint(name: str, missing: list[str], extra: list[str]) -> str:
    if extra and extra[0] == "time":
        return (
            "concatenate only the images of scenes: "
            "xr.concat([a[['slc']].drop_vars(['before', 'after'], errors='ignore'), ...], 'time'); or drop it: "
            f"scene.drop_vars('{name}')"
        )
    if extra:
        return f"select one element, as in scene.isel({extra[0]}=0), or drop it: scene.drop_vars('{name}')"
    if missing[0] == "pair":
        return (
            f"add the dates that it compares: scene['{name}'].expand_dims('pair') with coordinates 'before' and 'after'"
        )
    if missing[0] == "time":
        return f"add its acquisition date: scene['{name}'].expand_dims(time=[...])"
    return f"rename its dims: scene.rename({{'...': '{missing[0]}'}})"


def _listed(names: Iterable[Hashable]) -> str:
    return " and ".join(f"'{name}'" for name in names)
