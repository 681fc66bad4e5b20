"""Read the shapes of a vector file of labels, and the attribute with their values."""

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
"""Default attribute with the values of shapes; without it every shape is change."""

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
    """OGR cannot open the file."""


@dataclass(frozen=True)
class Shapes:
    """Shapes of one layer, as stored in the file.

    Parameters
    ----------
    path : str
        Path as passed by the user.
    layer : str
        Name of the layer.
    driver : str
        OGR name of the format.
    crs : str or None
        CRS; None if the file has none, or one without a location on Earth.
    geometry : (N,) ndarray of shapely geometries
        Two-dimensional geometries with straight edges; None for shapes without a geometry.
    field : str or None
        Attribute with the values.
    values : (N,) ndarray or None
        Values of this attribute.
    dates : (N, 2) datetime64[s] ndarray or None
        Dates of the pair of each shape, if the file has them.
    notes, warnings : tuple of str
        Decisions, and ambiguities.
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
    """Split a path in the syntax of QGIS into file and layer.

    Raises
    ------
    OptionError
        If the path has other parts than a layer.

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
            f"{match['rest']!r} is not supported",
            option="--label",
            hint="write FILE|layername=NAME without further parts",
        )
    return match["file"], match["layer"]


def read_shapes(path: str, *, layer: str | None = None, field: str | None = None) -> Shapes:
    """Read the shapes of a vector file.

    Parameters
    ----------
    path : str
        Any file that OGR can open, also in a zip archive.
    layer : str, optional
        Layer to read; by default the only one with shapes.
    field : str, optional
        Attribute with the values; by default `label`, in upper or lower case.

    Raises
    ------
    NotAVectorFileError
        If OGR cannot open the file.
    InputError
        If it has no shapes, the layer or attribute is ambiguous, or geometries cannot be read.
    """
    import pyogrio
    from pyogrio.errors import DataSourceError, GeometryError

    notes: list[str] = []
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
        notes += _gdal_messages(caught)
    except DataSourceError as error:
        if Path(path).exists() and re.search("[;!]", path):  # which pyogrio interprets as part of a URL
            hint = "rename it, or its folder, without ; and !"
            raise InputError("has a name that vector files cannot be opened by", source=path, hint=hint) from error
        if re.search("no such file|does not exist in the file system", str(error), re.IGNORECASE):
            raise NotAVectorFileError("no such file", source=path, hint="check the path") from error
        reason = _first_line(error).replace(f"'{path}' ", "").split("; It might help")[0].rstrip(".")
        raise NotAVectorFileError(
            f"cannot be read ({reason})", source=path, hint="check that the file is complete"
        ) from error
    except RuntimeError as error:  # every other error of pyogrio
        hint = (
            "save it in two dimensions, for example with ogr2ogr -dim XY"
            if isinstance(error, GeometryError)
            else "save it again"
        )
        raise InputError(f"cannot be read ({_first_line(error)})", source=path, hint=hint) from error
    if geometry is None or not len(geometry):
        raise InputError("has no shapes", source=path, hint="draw some, or select another layer with --label-layer")
    ambiguous = [] if used else _unused_labels(path, {known: held[known] for known in _may_be_labels(info)})
    dates = dates_of_shapes({known: held[known] for known in ends_in(fields)})
    unread = [known for known in fields if dates is None or known not in ends_in(fields)]
    if used is None and unread:
        notes.append(f"its attributes ({_listed(unread)}) are not read")
    if info["driver"] == "ESRI Shapefile" and not fields and not _has_table(path):
        ambiguous.append(f"{path}: its .dbf file is missing, so no attribute is read. Copy it beside the .shp file.")
    return Shapes(
        path=path,
        layer=name,
        driver=str(info["driver"]),
        crs=_located(meta["crs"]),
        geometry=_geometries(path, geometry),
        field=used,
        values=None if used is None else held[used],
        dates=dates,
        notes=(*chosen, *notes),
        warnings=tuple(ambiguous),
    )


def _choose_layer(path: str, layers: Sequence[tuple[str, Any]], wanted: str | None) -> tuple[str, list[str]]:
    """Return the name of the layer to read, and notes on the choice."""
    import pyogrio

    names = [name for name, _ in layers]
    if wanted is not None:
        if wanted not in names:
            hint = f"select one of {_listed(names)}" if names else None
            raise InputError(f"has no layer {wanted!r}", source=path, hint=hint)
        return wanted, []
    drawn = [name for name, kind in layers if kind is not None]
    if len(drawn) > 1:  # a GPX file always has five, most of them empty
        drawn = [name for name in drawn if pyogrio.read_info(path, layer=name, force_feature_count=True)["features"]]
    if len(drawn) > 1:
        raise InputError(
            f"has {len(drawn)} layers with shapes ({_listed(drawn)})",
            source=path,
            hint="select one with --label-layer NAME, or as 'FILE|layername=NAME'",
        )
    if not drawn:
        raise InputError(
            f"has no shapes in its layers ({_listed(names)})" if names else "has no layer with shapes",
            source=path,
            hint="name the column of its shapes, in well-known text, WKT, or save them in a GeoPackage"
            if Path(path).suffix.lower() in (".csv", ".tsv", ".txt")
            else "save the shapes themselves, not a table of attributes",
        )
    others = [name for name in names if name != drawn[0]]
    return drawn[0], [f"layers without shapes are ignored: {_listed(others)}"] if others else []


