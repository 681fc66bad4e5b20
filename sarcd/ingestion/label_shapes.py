"""What a vector file of labels holds: the layer and attribute that count, its shapes, and the value of each."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sarcd.errors import InputError, OptionError
from sarcd.ingestion.label_mapping import YES_AND_NO
from sarcd.ingestion.label_pairs import ENDS, dates_of_shapes, ends_in

FIELD = "label"
"""Attribute of the shapes that holds their value, if there is one; without it every shape is change."""

_LAYER = re.compile(r"(?P<file>.+?)\|layername=(?P<layer>[^|]+)(?P<rest>\|.*)?")
_LIKE_LABELS = {
    "change",
    "changed",
    "changes",
    "class",
    "classes",
    "klass",
    "value",
    "truth",
    "category",
    "type",
    "dn",
    "gridcode",
}
_MOST_LISTED = 12


class NotAVectorFileError(InputError):
    """OGR does not open the file at all."""


@dataclass(frozen=True)
class Shapes:
    """The shapes of one layer, as the file holds them.

    Parameters
    ----------
    path : str
        As the user gave it.
    layer : str
        The layer that was read.
    driver : str
        OGR's name of the format.
    crs : str or None
        None where the file says none, or one that is tied to no place.
    geometry : (N,) ndarray of shapely geometries
        Two-dimensional, lines and arcs straight; None where a shape has no geometry.
    field : str or None
        Attribute that holds the values.
    values : (N,) ndarray or None
        Of that attribute.
    dates : (N, 2) datetime64[s] ndarray or None
        Of the pair that each shape is of, where the file tells.
    notes, warnings : tuple of str
        What was chosen on the way, and what may be meant otherwise.
    """

    path: str
    layer: str
    driver: str
    crs: str | None
    geometry: np.ndarray
    field: str | None
    values: np.ndarray | None
    dates: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def split_layer(path: str) -> tuple[str, str | None]:
    """Return the file and the layer of a path in QGIS's words.

    Raises
    ------
    OptionError
        If something else than a layer is asked for.

    Examples
    --------
    >>> split_layer("site.gpkg|layername=changes"), split_layer("site.gpkg")
    (('site.gpkg', 'changes'), ('site.gpkg', None))
    """
    match = _LAYER.fullmatch(path)
    if match is None:
        return path, None
    if match["rest"]:
        raise OptionError(
            f"{match['rest']!r} is not understood",
            option="--label",
            hint="write FILE|layername=NAME and nothing behind",
        )
    return match["file"], match["layer"]


def read_shapes(path: str, *, layer: str | None = None, field: str | None = None) -> Shapes:
    """Read the shapes of a vector file.

    Parameters
    ----------
    path : str
        Any file that OGR opens, also in a zip archive.
    layer : str, optional
        Layer to read; without it the only one that holds shapes.
    field : str, optional
        Attribute that holds their values; without it the one called `label`, whatever its case.

    Raises
    ------
    NotAVectorFileError
        If OGR does not open it.
    InputError
        If it holds no shapes, the choice of layer or attribute is open, or geometries cannot be read.
    """
    import pyogrio
    from pyogrio.errors import DataSourceError, GeometryError

    said: list[str] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
            name, chosen = _choose_layer(path, layers, layer)
            info = pyogrio.read_info(path, layer=name)
            fields = [str(known) for known in info["fields"]]
            used = _choose_field(path, fields, field)
            columns = [*ends_in(fields), *([used] if used else _may_be_labels(info))]
            meta, _, geometry, data = pyogrio.raw.read(path, layer=name, columns=columns)
            held = dict(zip((str(known) for known in meta["fields"]), data, strict=True))
        said += _own_words(caught)
    except DataSourceError as error:
        if Path(path).exists() and re.search("[;!]", path):  # which pyogrio takes for parts of an address
            hint = "rename it, or its folder, without ; and !"
            raise InputError("has a name that vector files are not opened by", source=path, hint=hint) from error
        if re.search("no such file|does not exist in the file system", str(error), re.IGNORECASE):
            raise NotAVectorFileError("no such file", source=path, hint="check the path") from error
        said_by_ogr = _first_line(error).replace(f"'{path}' ", "").split("; It might help")[0].rstrip(".")
        raise NotAVectorFileError(
            f"cannot be read ({said_by_ogr})", source=path, hint="check that the file is whole"
        ) from error
    except RuntimeError as error:  # every other error of pyogrio
        flat = "save it flat, as with ogr2ogr -dim XY" if isinstance(error, GeometryError) else "save it anew"
        raise InputError(f"cannot be read ({_first_line(error)})", source=path, hint=flat) from error
    if geometry is None or not len(geometry):
        raise InputError("has no shapes", source=path, hint="draw some, or choose another layer with --label-layer")
    doubts = [] if used else _doubts(path, {known: held[known] for known in _may_be_labels(info)})
    dates = dates_of_shapes({known: held[known] for known in ends_in(fields)})
    unread = [known for known in fields if dates is None or known not in ends_in(fields)]
    if used is None and unread:
        said.append(f"its attributes ({_listed(unread)}) are not read")
    if info["driver"] == "ESRI Shapefile" and not fields and not _has_table(path):
        doubts.append(f"{path}: its .dbf file is missing, so that no attribute is read: copy it beside the .shp file")
    return Shapes(
        path=path,
        layer=name,
        driver=str(info["driver"]),
        crs=_placed(meta["crs"]),
        geometry=_geometries(path, geometry),
        field=used,
        values=None if used is None else held[used],
        dates=dates,
        notes=(*chosen, *said),
        warnings=tuple(doubts),
    )


def _choose_layer(path: str, layers: Sequence[tuple[str, Any]], wanted: str | None) -> tuple[str, list[str]]:
    """Return the name of the layer to read, and what is said of the choice."""
    import pyogrio

    names = [name for name, _ in layers]
    if wanted is not None:
        if wanted not in names:
            hint = f"choose one of {_listed(names)}" if names else None
            raise InputError(f"has no layer {wanted!r}", source=path, hint=hint)
        return wanted, []
    drawn = [name for name, kind in layers if kind is not None]
    if len(drawn) > 1:  # a GPX file always has five, of which most are empty
        drawn = [name for name in drawn if pyogrio.read_info(path, layer=name, force_feature_count=True)["features"]]
    if len(drawn) > 1:
        raise InputError(
            f"has {len(drawn)} layers with shapes ({_listed(drawn)})",
            source=path,
            hint="choose one with --label-layer NAME, or as 'FILE|layername=NAME'",
        )
    if not drawn:
        raise InputError(
            f"has no shapes in its layers ({_listed(names)})" if names else "has no layer with shapes",
            source=path,
            hint="call the column of its shapes, as well-known text, WKT; or save them in a GeoPackage"
            if Path(path).suffix.lower() in (".csv", ".tsv", ".txt")
            else "save the shapes themselves, not a table of attributes",
        )
    others = [name for name in names if name != drawn[0]]
    return drawn[0], [f"layers without shapes passed over: {_listed(others)}"] if others else []


def _choose_field(path: str, fields: Sequence[str], wanted: str | None) -> str | None:
    """Return the attribute that holds the values; None if every shape is change."""
    if wanted in fields:
        return wanted
    alike = [known for known in fields if known.lower() == (wanted or FIELD).lower()]
    if wanted is None and FIELD in fields:
        return FIELD
    if len(alike) > 1:
        raise InputError(f"has several attributes {_listed(alike)}", source=path, hint="choose one with --label-field")
    if wanted is not None and not alike:
        hint = f"choose one of {_listed(fields)}" if fields else "leave out --label-field"
        raise InputError(f"has no attribute {wanted!r}", source=path, hint=hint)
    return alike[0] if alike else None


def _may_be_labels(info: Mapping[str, Any]) -> list[str]:
    """Return the attributes that may hold labels under another name: those that look like it first."""
    kinds = dict(zip((str(name) for name in info["fields"]), info["dtypes"], strict=True))
    few = [name for name, kind in kinds.items() if re.match("bool|u?int|float|object|str", str(kind))]
    named = [name for name in few if name.lower() in _LIKE_LABELS]
    return [*named, *(name for name in few if name not in named and name.lower() not in ENDS)]


def _doubts(path: str, attributes: Mapping[str, np.ndarray]) -> list[str]:
    """Warn of an attribute that is not read and looks like labels: by its name, or by 0 and 1, or no and yes."""
    for name, values in attributes.items():
        known = sorted({str(value) for value in values if not _is_absent(value)})
        if name.lower() in _LIKE_LABELS:
            is_like = len(known) > 1 or known in (["0"], ["0.0"], ["False"])
        else:
            plain = {str(YES_AND_NO.get(text.lower(), text)).removesuffix(".0") for text in known[:_MOST_LISTED]}
            is_like = len(plain) > 1 and plain <= {"0", "1", "255"}
        if is_like:
            return [
                f"{path}: it has no attribute '{FIELD}', so that every shape is change; '{name}' holds "
                f"{_listed(known)}: if that is the label, say --label-field {name}"
            ]
    return []


def _has_table(path: str) -> bool:
    file = Path(path)
    return file.suffix.lower() != ".shp" or any(file.with_suffix(suffix).exists() for suffix in (".dbf", ".DBF"))


def _placed(crs: str | None) -> str | None:
    """Return a CRS that is tied to a place; GeoPackages without one call theirs an undefined Cartesian one."""
    import pyproj

    if crs is None:
        return None
    try:
        known = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError:
        return crs
    undefined = known.name.lower().startswith(("undefined", "unknown engineering"))
    return None if known.is_engineering or undefined else crs


def _geometries(path: str, geometry: np.ndarray) -> np.ndarray:
    """Return flat shapely geometries, None where there is none.

    Raises
    ------
    InputError
        If there are kinds that cannot be burned, or coordinates that are no numbers.
    """
    import shapely

    absent = np.array([one is None for one in geometry])
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        shapes = shapely.from_wkb(geometry, on_invalid="ignore")
        unread = int((shapely.is_missing(shapes) & ~absent).sum())
        if unread:
            raise InputError(
                f"{unread} of {len(shapes)} shapes are surfaces or bodies, not polygons, lines or points",
                source=path,
                hint="save it with ogr2ogr -nlt MULTIPOLYGON",
            )
        shapes = shapely.force_2d(shapes)
        points, owners = shapely.get_coordinates(shapes, return_index=True)
    broken = np.unique(owners[~np.isfinite(points).all(axis=1)])
    if len(broken):
        raise InputError(
            f"{len(broken)} of {len(shapes)} shapes have coordinates that are no finite numbers "
            f"(the first is number {broken[0] + 1})",
            source=path,
            hint="draw them anew or delete them",
        )
    shapes[shapely.is_empty(shapes)] = None
    return np.asarray(shapes)


def numbers_of(path: str, field: str, values: np.ndarray) -> np.ndarray | None:
    """Return the values of an attribute as numbers, NaN where it is empty; None if it holds words.

    Numbers may be written as text, and yes and no, true and false as words.

    Raises
    ------
    InputError
        If it holds something else, such as dates.

    Examples
    --------
    >>> numbers_of("a.csv", "label", np.array(["1", " 0", "", None], object)).tolist()
    [1.0, 0.0, nan, nan]
    >>> numbers_of("a.csv", "label", np.array(["yes", "No"], object)).tolist()
    [1.0, 0.0]
    """
    if values.dtype.kind in "bui" or values.dtype.kind == "f":
        return values.astype("float64")
    if values.dtype.kind != "O" or not all(
        _is_absent(one) or isinstance(one, (str, bool, int, float)) for one in values
    ):
        raise InputError(
            f"its attribute '{field}' is no number",
            source=path,
            hint="choose another with --label-field, or use 0 and 1",
        )
    words = [None if _is_absent(one) else str(one).strip().lower() for one in values]
    try:
        return np.array([np.nan if word is None else YES_AND_NO.get(word, word) for word in words], "float64")
    except ValueError:
        return None


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value != value  # noqa: PLR0124  NaN


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return ", ".join(names[:_MOST_LISTED]) + more


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _own_words(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return what GDAL said of the file, once each; that a third coordinate is dropped is of no concern."""
    texts = [_first_line(one.message) for one in caught if isinstance(one.message, Warning)]
    return list(dict.fromkeys(f"GDAL says: {text}" for text in texts if "Measured" not in text))