def _choose_field(path: str, fields: Sequence[str], wanted: str | None) -> str | None:
    """Return the attribute with the values; None if every shape is change."""
    if wanted in fields:
        return wanted
    alike = [known for known in fields if known.lower() == (wanted or FIELD).lower()]
    if wanted is None and FIELD in fields:
        return FIELD
    if len(alike) > 1:
        raise InputError(f"has several attributes {_listed(alike)}", source=path, hint="select one with --label-field")
    if wanted is not None and not alike:
        hint = f"select one of {_listed(fields)}" if fields else "leave out --label-field"
        raise InputError(f"has no attribute {wanted!r}", source=path, hint=hint)
    return alike[0] if alike else None


def _may_be_labels(info: Mapping[str, Any]) -> list[str]:
    """Return the attributes that may be labels under another name, the most likely first."""
    kinds = dict(zip((str(name) for name in info["fields"]), info["dtypes"], strict=True))
    few = [name for name, kind in kinds.items() if re.match("bool|u?int|float|object|str", str(kind))]
    named = [name for name in few if name.lower() in _LIKE_LABELS]
    return [*named, *(name for name in few if name not in named and name.lower() not in ENDS)]


def _unused_labels(path: str, attributes: Mapping[str, np.ndarray]) -> list[str]:
    """Return a warning of an unused attribute that looks like labels by its name or values (0/1, no/yes)."""
    for name, values in attributes.items():
        known = sorted({str(value) for value in values if not _is_absent(value)})
        if name.lower() in _LIKE_LABELS:
            is_like = len(known) > 1 or known in (["0"], ["0.0"], ["False"])
        else:
            plain = {str(YES_AND_NO.get(text.lower(), text)).removesuffix(".0") for text in known[:_MOST_LISTED]}
            is_like = len(plain) > 1 and plain <= {"0", "1", "255"}
        if is_like:
            return [
                f"{path}: it has no attribute '{FIELD}', so every shape is change; '{name}' holds "
                f"{_listed(known)}. If that is the label, pass --label-field {name}."
            ]
    return []


def _has_table(path: str) -> bool:
    file = Path(path)
    return file.suffix.lower() != ".shp" or any(file.with_suffix(suffix).exists() for suffix in (".dbf", ".DBF"))


def _located(crs: str | None) -> str | None:
    """Return a CRS that has a location; the undefined Cartesian CRS of GeoPackages has none."""
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
    """Return two-dimensional shapely geometries, None for missing ones.

    Raises
    ------
    InputError
        If there are geometry types that cannot be rasterised, or coordinates that are not finite.
    """
    import shapely

    absent = np.array([one is None for one in geometry])
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        shapes = shapely.from_wkb(geometry, on_invalid="ignore")
        unread = int((shapely.is_missing(shapes) & ~absent).sum())
        if unread:
            raise InputError(
                f"{unread} of {len(shapes)} shapes are surfaces or solids, not polygons, lines or points",
                source=path,
                hint="save it with ogr2ogr -nlt MULTIPOLYGON",
            )
        shapes = shapely.force_2d(shapes)
        points, owners = shapely.get_coordinates(shapes, return_index=True)
    broken = np.unique(owners[~np.isfinite(points).all(axis=1)])
    if len(broken):
        raise InputError(
            f"{len(broken)} of {len(shapes)} shapes have coordinates that are not finite "
            f"(the first is number {broken[0] + 1})",
            source=path,
            hint="draw them again or delete them",
        )
    shapes[shapely.is_empty(shapes)] = None
    return np.asarray(shapes)


def numbers_of(path: str, field: str, values: np.ndarray) -> np.ndarray | None:
    """Return the values of an attribute as numbers, NaN if empty; None if it holds words.

    Numbers may be stored as text, and yes, no, true and false as words.

    Raises
    ------
    InputError
        If it holds other types, such as dates.

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
            f"its attribute '{field}' is not numeric",
            source=path,
            hint="select another with --label-field, or use 0 and 1",
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


def _gdal_messages(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Return the distinct messages of GDAL, except on dropped third coordinates."""
    texts = [_first_line(one.message) for one in caught if isinstance(one.message, Warning)]
    return list(dict.fromkeys(f"GDAL says: {text}" for text in texts if "Measured" not in text))
